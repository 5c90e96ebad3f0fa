"""How near the hot loops come to what this machine's cores can multiply.

python -m benchmarks.limits              # two minutes; one thread, as a worker has
python -m benchmarks.limits --threads 2

Floating-point operations are counted by PyTorch, those of matrix products and convolutions alone; the peak is a large
matrix product of the same machine, just before. What is missing to it is everything else: normalisation, activations,
copies, the optimiser, and products too small to fill the cores. The second table is what more people at once would
give: seconds of each picture in batches of several sizes, as parts of those in the smallest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.models.base import Base
from bench.models.checkpoint import locate
from bench.models.loading import load_base
from bench.seeds import generator
from defenses.objectives import denoising_loss

PROMPT = "a photo of sks person"
REPEATS = 5
BATCHES = (1, 4, 8, 16, 32)
STEPS = 5

Step = Callable[[], object]


def main() -> None:
    """Print a table: operations, seconds and share of the peak of one step of each loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    base = load_base(locate("facelet-1", "zoo"))
    peak = rate(product())
    print(f"matrix product of 1,024: {peak / 1e9:.0f} GFLOP/s")
    print(f"{'loop':32s} {'GFLOP':>7s} {'s':>7s} {'GFLOP/s':>8s} {'of the peak':>12s}")
    for (name, loop), count in zip(LOOPS.items(), (4, 16, 8), strict=True):  # as in the embedded presets
        step = loop(base, count)
        work, seconds = counted(step), timed(step)
        speed = work / seconds
        print(f"{f'{name}, {count}':32s} {work / 1e9:7.1f} {seconds:7.3f} {speed / 1e9:8.0f} {speed / peak:12.0%}")
        base.freeze()
    print(f"\n{'a picture in a batch of':32s} {' '.join(f'{count:7d}' for count in BATCHES)}")
    for name, loop in LOOPS.items():
        each = [timed(loop(base, count)) / count for count in BATCHES]
        print(f"{name:32s} {' '.join(f'{seconds / each[0]:7.2f}' for seconds in each)}")
        base.freeze()


def cloak(base: Base, count: int) -> Step:
    """A step of PGD on the denoising loss of some photos."""
    photos = torch.rand(count, 3, base.side, base.side)
    loss = denoising_loss(base, PROMPT, count, generator(0, "limits"))

    def step() -> Tensor:
        candidates = photos.clone().requires_grad_()
        return torch.autograd.grad(loss(candidates), candidates)[0]

    return step


def generate(base: Base, count: int) -> Step:
    """Some steps of the sampler, and the decoder."""
    noise = torch.randn(count, *base.latent_shape, generator=generator(0, "limits"))
    condition = base.condition([PROMPT]).expand(count)
    return lambda: base.sample(condition, noise, steps=STEPS, guidance=5.0)


def fit(base: Base, count: int) -> Step:
    """A step of DreamBooth, text encoder included."""
    random = generator(0, "limits")
    latents = torch.randn(count, *base.latent_shape, generator=random)
    weights = base.parameters(text_encoder=True)
    optimizer = torch.optim.AdamW(weights, lr=0.0, fused=True)

    def step() -> None:
        descend(base.denoising_errors(latents, base.condition([PROMPT]).expand(count), random), optimizer, weights)

    return step


def descend(errors: Tensor, optimizer: torch.optim.Optimizer, weights: Sequence[torch.nn.Parameter]) -> None:
    """What follows a forward pass in fine-tuning."""
    optimizer.zero_grad()
    errors.mean().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()


LOOPS = {"PGD on the denoising loss": cloak, f"generation in {STEPS} steps": generate, "DreamBooth": fit}
"""Name -> what makes one step of it for a batch of some size."""


def product() -> Callable[[], Tensor]:
    """A large matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return lambda: a @ b


def rate(step: Step) -> float:
    """Floating-point operations a second."""
    return counted(step) / timed(step)


def counted(step: Step) -> int:
    """Floating-point operations of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def timed(step: Step) -> float:
    """Seconds of a step, the median of some."""
    step()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[REPEATS // 2]


if __name__ == "__main__":
    main()
