"""Passes through the networks: who counts them, and where they are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from attacks.lora import Lora
from bench.core.profiling import counting
from bench.models.diffusion.base import DiffusionModel
from bench.store import META, Store
from tests.support import tiny
from tests.support.contexts import fit_context


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("passes") / "base")


def passed(base: DiffusionModel, samples: int) -> None:
    """Send so many samples through the UNet."""
    width = base.unet.config.cross_attention_dim
    with torch.no_grad():
        base.unet(torch.zeros(samples, *base.latent_shape), 1, torch.zeros(samples, 4, width))


def unet(samples: int) -> dict[str, dict[str, int]]:
    return {"unet": {"plain": samples, "inputs": 0, "weights": 0}}


def test_a_block_inside_counts_for_itself(base: DiffusionModel) -> None:
    """Class pictures, say, which are made while a cloak is made, and once for everybody."""
    with counting() as outer:
        passed(base, 2)
        with counting() as nothing:
            pass
        with counting() as inner:
            passed(base, 3)
        passed(base, 1)
    passed(base, 5)
    assert (outer, inner, nothing) == (unet(3), unet(3), {})


def test_a_block_that_raises_counts_no_more(base: DiffusionModel) -> None:
    def raising() -> None:
        passed(base, 1)
        raise KeyError

    with counting() as outer:
        with pytest.raises(KeyError), counting() as inner:
            raising()
        passed(base, 2)
    assert (outer, inner) == (unet(2), unet(1))


def test_the_store_keeps_them_with_what_they_made(base: DiffusionModel, tmp_path: Path) -> None:
    store, key = Store(tmp_path), "ab" * 32

    def cloak(folder: Path) -> None:
        passed(base, 2)
        store.compute("class", key, lambda _: passed(base, 7))
        (folder / "a.txt").write_text("cloaked")

    assert store.compute("protect", key, cloak).cost.passes == unet(2)
    again = store.compute("protect", key, cloak)
    assert (again.cost.passes, again.cached) == (unet(2), True)
    made = store.cost("class", key)
    assert made is not None
    assert made.cost.passes == unet(7)


def test_of_a_store_from_before_they_are_not_known(tmp_path: Path) -> None:
    store, key = Store(tmp_path), "ab" * 32
    meta = store.compute("fit", key, lambda folder: None).path / META
    facts = json.loads(meta.read_text())
    del facts["passes"]
    meta.write_text(json.dumps(facts))
    found = store.find("fit", key)
    assert found is not None
    assert found.cost.passes is None


def test_adapters_of_many_people_are_not_taken_for_the_network(base: DiffusionModel) -> None:
    adapted = Lora(rank=8, targets="attention", steps=1, batch=1).resolved("facelet")
    adapted.prepare(base)
    photos, people = torch.rand(1, 3, tiny.SIDE, tiny.SIDE), 40
    with counting() as passes:
        adapted.fit_many([photos] * people, [fit_context() for _ in range(people)])
    adapters = sum(weight.numel() for name, weight in base.unet.named_parameters() if "lora_" in name)
    assert adapters > sum(weight.numel() for weight in base.unet.parameters()) / 2
    adapted.reset()
    assert passes["unet"] == {"plain": 0, "inputs": people, "weights": 0}
