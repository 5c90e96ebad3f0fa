"""Runs on flow-matching transformers: what cannot work says so before anything is computed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.core.errors import BenchError
from bench.runner.flops import networks, table
from tests.support import tiny_flow
from tests.support.plans import planned

ON = ("model=sd35", "model.resolution=32", "data.limit=1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flow") / "tiny"
    tiny_flow.sd3(made)
    return made


def test_generic_methods_are_planned(folder: Path) -> None:
    found = planned(*ON, f"model.source={folder}", "defense=aspl", "attack=lora")
    assert not any(cell.skip for cell in found)
    assert {cell.attack.settings.get("preset") for cell in found} == {None, "hf_sd3"}


@pytest.mark.parametrize("name", ["dladiff", "disdiff", "antidiffusion"])
def test_sides_are_left_to_the_transformer_unless_they_are_set(folder: Path, name: str) -> None:
    """Those of presets are a U-Net's."""
    asked = [*ON, f"model.source={folder}", f"defense={name}", "attack=lora"]
    asked += ["defense.layers=[1]"] if name == "dladiff" else []
    for more, sides in ((), None), (("defense.sides=[64]",), [64]), (("defense.preset=facelet",), None):
        (cell,) = [cell for cell in planned(*asked, *more) if cell.defense.name == name]
        assert cell.defense.settings["sides"] == sides
        assert not cell.skip


@pytest.mark.parametrize(
    "words",
    [
        ("attack=ip_adapter", "attack.variant=faceid", "attack.weights=sd15"),
        ("attack=textual_inversion", "attack.per_layer=true"),
        ("attack=lora", "defense=antipure"),
        ("attack=lora", "defense=photoguard", "defense.variant=diffusion"),
        ("attack=lora", "countermeasure=grid_pure"),
    ],
    ids=lambda words: words[-1],
)
def test_what_needs_a_unet_is_refused_before_any_work(folder: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(BenchError, match="does not work on sd35, a flow-matching transformer"):
        planned(*ON, f"model.source={folder}", *words)


def test_a_surrogate_with_a_unet_has_what_a_defense_looks_at(folder: Path) -> None:
    surrogate = "surrogates=[{name: facelet-1, family: facelet, resolution: 32, precision: fp32}]"
    found = planned(*ON, f"model.source={folder}", "attack=lora", "defense=antipure", surrogate)
    assert not any(cell.skip for cell in found)


def test_in_a_dry_run_it_is_said_beside_what_is_missing() -> None:
    found = planned("model=sd35", "data.limit=1", "attack=instantid", "dry_run=true")
    for cell in found:
        assert "Stability AI Community License (gated)" in cell.skip
        assert "accept its licence" in cell.skip
        assert ("instantid does not work on sd35" in cell.skip) == (cell.attack.name == "instantid")


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux"])
def test_a_family_that_is_not_that_of_the_files_is_an_error(folder: Path, family: str) -> None:
    with pytest.raises(BenchError, match="has a SD3Transformer2DModel") as caught:
        planned("model=diffusers", f"model.source={folder}", f"model.family={family}", "data.limit=1", "attack=lora")
    assert caught.value.fix.startswith("Set model.family=sd3.")


def test_a_unet_is_no_transformer() -> None:
    with pytest.raises(BenchError, match=r"model.family=sd3, but .* has a UNet2DConditionModel"):
        planned("model=facelet-1", "model.family=sd3", "data.limit=1")


@pytest.mark.parametrize(
    ("words", "gated", "size", "base", "parameters", "passes"),
    [
        (("model=sd35",), "stabilityai/stable-diffusion-3.5-medium", "16.3 GB", "sd35", 2.24e9, 2),
        (
            ("model=sd35", "model.source=stabilityai/stable-diffusion-3.5-large"),
            "stabilityai/stable-diffusion-3.5-large",
            "27.6 GB",
            "sd35-large",
            8.06e9,
            2,
        ),
        (("model=flux",), "black-forest-labs/FLUX.1-dev", "33.7 GB", "flux", 11.9e9, 1),
    ],
    ids=["medium", "large", "flux"],
)
def test_a_dry_run_tells_of_licence_access_memory_and_hours(
    words: tuple[str, ...], gated: str, size: str, base: str, parameters: float, passes: int
) -> None:
    found = planned(*words, "attack=lora", "defense=aspl", "data.limit=1", "dry_run=true")
    (wanted,) = {item for cell in found for item in cell.fetchable}
    assert (wanted.place, wanted.gated) == (gated, True)
    assert f"https://huggingface.co/{gated}" in wanted.access
    for cell in found:
        assert size in cell.skip
    assert networks()[base]["unet_parameters"] == pytest.approx(parameters, rel=0.01)
    told = StringIO()
    Console(file=told, width=150).print(table(found))
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in told.getvalue().splitlines()}
    fit, generate = rows["fit", "lora", base], rows["generate", "none", base]
    assert float(fit[-2]) > 4e-9 * parameters, "GB of the weights alone"
    pictures, steps = len(found[0].protocol.asked), found[0].model.steps
    expected = passes * pictures * steps * networks()[base]["unet"] / 1e15
    assert float(generate[1]) == pytest.approx(expected, rel=0.1), "and the decoder"


def test_a_photo_beside_the_picture_counts_as_a_second_pass() -> None:
    found = planned("model=kontext", "attack=kontext", "defense=decontext", "data.limit=1", "dry_run=true")
    told = StringIO()
    Console(file=told, width=150).print(table(found))
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in told.getvalue().splitlines()}
    alone, beside = (float(rows["generate", name, "flux"][1]) for name in ("none", "kontext"))
    pictures, steps, a_pass = len(found[0].protocol.asked), found[0].model.steps, networks()["flux"]["unet"] / 1e15
    assert beside - alone == pytest.approx(pictures * steps * a_pass, abs=0.11)
    protect, photos, gradients = float(rows["protect", "decontext", "flux"][1]), 4, 2
    assert protect == pytest.approx(2 * gradients * 800 * photos * a_pass, rel=0.05), "and the encoder"
