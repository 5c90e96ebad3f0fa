"""Seeds from named components.

Every random draw states what it may depend on: `derive(seed, "fit", identity)` does not know the defense, so all
defenses train under the same noise and their differences are paired. 0 is a seed like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.core.hashing import hash_of

if TYPE_CHECKING:
    import torch


def derive(*components: str | int) -> int:
    """A 63-bit seed that depends on exactly the given components, in order."""
    return int(hash_of(list(components))[:16], 16) >> 1


def generator(*components: str | int) -> torch.Generator:
    """A CPU generator seeded with `derive`; CPU, so that every device sees the same numbers."""
    import torch

    return torch.Generator("cpu").manual_seed(derive(*components))
