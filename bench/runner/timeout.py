"""A limit on how long something may take, so that a method that hangs costs one cell and not the sweep."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bench.core.errors import BenchError

AGAIN = 5.0
"""Seconds after which it is said once more, to code that has caught it and goes on."""


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Interrupt what runs inside after so many seconds; None lets it run.

    The interruption comes between two steps of Python code: a single call into a library that never returns is not
    broken off.

    Raises:
        BenchError: the time is up; or there is a limit, but no alarm to keep it (not on the main thread, or Windows).
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise BenchError("timeout= needs a main thread on Linux or macOS.", "Leave it out here.")

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise BenchError(f"It took longer than timeout={seconds:g} seconds.", "Allow more, or mend what hangs.")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
