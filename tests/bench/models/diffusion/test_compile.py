"""What compiling a UNet is worth depends on its being one graph: nothing that looks at it may cut it into pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.profiling import counting
from bench.models.diffusion.attention import watched
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.cross_attention import queried
from tests.support import tiny


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
