"""How near the hot loops come to what this machine's cores can multiply.

python -m benchmarks.limits              # two minutes; one thread, as a worker has
python -m benchmarks.limits --threads 2
python -m benchmarks.limits --device cuda --model sd15 --precision bf16      # random weights; sdxl, too

Floating-point operations are counted by PyTorch, those of matrix products and convolutions alone; the peak is a large
matrix product of the same machine, just before. What is missing to it is everything else: normalisation, activations,
copies, the optimiser, and products too small to fill the cores. The second table is what more people at once would
give: seconds of each picture in batches of several sizes, as parts of those in the smallest.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.config.compute import Computing
from bench.core.meter import Meter
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from benchmarks.full_size import SIZES, base_of
from defenses.objectives import denoising_loss

PROMPT = "a photo of sks person"
REPEATS = 5
COUNTS = {"facelet-1": (4, 16, 8), "sd15": (4, 16, 4), "sdxl": (1, 4, 1)}
"""Photos of a cloak, pictures, and samples in a step of DreamBooth, as in the presets; of sdxl, what a GPU can hold."""
BATCHES = {"facelet-1": (1, 4, 8, 16, 32), "sd15": (1, 4, 8), "sdxl": ()}
STEPS = 5

Step = Callable[[], object]


def main() -> None:
    """Print a table: operations, seconds, share of the peak and memory of one step of each loop."""
    base, chosen = asked(__doc__)
    peak = rate(product(base))
    print(f"{chosen.model}, {base.computing.arithmetic}; a large matrix product: {peak / 1e9:,.0f} GFLOP/s")
    print(f"{'loop':32s} {'GFLOP':>9s} {'s':>7s} {'GFLOP/s':>8s} {'of the peak':>12s} {'MB at most':>11s}")
    every = zip(LOOPS.items(), COUNTS[chosen.model], strict=True)
    loops = [(name, loop, count) for (name, loop), count in every if re.search(chosen.only, name)]
    for name, loop, count in loops:
        step = loop(base, count)
        with Meter() as meter:
            work, seconds = counted(step), timed(step)
        speed, share, most = work / seconds / 1e9, work / seconds / peak, meter.cost.peak_mb
        line = f"{f'{name}, {count}':32s} {work / 1e9:9,.1f} {seconds:7.3f}"
        print(f"{line} {speed:8,.0f} {share:12.0%} {most:11,.0f}", flush=True)
        base.freeze()
    batches = BATCHES[chosen.model]
    if not batches:
        return
    print(f"\n{'a picture in a batch of':32s} {' '.join(f'{count:7d}' for count in batches)}")
    for name, loop, _ in loops:
        each = [timed(loop(base, count)) / count for count in batches]
        print(f"{name:32s} {' '.join(f'{seconds / each[0]:7.2f}' for seconds in each)}")
        base.freeze()


def asked(description: str | None) -> tuple[DiffusionModel, argparse.Namespace]:
    """What the command line asks for: the base, and the rest."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="facelet-1", choices=("facelet-1", *SIZES))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--only", default="", help="lines whose name this regular expression finds")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    return base_of(chosen.model, chosen.device, Computing(chosen.precision)), chosen


def cloak(base: DiffusionModel, count: int) -> Step:
    """A step of PGD on the denoising loss of some photos."""
    photos = torch.rand(count, 3, base.side, base.side, device=base.device)
    loss = denoising_loss(base, PROMPT, count, generator(0, "limits"))

    def step() -> Tensor:
        candidates = photos.clone().requires_grad_()
        return torch.autograd.grad(loss(candidates), candidates)[0]

    return step


def generate(base: DiffusionModel, count: int) -> Step:
    """Some steps of the sampler, and the decoder."""
    noise = torch.randn(count, *base.latent_shape, generator=generator(0, "limits"))
    condition = base.condition([PROMPT]).expand(count)
    return lambda: base.sample(condition, noise, steps=STEPS, guidance=5.0)


def fit(base: DiffusionModel, count: int) -> Step:
    """A step of DreamBooth, text encoder included."""
    random = generator(0, "limits")
    latents = torch.randn(count, *base.latent_shape, generator=random).to(base.device)
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


def product(base: DiffusionModel) -> Callable[[], Tensor]:
    """A large matrix product, computed as the base computes; four times as large for a GPU."""
    side = 1024 if base.device.type == "cpu" else 8192
    kind = torch.bfloat16 if base.computing.precision == "bf16" else torch.float32
    a, b = torch.randn(2, side, side, device=base.device, dtype=kind)
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
    took(step)
    return median(took(step) for _ in range(REPEATS))


def took(step: Step) -> float:
    """Seconds of a step, to the end of what a GPU computes."""
    start = time.perf_counter()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
