"""What a piece of work costs: wall time, peak memory, and passes through the networks."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.core.profiling import Passes, counting


@dataclass(frozen=True)
class Cost:
    """What a block cost.

    Attributes:
        seconds: wall time.
        peak_mb: peak memory in MB: of the GPU if the block used one, else of this process. Linux resets the
            process's peak at the start of the block; elsewhere it is the peak since the process began.
        passes: samples through diffusion networks, without those of blocks inside that have a meter of their own; None
            if nobody counted.
        halvings: how often a batch was halved because memory had run out.
        together: how many outputs were computed at once, this one among them; it has an equal share of the seconds.
        places: how many the computation had room for; its last digits depend on that.
    """

    seconds: float
    peak_mb: float
    passes: Passes | None = None
    halvings: int = 0
    together: int = 1
    places: int = 1

    def share(self, together: int, places: int) -> Cost:
        """What one costs of so many outputs that were computed at once, in so many places of equal work.

        The time is shared by those that are there, empty places included; samples are counted as those of one place.
        """
        passes = self.passes and {
            network: {how: count // places for how, count in samples.items()}
            for network, samples in self.passes.items()
        }
        return Cost(self.seconds / together, self.peak_mb, passes, self.halvings, together, places)


class Meter:
    """Context manager that measures its block; `cost` is there at its end, even if it raises."""

    cost: Cost

    def __enter__(self) -> Meter:
        _reset_peak()
        self._counting = counting()
        self._passes = self._counting.__enter__()
        self._halvings = _halvings
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._start
        self._counting.__exit__(kind, error, trace)
        self.cost = Cost(seconds, _peak_mb(), self._passes, _halvings - self._halvings)


_halvings = 0
"""In this process so far."""


def note_halving() -> None:
    """A batch was halved: whoever measures at present sees it."""
    global _halvings
    _halvings += 1


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")  # 5 resets VmHWM, see proc(5)
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peak_mb() -> float:
    cuda = _cuda()
    if cuda is not None and cuda.max_memory_allocated() > 0:
        return float(cuda.max_memory_allocated()) / 2**20
    try:
        _, _, peak = Path("/proc/self/status").read_bytes().partition(b"VmHWM:")
        return int(peak.split(maxsplit=1)[0]) / 1024
    except (OSError, IndexError):
        scale = 2**20 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _cuda() -> Any:
    """`torch.cuda` if a GPU can be in use, else None; never imports torch just to ask."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
