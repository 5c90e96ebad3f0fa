"""What L-inf, L1, PSNR and SSIM of the same photos say of each other: inequalities that no cloak escapes.

With the values of a photo changed by d, L1 is the mean of |d|, L-inf the largest |d| of all photos, and PSNR is
10 log10(255^2 / mean(d^2)), 100 where nothing changed. So mean(d^2) lies between L1^2 and L1 times L-inf. PSNR and L1
of a record are means over photos: the lower bound on PSNR is convex in L1, so it holds for means, too (Jensen); the
upper one is replaced by its chord.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log10

from bench.results.record import Record

WHITE, IDENTICAL = 255, 100.0
"""Grey levels, and the PSNR of photos that are equal."""
TOLERANCE = 1e-6
TAKE = "Take the record as the run wrote it."
FLAT = WHITE / 10 ** (IDENTICAL / 20)
"""The L1 below which a PSNR would be above `IDENTICAL`."""


def faults(record: Record) -> Iterator[tuple[str, str]]:
    """(field, message) of each number that contradicts another one; of those that are stated."""
    stated = {name: value for name, value in record.metrics.items() if value is not None}
    if "linf" not in stated:
        return
    linf = stated["linf"]
    if linf != round(linf):
        yield "metrics.linf", f"is {linf}, and a largest change of 8-bit pixels is a whole number. {TAKE}"
    for name, low, high in _bounds(linf, stated.get("l1")):
        value = stated.get(name)
        if value is not None and not low - TOLERANCE <= value <= high + TOLERANCE:
            levels = f"linf {linf:g}" + (f" and l1 {stated['l1']:g}" if "l1" in stated else "")
            yield f"metrics.{name}", f"is {value:g}, and with {levels} lies between {low:g} and {high:g}. {TAKE}"
    for name, sign in (("psnr", 1), ("ssim", 1), ("l1", -1)):
        mean, worst = stated.get(name), stated.get(f"{name}.worst")
        if mean is not None and worst is not None and sign * (worst - mean) > TOLERANCE:
            yield f"metrics.{name}.worst", f"is {worst:g}, which is better than the mean, {mean:g}. {TAKE}"


def _bounds(linf: float, l1: float | None) -> Iterator[tuple[str, float, float]]:
    """Metric, and between what it lies."""
    if linf <= 0:
        yield from (("psnr", IDENTICAL, IDENTICAL), ("ssim", 1.0, 1.0), ("l1", 0.0, 0.0), ("l1.worst", 0.0, 0.0))
        return
    yield "l1", 0.0, linf
    yield "l1.worst", 0.0, linf
    yield "ssim", -1.0, 1.0
    most = 20 * log10(WHITE / linf)  # of a photo all of whose values changed by so much
    if l1 is None or not 0 < l1 <= linf:
        yield "psnr", most, IDENTICAL
        return
    # Furthest apart are photos of which some changed everywhere by linf, and the others not at all.
    share = max(0.0, (l1 - FLAT) / (linf - FLAT)) if linf > FLAT else 0.0
    yield "psnr", 10 * log10(WHITE**2 / (linf * l1)), IDENTICAL - share * (IDENTICAL - most)
