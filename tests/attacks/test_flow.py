"""Attacks that train, on tiny flow-matching transformers; the official format of what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, Attack
from attacks.lora import ADAPTER
from bench.core.seeding import generator
from bench.models.diffusion.flow import FlowModel
from tests.support import tiny_flow
from tests.support.contexts import fit_context
from tests.support.drawing import check_independent, check_saved, check_taken_out, pictures, plain, second
from tests.support.tiny import SIDE

SMALL = {"steps": 3, "batch": 2, "learning_rate": 1e-2}
SETTINGS: dict[str, dict[str, Any]] = {
    "dreambooth": SMALL | {"train_text_encoder": True},
    "lora": SMALL | {"train_text_encoder": True},
    "textual_inversion": SMALL | {"vectors": 2, "learning_rate": 0.3},
}


MADE = {"sd3": tiny_flow.sd3, "flux": tiny_flow.flux}


@pytest.fixture(scope="module", params=list(MADE))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flow") / "tiny"
    MADE[family](made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FlowModel:
    return tiny_flow.loaded(folder)


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=generator("faces")).mul(255).round().div(255)


@pytest.fixture(params=list(SETTINGS))
def attack(request: pytest.FixtureRequest, base: FlowModel, family: str) -> Iterator[Attack]:
    made = ATTACKS.create(request.param, SETTINGS[request.param]).resolved(family)
    made.prepare(base)
    yield made
    made.reset()


def test_a_fit_changes_the_pictures_and_is_taken_out(attack: Attack, faces: Tensor) -> None:
    kept = attack.base.snapshot()
    check_taken_out(attack, faces)
    after = attack.base.snapshot()
    assert kept.keys() == after.keys()
    assert len(kept) == 1 + len(attack.base.text_encoders)
    assert all(torch.equal(kept[part][name], after[part][name]) for part in kept for name in kept[part])


def test_people_do_not_depend_on_who_came_before(attack: Attack, faces: Tensor) -> None:
    check_independent(attack, faces)


def test_a_picture_does_not_depend_on_its_batch(attack: Attack, faces: Tensor) -> None:
    artifact = attack.fit(faces, fit_context())
    torch.testing.assert_close(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5, rtol=0)


def test_the_saved_artifact_gives_the_pictures_of_the_trained_model(
    attack: Attack, faces: Tensor, tmp_path: Path
) -> None:
    check_saved(attack, faces, tmp_path / "artifact.safetensors")


def test_without_personalisation_it_is_the_base(base: FlowModel, family: str, faces: Tensor) -> None:
    attack = ATTACKS.create("none", {}).resolved(family)
    attack.prepare(base)
    assert torch.equal(pictures(attack, attack.fit(faces, fit_context())), plain(base, attack.subject))


@pytest.mark.parametrize("name", ["lora", "textual_inversion"])
def test_several_are_fitted_as_if_alone(base: FlowModel, family: str, faces: Tensor, name: str) -> None:
    attack = ATTACKS.create(name, SETTINGS[name] | {"learning_rate": 1e-3}).resolved(family)
    attack.prepare(base)
    people = [faces, faces.flip(-1)]
    try:
        alone = [attack.fit(own, fit_context(seed)) for seed, own in enumerate(people)]
        attack.reset()
        beside = attack.fit_many(people, [fit_context(seed) for seed in range(2)])
    finally:
        attack.reset()
    for one, other in zip(alone, beside, strict=True):
        for key, value in one.items():
            assert (value - other[key]).norm() <= 5e-3 * (alone[0][key] - alone[1][key]).norm(), key


def by_diffusers(family: str) -> set[str]:
    """The layers of the tiny transformers that the scripts adapt.

    Those of joint attention, whose last block in SD3 has no output for the text; with FLUX feed-forward layers, too,
    and of the blocks with one stream what has the names of these.
    """
    image, text = ("to_q", "to_k", "to_v", "to_out.0"), ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    if family == "sd3":
        blocks = {f"transformer_blocks.{i}.attn.{name}" for i in range(2) for name in image + text}
        return blocks - {"transformer_blocks.1.attn.to_add_out"}
    blocks = {f"transformer_blocks.0.attn.{name}" for name in image + text}
    blocks |= {f"transformer_blocks.0.{ff}.net.{name}" for ff in ("ff", "ff_context") for name in ("0.proj", "2")}
    return blocks | {f"single_transformer_blocks.0.attn.{name}" for name in image[:3]}


def test_lora_adapts_what_diffusers_scripts_do_and_their_pipelines_read_it(
    base: FlowModel, family: str, folder: Path, faces: Tensor
) -> None:
    attack = ATTACKS.create("lora", SMALL | {"learning_rate": 0.1}).resolved(family)
    attack.prepare(base)
    try:
        artifact = attack.fit(faces, fit_context())
        ours = pictures(attack, artifact)
    finally:
        attack.reset()
    official = {name.replace(f".{ADAPTER}", ""): value for name, value in artifact.items()}
    assert official.keys() == {
        f"transformer.{layer}.lora_{side}.weight" for layer in by_diffusers(family) for side in "AB"
    }
    pipeline = tiny_flow.published(folder, base)
    pipeline.load_lora_weights(official)
    assert not torch.allclose(ours, plain(base, attack.subject), atol=1e-3)
    torch.testing.assert_close(ours, tiny_flow.called(pipeline, base, attack.subject), atol=1e-5, rtol=0)


def test_presets_are_those_of_diffusers_examples() -> None:
    lora, dreambooth = (ATTACKS.create(name, {}).resolved("sd3") for name in ("lora", "dreambooth"))
    assert (lora.preset, lora.rank, lora.steps, lora.learning_rate) == ("hf_sd3", 4, 500, 4e-4)  # type: ignore[attr-defined]
    assert (dreambooth.preset, dreambooth.steps, dreambooth.weight_decay) == ("hf_flow", 500, 1e-4)  # type: ignore[attr-defined]
