"""Which surrogate learns what, from which photos and how often: recorded at the one trainer all defenses share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.latents import Posterior
from bench.models.diffusion.recipe import Recipe
from defenses import DEFENSES
from defenses.antidiffusion import AntiDiffusion
from defenses.dladiff import DLADiff
from defenses.encoders import FACELET
from defenses.objectives import denoise
from defenses.pgd import pgd
from defenses.surrogates import learn
from tests.support import tiny
from tests.support.contexts import defend_context

USERS = ("defenses.surrogates", "defenses.ace", "bench.runner.stages.surrogate")
"""Modules that call the trainer for a cloak."""

Lessons = list[tuple[str, int, str]]
"""(photos learned: "clean" or "cloaked", steps, what learns: "unet", "all" or "lora")."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("schedules") / "tiny")


@pytest.fixture(scope="module")
def photos() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return (0.4 + 0.5 * torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


@pytest.fixture
def recipe(base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Lessons]:
    """`recipe(name, **settings)`: what was learned while a cloak was made."""
    monkeypatch.setattr("defenses.timesteps.ROUNDS", 0)
    taken: Lessons = []
    with torch.no_grad():
        clean = base.posterior(photos).mean

    def finetune(
        model: DiffusionModel, weights: Any, latents: Posterior, recipe: Recipe, *rest: Any, **more: Any
    ) -> None:
        shown = "clean" if torch.equal(latents.mean, clean) else "cloaked"
        parts = {id(weight) for weight in weights}
        text = any(id(weight) in parts for weight in model.text_encoder.parameters())
        lora = all("lora" in name for name, weight in model.unet.named_parameters() if id(weight) in parts)
        taken.append((shown, recipe.steps, "lora" if lora else "all" if text else "unet"))

    for module in USERS:
        monkeypatch.setattr(f"{module}.finetune", finetune)

    def protect(name: str, **settings: Any) -> Lessons:
        taken.clear()
        defense = DEFENSES.create(name, settings).resolved("facelet")
        context = defend_context(base, photos=photos)
        try:
            defense.protect(photos.clone(), context)
        finally:
            base.restore()
        return list(taken)

    return protect


@pytest.mark.parametrize("name", ["aspl", "antidreambooth", "simac", "disdiff"])
def test_aspl_and_its_kin_learn_clean_then_cloaked(name: str, recipe: Callable[..., Lessons]) -> None:
    more = {"sides": [8]} if name == "disdiff" else {}
    found = recipe(name, rounds=2, surrogate_steps=3, pgd_steps=1, step=9.0, **more)
    assert found == [("clean", 3, "all"), ("cloaked", 3, "all")] * 2


@pytest.fixture
def turns(base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(which photo comes first, photos a step) of every lesson; the cloak stays off, so photos can be told."""
    with torch.no_grad():
        clean = base.posterior(photos).mean
    taken = []

    def finetune(
        model: DiffusionModel, weights: Any, latents: Posterior, recipe: Recipe, *rest: Any, start: int = 0
    ) -> None:
        first = latents.mean[start % len(latents.mean)]
        taken.append(([torch.equal(first, one) for one in clean].index(True), recipe.batch))

    monkeypatch.setattr("defenses.surrogates.finetune", finetune)
    return taken


def test_a_surrogate_that_sees_one_photo_a_step_goes_on_where_it_was(
    base: DiffusionModel, photos: Tensor, turns: list[tuple[int, int]]
) -> None:
    settings = {"rounds": 3, "surrogate_steps": 3, "batch": 1, "pgd_steps": 1, "step": 9.0}
    DEFENSES.create("aspl", settings).resolved("facelet").protect(photos, defend_context(base, photos=photos, levels=0))
    base.restore()
    first, batches = map(list, zip(*turns, strict=True))
    assert first == [0, 0, 1, 1, 0, 0]  # three steps on two photos: every other round begins with the second
    assert batches == [1] * 6


def test_fsmg_learns_once_from_clean_photos(recipe: Callable[..., Lessons]) -> None:
    assert recipe("fsmg", surrogate_steps=7, pgd_steps=2) == [("clean", 7, "all")]


def test_metacloak_fills_its_pool_and_unrolls_from_every_state(
    recipe: Callable[..., Lessons], base: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    original = DiffusionModel.load_snapshot

    def load(self: DiffusionModel, snapshot: Any) -> None:
        loads.append(id(snapshot))
        original(self, snapshot)

    monkeypatch.setattr(DiffusionModel, "load_snapshot", load)
    found = recipe("metacloak", pool_steps=10, snapshots=3, trials=2, unrolls=2, pgd_steps=1, unroll_steps=4)
    assert found == [("clean", 5, "all")] * 2 + [("cloaked", 4, "all")] * 2 * 3 * 2
    assert len(loads) == 6
    assert loads[:3] == loads[3:]
    assert len(set(loads)) == 3


def test_metacloak_learns_from_one_photo_after_the_other(
    base: DiffusionModel, photos: Tensor, turns: list[tuple[int, int]]
) -> None:
    settings = {"pool_steps": 6, "snapshots": 3, "trials": 1, "unrolls": 2, "pgd_steps": 1, "unroll_steps": 3}
    for batch in (1, 0):
        made = DEFENSES.create("metacloak", {**settings, "batch": batch}).resolved("facelet")
        made.protect(photos, defend_context(base, photos=photos, levels=0))
        base.restore()
    first, batches = map(list, zip(*turns, strict=True))
    # Three steps on two photos: every other lesson begins with the second, of those in the pool and of the others.
    assert first == [0, 1, *[0, 1] * 3, *[0] * 8]
    assert batches == [1] * 8 + [2] * 8


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("as_released", ["tuned", "disturbed", "learn", "disturbed", "tuned", "learn", "disturbed"]),
        ("intended", ["tuned", "disturbed", *["tuned", "learn", "disturbed"] * 2]),
    ],
)
def test_antidiffusion_tunes_a_prompt_for_each_photo_and_teaches_the_unet_under_it(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch, variant: str, expected: list[str]
) -> None:
    """Each photo begins with the UNet as it was; the prompt goes on from where it is."""
    order: list[str] = []
    started: list[float] = []

    def tuned(self: AntiDiffusion, model: DiffusionModel, photo: Tensor, condition: Condition, more: Any) -> Condition:
        order.append("tuned")
        started.append(float(condition.hidden.mean()))
        return dataclasses.replace(condition, hidden=condition.hidden + 1)

    def learn(self: AntiDiffusion, model: DiffusionModel, photo: Tensor, condition: Condition, more: Any) -> None:
        order.append("learn")
        assert float(condition.hidden.mean()) == pytest.approx(started[-1] + 1, abs=1e-4)

    def disturbed(self: AntiDiffusion, model: DiffusionModel, cloaked: Tensor, *rest: Any) -> Tensor:
        order.append("disturbed")
        assert len(cloaked) == 1
        return cloaked

    for name, stub in {"_tuned": tuned, "_learn": learn, "_disturbed": disturbed}.items():
        monkeypatch.setattr(AntiDiffusion, name, stub)
    DEFENSES.create("antidiffusion", {"variant": variant, "rounds": 3}).protect(
        photos, defend_context(base, photos=photos)
    )
    assert order == expected * 2
    rounds = order.count("tuned") // 2
    empty = float(base.condition([""]).hidden.mean())
    assert started == pytest.approx([empty + turn for turn in range(rounds)] * 2, abs=1e-4)


def test_antidiffusions_prompt_describes_the_photo_better_than_an_empty_one(
    base: DiffusionModel, photos: Tensor
) -> None:
    context, photo = defend_context(base, photos=photos), photos[:1]
    tuned = AntiDiffusion(prompt_steps=20, prompt_rate=0.05)._tuned(base, photo, base.condition([""]), context)

    @torch.no_grad()
    def loss(condition: Condition) -> float:
        draws = [denoise(base, photo, condition, generator("test", i)).error for i in range(16)]
        return float(torch.stack(draws).mean())

    assert loss(tuned) < loss(base.condition([""])) - 0.001


def test_antidiffusions_unet_learns_the_photo(base: DiffusionModel, photos: Tensor) -> None:
    photo, condition, before = photos[:1], base.condition([""]), base.snapshot()

    @torch.no_grad()
    def loss() -> float:
        return float(
            torch.stack([denoise(base, photo, condition, generator("test", i)).error for i in range(16)]).mean()
        )

    clean, context = loss(), defend_context(base, photos=photos)
    AntiDiffusion(surrogate_steps=20, learning_rate=1e-4)._learn(base, photo, condition, context)
    assert loss() < clean - 0.001
    text = base.snapshot()["text_encoder"]
    assert all(torch.equal(text[name], value) for name, value in before["text_encoder"].items())
    base.restore()


@pytest.mark.parametrize(("variant", "reach"), [("as_released", 8 / 3), ("intended", 8)])
def test_antidiffusions_rounds_add_up_to_the_budget(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch, variant: str, reach: float
) -> None:
    """As released, each round has a ball of its own around the last result."""
    reached: list[float] = []
    disturbed = AntiDiffusion._disturbed

    def watching(self: AntiDiffusion, model: DiffusionModel, cloaked: Tensor, centre: Tensor, *rest: Any) -> Tensor:
        found = disturbed(self, model, cloaked, centre, *rest)
        reached.append(255 * float((found - centre).abs().max()))
        return found

    monkeypatch.setattr(AntiDiffusion, "_disturbed", watching)
    settings = {"variant": variant, "rounds": 3, "prompt_steps": 0, "pgd_steps": 1, "surrogate_steps": 0, "step": 9.0}
    defense = DEFENSES.create("antidiffusion", settings | {"sides": [8]}).resolved("facelet")
    cloaked = defense.protect(photos[:1].clone(), defend_context(base, photos=photos, levels=8))
    base.restore()
    assert reached == pytest.approx([reach] * 3, abs=0.01)
    assert 255 * float((cloaked - photos[:1]).abs().max()) == pytest.approx(8, abs=0.01)


def test_ace_learns_by_lora(recipe: Callable[..., Lessons]) -> None:
    assert recipe("ace", rounds=2, pgd_steps=1, lora_steps=6) == [("cloaked", 6, "lora")] * 2


STEPS = {"layers": [1], "static_steps": 9, "epochs": 2, "dynamic_steps": 4, "sides": [8]}
STATIC, DYNAMIC = ("clean", 9, "unet"), ("cloaked", 4, "unet")


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, [STATIC, DYNAMIC, DYNAMIC]),
        ({"dsur": False}, [DYNAMIC, DYNAMIC]),
        ({"adft": False}, [STATIC]),
        ({"dsur": False, "adft": False}, []),
    ],
)
def test_dladiffs_switches(recipe: Callable[..., Lessons], switches: dict[str, bool], expected: Lessons) -> None:
    assert recipe("dladiff", **STEPS, **switches) == expected


@pytest.mark.parametrize(("references", "batch"), [(1, 1), (2, 2), (6, 4)])
def test_dladiffs_static_surrogate_sees_no_photo_twice_in_a_step(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch, references: int, batch: int
) -> None:
    batches: list[int] = []

    def finetune(
        model: DiffusionModel, weights: Any, latents: Posterior, recipe: Recipe, *rest: Any, **more: Any
    ) -> None:
        if model is not base:
            batches.append(recipe.batch)

    for module in USERS:
        monkeypatch.setattr(f"{module}.finetune", finetune)
    defense = DEFENSES.create("dladiff", STEPS | {"attention_steps": 1, "loss_steps": 1}).resolved("facelet")
    context = dataclasses.replace(defend_context(base, photos=photos), reference=photos[:1].repeat(references, 1, 1, 1))
    defense.protect(photos.clone(), context)
    base.restore()
    assert batches == [batch]


@pytest.mark.parametrize(("direction", "norm"), [("sign", "linf"), ("gradient", "l2")])
def test_dladiffs_stages_alternate(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch, direction: str, norm: str
) -> None:
    """Attention steps, loss steps, fine-tuning, and again; the static surrogate learns once, before them."""
    order: list[str] = []
    norms: set[str] = set()

    def recording(cloaked: Tensor, clean: Tensor, objective: Any, *rest: Any, norm: Literal["linf", "l2"]) -> Tensor:
        order.append(f"{objective.__qualname__.split('.')[0]} x{rest[-1]}")
        norms.add(norm)
        return pgd(cloaked, clean, objective, *rest, norm=norm)

    monkeypatch.setattr("defenses.dladiff.pgd", recording)

    def finetune(model: DiffusionModel, *rest: Any, **more: Any) -> None:
        order.append("learn" if model is base else "static")

    for module in USERS:
        monkeypatch.setattr(f"{module}.finetune", finetune)
    settings = STEPS | {"attention_steps": 2, "loss_steps": 3, "direction": direction}
    defense = DEFENSES.create("dladiff", settings).resolved("facelet")
    defense.protect(photos.clone(), defend_context(base, photos=photos))
    base.restore()
    assert order == ["static"] + ["attention_distance x2", "denoising_loss x3", "learn"] * 2
    assert norms == {norm}


@pytest.mark.parametrize(("clean", "known"), [("reference", [0]), ("photos", [1, 2]), ("both", [0, 1, 2])])
def test_dladiffs_static_surrogate_learns_the_clean_photos_that_are_asked_for(
    base: DiffusionModel, photos: Tensor, clean: str, known: list[int]
) -> None:
    every, learned = torch.cat([photos[:1].flip(-1), photos[:2]]), list[Tensor]()

    def pretuned(model: DiffusionModel, taught: Tensor, recipe: Recipe) -> DiffusionModel:
        learned.append(taught)
        assert recipe.batch == min(4, len(taught))
        return model.clone()

    defense = DEFENSES.create("dladiff", STEPS | {"clean": clean}).resolved("facelet")
    context = dataclasses.replace(defend_context(base, photos=every[1:]), reference=every[:1], pretuned=pretuned)
    defense.protect(every[1:].clone(), context)
    base.restore()
    assert len(learned) == 1
    assert torch.equal(learned[0], every[known])


def test_without_any_part_dladiff_does_nothing(base: DiffusionModel, photos: Tensor) -> None:
    defense = DEFENSES.create("dladiff", STEPS | {"dsur": False, "adft": False}).resolved("facelet")
    context = defend_context(base, photos=photos)
    assert torch.equal(defense.protect(photos.clone(), context), photos)


@pytest.mark.parametrize(("timestep", "moved"), [(0, 4), (999, 0), (499, 2)])
def test_disdiffs_steps_shrink_with_the_timestep(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch, timestep: int, moved: int
) -> None:
    monkeypatch.setattr(
        DiffusionModel, "random_timesteps", lambda self, count, generator: torch.full((count,), timestep)
    )
    monkeypatch.setattr("defenses.surrogates.finetune", lambda *args, **more: None)
    settings = {"rounds": 1, "surrogate_steps": 1, "pgd_steps": 1, "step": 4.0, "sides": [8], "search": False}
    defense = DEFENSES.create("disdiff", settings).resolved("facelet")
    context = defend_context(base, photos=photos)
    change = defense.protect(photos.clone(), context) - photos
    base.restore()
    assert float(change.abs().max()) * 255 == pytest.approx(moved, abs=0.02)


def test_metacloak_moves_through_transforms(recipe: Callable[..., Lessons], monkeypatch: pytest.MonkeyPatch) -> None:
    from defenses.transforms import random_view

    views: list[Tensor] = []

    def recording(photos: Tensor, draw: torch.Generator) -> Tensor:
        views.append(random_view(photos, draw))
        return views[-1]

    monkeypatch.setattr("defenses.metacloak.random_view", recording)
    small = {"pool_steps": 1, "snapshots": 2, "trials": 1, "unrolls": 2, "pgd_steps": 3}
    recipe("metacloak", **small)
    assert len(views) == 2 * 2 * 3
    recipe("metacloak", transforms=False, **small)
    assert len(views) == 2 * 2 * 3


def test_simac_as_released_has_no_feature_loss(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[float] = []

    def interference(base: DiffusionModel, clean: Tensor, prompt: str, weight: float, *rest: Any) -> Any:
        weights.append(weight)
        return lambda photos: photos.sum()

    monkeypatch.setattr("defenses.timesteps.ROUNDS", 0)
    monkeypatch.setattr("defenses.simac.interference", interference)
    for variant in ("intended", "as_released"):
        settings = {"variant": variant, "rounds": 1, "surrogate_steps": 1, "pgd_steps": 1}
        defense = DEFENSES.create("simac", settings).resolved("facelet")
        defense.protect(photos.clone(), defend_context(base, photos=photos))
        base.restore()
    assert weights == [1.0, 0.0]


@pytest.mark.parametrize("text_encoder", [True, False])
def test_a_surrogate_learns_in_the_parts_that_it_should(
    base: DiffusionModel, photos: Tensor, text_encoder: bool
) -> None:
    before = base.snapshot()
    recipe = Recipe(steps=1, learning_rate=0.01, batch=2)
    learn(base, photos, recipe, defend_context(base, photos=photos), text_encoder=text_encoder)
    after = base.snapshot()
    changed = {part: any(not torch.equal(before[part][k], after[part][k]) for k in before[part]) for part in before}
    base.restore()
    assert changed == {"unet": True, "text_encoder": text_encoder}


def test_fine_tuning_leaves_nothing_trainable(base: DiffusionModel, photos: Tensor) -> None:
    """Else every later step of the cloak would also compute gradients of all weights, and keep them."""
    learn(base, photos, Recipe(steps=1, learning_rate=0.01, batch=2), defend_context(base, photos=photos))
    weights = [*base.unet.parameters(), *base.text_encoder.parameters()]
    left = [weight for weight in weights if weight.requires_grad or weight.grad is not None]
    base.restore()
    assert left == []


def test_a_snapshot_does_not_change_with_the_model(base: DiffusionModel) -> None:
    kept = base.snapshot()
    with torch.no_grad():
        next(base.unet.parameters()).add_(1)
    assert not torch.equal(next(iter(kept["unet"].values())), next(iter(base.snapshot()["unet"].values())))
    base.load_snapshot(kept)
    assert all(torch.equal(a, b) for a, b in zip(kept["unet"].values(), base.unet.state_dict().values(), strict=True))


def test_dladiffs_first_layer_alone_names_no_recogniser() -> None:
    assert DLADiff(layers=(1,)).resolved("facelet").recognisers == ()
    assert DLADiff().resolved("facelet").recognisers == FACELET["recognisers"]
    assert DLADiff().resolved("facelet").attention_steps == 1
    assert DLADiff().resolved("sd").attention_steps == 3
