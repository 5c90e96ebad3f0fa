"""Released implementations beside ours: same photos, model, steps, step size and budget.

    git clone https://github.com/VinAIResearch/Anti-DreamBooth peers/Anti-DreamBooth
    git clone https://github.com/MadryLab/photoguard peers/photoguard
    git clone https://github.com/mist-project/mist peers/mist
    git clone https://github.com/somuchtome/SimAC peers/SimAC
    git clone https://github.com/liuyixin-louis/MetaCloak peers/MetaCloak
    python -m benchmarks.peers peers --data <folder of people>
    python -m benchmarks.peers --oracle

The last needs no clones: it prints what released code computes, written once more (`benchmarks.oracles`), beside ours.

For each person and several seeds, both make a cloak; both are rounded to 8 bits and scored by the same function, which
is the method's own objective on the base as it was loaded, over draws that neither has seen. What counts is whether our
score is at least theirs, within the spread from seed to seed. Beside it, theirs first: seconds, how many times as fast
ours is (the medians of runs in turn), and the most memory that the process had.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import diffusers.utils.logging
import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.core.images import to_tensor
from bench.core.meter import Cost, Meter
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.data.folder import Folder
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from benchmarks import released
from benchmarks.oracles.methods import METHODS
from benchmarks.released import CLASS_PROMPT, PROMPT, RATE, Cloak
from defenses import Context, Defense
from defenses.aspl import Aspl
from defenses.fsmg import Fsmg
from defenses.metacloak import MetaCloak
from defenses.mist import Mist
from defenses.photoguard import PhotoGuard
from defenses.simac import SimAC
from defenses.targets import pattern

ROUNDS, STEPS, CLASS_COUNT = 10, 100, 20
POOL, KEPT, UNROLLS = 20, 10, 3
"""Of MetaCloak: fine-tuning steps, after how many of them a state is kept, and blocks from each of the three states."""
DRAWS = 32


@dataclass(frozen=True)
class Comparison:
    """A method twice, and what it is after; larger scores are better for the defender."""

    name: str
    theirs: Cloak
    ours: Defense
    score: Callable[[Tensor], float]


def main(arguments: Sequence[str]) -> int:
    """Run all comparisons and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("peers", type=Path, nargs="?", help="folder with the clones")
    parser.add_argument("--data", help="folder of people")
    parser.add_argument("--oracle", action="store_true", help="the arithmetic of released code beside ours instead")
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8)
    parser.add_argument("--only", default="", help="methods whose name begins with this")
    chosen = parser.parse_args(arguments)
    if chosen.oracle:
        return oracles(chosen.only)
    if chosen.peers is None or chosen.data is None:
        parser.error("the folder with the clones and --data are needed, or --oracle")
    base = load_base(locate("facelet-1", "zoo"))
    diffusers.utils.logging.set_verbosity_error()  # released code casts models, which warns every time
    people = Folder(root=chosen.data, limit=chosen.people).load(base.side).identities[: chosen.people]
    classes = base.sample(
        base.condition([CLASS_PROMPT]).expand(CLASS_COUNT),
        torch.randn(CLASS_COUNT, *base.latent_shape, generator=generator("class")),
        20,
        3.0,
    )
    table = Table(title=f"{chosen.budget}/255 on facelet-1, {len(people)} people x {chosen.seeds} seeds")
    for column in (
        "method",
        "clean",
        "theirs",
        "ours",
        "seed spread",
        "ours - theirs",
        "seconds",
        "times as fast",
        "MB",
    ):
        table.add_column(column, justify="left" if column == "method" else "right")
    for comparison in comparisons(base, chosen.peers, classes, chosen.budget):
        if not comparison.name.startswith(chosen.only):
            continue
        table.add_row(*measure(comparison, base, people, classes, chosen.budget, chosen.seeds))
    Console(width=110).print(table)
    return 0


def oracles(only: str) -> int:
    """Print the table of `benchmarks.oracles`; the exit status is 0 if every difference is within its aim."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("method", "what", "released", "as_released", "difference", "other variant"):
        table.add_column(column, justify="left" if column in ("method", "what") else "right")
    within = True
    for method, compare in METHODS.items():
        if not method.startswith(only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in compare(Path(folder)):
                within &= row.difference <= row.aim
                other = "" if math.isnan(row.otherwise) else f"{row.otherwise:.5g}"
                table.add_row(
                    method, row.what, f"{row.released:.5g}", f"{row.ours:.5g}", f"{row.difference:.1e}", other
                )
    Console(width=110).print(table)
    return int(not within)


def measure(
    comparison: Comparison, base: DiffusionModel, people: Sequence[Any], classes: Tensor, budget: int, seeds: int
) -> list[str]:
    """One row of the table."""
    scores: dict[str, list[list[float]]] = {"theirs": [], "ours": []}
    costs: dict[str, list[Cost]] = {"theirs": [], "ours": []}
    clean = []
    for person in people:
        photos, reference = (to_tensor([p.pixels for p in some]) for some in (person.protect, person.reference))
        clean.append(comparison.score(photos))

        def ours(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
            context = Context([base], reference, Budget(budget), generator(seed), lambda b, n: b.posterior(classes[:n]))
            return comparison.ours.protect(photos, context)

        for who, cloak in (("theirs", comparison.theirs), ("ours", ours)):
            scores[who].append([])
            for seed in range(seeds):
                with Meter() as meter:
                    cloaked = cloak(photos.clone(), reference, seed).detach()
                costs[who].append(meter.cost)
                base.restore()
                kept = (cloaked * 255).round().clamp(photos * 255 - budget, photos * 255 + budget) / 255
                scores[who][-1].append(comparison.score(kept))
    theirs, mine = (np.array(scores[who]) for who in ("theirs", "ours"))
    spread = float(np.concatenate([theirs, mine]).std(axis=1, ddof=1).mean()) if seeds > 1 else float("nan")
    seconds = {who: [cost.seconds for cost in made] for who, made in costs.items()}
    ratios = [slow / fast for slow, fast in zip(seconds["theirs"], seconds["ours"], strict=True)]
    return [
        comparison.name,
        *(f"{value:.4g}" for value in (np.mean(clean), theirs.mean(), mine.mean(), spread)),
        f"{mine.mean() - theirs.mean():+.4g}",
        f"{median(seconds['theirs']):.1f}, {median(seconds['ours']):.1f}",
        f"{median(ratios):.2f}",
        ", ".join(f"{max(cost.peak_mb for cost in made):.0f}" for made in costs.values()),
    ]


def comparisons(base: DiffusionModel, peers: Path, classes: Tensor, budget: int) -> list[Comparison]:
    """ASPL, PhotoGuard's encoder attack and Mist."""
    wanted = base.encode(pattern(base.side)).detach()

    @torch.no_grad()
    def loss(photos: Tensor, prompt: str) -> float:
        condition, latents = base.condition([prompt]).expand(len(photos)), base.encode(photos)
        draws = [base.denoising_errors(latents, condition, generator("peers", i)).mean() for i in range(DRAWS)]
        return float(torch.stack(draws).mean())

    @torch.no_grad()
    def small(photos: Tensor) -> float:
        return -float(base.encode(photos).square().mean().sqrt())

    @torch.no_grad()
    def fused(photos: Tensor) -> float:
        distance = (base.encode(photos) - wanted).square().sum() / len(photos)
        return 1e4 * loss(photos, CLASS_PROMPT) - float(distance)

    step = budget / 8
    recipe: dict[str, Any] = {"learning_rate": RATE, "prior_weight": 1.0, "class_count": CLASS_COUNT}
    turns: dict[str, Any] = {"rounds": ROUNDS, "step": step, "batch": 1, **recipe}
    vin, shared = peers / "Anti-DreamBooth", (classes, budget, step)
    return [
        Comparison(
            f"ASPL, {ROUNDS} rounds",
            released.aspl(base, vin, *shared, ROUNDS),
            Aspl(**turns),
            lambda photos: loss(photos, PROMPT),
        ),
        Comparison(
            f"FSMG, {STEPS} steps",
            released.fsmg(base, vin, *shared, STEPS),
            Fsmg(surrogate_steps=0, pgd_steps=STEPS, step=step, learning_rate=RATE, prior_weight=0.0),
            lambda photos: loss(photos, PROMPT),
        ),
        Comparison(
            f"SimAC as released, {ROUNDS} rounds",
            released.simac(base, peers / "SimAC", *shared, ROUNDS),
            SimAC(variant="as_released", **turns),
            lambda photos: loss(photos, PROMPT),
        ),
        Comparison(
            f"MetaCloak, {3 * UNROLLS} blocks",
            released.metacloak(base, peers / "MetaCloak", *shared, (POOL, KEPT), UNROLLS),
            MetaCloak(pool_steps=POOL, snapshots=3, trials=1, unrolls=UNROLLS, batch=1, step=step / budget, **recipe),
            lambda photos: loss(photos, PROMPT),
        ),
        Comparison(
            f"PhotoGuard, {STEPS} steps",
            released.photoguard(base, peers / "photoguard", budget, STEPS),
            PhotoGuard(preset="published", draws=1, steps=STEPS),
            small,
        ),
        Comparison(
            f"Mist as released, {STEPS} steps",
            released.mist(base, peers / "mist", budget, step, STEPS),
            Mist(variant="as_released", steps=STEPS, step=step / budget),
            fused,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
