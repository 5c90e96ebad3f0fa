"""What a surrogate learns before a cloak is made: once for all cloaks that want the same, and thrown away after use."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.core.hashing import sha256_array
from bench.core.images import to_pixels
from bench.models.diffusion.fingerprint import fingerprint
from bench.models.diffusion.recipe import Recipe
from bench.results.record import Record
from bench.runner.spent import discarding
from bench.runner.stages import surrogate
from bench.runner.stages.surrogate import STAGE
from bench.store import Store
from bench.store.inventory import Item, items
from bench.store.lease import lease
from tests.support import tiny
from tests.support.plans import planned
from tests.support.runs import small_run

SMALL = "layers: [1], static_steps: 2, epochs: 1, attention_steps: 1, loss_steps: 1, dynamic_steps: 1, sides: [8]"
RECIPE = Recipe(steps=3, learning_rate=1e-3, batch=2)


def learned(folder: Path) -> list[Item]:
    return [item for item in items(Store(folder / "store")) if item.stage == STAGE]


def made(records: Sequence[Record]) -> list[Record]:
    """Those whose surrogate learned in their own run."""
    return [r for r in records if STAGE in r.stages and not r.stages[STAGE].cached]


def test_budgets_and_ablations_share_it_and_another_recipe_does_not(tmp_path: Path) -> None:
    cloaks = [f"{{name: dladiff, {SMALL}}}", f"{{name: dladiff, {SMALL}, adft: false}}", "noise"]
    status, records, _ = small_run(tmp_path, f"suite.defenses=[{','.join(cloaks)}]", "suite.budgets=[4,8]")
    assert status == 0
    (only,) = learned(tmp_path)
    of_cloaks = [r for r in records if r.defense.name == "dladiff"]
    assert len(of_cloaks) == 4
    assert {r.stages[STAGE].key for r in of_cloaks} == {only.key}
    assert len(made(records)) == 1, "it learned once"
    assert not any(STAGE in r.stages for r in records if r.defense.name != "dladiff")
    assert made(records)[0].stages[STAGE].passes == {
        "encoder": {"plain": 4, "inputs": 0, "weights": 0},
        "unet": {"plain": 0, "inputs": 0, "weights": 2 * 4},
    }, "two steps on all four reference photos"

    assert only.state() == "discarded", "weights that know a person go when no cell needs them"
    assert only.people == (of_cloaks[0].identity,)
    again = [f"suite.defenses=[{cloaks[0]}]", "suite.budgets=[8]"]
    shutil.rmtree(tmp_path / "out")
    status, records, _ = small_run(tmp_path, *again, "mode=read_only")
    assert status == 0, "beside a finished cloak its cost is enough"
    assert not made(records)

    kept = ["suite.budgets=[2]", "keep_artifacts=true"]
    small_run(tmp_path, f"suite.defenses=[{cloaks[0].replace('static_steps: 2', 'static_steps: 1')}]", *kept)
    assert {item.state() for item in learned(tmp_path)} == {"discarded", "whole"}


def test_what_is_loaded_is_what_was_learned(tmp_path: Path) -> None:
    base, store = tiny.tiny_base(tmp_path / "base"), Store(tmp_path / "store")
    photos = torch.rand(2, 3, tiny.SIDE, tiny.SIDE).mul(255).round().div(255)
    before, model = base.snapshot(), surrogate.tuned(base, photos, RECIPE, seed=0)
    name = fingerprint(base.checkpoint, base.computing)
    key = surrogate.key(RECIPE, [sha256_array(one) for one in to_pixels(photos)], name, 0)
    store.compute(STAGE, key, lambda folder: surrogate.save(folder, model))

    loaded = surrogate.pretuned(store, 0)(base, photos, RECIPE)
    anew = surrogate.pretuned(Store(tmp_path / "empty"), 0)(base, photos, RECIPE)
    for name, weights in model.snapshot().items():
        for part, weight in weights.items():
            assert torch.equal(weight, loaded.snapshot()[name][part])
            assert torch.equal(weight, anew.snapshot()[name][part]), "not in the store, it learns on the spot"
            assert torch.equal(before[name][part], base.snapshot()[name][part]), "the base stays as it was"
    changed = [n for n, w in model.snapshot()["unet"].items() if not torch.equal(w, before["unet"][n])]
    assert changed
    assert not list(items(Store(tmp_path / "empty"))), "only what the plan names is kept"
    assert not any(weight.requires_grad for weight in loaded.unet.parameters())


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("budget=3", True),
        ("defense.epochs=7", True),
        ("defense.adft=false", True),
        ("defense.layers=[1]", True),
        ("defense.static_steps=7", False),
        ("defense.static_rate=1e-5", False),
        ("defense.batch=1", False),
        ("defense.prompt=a photo of zwx person", False),
    ],
)
def test_the_recipe_is_all_of_the_cloak_that_counts(word: str, same: bool) -> None:
    first, second = (
        next(cell for cell in planned("data.limit=1", *words) if cell.defense.name == "dladiff")
        for words in ([], [word])
    )
    keys = {surrogate.key(cell.pretuning or RECIPE, ["a", "b"], "base", 0) for cell in (first, second)}
    assert (len(keys) == 1) == same


@pytest.mark.parametrize("word", ["defense.dsur=false", "defense.layers=[2]", "defense=aspl"])
def test_who_needs_none_has_none(word: str) -> None:
    assert all(cell.pretuning is None for cell in planned("data.limit=1", word))


def test_photos_base_and_seed_count() -> None:
    key = surrogate.key(RECIPE, ["a", "b"], "base", 0)
    others = [(["a", "c"], "base", 0), (["b", "a"], "base", 0), (["a", "b"], "other", 0), (["a", "b"], "base", 1)]
    assert key not in {surrogate.key(RECIPE, *other) for other in others}


class Spent:
    """Two cells that need one surrogate, in a store."""

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.store = Store(folder / "store")
        self.store.compute(STAGE, "k" * 64, lambda place: (place / "weights").touch())
        self.cells: Any = [SimpleNamespace(id=name) for name in "ab"]
        self.pipeline: Any = SimpleNamespace(
            outputs=lambda cell: {STAGE: "k" * 64}, store=self.store, settings=SimpleNamespace(keep_artifacts=keep)
        )

    @property
    def there(self) -> bool:
        return self.store.find(STAGE, "k" * 64) is not None


def test_it_stays_as_long_as_a_cell_of_the_run_waits(tmp_path: Path) -> None:
    spent = Spent(tmp_path)
    mine = [f"{STAGE}/{'k' * 64}"]
    with lease(spent.store.root, tmp_path, mine), discarding(spent.cells, spent.pipeline) as no_more:
        no_more(spent.cells[0])
        assert spent.there
        no_more(spent.cells[1])
        assert not spent.there


@pytest.mark.parametrize(("keep", "another"), [(False, False), (True, False), (False, True)])
def test_a_run_that_ends_early_leaves_it_to_those_who_want_it(tmp_path: Path, keep: bool, another: bool) -> None:
    spent, mine = Spent(tmp_path, keep), [f"{STAGE}/{'k' * 64}"]
    with lease(spent.store.root, tmp_path / "other", mine if another else []), lease(spent.store.root, tmp_path, mine):
        with pytest.raises(KeyboardInterrupt), discarding(spent.cells, spent.pipeline):
            raise KeyboardInterrupt
        assert spent.there == (keep or another)
