"""Extended Textual Inversion: each cross-attention reads the prompt with vectors of its own, for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks.per_layer import cross_attentions
from attacks.textual_inversion import TextualInversion, initial_rows
from bench.models.diffusion.base import DiffusionModel
from tests.support.contexts import fit_context
from tests.support.drawing import check_taken_out, pictures, plain, second
from tests.support.tiny import SIDE, tiny_base

PROMPT = "a photo of {}, smiling"


@pytest.fixture(scope="module", params=[False, True], ids=["sd", "sdxl"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny_base(tmp_path_factory.mktemp("base"), xl=request.param)


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3)).mul(255).round().div(255)


def made(base: DiffusionModel, per_layer: bool) -> TextualInversion:
    attack = TextualInversion(vectors=2, per_layer=per_layer, steps=3, batch=2, learning_rate=0.1).resolved("facelet")
    attack.prepare(base)
    return attack


@pytest.fixture
def attack(tiny: DiffusionModel) -> Iterator[TextualInversion]:
    attack = made(tiny, True)
    yield attack
    attack.reset()


def words(base: DiffusionModel, seed: int) -> dict[str, Tensor]:
    """An artifact of the plain attack, with random vectors."""
    names = ("<cloak>",) if len(base.text_encoders) == 1 else ("clip_l", "clip_g")
    random = torch.Generator().manual_seed(seed)
    return {
        n: r + 0.3 * torch.randn(r.shape, generator=random) for n, r in zip(names, initial_rows(base, 2), strict=True)
    }


def side_by_side(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The artifact of the extended attack that has these, one for each layer."""
    return {name: torch.cat([artifact[name] for artifact in each]) for name in each[0]}


def test_the_same_vectors_in_every_layer_are_plain_textual_inversion(attack: TextualInversion) -> None:
    base, layers = attack.base, len(cross_attentions(attack.base.unet))
    word = words(base, 1)
    together = pictures(attack, side_by_side([word] * layers))
    attack.reset()
    assert torch.allclose(together, pictures(made(base, False), word), atol=1e-5)


def test_every_layer_hears_the_prompt_with_its_own_vectors(attack: TextualInversion) -> None:
    base, layers = attack.base, cross_attentions(attack.base.unet)
    each = [words(base, seed) for seed in range(len(layers))]
    expected = []
    for word in each:
        single = made(base, False)
        single.load(word)
        expected.append(base.condition([PROMPT.format(single.subject), "a photo"]).hidden)
        single.reset()

    heard: dict[int, Tensor] = {}
    attack.load(side_by_side(each))
    taps = [
        layer.to_k.register_forward_pre_hook(lambda _, given, place=place: heard.update({place: given[0]}))  # type: ignore[union-attr]
        for place, layer in enumerate(layers)
    ]
    condition = base.condition([PROMPT.format(attack.subject), "a photo"])
    base.predict(torch.zeros(2, *base.latent_shape), torch.tensor([5, 5]), condition)
    for tap in taps:
        tap.remove()
    assert len(layers) > 1
    assert all(torch.allclose(heard[place], expected[place], atol=1e-5) for place in range(len(layers)))
    assert not torch.allclose(heard[0], heard[1], atol=1e-2)


def test_every_layers_vectors_learn(attack: TextualInversion, faces: Tensor) -> None:
    starts = initial_rows(attack.base, 2 * len(cross_attentions(attack.base.unet)))
    artifact = attack.fit(faces, fit_context())
    for found, start in zip(artifact.values(), starts, strict=True):
        assert found.shape == start.shape
        assert bool((found - start).abs().amax(dim=1).gt(1e-3).all())


def test_reset_takes_every_hook_out(attack: TextualInversion, faces: Tensor) -> None:
    check_taken_out(attack, faces)
    modules: list[Any] = [*attack.base.text_encoders, *cross_attentions(attack.base.unet)]
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in modules)


def test_saved_and_loaded_again_in_any_order(attack: TextualInversion, faces: Tensor, tmp_path: Path) -> None:
    alone = attack.fit(faces, fit_context())
    in_memory = plain(attack.base, attack.subject)
    save_file(alone, tmp_path / "artifact.safetensors")
    other = attack.fit(faces.flip(0).flip(-1), fit_context())
    pictures(attack, other)
    assert torch.equal(pictures(attack, load_file(tmp_path / "artifact.safetensors")), in_memory)
    again = attack.fit(faces, fit_context())
    assert all(torch.equal(again[name], alone[name]) for name in alone)


def test_a_picture_does_not_depend_on_its_batch(attack: TextualInversion, faces: Tensor) -> None:
    artifact = attack.fit(faces, fit_context())
    assert torch.allclose(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5)
