"""What every attack promises: scale 0 is the base, load and unload change nothing, order and batch do not matter."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, Attack
from attacks.dreambooth import DreamBooth
from attacks.lora import Lora
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.finetuning import finetune
from bench.models.diffusion.latents import Posterior
from bench.models.diffusion.recipe import Recipe
from tests.support.contexts import fit_context
from tests.support.drawing import pictures, plain, second

SMALL = {"steps": 3, "batch": 2, "learning_rate": 1e-3}


@pytest.fixture(params=["dreambooth", "lora", "textual_inversion"])
def attack(request: pytest.FixtureRequest, base: DiffusionModel) -> Iterator[Attack]:
    made = ATTACKS.create(request.param, SMALL).resolved("facelet")
    made.prepare(base)
    yield made
    made.reset()


def bare(attack: Attack) -> Tensor:
    attack.reset()
    return plain(attack.base, attack.subject)


def test_fit_changes_the_pictures_and_reset_restores_the_base(attack: Attack, photos: Tensor) -> None:
    before = bare(attack)
    artifact = attack.fit(photos, fit_context())
    assert not torch.allclose(pictures(attack, artifact), before, atol=1e-2)
    assert torch.equal(bare(attack), before)


def test_reset_restores_every_weight_and_no_module_stays(attack: Attack, photos: Tensor) -> None:
    loaded = {k: v.clone() for k, v in attack.base.unet.state_dict().items()}
    attack.load(attack.fit(photos, fit_context()))
    attack.reset()
    now = attack.base.unet.state_dict()
    assert now.keys() == loaded.keys()
    assert all(torch.equal(now[k], loaded[k]) for k in loaded)


def test_the_saved_artifact_gives_the_pictures_of_the_trained_model(attack: Attack, photos: Tensor) -> None:
    artifact = attack.fit(photos, fit_context())
    in_memory = plain(attack.base, attack.subject)
    attack.reset()
    assert torch.equal(pictures(attack, artifact), in_memory)


def test_fits_do_not_depend_on_what_was_fitted_before(attack: Attack, photos: Tensor) -> None:
    alone = attack.fit(photos, fit_context())
    attack.fit(photos.flip(-1), fit_context(seed=7))
    again = attack.fit(photos, fit_context())
    assert alone.keys() == again.keys()
    assert all(torch.equal(alone[k], again[k]) for k in alone)


def test_another_seed_gives_another_artifact(attack: Attack, photos: Tensor) -> None:
    one, two = attack.fit(photos, fit_context(0)), attack.fit(photos, fit_context(1))
    assert any(not torch.equal(one[k], two[k]) for k in one)


def test_a_picture_does_not_depend_on_its_batch(attack: Attack, photos: Tensor) -> None:
    artifact = attack.fit(photos, fit_context())
    assert torch.allclose(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-3)


def test_lora_at_scale_0_is_the_base(base: DiffusionModel, photos: Tensor) -> None:
    attack = Lora(scale=0.0, **SMALL).resolved("facelet")  # type: ignore[arg-type]
    attack.prepare(base)
    artifact = attack.fit(photos, fit_context())
    before = bare(attack)
    assert torch.equal(pictures(attack, artifact), before)
    attack.reset()


def test_no_personalisation_is_the_base(base: DiffusionModel, photos: Tensor) -> None:
    attack = ATTACKS.create("none", {})
    attack.prepare(base)
    assert torch.equal(pictures(attack, attack.fit(photos, fit_context())), bare(attack))


def test_presets_fill_what_the_user_left_open() -> None:
    assert DreamBooth().resolved("facelet").preset == "facelet"
    published = DreamBooth().resolved("sd")
    assert (published.steps, published.learning_rate, published.batch, published.prior_weight) == (1000, 5e-7, 2, 1.0)
    assert DreamBooth(preset="hf", steps=7).resolved("facelet").steps == 7
    assert DreamBooth(preset="hf").resolved("facelet").train_text_encoder is False
    assert Lora(preset="antidb").resolved("facelet").class_count == 200


@pytest.fixture
def lesson(base: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.nn.Parameter, list[float]]:
    """A weight to train, and the first latent value of every picture that was drawn for it, in order."""
    weight, drawn = torch.nn.Parameter(torch.ones(1)), list[float]()

    def errors(latents: Tensor, condition: object, *_: Tensor) -> Tensor:
        drawn.extend(latents[:, 0, 0, 0].tolist())
        return weight * latents[:, 0, 0, 0]

    monkeypatch.setattr(base, "errors_at", errors)
    return weight, drawn


def test_prior_preservation_sees_every_class_picture(
    base: DiffusionModel, lesson: tuple[torch.nn.Parameter, list[float]]
) -> None:
    """The loss of class pictures is added, and each picture has its turn before any comes again."""
    weight, drawn = lesson
    still = torch.zeros(6, 4, 2, 2)
    class_images = Posterior(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 4, 2, 2), still)
    person = Posterior(still[:2] - 1, still[:2])
    recipe = Recipe(steps=3, learning_rate=1e-3, batch=2, prior_weight=1.0, class_count=6)
    finetune(base, [weight], person, recipe, generator(0), class_images)
    assert sorted(value for value in drawn if value >= 0) == [0, 1, 2, 3, 4, 5]
    assert drawn.count(-1) == 6


@pytest.mark.parametrize(("start", "order"), [(0, [0, 1, 2, 3, 4, 0, 1, 2]), (3, [3, 4, 0, 1, 2, 3, 4, 0])])
def test_photos_have_their_turns_and_a_later_lesson_goes_on_with_the_next(
    base: DiffusionModel, lesson: tuple[torch.nn.Parameter, list[float]], start: int, order: list[int]
) -> None:
    weight, drawn = lesson
    photos = Posterior(torch.arange(5.0).view(5, 1, 1, 1).expand(5, 4, 2, 2), torch.zeros(5, 4, 2, 2))
    finetune(base, [weight], photos, Recipe(steps=4, learning_rate=1e-3, batch=2), generator(0), start=start)
    assert drawn == order


def test_the_prior_is_weighed_beside_the_person(base: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two means of one pass: here 1 of the person and 3 of class_images, who weigh half; each told its own caption."""
    told: list[Tensor] = []
    gradients: list[float] = []

    def errors(latents: Tensor, condition: Condition, *_: Tensor) -> Tensor:
        told.append(condition.hidden)
        return weight * latents[:, 0, 0, 0]

    weight = torch.nn.Parameter(torch.ones(1))
    weight.register_hook(lambda gradient: gradients.append(float(gradient)))  # type: ignore[no-untyped-call]
    monkeypatch.setattr(base, "errors_at", errors)
    still = torch.zeros(5, 4, 2, 2)
    recipe = Recipe(steps=1, learning_rate=1e-3, batch=2, prior_weight=0.5, class_count=5, max_norm=math.inf)
    finetune(base, [weight], Posterior(still + 1, still), recipe, generator(0), Posterior(still + 3, still))
    assert gradients == [pytest.approx(1 + 0.5 * 3)]
    person, class_images = base.condition([recipe.prompt]).hidden, base.condition([recipe.class_prompt]).hidden
    assert torch.equal(told[0], torch.cat([person, person, class_images, class_images]))


def test_diverged_training_is_an_error_and_not_protection(
    tmp_path: object, base: DiffusionModel, photos: Tensor
) -> None:
    from pathlib import Path

    from bench.core.errors import BenchError
    from bench.core.images import png_bytes, to_pixels
    from bench.runner.stages.fit import context, fit
    from bench.store import Store

    root = Path(str(tmp_path))
    for index, picture in enumerate(to_pixels(photos)):
        (root / f"{index:03d}.png").write_bytes(png_bytes(picture))
    attack = DreamBooth(steps=3, learning_rate=float("inf")).resolved("facelet")
    attack.prepare(base)
    with pytest.raises(BenchError, match="diverged"):
        fit(root, root, attack, context("someone", 0, Store(root / "store"), lambda share: None))
    attack.reset()
