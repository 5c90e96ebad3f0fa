"""What makes the hot loops fast, each by itself: seconds of a step without and with it.

    python -m benchmarks.levers              # three minutes on a core
    python -m benchmarks.levers --device cuda --model sd15 --precision bf16

Each pair does the same work, in turns, so that what else the machine does hits both. What does not pay on a core is off
by default and stays a setting, for GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

import torch

from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from benchmarks.full_size import base_of
from benchmarks.limits import COUNTS, PROMPT, Step, asked, cloak, descend, generate, took
from defenses.objectives import denoising_loss

PAIRS = 7
PEOPLE = 4
"""At once, on a GPU."""


def main() -> None:
    """Print the table."""
    base, chosen = asked(__doc__)
    print(f"{chosen.model}, {base.computing.arithmetic}")
    print(f"{'lever':48s} {'s without':>9s} {'s with':>9s} {'times as fast':>14s}")
    for name, without, used in levers(base):
        if re.search(chosen.only, name):
            slow, fast = paired(without, used)
            print(f"{name:48s} {slow:9.3f} {fast:9.3f} {slow / fast:14.2f}", flush=True)
        base.freeze()


def paired(one: Step, other: Step) -> tuple[float, float]:
    """Median seconds of both, taken in turns after a first time of each."""
    took(one)
    took(other)
    times = [(took(one), took(other)) for _ in range(PAIRS)]
    slow, fast = (median(of_one) for of_one in zip(*times, strict=True))
    return slow, fast


def levers(base: DiffusionModel) -> Iterator[tuple[str, Step, Step]]:
    """Name, and a step without and with it."""
    model, computing = base.checkpoint.name, base.computing
    photos, pictures, batch = COUNTS[model]
    one, single = cloak(base, 1), generate(base, 1)
    yield "PGD: a person's photos at once", lambda: [one() for _ in range(photos)], cloak(base, photos)
    yield "PGD: the surrogate's weights want no gradients", pgd(base, photos, False), pgd(base, photos, True)
    yield "generation: all pictures at once", lambda: [single() for _ in range(pictures)], generate(base, pictures)
    student = base.clone()
    yield "ASPL: a copy of weights in place", base.clone, lambda: student.copy_weights_from(base)
    yield "fit: photos encoded once", train(base, batch, encoded=False), train(base, batch)
    yield "fit: a frozen text encoder reads once", train(base, batch, read=False), train(base, batch)
    yield "fit: AdamW in one kernel", train(base, batch, fused=False), train(base, batch)
    if base.device.type != "cpu":
        person = cloak(base, photos)
        yield (
            f"PGD: {PEOPLE} people at once",
            lambda: [person() for _ in range(PEOPLE)],
            cloak(base, PEOPLE * photos),
        )
    for name, changed in (
        ("model.channels_last=true", replace(computing, channels_last=True)),
        ("model.precision=bf16", replace(computing, precision="bf16")),
        ("model.compile=true", replace(computing, compile=True)),
    ):
        if changed == computing or (changed.compile and base.device.type == "cpu"):
            continue
        other = base_of(model, str(base.device), changed)
        yield f"fit: {name}", train(base, batch), train(other, batch)
        yield f"PGD: {name}", cloak(base, photos), cloak(other, photos)
        yield f"generation: {name}", generate(base, pictures), generate(other, pictures)


def pgd(base: DiffusionModel, count: int, frozen: bool) -> Step:
    """A step of PGD by `backward`, as released code takes it right after the surrogate has learned."""
    photos = torch.rand(count, 3, base.side, base.side, device=base.device)
    loss = denoising_loss(base, PROMPT, count, generator("levers"))

    def step() -> None:
        if not frozen:
            base.parameters()
        loss(photos.clone().requires_grad_()).backward()  # type: ignore[no-untyped-call]
        base.freeze()

    return step


def train(base: DiffusionModel, count: int, encoded: bool = True, read: bool = True, fused: bool = True) -> Step:
    """A step of fine-tuning the UNet, and what it need not do again."""
    random, photos = generator("levers"), torch.rand(count, 3, base.side, base.side, device=base.device)
    weights = base.parameters(text_encoder=False)
    optimizer = torch.optim.AdamW(weights, lr=0.0, fused=fused)
    with torch.no_grad():
        known, told = base.posterior(photos), base.condition([PROMPT])

    def step() -> None:
        base.parameters(text_encoder=False)
        with torch.no_grad():
            latents = (known if encoded else base.posterior(photos)).sample(random)
            condition = told if read else base.condition([PROMPT])
        descend(base.denoising_errors(latents, condition.expand(count), random), optimizer, weights)
        base.freeze()

    return step


if __name__ == "__main__":
    main()
