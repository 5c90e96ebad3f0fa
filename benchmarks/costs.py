"""The README's table of what attacks cost at full size, and checks of it.

python -m benchmarks.costs               # prints the table
python -m benchmarks.costs --measure     # fits with the embedded model, and compares the peak of memory
python -m benchmarks.costs --decoding    # most memory while the VAE decodes 16 pictures of 512 px, so many at a time
python -m benchmarks.costs --gpu sd15    # fits on a GPU with random weights of that size (sdxl, too): time and memory
python -m benchmarks.costs --together 8  # fits of 8 people one after another and in one batch; with --gpu there, too
"""

from __future__ import annotations

import argparse
import itertools
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
from diffusers import AutoencoderKL
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from attacks import ATTACKS, Attack, FitContext
from bench.config.compose import settings_of
from bench.config.compute import Computing
from bench.config.resolved_method import ResolvedMethod
from bench.core.meter import Meter
from bench.core.seeding import generator
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from bench.models.weights.published import ADAPTERS
from bench.runner.flops import PEAK, at_once, clock, counted, flops, generation, memory, seconds
from benchmarks.full_size import base_of
from benchmarks.work import VAE, kept_bytes
from defenses import PHOTOS

BASES = ("sd15", "sdxl", "sd35", "flux")
MEASURED = BASES[:2]
"""Those that can be had with random weights."""
TRAINED = ("dreambooth", "lora", "textual_inversion")
STACKED = ("textual_inversion", "lora")
ZERO_SHOT = {"ip_adapter": "ip-adapter", "photomaker": "photomaker", "instantid": "instantid"}
FEW, MANY = 5, 25
"""Steps of two fits whose difference is what steps take."""
CLASS_COUNT = 8
TURNS = 3
"""Times that fits are timed one after another and together, in turns."""
HEADINGS = ("attack", "base", "UNet passes, fit", "UNet passes, pictures", "PFLOP", "H100", "memory", "low")


def lines() -> Iterator[str]:
    """The table in Markdown: one person, with the pictures that the default protocol asks for."""
    yield f"| {' | '.join(HEADINGS)} |"
    yield f"|{'---|' * len(HEADINGS)}"
    for base in BASES:
        settings = settings_of([f"model={base}"])
        for name in (*TRAINED, *(name for name, adapter in ZERO_SHOT.items() if (adapter, base) in ADAPTERS)):
            made = ATTACKS.create(name, {}).resolved(settings.model.family)
            method = ResolvedMethod.of(name, made)
            fit = counted("fit", method) or {}
            pictures = generation(
                method,
                len(settings.protocol.asked),
                settings.model.steps,
                1 if settings.model.guidance_told else settings.model.guidance,
            )
            total = flops(fit, base) + flops(pictures, base)
            took = seconds(fit, base, at_once(method)) + seconds(pictures, base, PHOTOS)
            cells = (
                f"`{name}`",
                f"`{base}`",
                f"{sum(fit.get('unet', {}).values()):,}",
                f"{pictures['unet']['plain']:,}",
                f"{total / 1e15:.1f}",
                clock(took),
                f"{memory(method, base) / 1e9:.0f} GB",
                f"{memory(method, base, low=True) / 1e9:.0f} GB",
            )
            yield f"| {' | '.join(cells)} |"


def measure(name: str) -> str:
    """Fit one attack to random photos with the embedded model: what memory grows by, and what the sum of sizes says."""
    base = load_base(locate("facelet-1", "zoo"))
    like_full_size = {"preset": "hf", "batch": 8} if name == "lora" else {}  # the embedded preset adapts all layers
    attack = ATTACKS.create(name, {"steps": 3, **like_full_size}).resolved("facelet")
    attack.prepare(base)
    batch = int(ResolvedMethod.of(name, attack).settings["batch"])
    photos = torch.rand(PHOTOS, 3, base.side, base.side, generator=generator("photos"))
    latents, times = torch.randn(batch, *base.latent_shape), torch.full((batch,), 500)
    hidden = base.condition(["a photo of person"]).expand(batch).hidden
    parameters = sum(weight.numel() for module in base.tunable.values() for weight in module.parameters())
    word = name == "textual_inversion"
    expected = kept_bytes(base.unet, not word, latents.requires_grad_(word), times, hidden)
    expected += 3 * 4 * parameters * (name == "dreambooth")
    base.restore()
    with torch.no_grad():  # what any pass takes is not what a fit adds
        base.posterior(photos)
        base.unet(latents, times, hidden)
    before = _peak()
    attack.fit(photos, FitContext(generator("fit"), lambda base, count: base.posterior(photos)))
    return f"{name}: {(_peak() - before) / 1e6:.0f} MB more at the peak; by the sum of sizes {expected / 1e6:.0f} MB"


def measure_on_gpu(name: str, model: str) -> str:
    """A step of a fit with published settings: TFLOP, seconds, the rate, and the peak of memory beside the table's."""
    settings = settings_of([f"model={model}"]).model
    base = base_of(model, "cuda", Computing(settings.precision))
    photos = torch.rand(PHOTOS, 3, base.side, base.side, device=base.device)
    one, took = photos[:1], []
    for steps in (FEW, FEW, MANY):  # the first also loads kernels
        less = {"class_count": CLASS_COUNT} if name != "textual_inversion" else {}  # encoded before the first step
        attack = ATTACKS.create(name, {"steps": steps, **less}).resolved(settings.family)
        attack.prepare(base)
        with Meter() as meter:
            attack.fit(photos, FitContext(generator("fit"), lambda b, n: b.posterior(one.expand(n, -1, -1, -1))))
            torch.cuda.synchronize()
        attack.reset()
        took.append(meter.cost)
    _, few, many = took
    counts = [(cost.passes or {})["unet"] for cost in (few, many)]
    more = {kind: count - counts[0][kind] for kind, count in counts[1].items()}
    computed = flops({"unet": more}, model) / (MANY - FEW)
    seconds = (many.seconds - few.seconds) / (MANY - FEW)
    method = ResolvedMethod.of(name, attack)
    return (
        f"| `{name}` | `{model}` | {computed / 1e12:.1f} | {1000 * seconds:.0f} ms | {computed / seconds / 1e12:.0f} |"
        f" {computed / seconds / PEAK:.0%} | {many.peak_mb * 2**20 / 1e9:.0f} GB |"
        f" {memory(method, model) / 1e9:.0f} GB |"
    )


def beside(name: str, model: str, people: int) -> str:
    """Seconds of a step of so many people's fits, one after another and in one batch."""
    on_gpu, settings = model in MEASURED, settings_of([f"model={model}"]).model
    base = base_of(model, "cuda" if on_gpu else "cpu", Computing(settings.precision))
    photos = [torch.rand(1, 3, base.side, base.side, device=base.device) for _ in range(people)]
    few, many = (FEW, MANY) if on_gpu else (1, 3)

    def took(steps: int, together: bool) -> float:
        attack = ATTACKS.create(name, {"steps": steps}).resolved(settings.family)
        contexts = [FitContext(generator("fit", place), lambda b, n: b.posterior(photos[0])) for place in range(people)]
        attack.prepare(base)
        with Meter() as meter:
            (attack.fit_many if together else partial(Attack.fit_many, attack))(photos, contexts)
            if on_gpu:
                torch.cuda.synchronize()
        attack.reset()
        return meter.cost.seconds

    took(1, together=True)  # also loads kernels
    times = [[took(many, together) - took(few, together) for together in (False, True)] for _ in range(TURNS)]
    alone, stacked = (median(of_one) / (many - few) for of_one in zip(*times, strict=True))
    each = f"{alone:.3f} s one after another, {stacked:.3f} s together: {alone / stacked:.2f} times as fast"
    return f"`{name}`, `{model}`: a step of {people} people takes {each}"


def beside_counted(people: int) -> Iterator[str]:
    """The same of whole fits, by counted passes and the rates that were measured on an H200."""
    word = f"`fits_together={people}`"
    yield f"| attack | base | {people} one after another | {word} | times as fast | memory | {word} |"
    yield f"|{'---|' * 7}"
    for base, name in itertools.product(MEASURED, STACKED):
        method = ResolvedMethod.of(name, ATTACKS.create(name, {}).resolved(settings_of([f"model={base}"]).model.family))
        passes, batch = counted("fit", method) or {}, at_once(method)
        alone, stacked = (people * seconds(passes, base, batch * places) for places in (1, people))
        one, all_of_them = (f"{memory(method, base, together=places) / 1e9:.0f} GB" for places in (1, people))
        cells = f"`{name}`", f"`{base}`", clock(alone), clock(stacked), f"{alone / stacked:.1f}", one, all_of_them
        yield f"| {' | '.join(cells)} |"


def _peak() -> int:
    """The most memory that this process has had, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def decoding(count: int) -> float:
    """GB that decoding pictures of 512 px by Stable Diffusion's VAE takes at most, its weights included, in fp32.

    Counted on tensors without data: nothing is computed.
    """
    with FakeTensorMode():
        vae = AutoencoderKL(**VAE)
        latents = torch.randn(count, 4, 64, 64)
        with torch.no_grad(), MemTracker() as tracker:
            vae.decode(latents)
    (sizes,) = tracker.get_tracker_snapshot("peak").values()
    return float(max(sizes.values())) / 1e9


def main() -> None:
    """Print the table, or measure, each attack in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--decoding", action="store_true")
    parser.add_argument("--gpu", choices=MEASURED)
    parser.add_argument("--together", type=int, metavar="PEOPLE")
    parser.add_argument("--fit", choices=TRAINED, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.together:
        torch.set_num_threads(1)
        print("\n".join(beside_counted(chosen.together)), flush=True)
        for name in STACKED:
            print(beside(name, chosen.gpu or "facelet-1", chosen.together), flush=True)
    elif chosen.fit and chosen.gpu:
        print(measure_on_gpu(chosen.fit, chosen.gpu), flush=True)
    elif chosen.fit:
        print(measure(chosen.fit))
    elif chosen.measure or chosen.gpu:
        size = ["--gpu", chosen.gpu] if chosen.gpu else []
        for name in TRAINED:
            subprocess.run([sys.executable, "-m", "benchmarks.costs", "--fit", name, *size], check=True)
    elif chosen.decoding:
        for count in (16, 4, 1):
            print(f"{count:2} at a time: {decoding(count):4.1f} GB")
    else:
        print("\n".join(lines()))


if __name__ == "__main__":
    main()
