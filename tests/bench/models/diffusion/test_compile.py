"""What compiling a UNet is worth depends on its being one graph: nothing that looks at it may cut it into pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks.ip_adapter import IpAdapter
from bench.config.schema import ModelSettings
from bench.core.profiling import counting
from bench.models.diffusion.attention import watched
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.cross_attention import queried
from bench.models.diffusion.model_cache import Pool
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import pictures


@pytest.fixture
def graphs() -> list[Any]:
    """What Dynamo hands over to be compiled; it runs as it is."""
    torch._dynamo.reset()
    return []


@pytest.fixture
def base(tmp_path: Path, graphs: list[Any]) -> DiffusionModel:
    def backend(graph: Any, inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        forward: Callable[..., Any] = graph.forward
        return forward

    made = tiny.tiny_base(tmp_path / "base")
    made.unet.compile(dynamic=False, backend=backend)
    return made


def predict(base: DiffusionModel) -> Tensor:
    latents = torch.ones(2, *base.latent_shape)
    return base.predict(latents, torch.tensor([3, 700]), base.condition(["a photo"]).expand(2))


def test_a_unet_that_is_counted_is_one_graph(base: DiffusionModel, graphs: list[Any]) -> None:
    with torch.no_grad(), counting() as passes:
        first, again = predict(base), predict(base)
    assert len(graphs) == 1
    assert torch.equal(first, again)
    assert passes["unet"]["plain"] == 4


def test_the_last_features_are_seen_and_cost_no_new_graph(base: DiffusionModel, graphs: list[Any]) -> None:
    """What is compiled passes over hooks that were set later."""
    with torch.no_grad():
        plain = predict(base)
        with base.last_features() as seen:
            again = predict(base)
    assert len(seen) == len(base.unet.up_blocks[-1].resnets)
    assert len(graphs) == 1
    torch.testing.assert_close(again, plain)


def test_looks_at_the_attention_cost_no_new_graph(base: DiffusionModel, graphs: list[Any]) -> None:
    """Cloaks look at every step: compiled, each look would be compiled anew."""
    with torch.no_grad():
        plain = predict(base)
        for _ in range(3):
            with watched(base.unet, {8}) as maps:
                seen = predict(base)
            with queried(base.unet, {8}) as queries:
                predict(base)
            assert maps.cross
            assert queries
        assert torch.allclose(seen, plain, atol=1e-4)
        predict(base)
    assert len(graphs) == 1


def test_an_adapter_that_stays_is_compiled_once(base: DiffusionModel, graphs: list[Any], tmp_path: Path) -> None:
    model = ModelSettings(name="tiny", resolution=tiny.SIDE, precision="fp32", steps=2, guidance=3.0)
    pool, weights = Pool("cpu"), str(tiny.ip_adapter(tmp_path / "adapter", base.unet))
    pool._bases[model] = base
    counts = []
    for who in range(3):
        with pool.lent(model, IpAdapter(weights=weights)) as attack:
            pictures(attack, attack.fit(tiny.person(who), fit_context()))
        counts.append(len(graphs))
    pool.base(model)
    assert counts[0] == counts[2] > 0
