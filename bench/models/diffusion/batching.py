"""Batches that shrink when a GPU's memory runs out, so that a card too small costs time and no cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.core.deferred import torch
from bench.core.meter import note_halving

T = TypeVar("T")


def in_batches(count: int, most: int, work: Callable[[slice], Sequence[T]]) -> list[T]:
    """What `work` makes of items 0 to `count`, in order, at most so many at a time.

    A batch that runs out of memory is done again in two halves, and those after it are no larger. Low-precision kernels
    differ by batch shape, so the meter notes it.

    Raises:
        torch.OutOfMemoryError: one item alone is too large.
    """
    done: list[T] = []
    while len(done) < count:
        part = slice(len(done), min(len(done) + most, count))
        try:
            done += work(part)
            continue
        except torch.OutOfMemoryError:
            if part.stop - part.start == 1:
                raise
        most = (part.stop - part.start) // 2  # out here, where the error holds the batch's tensors no more
        note_halving()
        torch.cuda.empty_cache()
    return done
