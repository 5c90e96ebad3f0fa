"""PyTorch is imported when something is computed, and not before; what is written with it means the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from bench.core import deferred
from bench.core.code_version import Module
from tests.support.contexts import ROOT

PLAN = """
import sys
import bench.runner.run
from bench.config.compose import settings_of
from bench.models.diffusion.model_cache import Pool
from bench.runner.pipeline import Pipeline
from bench.runner.plan import cells, load_data
from bench.store import Store
from pathlib import Path

settings = settings_of(["data.limit=1", "logger=none", "device=cpu"])
data, pool = load_data(settings), Pool("cpu")
planned = cells(settings, data, pool)
Pipeline(settings, data, Store(Path(sys.argv[1])), pool).outputs(planned[-1])
print(sorted({"torch", "scipy.stats", "diffusers", "transformers", "onnxruntime"} & set(sys.modules)))
"""


def test_the_default_run_is_planned_without_what_computes(tmp_path: object) -> None:
    done = subprocess.run([sys.executable, "-c", PLAN, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_it_is_pytorch() -> None:
    assert deferred.torch.stack is torch.stack
    assert deferred.functional.mse_loss is torch.nn.functional.mse_loss
    with pytest.raises(AttributeError):
        _ = deferred.torch.no_such_thing  # type: ignore[attr-defined]


def test_gradients_are_off_in_a_block_and_in_every_call_of_a_function() -> None:
    @deferred.torch.no_grad()
    def recording(depth: int) -> list[bool]:
        return [torch.is_grad_enabled(), *(recording(depth - 1) if depth else [])]

    assert recording(2) == [False] * 3
    assert torch.is_grad_enabled()
    with deferred.torch.no_grad():
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()


def test_nobody_asks_whether_something_is_a_deferred_tensor() -> None:
    with pytest.raises(TypeError):
        isinstance(torch.zeros(1), deferred.Tensor)


def test_keys_do_not_tell_the_difference() -> None:
    body = "def f(x: Tensor):\n    return F.relu(torch.stack([x]))\n"
    plain = "import torch\nimport torch.nn.functional as F\nfrom torch import Tensor\n"
    later = "from bench.core.deferred import Tensor, functional as F, torch\n"
    first, second = (Module("m", (source + body).encode(), None, "").parts for source in (plain, later))
    assert first == second
