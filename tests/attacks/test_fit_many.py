"""Fits of several people in one pass: as each by itself, whoever the others are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attacks import Artifact, Attack, FitContext
from attacks.dreambooth import DreamBooth
from attacks.lora import Lora
from attacks.textual_inversion import TextualInversion
from bench.core.meter import Meter
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.finetuning import _clip_each
from tests.support.tiny import SIDE, tiny_base

STACKED: dict[str, Attack] = {
    "a word": TextualInversion(vectors=3, steps=3, batch=2, learning_rate=0.1),
    "a word per layer": TextualInversion(vectors=2, steps=3, batch=2, learning_rate=0.1, per_layer=True),
    "attention": Lora(preset="hf", steps=3, batch=2),
    "all layers": Lora(steps=3, batch=2, rank=3, learning_rate=1e-3),
    "with class pictures": Lora(preset="antidb", steps=3, class_count=3),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(params=list(STACKED))
def attack(request: pytest.FixtureRequest, tiny: DiffusionModel) -> Iterator[Attack]:
    made = STACKED[request.param].resolved("facelet")
    made.prepare(tiny)
    yield made
    made.reset()


def photos(person: int) -> Tensor:
    return torch.rand(3, 3, SIDE, SIDE, generator=generator("photos", person))


def context(person: int) -> FitContext:
    return FitContext(generator("fit", person), lambda base, count: base.posterior(photos(-1)[:count]))


def together(attack: Attack, people: Sequence[int]) -> list[Artifact]:
    fitted = attack.fit_many([photos(person) for person in people], [context(person) for person in people])
    attack.reset()
    return fitted


def equal(one: Artifact, other: Artifact) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def check_as_if_alone(attack: Attack) -> None:
    """Rounding makes half a percent of what people differ by, at most; what is counted is the same."""
    assert attack.stacks
    with Meter() as one_by_one:
        alone = [attack.fit(photos(person), context(person)) for person in range(2)]
    attack.reset()
    with Meter() as at_once:
        beside = together(attack, range(2))
    for one, other in zip(alone, beside, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert (value - other[name]).norm() <= 5e-3 * (alone[0][name] - alone[1][name]).norm(), name
    assert at_once.cost.passes == one_by_one.cost.passes


def test_each_is_fitted_as_if_alone(attack: Attack) -> None:
    check_as_if_alone(attack)


@pytest.mark.parametrize("name", ["a word per layer", "with class pictures"])
def test_both_text_encoders_of_sdxl_know_who_is_who(name: str, tmp_path: Path) -> None:
    attack = STACKED[name].resolved("facelet")
    attack.prepare(tiny_base(tmp_path, xl=True))
    check_as_if_alone(attack)


def test_who_is_beside_and_in_which_order_and_what_becomes_of_them_changes_no_bit(attack: Attack) -> None:
    first, _, last = together(attack, [0, 1, 2])
    spoilt, contexts = [photos(3) * float("nan"), photos(2), photos(0)], [context(person) for person in (3, 2, 0)]
    diverged, last_again, first_again = attack.fit_many(spoilt, contexts)
    assert equal(first, first_again)
    assert equal(last, last_again)
    assert any(not bool(value.isfinite().all()) for value in diverged.values())


def test_nothing_is_left_in_the_base(attack: Attack) -> None:
    parts = attack.base.tunable.values()
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    together(attack, range(2))
    for part, was in zip(parts, before, strict=True):
        assert equal(dict(part.state_dict()), was)


def test_everybody_hears_of_the_progress(attack: Attack) -> None:
    told: dict[int, list[float]] = {0: [], 1: []}
    contexts = [FitContext(generator(person), context(person).class_latents, told[person].append) for person in told]
    attack.fit_many([photos(person) for person in told], contexts)
    assert told[0] == told[1]
    assert told[0][-1] == 1


def test_gradients_are_clipped_for_each_person_as_for_one_alone() -> None:
    draw = generator("gradients")
    gradients = [torch.randn(3, 5, 7, generator=draw) * torch.tensor([0.01, 1, 100])[:, None, None], torch.ones(3, 2)]
    weights = [torch.nn.Parameter(torch.zeros_like(each)) for each in gradients]
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient.clone()
    _clip_each(weights, 2.0)
    for person in range(3):
        own = [torch.nn.Parameter(torch.zeros_like(each[person])) for each in gradients]
        for weight, gradient in zip(own, gradients, strict=True):
            weight.grad = gradient[person].clone()
        torch.nn.utils.clip_grad_norm_(own, 2.0)
        for weight, clipped in zip(own, weights, strict=True):
            assert weight.grad is not None
            assert clipped.grad is not None
            assert torch.allclose(weight.grad, clipped.grad[person], rtol=1e-5)


def test_what_trains_all_weights_has_no_room_for_a_second_person() -> None:
    assert not DreamBooth.stacks
