"""FLUX Kontext: the pictures of the stock pipeline that is given the photo, from the same noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from attacks import ATTACKS, Attack
from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.models.diffusion.flow import FlowModel
from tests.support import tiny_flow
from tests.support.contexts import fit_context
from tests.support.drawing import GUIDANCE, check_taken_out, pictures, plain, second
from tests.support.plans import planned
from tests.support.tiny import person


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kontext") / "tiny"
    tiny_flow.flux(made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FlowModel:
    return tiny_flow.loaded(folder)


@pytest.fixture
def attack(base: FlowModel) -> Iterator[Attack]:
    made = ATTACKS.create("kontext", {}).resolved("flux")
    made.prepare(base)
    yield made
    made.reset()


@pytest.mark.parametrize("rough", [0.0, 0.3 / 255], ids=["8 bits", "between"])
def test_the_pictures_are_those_of_the_stock_pipeline(
    attack: Attack, base: FlowModel, folder: Path, rough: float
) -> None:
    """Which is given the photo as a file, and the instructions as words."""
    from diffusers import FluxKontextPipeline

    ours = pictures(attack, attack.fit(person(0) + rough, fit_context()))
    pipeline = FluxKontextPipeline(**tiny_flow.published(folder, base).components)
    pipeline.set_progress_bar_config(disable=True)
    photo = Image.fromarray(to_pixels(person(0))[0])
    told = {"image": photo, "max_area": base.side**2, "_auto_resize": False}
    theirs = tiny_flow.called(pipeline, base, "this person", **told)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_photo_matters_and_nothing_stays_in_the_base(attack: Attack, base: FlowModel) -> None:
    kept = base.snapshot()
    check_taken_out(attack, person(0))
    one, other = (pictures(attack, attack.fit(person(who), fit_context())) for who in (1, 2))
    assert not torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(one, plain(base, attack.subject), atol=1e-3)
    after = base.snapshot()
    assert all(torch.equal(kept[part][name], after[part][name]) for part in kept for name in kept[part])


def test_a_photo_of_another_size_than_the_picture_is_shown_as_it_is(
    attack: Attack, base: FlowModel, folder: Path
) -> None:
    from diffusers import FluxKontextPipeline

    photo = torch.nn.functional.interpolate(person(0), scale_factor=0.5)
    ours = pictures(attack, attack.fit(photo, fit_context()))
    pipeline = FluxKontextPipeline(**tiny_flow.published(folder, base).components)
    pipeline.set_progress_bar_config(disable=True)
    told = {"image": Image.fromarray(to_pixels(photo)[0]), "max_area": base.side**2, "_auto_resize": False}
    torch.testing.assert_close(ours, tiny_flow.called(pipeline, base, "this person", **told), atol=1e-5, rtol=0)


def test_it_takes_the_first_photo(attack: Attack) -> None:
    photos = person(0, count=3)
    several, first = attack.fit(photos, fit_context()), attack.fit(photos[:1], fit_context())
    assert several.keys() == first.keys() == {"photo"}
    torch.testing.assert_close(several["photo"], first["photo"], atol=1e-6, rtol=0)


def test_a_picture_does_not_depend_on_its_batch(attack: Attack) -> None:
    artifact = attack.fit(person(0), fit_context())
    torch.testing.assert_close(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5, rtol=0)


def test_guidance_is_told_to_the_transformer(attack: Attack) -> None:
    artifact = attack.fit(person(0), fit_context())
    assert not torch.allclose(pictures(attack, artifact, guidance=1.0), pictures(attack, artifact, GUIDANCE), atol=1e-4)


def test_the_saved_artifact_gives_the_same_pictures(attack: Attack, tmp_path: Path) -> None:
    artifact = attack.fit(person(0), fit_context())
    in_memory = pictures(attack, artifact)
    attack.reset()
    save_file(artifact, tmp_path / "artifact.safetensors")
    assert torch.equal(pictures(attack, load_file(tmp_path / "artifact.safetensors")), in_memory)


# --- runs -----------------------------------------------------------------------------------------------------------


def test_prompts_speak_of_this_person(attack: Attack) -> None:
    assert attack.subject == "this person"
    attack.check_prompt("a photo of {subject} with sks")  # a word like any other here


@pytest.mark.parametrize("model", ["sd15", "sd35", "facelet-1"])
def test_it_is_refused_on_what_is_not_of_fluxs_type(model: str) -> None:
    words = (f"model={model}", "attack=kontext", "data.limit=1")
    if model == "facelet-1":
        with pytest.raises(BenchError, match="kontext does not work on facelet-1: it wants a model of the family flux"):
            planned(*words)
        return
    for cell in planned(*words, "dry_run=true"):
        assert (f"kontext does not work on {model}" in cell.skip) == (cell.attack.name == "kontext")


def test_a_dry_run_names_the_published_model() -> None:
    found = planned("model=kontext", "attack=kontext", "data.limit=1", "dry_run=true")
    fetchable = {item.place: item for cell in found for item in cell.fetchable}
    wanted = fetchable["black-forest-labs/FLUX.1-Kontext-dev"]
    assert wanted.gated
    assert all(wanted.facts in cell.skip and wanted.access in cell.skip for cell in found)
