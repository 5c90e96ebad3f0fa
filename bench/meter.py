"""What a piece of work costs: wall time, peak memory, and passes through the networks."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.passes import Passes, counting


class Meter:
    """Context manager that measures its block.

    Attributes:
        seconds: wall time.
        peak_mb: peak memory in MB: of the GPU if the block used one, else of this process. Linux resets the
            process's peak at the start of the block; elsewhere it is the peak since the process began.
        passes: samples through diffusion networks, without those of blocks inside that have a meter of their own.
    """

    seconds: float = 0.0
    peak_mb: float = 0.0
    passes: Passes

    def __enter__(self) -> Meter:
        _reset_peak()
        self._counting = counting()
        self.passes = self._counting.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._start
        self._counting.__exit__(kind, error, trace)
        self.peak_mb = _peak_mb()


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets VmHWM, see proc(5)
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()


def _peak_mb() -> float:
    cuda = _cuda()
    if cuda is not None and cuda.max_memory_allocated() > 0:
        return float(cuda.max_memory_allocated()) / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        scale = 2**20 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _cuda() -> Any:
    """`torch.cuda` if a GPU can be in use, else None; never imports torch just to ask."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
