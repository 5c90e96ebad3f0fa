"""Fixtures of the trainings' tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.zoo.train.networks import NETWORKS


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("recogniser")
    save_file(NETWORKS["residual"]().state_dict(), folder / "network.safetensors")
    return folder
