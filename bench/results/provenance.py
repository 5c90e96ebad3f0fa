"""Where a number comes from: code, packages, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bench
from bench.core.gpus import gpus

PACKAGES = ("torch", "diffusers", "transformers", "peft", "numpy", "scipy", "pillow", "dlib-bin", "hydra-core")


@cache
def provenance() -> dict[str, Any]:
    """Facts about this process that a record keeps: versions, git state and hardware. No host name, no user."""
    return {
        "cloakbench": bench.__version__,
        "git": _git(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "gpu": _gpu(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout this package is in; None for an installed package."""
    root = Path(bench.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _run("git", "-C", str(root), "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_run("git", "-C", str(root), "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _gpu() -> str | None:
    if not gpus():
        return None
    import torch

    return torch.cuda.get_device_name()
