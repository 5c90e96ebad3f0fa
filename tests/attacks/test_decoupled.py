"""Decoupled learning: the cloak's pattern has a token of its own, which pictures are guided away from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, FitContext
from attacks.fine_tuning import NOISE, FineTuning
from bench.core.errors import BenchError
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from tests.support.drawing import GUIDANCE, STEPS, TEMPLATES, call, noise, stock

SMALL = {"steps": 2, "batch": 2, "learning_rate": 1e-3, "decoupled": True, "class_count": 2}


@pytest.fixture(params=["dreambooth", "lora"])
def attack(request: pytest.FixtureRequest, base: DiffusionModel) -> Iterator[FineTuning]:
    made = ATTACKS.create(request.param, SMALL).resolved("facelet")
    assert isinstance(made, FineTuning)
    made.prepare(base)
    yield made
    made.reset()


def context(photos: Tensor) -> FitContext:
    return FitContext(generator(0, "fit"), lambda base, count: base.posterior(photos[:count]))


def test_photos_are_captioned_with_the_token_and_class_pictures_without(
    attack: FineTuning, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[str] = set()
    condition = attack.base.condition

    def listened(prompts: Sequence[str]) -> Condition:
        told.update(prompts)
        return condition(prompts)

    monkeypatch.setattr(attack.base, "condition", listened)
    attack.fit(photos, context(photos))
    assert told == {f"a photo of sks person with {NOISE}", "a photo of person"}


def test_pictures_are_those_of_the_stock_pipeline_with_the_token_as_negative_prompt(
    attack: FineTuning, photos: Tensor
) -> None:
    artifact = attack.fit(photos, context(photos))
    ours = attack.generate(artifact, TEMPLATES, noise(attack.base), STEPS, GUIDANCE)
    attack.load(artifact)
    negative = [NOISE] * len(TEMPLATES)
    theirs = call(stock(attack.base), attack.base, attack.subject, negative_prompt=negative)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, call(stock(attack.base), attack.base, attack.subject), atol=1e-3)


@pytest.mark.parametrize(("family", "count"), [("facelet", 16), ("sd", 200)])
@pytest.mark.parametrize("name", ["dreambooth", "lora"])
def test_a_recipe_without_class_pictures_gets_some(name: str, family: str, count: int) -> None:
    preset = {} if family == "facelet" else {"preset": "hf"}
    plain, decoupled = (
        ATTACKS.create(name, preset | {"decoupled": wanted}).resolved(family) for wanted in (False, True)
    )
    assert isinstance(plain, FineTuning)
    assert not plain.recipe.wants_class_images
    assert isinstance(decoupled, FineTuning)
    assert (decoupled.recipe.prior_weight, decoupled.recipe.class_count) == (1.0, count)


def test_what_a_recipe_says_of_class_pictures_stays() -> None:
    made = ATTACKS.create("dreambooth", {"decoupled": True, "prior_weight": 0.5, "class_count": 7}).resolved("facelet")
    assert isinstance(made, FineTuning)
    assert (made.recipe.prior_weight, made.recipe.class_count) == (0.5, 7)


def test_the_token_is_refused_in_prompts() -> None:
    with pytest.raises(BenchError, match=NOISE):
        ATTACKS.create("lora", {}).check_prompt(f"a photo of {{subject}} with {NOISE}")
