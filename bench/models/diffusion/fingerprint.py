"""What names a base in the store's keys."""

from __future__ import annotations

from bench.config.compute import Computing
from bench.core.code_version import module_version
from bench.models.weights.checkpoint import Checkpoint

KINDS = "bench.models.diffusion.loading"
"""The module from which the code of all kinds of base is reached: stages know what they have in common alone."""


def fingerprint(checkpoint: Checkpoint, computing: Computing) -> str:
    """What all outputs depend on that a base has part in: its files, how it computes, and the code of its kind."""
    return f"{checkpoint.fingerprint} {computing.arithmetic} {module_version(KINDS)}"
