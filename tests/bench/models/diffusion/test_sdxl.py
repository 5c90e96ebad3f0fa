"""SDXL: what it is told, the sampler, and the attacks that train it, on a tiny model of its type."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, Attack
from attacks.textual_inversion import PLACEHOLDER
from bench.config.compute import Computing
from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.sdxl import SdxlModel
from bench.models.weights.checkpoint import locate
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import call, check_independent, check_saved, noise, pictures, plain, prompts, stock

SMALL = {"steps": 3, "batch": 2, "learning_rate": 1e-2}
SETTINGS: dict[str, dict[str, Any]] = {
    "dreambooth": SMALL | {"train_text_encoder": True, "prior_weight": 0.0},
    "lora": SMALL | {"train_text_encoder": True, "rank": 4},
    "textual_inversion": SMALL | {"vectors": 2, "learning_rate": 0.3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sdxl") / "tiny"


@pytest.fixture(scope="module")
def base(folder: Path) -> DiffusionModel:
    return tiny.tiny_base(folder, xl=True)


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(3, 3, tiny.SIDE, tiny.SIDE, generator=generator("faces")).mul(255).round().div(255)


@pytest.fixture(params=list(SETTINGS))
def attack(request: pytest.FixtureRequest, base: DiffusionModel) -> Iterator[Attack]:
    made = ATTACKS.create(request.param, SETTINGS[request.param]).resolved("sdxl")
    made.prepare(base)
    yield made
    made.reset()


# --- the model ------------------------------------------------------------------------------------------------------


def test_the_type_is_seen_from_the_files(base: DiffusionModel, tmp_path: Path) -> None:
    assert isinstance(base, SdxlModel)
    assert not isinstance(tiny.tiny_base(tmp_path), SdxlModel)
    assert sum(name.startswith(("text_encoder_2/", "tokenizer_2/")) for name in base.checkpoint.files) >= 3


def test_half_of_a_second_text_encoder_is_an_error(base: DiffusionModel, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / "tokenizer_2")
    with pytest.raises(BenchError, match="lacks tokenizer_2"):
        locate("tiny", str(copy))


def test_weights_that_are_there_twice_are_not_read(base: DiffusionModel, folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_suffix(".fp16.safetensors"))
    assert locate("tiny", str(copy)).fingerprint == base.checkpoint.fingerprint


def test_conditions_are_those_of_the_stock_pipeline(base: DiffusionModel) -> None:
    hidden, no_hidden, pooled, no_pooled = stock(base).encode_prompt(
        prompts(), device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    told, untold = base.condition(prompts()), base.unconditional().expand(2)
    assert told.pooled is not None
    assert torch.allclose(told.hidden, hidden, atol=1e-6)
    assert torch.allclose(told.pooled, pooled, atol=1e-6)
    assert torch.equal(untold.hidden, no_hidden)
    assert untold.pooled is not None
    assert torch.equal(untold.pooled, no_pooled)


def test_pictures_are_those_of_the_stock_pipeline(base: DiffusionModel) -> None:
    assert torch.allclose(plain(base), call(stock(base), base), atol=1e-5)


def test_the_unet_is_told_the_size_in_pixels(base: DiffusionModel) -> None:
    latents, told = noise(base)[..., :8], base.condition(prompts())
    timesteps = torch.tensor([3, 700])
    with torch.no_grad():
        ours = base.predict(latents, timesteps, told)
        sizes = torch.tensor([[32.0, 16.0, 0.0, 0.0, 32.0, 16.0]] * 2)
        added = {"text_embeds": told.pooled, "time_ids": sizes}
        theirs = base.unet(latents, timesteps, told.hidden, added_cond_kwargs=added).sample
        other = {"text_embeds": told.pooled, "time_ids": sizes.flip(-1)}
        wrong = base.unet(latents, timesteps, told.hidden, added_cond_kwargs=other).sample
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert not torch.allclose(ours, wrong, atol=1e-3)


def test_the_vae_keeps_full_precision(folder: Path, faces: Tensor) -> None:
    from bench.models.diffusion.loading import load_base

    half, full = (load_base(locate("tiny", str(folder)), "cpu", Computing(precision)) for precision in ("bf16", "fp32"))
    assert torch.equal(half.encode(faces), full.encode(faces))
    assert torch.equal(half.decode(noise(half)), full.decode(noise(half)))
    told = full.condition(prompts())
    timesteps = torch.tensor([3, 700])
    with torch.no_grad():
        assert not torch.equal(half.predict(noise(half), timesteps, told), full.predict(noise(half), timesteps, told))


# --- attacks that train ---------------------------------------------------------------------------------------------


def test_fitting_changes_the_pictures_and_reset_takes_all_of_it_out(attack: Attack, faces: Tensor) -> None:
    base, before = attack.base, plain(attack.base)
    kept = base.snapshot()
    changed = pictures(attack, attack.fit(faces, fit_context()))
    assert float((changed - before).abs().mean()) > 1e-3
    attack.reset()
    after = base.snapshot()
    assert kept.keys() == after.keys() == {"unet", "text_encoder", "text_encoder_2"}
    assert all(torch.equal(kept[part][name], after[part][name]) for part in kept for name in kept[part])
    assert torch.equal(plain(base), before)


def test_both_text_encoders_learn(attack: Attack, faces: Tensor) -> None:
    artifact = attack.fit(faces, fit_context())
    if "clip_l" in artifact:
        assert {name: value.shape for name, value in artifact.items()} == {
            "clip_l": (2, tiny.WIDTH // 2),
            "clip_g": (2, tiny.WIDTH // 2),
        }
        return
    parts = {name.split(".")[0] for name in artifact}
    assert parts == {"unet", "text_encoder", "text_encoder_2"}
    attack.reset()
    loaded = {
        f"{part}.{name}": value for part, m in attack.base.tunable.items() for name, value in m.named_parameters()
    }
    for part in parts:
        names = [name for name in artifact if name.startswith(f"{part}.") and "lora_A" not in name]
        assert any(name not in loaded or not torch.equal(artifact[name], loaded[name]) for name in names)


def test_people_do_not_depend_on_who_came_before(attack: Attack, faces: Tensor) -> None:
    check_independent(attack, faces)


def test_the_saved_artifact_gives_the_pictures_of_the_trained_model(
    attack: Attack, faces: Tensor, tmp_path: Path
) -> None:
    check_saved(attack, faces, tmp_path / "artifact.safetensors")


def test_a_new_word_is_read_by_diffusers(base: DiffusionModel, folder: Path, faces: Tensor) -> None:
    """Two embeddings, two tokenizers, and a pooled state that is taken at the end of the text, not at the new word."""
    from bench.models.diffusion.loading import load_base

    attack = ATTACKS.create("textual_inversion", SETTINGS["textual_inversion"]).resolved("sdxl")
    attack.prepare(base)
    try:
        artifact = attack.fit(faces, fit_context())
        ours = pictures(attack, artifact)
        prompt = f"a photo of {attack.subject}"
        tokens = base.ids([prompt], which=1)
        with torch.no_grad():
            states = base.text_encoders[1](tokens, output_hidden_states=True)
            last = base.text_encoders[1].text_model.final_layer_norm(states.hidden_states[-1])
            end = int((tokens[0] == base.tokenizers[1].eos_token_id).nonzero()[0])
            expected = base.text_encoders[1].text_projection(last[:, end])
        assert end > int(tokens[0].argmax())  # the new word has the highest number
        pooled = base.condition([prompt]).pooled
        assert pooled is not None
        assert torch.allclose(pooled, expected, atol=1e-5)
    finally:
        attack.reset()

    fresh = load_base(locate("tiny", str(folder)))
    pipeline = stock(fresh)
    for name, which in (("clip_l", 0), ("clip_g", 1)):
        pipeline.load_textual_inversion(
            artifact[name],
            token=PLACEHOLDER,
            text_encoder=fresh.text_encoders[which],
            tokenizer=fresh.tokenizers[which],
        )
    assert torch.allclose(ours, call(pipeline, fresh, PLACEHOLDER), atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "textual_inversion"])
def test_presets_of_its_own(name: str) -> None:
    assert ATTACKS.create(name, {}).resolved("sdxl").preset == "hf_xl"  # type: ignore[attr-defined]


def test_lora_at_scale_zero_is_the_base(base: DiffusionModel, faces: Tensor) -> None:
    attack = ATTACKS.create("lora", SETTINGS["lora"] | {"scale": 0.0}).resolved("sdxl")
    attack.prepare(base)
    artifact = attack.fit(faces, fit_context())
    made = pictures(attack, artifact)
    attack.reset()
    assert torch.allclose(made, plain(base, attack.subject), atol=1e-6)
