"""What the protocol fixes: what is generated, and how every shipped base samples.

Titles and boards name what departs from it; records of before version 0.2 that do not say how their base sampled are
taken by the board to follow it. conf/ sets the same values by default. Who changes them there makes another protocol:
add it here, and raise `bench.results.record.PROTOCOL`.
"""

from __future__ import annotations

from typing import Any

_ASKED: dict[str, Any] = {
    "prompts": ["a photo of {subject}", "a dslr portrait of {subject}"],
    "images_per_prompt": 8,
    "far": 0.01,
}
_EMBEDDED = {"family": "facelet", "resolution": 128, "precision": "fp32", "steps": 10, "guidance": 5.0}
_FULL = {"family": "sd", "resolution": 512, "precision": "bf16", "steps": 25, "guidance": 7.5}
PROTOCOLS: dict[int, dict[str, Any]] = {
    1: _ASKED,
    2: {**_ASKED, "version": 2, "judges": ["mobilefacenet", "faceres"]},
}
"""Version, see `bench.results.record.PROTOCOL` -> what records of it state. Protocol 1 stated no version."""
BASES: dict[str, dict[str, Any]] = {
    "facelet-1": _EMBEDDED,
    "facelet-2": _EMBEDDED,
    "sd15": _FULL,
    "sd21": _FULL,
    "sdxl": _FULL | {"family": "sdxl", "resolution": 1024, "guidance": 5.0},
    "sd35": _FULL | {"family": "sd3", "resolution": 1024, "steps": 40, "guidance": 4.5},
    "flux": _FULL | {"family": "flux", "resolution": 1024, "steps": 50, "guidance": 3.5},
    "kontext": _FULL | {"family": "flux", "resolution": 1024, "steps": 28, "guidance": 2.5},
}
"""Base -> how protocol 2 uses it: facts of `bench.results.record.ModelFacts`."""
_BEFORE = {(1, "facelet"): {"steps": 20}}
"""Version and family -> where an earlier protocol used it otherwise."""


def sampler(version: int, base: str) -> dict[str, Any]:
    """How a protocol's version uses a base; nothing of one that is not shipped."""
    usual = BASES.get(base, {})
    return usual | _BEFORE.get((version, usual.get("family", "")), {})
