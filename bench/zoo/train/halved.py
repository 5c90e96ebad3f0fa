"""Copies of trained weights in half precision, as the repository and the package keep them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

WEIGHTS = ".safetensors"


def copy_halved(source: Path, target: Path) -> None:
    """Copy a file or a folder in place of what is there; weights in safetensors files become fp16.

    Counts and other whole numbers stay as they are. The copy appears whole or not at all.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    if source.is_dir():
        shutil.copytree(source, partial)
        for file in partial.rglob(f"*{WEIGHTS}"):
            _halve(file)
    else:
        shutil.copyfile(source, partial)
        if source.suffix == WEIGHTS:
            _halve(partial)
    _remove(target)
    partial.rename(target)


def _halve(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        notes = opened.metadata()
    weights = load_file(file)
    halves = {name: value.half() if value.dtype == torch.float32 else value for name, value in weights.items()}
    save_file({name: value.contiguous() for name, value in halves.items()}, file, notes)
    file.chmod(0o644)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
