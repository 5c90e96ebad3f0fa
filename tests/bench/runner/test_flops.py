"""Counted passes: against formulas by hand, published sizes, and the samplers themselves."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from attacks import ATTACKS
from bench.config.resolved_method import ResolvedMethod
from bench.core.profiling import counting
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from bench.runner.flops import (
    at_once,
    comparable,
    counted,
    flops,
    forwards,
    generation,
    memory,
    networks,
    seconds,
    table,
)
from benchmarks.costs import beside_counted, lines
from benchmarks.work import count, network_costs
from defenses import DEFENSES
from tests.support import tiny
from tests.support.contexts import ROOT, fit_context
from tests.support.plans import planned

PHOTOS = 2


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("work") / "base")


def photos() -> torch.Tensor:
    return torch.rand(PHOTOS, 3, tiny.SIDE, tiny.SIDE, generator=generator("photos"))


def samples(plain: int = 0, inputs: int = 0, weights: int = 0) -> dict[str, int]:
    return {"plain": plain, "inputs": inputs, "weights": weights}


def method(name: str, settings: dict[str, Any] | None = None) -> ResolvedMethod[None]:
    return ResolvedMethod(name, settings or {}, None)


def test_passes_of_known_methods_are_those_of_their_formulas(base: DiffusionModel) -> None:
    """DreamBooth trains the weights on a batch a step, LoRA passes gradients through, PGD takes them to the photos."""
    tuned = ATTACKS.create("dreambooth", {"steps": 3, "batch": 2, "prior_weight": 0.0}).resolved("sd")
    assert count("fit", tuned, base, photos()) == {"encoder": samples(PHOTOS), "unet": samples(weights=3 * 2)}
    lora = ATTACKS.create("lora", {"steps": 3, "batch": 2}).resolved("sd")
    assert count("fit", lora, base, photos())["unet"] == samples(inputs=3 * 2)
    cloak = DEFENSES.create("advdm", {"steps": 5}).resolved("sd")
    found = count("protect", cloak, base, photos())
    assert found["unet"] == samples(inputs=5 * PHOTOS)
    assert found["encoder"]["inputs"] == 5 * PHOTOS


@pytest.mark.parametrize("name", ["lora", "instantid"])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_generation_is_what_the_sampler_does(name: str, guidance: float, base: DiffusionModel, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 1, "batch": 1}
    if name == "instantid":
        pack, weights = tiny.pack(tmp_path / "pack"), tiny.instantid(tmp_path / "instantid", base.unet)
        settings = {"weights": str(weights), "recogniser": str(pack)}
    attack = ATTACKS.create(name, settings).resolved("sd")
    attack.prepare(base)
    bright = photos() * 0.5 + 0.4
    artifact = attack.fit(bright, fit_context())
    noise = torch.stack([randn(base.latent_shape, generator("noise", i), base.device) for i in range(3)])
    with counting() as passes:
        attack.generate(artifact, ["a photo of {subject}"] * 3, noise, 4, guidance)
    attack.reset()
    assert passes == generation(method(name), 3, 4, guidance)


def test_sizes_are_the_published_ones() -> None:
    """TFLOP of a forward pass and parameters, as counted by others (UNets of SD 1.5 and SDXL, SDXL's ControlNet)."""
    sizes = networks()
    for base, network, wanted in (
        ("sd15", "unet", 0.803),
        ("sd15", "encoder", 1.12),
        ("sd15", "decoder", 2.51),
        ("sdxl", "unet", 6.76),
        ("sdxl", "controlnet", 2.99),
        ("sdxl", "encoder", 4.88),
        ("sdxl", "decoder", 10.5),
    ):
        assert sizes[base][network] / 1e12 == pytest.approx(wanted, rel=0.02)
    width, text, picture, layers = 3072, 512, 4096, 19 + 38  # of FLUX, whose layers have 12 matrices of that width
    products = 12 * width**2 * (text + picture) + 2 * (text + picture) ** 2 * width
    assert sizes["flux"]["unet"] == pytest.approx(2 * layers * products, rel=0.01)
    for base, network, millions in (
        ("sd15", "unet", 859.5),
        ("sdxl", "unet", 2567),
        ("sdxl", "controlnet", 1251),
        ("flux", "unet", 11901),
    ):
        assert sizes[base][f"{network}_parameters"] / 1e6 == pytest.approx(millions, rel=0.001)


@pytest.mark.slow
def test_the_file_has_the_sizes_that_are_counted_now() -> None:
    assert networks() == network_costs()


def test_every_published_default_has_a_count() -> None:
    """A changed default needs a new count: python -m benchmarks.work."""
    for name in DEFENSES.names():
        if name not in ("none", "noise", "jpeg", "placebo", "precomputed"):
            made = DEFENSES.create(name, {}).resolved("sd")
            assert counted("protect", ResolvedMethod.of(name, made)) is not None, name
    for name in ("dreambooth", "lora", "textual_inversion"):
        for family in ("sd", "sdxl", "sd3", "flux"):
            attack = ATTACKS.create(name, {}).resolved(family)
            assert counted("fit", ResolvedMethod.of(name, attack)) is not None, (name, family)


def test_the_documentation_says_what_was_counted() -> None:
    """Of every defense, the passes of the UNet per photo with the published settings."""
    text = (ROOT / "docs" / "guides" / "defenses.md").read_text()
    table = text[text.index("| defense | raises") :].partition("\n\n")[0]
    rows = [line.split(" | ") for line in table.splitlines()]
    for name in set(DEFENSES.names()) - {"none", "noise", "jpeg", "placebo", "precomputed"}:
        (row,) = [row for row in rows if f"`{name}`" in row[0]]
        said = int(re.findall(r"[\d,]+", row[3])[0].replace(",", ""))
        passes = counted("protect", ResolvedMethod.of(name, DEFENSES.create(name, {}).resolved("sd"))) or {}
        if "unet" in passes:  # effort of the others is counted by encoders
            assert said == sum(passes["unet"].values()) / 4, name


def test_other_settings_have_no_count_and_files_do_not_matter() -> None:
    settings = dict(ResolvedMethod.of("dladiff", DEFENSES.create("dladiff", {}).resolved("sd")).settings)
    assert counted("protect", method("dladiff", settings | {"recognisers": ["/elsewhere"]})) is not None
    assert counted("protect", method("dladiff", settings | {"epochs": 51})) is None
    assert comparable({"weights": "a", "steps": (1, 2)}) == {"steps": [1, 2]}


def test_what_a_surrogate_learns_beforehand_is_a_piece_of_its_own_and_the_sum_is_what_was_counted() -> None:
    cells = planned("model=sd15", "suite.defenses=[dladiff]", "suite.budgets=[4,8]", "data.limit=1", "dry_run=true")
    text = StringIO()
    Console(file=text, width=120).print(table(cells))
    rows = {tuple(line.split()[:2]): line.split()[3:] for line in text.getvalue().splitlines() if "dladiff" in line}
    assert rows["surrogate", "dladiff"][0] == "1", "two budgets share it"
    assert rows["protect", "dladiff"][0] == "2"
    whole = flops(counted("protect", cells[-1].defense) or {}, "sd15") / 1e15
    each = sum(float(rows[stage, "dladiff"][1]) for stage in ("surrogate", "protect"))
    assert each == pytest.approx(whole, abs=0.11), "of four reference photos, as when it was counted"


def test_costs_add_up() -> None:
    assert forwards(samples(1, 10, 100)) == 1 + 20 + 300
    one = networks()["sd15"]["unet"]
    assert flops({"unet": samples(2, 1)}, "sd15") == pytest.approx(4 * one)
    with pytest.raises(KeyError):
        flops({}, "facelet-1")


@pytest.mark.parametrize(
    ("base", "passes", "samples_a_step", "measured"),
    [
        ("sd15", {"unet": samples(inputs=4), "encoder": samples(inputs=4)}, 4, 0.168),
        ("sd15", {"unet": samples(plain=5 * 32), "decoder": samples(16)}, 16, 0.824),
        ("sd15", {"unet": samples(weights=4)}, 4, 0.157),
        ("sd15", {"unet": samples(weights=4)}, 4, 0.209),
        ("sd15", {"unet": samples(inputs=1)}, 1, 0.227),
        ("sdxl", {"unet": samples(inputs=1), "encoder": samples(inputs=1)}, 1, 0.319),
        ("sdxl", {"unet": samples(plain=5 * 8), "decoder": samples(4)}, 4, 1.350),
        ("sdxl", {"unet": samples(weights=1)}, 1, 0.437),
    ],
)
def test_seconds_are_near_what_was_measured(
    base: str, passes: dict[str, dict[str, int]], samples_a_step: int, measured: float
) -> None:
    """Loops and steps of attacks on an H200: see benchmarks/README.md."""
    assert seconds(passes, base, samples_a_step) == pytest.approx(measured, rel=0.3)


def test_a_batch_that_fills_the_gpu_takes_longer_and_a_small_one_does_not() -> None:
    def took(steps: int, batch: int) -> float:
        return seconds({"unet": samples(weights=steps * batch)}, "sd15", batch)

    assert took(100, 1) == pytest.approx(took(100, 4))
    assert took(100, 32) == pytest.approx(2 * took(100, 16))
    assert took(200, 4) == pytest.approx(2 * took(100, 4))
    assert at_once(method("dreambooth", {"batch": 2, "prior_weight": 1.0})) == 4
    assert at_once(method("aspl", {"batch": 1})) == 1
    assert at_once(method("mist", {})) == 4


def test_memory_is_weights_gradients_moments_and_activations() -> None:
    sizes = networks()["sd15"]
    everything = sizes["unet_parameters"] + sizes["text_parameters"] + sizes["vae_parameters"]

    def needed(name: str, **settings: Any) -> float:
        return memory(method(name, settings), "sd15") - 4 * everything

    kept, passing = sizes["kept_for_weights"] / 2, sizes["kept_for_inputs"] / 2
    assert passing < kept
    assert needed("ip_adapter") == pytest.approx(0)
    assert needed("instantid") == pytest.approx(4 * sizes["controlnet_parameters"])
    assert needed("textual_inversion", batch=4) == pytest.approx(4 * passing)
    assert needed("lora", batch=3, prior_weight=0.0) == pytest.approx(3 * kept)
    assert needed("lora", batch=3, prior_weight=1.0) == pytest.approx(6 * kept)
    tuned = needed("dreambooth", batch=2, prior_weight=0.0, train_text_encoder=False)
    assert tuned == pytest.approx(12 * sizes["unet_parameters"] + 2 * kept)
    more = needed("dreambooth", batch=2, prior_weight=0.0, train_text_encoder=True)
    assert more - tuned == pytest.approx(12 * sizes["text_parameters"])


def test_with_little_memory_moments_have_a_byte_and_activations_are_computed_again() -> None:
    sizes = networks()["sd15"]
    tuned = method("dreambooth", {"batch": 2, "prior_weight": 0.0, "train_text_encoder": False})
    saved = memory(tuned, "sd15") - memory(tuned, "sd15", low=True)
    activations = sizes["kept_for_weights"] - sizes["kept_checkpointed"]
    assert activations > 0
    assert saved == pytest.approx(6 * sizes["unet_parameters"] + 2 * activations / 2)


def test_fits_that_share_a_pass_keep_the_activations_of_all() -> None:
    word = method("textual_inversion", {"batch": 4})
    more = memory(word, "sd15", together=8) - memory(word, "sd15")
    assert more == pytest.approx(7 * 4 * networks()["sd15"]["kept_for_inputs"] / 2)


def test_the_documentation_has_the_tables_of_costs() -> None:
    guide = (ROOT / "docs" / "guides" / "full-size.md").read_text()
    for table_of in (lines(), beside_counted(8)):
        assert "\n".join(table_of) in guide
