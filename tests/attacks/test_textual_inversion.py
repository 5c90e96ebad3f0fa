"""Textual Inversion: only the new word is learnt, diffusers reads it, and the base forgets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks import ATTACKS
from attacks.textual_inversion import PLACEHOLDER, TextualInversion, initial_rows
from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from tests.support.contexts import fit_context
from tests.support.drawing import call, check_taken_out, pictures, plain, second, stock
from tests.support.tiny import SIDE, WIDTH, tiny_base


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3)).mul(255).round().div(255)


@pytest.fixture
def attack(tiny: DiffusionModel) -> Iterator[TextualInversion]:
    made = TextualInversion(vectors=3, steps=3, batch=2, learning_rate=0.1).resolved("facelet")
    made.prepare(tiny)
    yield made
    made.reset()


def test_only_the_new_rows_are_trained(attack: TextualInversion, faces: Tensor) -> None:
    base = attack.base
    words, tokenizer = base.text_encoder.get_input_embeddings(), base.tokenizer
    before = {name: value.clone() for name, value in base.text_encoder.state_dict().items()}
    (start,) = initial_rows(base, 3)
    artifact = attack.fit(faces, fit_context())
    assert {name: value.shape for name, value in artifact.items()} == {PLACEHOLDER: (3, WIDTH)}
    assert bool((artifact[PLACEHOLDER] - start).abs().amax(dim=1).gt(1e-3).all())

    attack.reset()
    after = base.text_encoder.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert base.text_encoder.get_input_embeddings() is words
    assert base.tokenizer is tokenizer
    assert PLACEHOLDER not in tokenizer.get_vocab()


def test_the_rows_learn(base: DiffusionModel, photos: Tensor) -> None:
    """On the embedded model: the denoising error of the person's photos falls below that of "a photo of person"."""
    attack = TextualInversion(steps=20, batch=4).resolved("facelet")
    attack.prepare(base)
    try:
        attack.load(attack.fit(photos, fit_context()))
        with torch.no_grad():
            latents = base.encode(photos).repeat(16, 1, 1, 1)
            condition = base.condition([f"a photo of {attack.subject}"]).expand(len(latents))
            learnt = base.denoising_errors(latents, condition, generator("error")).mean()
            attack.reset()
            condition = base.condition(["a photo of person"]).expand(len(latents))
            start = base.denoising_errors(latents, condition, generator("error")).mean()
    finally:
        attack.reset()
    assert float(learnt) < float(start)


def test_untrained_vectors_are_the_word_person(attack: TextualInversion, tiny: DiffusionModel) -> None:
    artifact = {PLACEHOLDER: initial_rows(tiny, 3)[0]}
    assert torch.equal(pictures(attack, artifact), plain(tiny, "person person person"))


def test_reset_restores_the_pictures(attack: TextualInversion, faces: Tensor) -> None:
    check_taken_out(attack, faces)


def test_the_saved_artifact_gives_the_pictures_of_the_trained_model(
    attack: TextualInversion, faces: Tensor, tmp_path: Path
) -> None:
    artifact = attack.fit(faces, fit_context())
    in_memory = plain(attack.base, attack.subject)
    save_file(artifact, tmp_path / "artifact.safetensors")
    attack.reset()
    assert torch.equal(pictures(attack, load_file(tmp_path / "artifact.safetensors")), in_memory)


def test_diffusers_reads_the_artifact(attack: TextualInversion, faces: Tensor, tmp_path: Path) -> None:
    artifact = attack.fit(faces, fit_context())
    ours = pictures(attack, artifact)
    attack.reset()

    save_file(artifact, tmp_path / "learned_embeds.safetensors")
    base = tiny_base(tmp_path / "base")
    pipeline = stock(base)
    pipeline.load_textual_inversion(tmp_path)
    assert torch.allclose(ours, call(pipeline, base, PLACEHOLDER), atol=1e-5)


def test_people_do_not_depend_on_who_came_before(attack: TextualInversion, faces: Tensor) -> None:
    alone = attack.fit(faces, fit_context())
    other = attack.fit(faces.flip(0).flip(-1), fit_context())
    again = attack.fit(faces, fit_context())
    assert torch.equal(alone[PLACEHOLDER], again[PLACEHOLDER])
    assert not torch.equal(alone[PLACEHOLDER], other[PLACEHOLDER])
    pictures(attack, other)
    after = pictures(attack, alone)
    attack.reset()
    assert torch.equal(pictures(attack, alone), after)


def test_a_picture_does_not_depend_on_its_batch(attack: TextualInversion, faces: Tensor) -> None:
    artifact = attack.fit(faces, fit_context())
    assert torch.allclose(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5)


def test_a_base_without_the_first_word_is_an_error(attack: TextualInversion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.textual_inversion.INITIALISER", "cloak cloak")
    with pytest.raises(BenchError, match="splits"):
        initial_rows(attack.base, 1)


def test_presets() -> None:
    made = ATTACKS.create("textual_inversion", {})
    published = made.resolved("sd")
    assert isinstance(published, TextualInversion)
    assert (published.vectors, published.steps, published.learning_rate, published.batch) == (1, 3000, 2e-3, 4)
    assert published.subject == "<cloak>"
    assert made.resolved("facelet").subject == "<cloak> <cloak>_1 <cloak>_2 <cloak>_3"
    assert made.files("sd15") == {}
