"""The third stage of a base: what a person's words are, who trains what, and what must not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.models.base import Base
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.photos import Faces
from bench.zoo.train.words import MAP, VECTORS, Words
from tests.test_training_names import faces, prepare, rng

TOLD = ["a photo of sks sks sks sks"]


@pytest.fixture
def stage(base: Base, tmp_path: Path) -> Iterator[Words]:
    folder = prepare(base, tmp_path)
    width = base.unet.config.cross_attention_dim
    save_file({"weight": torch.randn(width, EMBEDDING, generator=rng()) / width}, tmp_path / "word.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faces, "load", lambda _: faces())
        yield words(tmp_path, folder, tmp_path / "word.safetensors")


def words(cached: Path, base: Path, init: Path) -> Words:
    """The stage on what is cached in a folder."""
    return Words(
        base=str(base),
        photos="",
        latents=str(cached / "latents.pt"),
        encoder="",
        cache=str(cached / "embeddings.pt"),
        init=str(init),
    )


def states(stage: Words, texts: list[str], people: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return stage._states(texts, people)


def test_nobody_is_the_word_person_itself(stage: Words) -> None:
    nobody = torch.zeros(1, VECTORS, stage._text.config.hidden_size)
    wanted = states(stage, ["a photo of person person person person"])
    torch.testing.assert_close(states(stage, TOLD, nobody), wanted)


def test_a_person_is_what_an_attacker_can_learn(stage: Words, base: Base) -> None:
    """The same vectors, put into the base as Textual Inversion puts them, give the same states."""
    from attacks.textual_inversion import TextualInversion, initial_rows

    attack = TextualInversion(vectors=VECTORS)
    attack.prepare(base)
    with torch.no_grad():
        moved = stage._vectors(stage._embeddings[:1])
        attack.load({"<cloak>": initial_rows(base, VECTORS)[0] + moved[0]})
        learned = base.condition([f"a photo of {attack.subject}"]).hidden
    attack.reset()
    torch.testing.assert_close(states(stage, TOLD, moved), learned, atol=1e-4, rtol=1e-3)
    assert (states(stage, TOLD) - learned).abs().max() > 1e-3


def test_only_the_text_side_is_trained(stage: Words) -> None:
    trained = {name for name, weight in stage.module.named_parameters() if weight.requires_grad}
    unet = {name for name in trained if name.startswith("unet.")}
    assert unet
    assert all(name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")) for name in unet)
    assert not any("embedding" in name for name in trained)
    assert {name.split(".")[0] for name in trained} == {"unet", "text_encoder", "map"}


def gradient(stage: Words) -> float:
    """The largest of the map's gradients, 0 if it has none."""
    found = stage.module["map"].weight.grad
    return 0.0 if found is None else float(found.abs().max())


def test_steps_train_the_map_and_sampling_does_not(stage: Words) -> None:
    rows = torch.arange(4)
    stage._glimpse(rows, rng()).square().mean().backward()  # type: ignore[no-untyped-call]
    assert not gradient(stage)
    assert any(weight.grad is not None for weight in stage._projections.parameters())
    error, _ = stage._errors(stage._step(rows, rng()))
    error.mean().backward()  # type: ignore[no-untyped-call]
    assert gradient(stage)


def test_a_change_of_what_captions_say_costs(stage: Words) -> None:
    rows = torch.arange(4)
    assert stage._change(rows, rng()) == 0
    with torch.no_grad():
        next(stage._projections.parameters()).mul_(2)
        assert stage._change(rows, rng()).item() == pytest.approx(1 / len(stage._projections), rel=0.05)


def test_the_loss_counts_the_change(stage: Words) -> None:
    with torch.no_grad():
        plain = stage.loss(4, rng())
        next(stage._before[1].parameters()).mul_(2)
        assert stage.loss(4, rng()) > plain + 0.1


def test_it_exports_a_stock_base_and_goes_on_from_it(stage: Words, tmp_path: Path) -> None:
    with torch.no_grad():
        for weight in (p for p in stage.module.parameters() if p.requires_grad):
            weight.add_(0.1 * torch.randn(weight.shape, generator=rng()))
    stage.export(tmp_path / "final")
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "final")
    saved = load_file(tmp_path / "final" / "unet" / "diffusion_pytorch_model.safetensors")
    assert saved.keys() == dict(pipeline.unet.state_dict()).keys()
    again = words(tmp_path, tmp_path / "final", tmp_path / "final" / MAP)
    torch.testing.assert_close(again.module["map"].weight, stage.module["map"].weight, rtol=1e-3, atol=1e-3)
    moved = stage._vectors(stage._embeddings[:1])
    torch.testing.assert_close(states(again, TOLD, moved), states(stage, TOLD, moved), rtol=1e-3, atol=1e-3)


def test_the_report_compares_shares_of_the_map(stage: Words) -> None:
    with torch.no_grad():
        stage.module["map"].weight.zero_()
    found = stage.report().split(";")[0].removeprefix("denoising error by share of the map ")
    assert len({part.split(": ")[1] for part in found.split(", ")}) == 1  # a map of nothing changes nothing
    assert stage._share == 1
