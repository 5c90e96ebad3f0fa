"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.config_store import ConfigStore
from hypothesis import settings
from torch import Tensor

from bench.core.images import to_pixels, to_tensor
from bench.list import REGISTRIES
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from tests.support.contexts import ROOT

if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker has one core, and so have the processes that it starts: threads that wait for each other are slow.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

# Reproducible and without a folder of examples: a failure here must be the same failure everywhere.
settings.register_profile("cloakbench", derandomize=True, database=None, deadline=None)
settings.load_profile("cloakbench")


PLUGGABLE = tuple(registry.kind for registry in REGISTRIES.values())
"""Groups of settings that plug-ins add to."""


@pytest.fixture(autouse=True)
def _unchanged_process() -> Iterator[None]:
    """What a command sets for the processes that it starts, and groups of plug-ins' settings, end with the test."""
    safe, repo = os.environ.get("PYTHONSAFEPATH"), ConfigStore.instance().repo
    groups = {name: dict(repo[name]) for name in PLUGGABLE if name in repo}
    yield
    for name in PLUGGABLE:
        repo.pop(name, None)
    repo.update(groups)
    if safe is None:
        os.environ.pop("PYTHONSAFEPATH", None)
    else:
        os.environ["PYTHONSAFEPATH"] = safe


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data(name)` is the folder or file ../shared/data/<name> beside the repository; skips without it."""

    def find(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"needs {path}, which does not come with the repository")
        return path

    return find


@pytest.fixture(scope="session")
def _loaded() -> DiffusionModel:
    return load_base(locate("facelet-1", "zoo"))


@pytest.fixture
def base(_loaded: DiffusionModel) -> Iterator[DiffusionModel]:
    """The embedded model, loaded once and handed out as new."""
    yield _loaded
    _loaded.restore()


@pytest.fixture(scope="session")
def photos(_loaded: DiffusionModel) -> Tensor:
    """(2, 3, side, side) faces in [0, 1] of the embedded model, on exact 8-bit levels."""
    noise = torch.randn(2, *_loaded.latent_shape, generator=torch.Generator().manual_seed(5))
    faces = _loaded.sample(_loaded.condition(["a photo of a man"]).expand(2), noise, 8, 3.0)
    return to_tensor(to_pixels(faces))
