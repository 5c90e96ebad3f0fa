"""How near the hot loops come to what this machine's cores can multiply.

python -m benchmarks.limits              # a minute; one thread, as a worker has
python -m benchmarks.limits --threads 2

Floating-point operations are counted by PyTorch, those of matrix products and convolutions alone; the peak is a large
matrix product of the same machine, just before. What is missing to it is everything else: normalisation, activations,
copies, the optimiser, and products too small to fill the cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

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


def main() -> None:
    """Print a table: operations, seconds and share of the peak of one step of each loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    base = load_base(locate("facelet-1", "zoo"))
    peak = rate(product())
    print(f"matrix product of 1,024: {peak / 1e9:.0f} GFLOP/s")
    print(f"{'loop':32s} {'GFLOP':>7s} {'s':>7s} {'GFLOP/s':>8s} {'of the peak':>12s}")
    for name, step in loops(base):
        work, seconds = counted(step), timed(step)
        print(f"{name:32s} {work / 1e9:7.1f} {seconds:7.3f} {work / seconds / 1e9:8.0f} {work / seconds / peak:12.0%}")


def loops(base: Base) -> Iterator[tuple[str, Callable[[], object]]]:
    """One step of each hot loop, at the sizes of the embedded presets."""
    random, photos = generator(0, "limits"), torch.rand(4, 3, 128, 128)
    loss = denoising_loss(base, PROMPT, 4, random)

    def cloak() -> Tensor:
        candidates = photos.clone().requires_grad_()
        return torch.autograd.grad(loss(candidates), candidates)[0]

    yield "PGD on the denoising loss, 4", cloak
    noise = torch.randn(16, *base.latent_shape, generator=random)
    condition = base.condition([PROMPT]).expand(16)
    yield "generation, 16, a step of 20", lambda: base.sample(condition, noise, steps=1, guidance=5.0)
    latents = torch.randn(8, *base.latent_shape, generator=random)
    weights = base.parameters(text_encoder=True)
    optimizer = torch.optim.AdamW(weights, lr=0.0, fused=True)

    def fit() -> None:
        error = base.denoising_errors(latents, base.condition([PROMPT]).expand(8), random).mean()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    yield "DreamBooth, a step of 8", fit


def product() -> Callable[[], Tensor]:
    """A large matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return lambda: a @ b


def rate(step: Callable[[], object]) -> float:
    """Floating-point operations a second."""
    return counted(step) / timed(step)


def counted(step: Callable[[], object]) -> int:
    """Floating-point operations of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def timed(step: Callable[[], object]) -> float:
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
