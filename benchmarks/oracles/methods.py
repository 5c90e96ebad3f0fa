"""All comparisons, by method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.oracles import Row, antidiffusion, disdiff, faceshield, idguardian, idprotector, mist

METHODS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "disdiff": disdiff.compare,
    "antidiffusion": antidiffusion.compare,
    "mist": mist.compare,
    "faceshield": faceshield.compare,
    "idprotector_pgd": idprotector.compare,
    "idguardian": idguardian.compare,
}
"""Name of a defense -> its rows; the folder is for what they write."""
