"""How many GPUs PyTorch sees."""

from __future__ import annotations

import sys
from pathlib import Path

FILES = ("nvidia*", "nvhost*", "nvgpu*", "kfd", "dxg")
"""Under /dev, of which Linux has one where there is a GPU for PyTorch."""


def gpus() -> int:
    """Their number. PyTorch is not asked, and so not imported, where the system says that there is none."""
    if sys.platform == "linux" and not any(file for name in FILES for file in Path("/dev").glob(name)):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
