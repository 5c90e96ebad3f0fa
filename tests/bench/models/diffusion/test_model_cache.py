"""An adapter stays in the base from cell to cell of one attack, and goes before anything else is done with a base."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from attacks.instantid import InstantId
from attacks.ip_adapter import IpAdapter
from attacks.lora import Lora
from attacks.zero_shot import ZeroShot
from bench.config.schema import ModelSettings
from bench.models.adapters.locate import Adapter
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.model_cache import Pool
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import pictures, plain
from tests.support.tiny import person

MODEL = ModelSettings(name="tiny", resolution=tiny.SIDE, precision="fp32", steps=2, guidance=3.0)
OTHER = MODEL.model_copy(update={"name": "other"})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def pool(base: DiffusionModel) -> Iterator[Pool]:
    made = Pool("cpu")
    made._bases = {MODEL: base, OTHER: base}
    yield made
    made.base(MODEL)


@pytest.fixture
def attacks(base: DiffusionModel, tmp_path: Path) -> list[ZeroShot]:
    """Two that are equal, and two that differ from these."""
    pack = str(tiny.pack(tmp_path / "pack"))
    weights, other = (str(tiny.instantid(tmp_path / name, base.unet, seed)) for name, seed in (("a", 0), ("b", 1)))
    adapter = str(tiny.ip_adapter(tmp_path / "c", base.unet))
    return [
        *(InstantId(weights=weights, recogniser=pack) for _ in range(2)),
        InstantId(weights=other, recogniser=pack),
        IpAdapter(weights=adapter),
    ]


def test_the_next_cell_of_an_attack_finds_its_adapter_in_the_base(
    pool: Pool, base: DiffusionModel, attacks: list[ZeroShot], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers() -> list[torch.Tensor]:
        found = []
        for who, attack in enumerate(attacks):
            with pool.lent(MODEL, attack) as ready:
                artifact = ready.fit(person(who), fit_context())
            with pool.lent(MODEL, attack) as ready:
                found.append(pictures(ready, artifact))
        return found

    loaded, restored = list[str](), list[int]()
    attach, restore = InstantId.attach, DiffusionModel.restore

    def attaching(own: InstantId, adapter: Adapter) -> None:
        loaded.append(str(own.weights))
        attach(own, adapter)

    def restoring(own: DiffusionModel) -> None:
        restored.append(1)
        restore(own)

    monkeypatch.setattr(InstantId, "attach", attaching)
    monkeypatch.setattr(DiffusionModel, "restore", restoring)
    before, staying = plain(base), answers()
    assert loaded == [attacks[0].weights, attacks[2].weights]
    once = len(restored)
    pool.base(MODEL)
    assert torch.equal(plain(base), before)
    monkeypatch.setattr(ZeroShot, "stays", False)
    restored.clear()
    for one, other in zip(answers(), staying, strict=True):
        assert torch.equal(one, other)
    assert len(loaded) == 5
    assert len(restored) >= 2 * once


@pytest.mark.parametrize("model", [MODEL, OTHER])
def test_whoever_else_wants_a_base_finds_it_as_it_was(
    model: ModelSettings, pool: Pool, base: DiffusionModel, attacks: list[ZeroShot]
) -> None:
    before = plain(base)
    with pool.lent(MODEL, attacks[0]) as ready:
        changed = pictures(ready, ready.fit(person(0), fit_context()))
    assert not torch.allclose(changed, before, atol=1e-3)
    assert torch.equal(plain(pool.base(model)), before)
    with pool.lent(MODEL, attacks[0]) as ready:
        assert torch.equal(pictures(ready, ready.fit(person(0), fit_context())), changed)
    trained = Lora(steps=1).resolved("facelet")
    with pool.lent(model, trained) as other:
        other.fit(torch.rand(2, 3, tiny.SIDE, tiny.SIDE), fit_context())
    assert torch.equal(plain(base), before), "what is trained does not stay"


def test_after_a_failure_nothing_stays(pool: Pool, base: DiffusionModel, attacks: list[ZeroShot]) -> None:
    before = plain(base)

    def fail() -> None:
        with pool.lent(MODEL, attacks[0]) as ready:
            ready.load(ready.fit(person(0), fit_context()))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert torch.equal(plain(base), before)
