"""What makes the hot loops fast, each by itself: seconds of a step without and with it.

    python -m benchmarks.levers              # three minutes on a core

Each pair does the same work on the embedded model, in turns, so that what else the machine does hits both. What does
not pay here is off by default and stays a setting, for GPUs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from bench.models.base import Base
from bench.models.checkpoint import locate
from bench.models.computing import Computing
from bench.models.loading import load_base
from bench.seeds import generator
from benchmarks.limits import PROMPT, Step, cloak, descend, generate
from defenses.objectives import denoising_loss

PAIRS = 7
PHOTOS, PICTURES, BATCH = 4, 16, 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    table = Table("lever", "s without", "s with", "times as fast")
    for name, without, used in levers():
        slow, fast = paired(without, used)
        table.add_row(name, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.2f}")
    Console(width=110).print(table)


def paired(one: Step, other: Step) -> tuple[float, float]:
    """Median seconds of both, taken in turns after a first time of each."""
    one()
    other()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(PAIRS):
        for step, seconds in zip((one, other), times, strict=True):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])


def levers() -> Iterator[tuple[str, Step, Step]]:
    """Name, and a step without and with it."""
    base = load_base(locate("facelet-1", "zoo"))
    one, single = cloak(base, 1), generate(base, 1)
    yield "PGD: a person's photos at once", lambda: [one() for _ in range(PHOTOS)], cloak(base, PHOTOS)
    yield "PGD: the surrogate's weights want no gradients", pgd(base, frozen=False), pgd(base, frozen=True)
    yield "generation: all pictures at once", lambda: [single() for _ in range(PICTURES)], generate(base, PICTURES)
    student = base.clone()
    yield "ASPL: a copy of weights in place", base.clone, lambda: student.copy_weights_from(base)
    yield "fit: photos encoded once", train(base, encoded=False), train(base)
    yield "fit: a frozen text encoder reads once", train(base, read=False), train(base)
    yield "fit: AdamW in one kernel", train(base, fused=False), train(base)
    for name, computing in (
        ("model.channels_last=true", Computing(channels_last=True)),
        ("model.precision=bf16", Computing("bf16")),
    ):
        other = load_base(locate("facelet-1", "zoo"), computing=computing)
        yield f"fit: {name}", train(base), train(other)
        yield f"PGD: {name}", cloak(base, PHOTOS), cloak(other, PHOTOS)
        yield f"generation: {name}", generate(base, PICTURES), generate(other, PICTURES)


def pgd(base: Base, frozen: bool) -> Step:
    """A step of PGD by `backward`, as released code takes it right after the surrogate has learned."""
    photos = torch.rand(PHOTOS, 3, base.side, base.side)
    loss = denoising_loss(base, PROMPT, PHOTOS, generator("levers"))

    def step() -> None:
        if not frozen:
            base.parameters()
        loss(photos.clone().requires_grad_()).backward()  # type: ignore[no-untyped-call]
        base.freeze()

    return step


def train(base: Base, encoded: bool = True, read: bool = True, fused: bool = True) -> Step:
    """A step of fine-tuning the UNet, and what it need not do again."""
    random, photos = generator("levers"), torch.rand(BATCH, 3, base.side, base.side)
    weights = base.parameters(text_encoder=False)
    optimizer = torch.optim.AdamW(weights, lr=0.0, fused=fused)
    with torch.no_grad():
        known, told = base.posterior(photos), base.condition([PROMPT])

    def step() -> None:
        base.parameters(text_encoder=False)
        with torch.no_grad():
            latents = (known if encoded else base.posterior(photos)).sample(random)
            condition = told if read else base.condition([PROMPT])
        descend(base.denoising_errors(latents, condition.expand(BATCH), random), optimizer, weights)
        base.freeze()

    return step


if __name__ == "__main__":
    main()
