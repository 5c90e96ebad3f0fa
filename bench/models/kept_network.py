"""A stock network of diffusers by itself, loaded once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bench.core.errors import BenchError


@lru_cache(maxsize=2)
def kept_network(kind: str, folder: Path, fingerprint: str, device: str) -> Any:
    """A network, kept for the next person; changed files have another fingerprint and are another entry.

    Args:
        kind: name of its class in diffusers.
        folder: of its files.
        fingerprint: of these.
        device: where it computes, in fp32.

    Raises:
        BenchError: it does not load.
    """
    del fingerprint  # only there to make a changed file another entry of the cache
    import diffusers

    try:
        return getattr(diffusers, kind).from_pretrained(folder, dtype=torch.float32).to(device).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise BenchError(f"The network in {folder} does not load: {error}", "Take the files again.") from error
