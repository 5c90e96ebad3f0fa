"""Released implementations beside ours: same photos, model, steps, step size and budget.

    git clone https://github.com/VinAIResearch/Anti-DreamBooth peers/Anti-DreamBooth
    git clone https://github.com/MadryLab/photoguard peers/photoguard
    git clone https://github.com/mist-project/mist peers/mist
    python -m benchmarks.peers peers --data <folder of people>

For each person and several seeds, both make a cloak; both are rounded to 8 bits and scored by the same function, which
is the method's own objective on the base as it was loaded, over draws that neither has seen. What counts is whether our
score is at least theirs, within the spread from seed to seed. Beside it, theirs first: seconds, how many times as fast
ours is (the medians of runs in turn), and the most memory that the process had.

The released code is read from the clones and changed only where it could not run here: its device is not always a GPU,
Mist's model is a wrapper around a diffusers model, and stand-ins take the place of the few functions that Mist needs
from advertorch, which no longer installs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import diffusers.utils.logging
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from bench.data.folder import Folder
from bench.images import to_pixels, to_tensor
from bench.meter import Cost, Meter
from bench.models.base import Base
from bench.models.checkpoint import locate
from bench.models.loading import load_base
from bench.seeds import generator
from bench.types import Budget
from defenses import Context, Defense
from defenses.aspl import Aspl
from defenses.mist import Mist
from defenses.photoguard import PhotoGuard
from defenses.targets import pattern

PROMPT, CLASS_PROMPT = "a photo of sks person", "a photo of person"
ROUNDS, STEPS, CLASS_COUNT, RATE = 10, 100, 20, 1e-4
DRAWS = 32

Cloak = Callable[[Tensor, Tensor, int], Tensor]
"""(photos, reference photos, seed) -> cloaked photos, all in [0, 1]."""


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
    parser.add_argument("peers", type=Path, help="folder with the three clones")
    parser.add_argument("--data", required=True, help="folder of people")
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=8)
    parser.add_argument("--only", default="", help="methods whose name begins with this")
    chosen = parser.parse_args(arguments)
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


def measure(
    comparison: Comparison, base: Base, people: Sequence[Any], classes: Tensor, budget: int, seeds: int
) -> list[str]:
    """One row of the table."""
    scores: dict[str, list[list[float]]] = {"theirs": [], "ours": []}
    costs: dict[str, list[Cost]] = {"theirs": [], "ours": []}
    clean = []
    for person in people:
        photos, reference = (to_tensor([p.pixels for p in some]) for some in (person.protect, person.reference))
        clean.append(comparison.score(photos))

        def ours(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
            context = Context([base], reference, Budget(budget), generator(seed), lambda b, n: classes[:n])
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


def comparisons(base: Base, peers: Path, classes: Tensor, budget: int) -> list[Comparison]:
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
    lessons: dict[str, Any] = {"learning_rate": RATE, "prior_weight": 1.0, "class_count": CLASS_COUNT}
    return [
        Comparison(
            f"ASPL, {ROUNDS} rounds",
            released_aspl(base, peers / "Anti-DreamBooth", classes, budget, step),
            Aspl(rounds=ROUNDS, step=step, batch=1, **lessons),
            lambda photos: loss(photos, PROMPT),
        ),
        Comparison(
            f"PhotoGuard, {STEPS} steps",
            released_photoguard(base, peers / "photoguard", budget),
            PhotoGuard(preset="published", draws=1, steps=STEPS),
            small,
        ),
        Comparison(
            f"Mist, {STEPS} steps",
            released_mist(base, peers / "mist", budget, step),
            Mist(steps=STEPS, step=step / budget),
            fused,
        ),
    ]


# --- the released code ------------------------------------------------------------------------------------------------


def module_from(source: str, name: str) -> Any:
    """A module made of source text."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return module


def released_aspl(base: Base, clone: Path, classes: Tensor, budget: int, step: float) -> Cloak:
    """Anti-DreamBooth's `attacks/aspl.py`: its inner loops, called as its `main` calls them."""
    text = (clone / "attacks" / "aspl.py").read_text().replace("import datasets\n", "")  # which only its `main` uses
    text = text.replace('torch.device("cuda")', f'torch.device("{base.device}")')
    module = module_from(text, "released_aspl")
    folder = Path(tempfile.mkdtemp())
    for index, picture in enumerate(to_pixels(classes)):
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    args = SimpleNamespace(
        learning_rate=RATE,
        instance_prompt=PROMPT,
        class_prompt=CLASS_PROMPT,
        class_data_dir=str(folder),
        resolution=base.side,
        center_crop=True,
        with_prior_preservation=True,
        prior_loss_weight=1.0,
        pgd_alpha=step / 127.5,
        pgd_eps=budget / 127.5,
    )

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        import copy

        torch.manual_seed(seed)
        clean, original = reference * 2 - 1, photos * 2 - 1
        cloaked, vae = original.clone(), copy.deepcopy(base.vae)
        models: list[Any] = [copy.deepcopy(base.unet).requires_grad_(True), copy.deepcopy(base.text_encoder)]
        models[1].requires_grad_(True)
        shared = (base.tokenizer, base.scheduler, vae)
        for _ in range(ROUNDS):
            student = module.train_one_epoch(args, copy.deepcopy(models), *shared, clean, 3)
            cloaked = module.pgd_attack(args, student, *shared, cloaked, original, None, 6)
            models = module.train_one_epoch(args, models, *shared, cloaked, 3)
        return cloaked / 2 + 0.5

    return _quiet(cloak)


def released_photoguard(base: Base, clone: Path, budget: int) -> Cloak:
    """PhotoGuard's `pgd` of the img2img notebook, one photo at a time as there."""
    notebook = json.loads((clone / "notebooks" / "demo_simple_attack_img2img.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    (source,) = [cell for cell in cells if cell.startswith("def pgd(")]
    module = module_from("import torch\nfrom tqdm import tqdm\n" + source.replace(".cuda()", ""), "released_photoguard")
    radius = budget / 127.5

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        settings = {"eps": radius, "step_size": radius / 3, "iters": STEPS, "clamp_min": -1, "clamp_max": 1}
        made = [module.pgd(photo[None] * 2 - 1, model=base.vae.encode, **settings) for photo in photos]
        return torch.cat(made) / 2 + 0.5

    return _quiet(cloak)


def released_mist(base: Base, clone: Path, budget: int, step: float) -> Cloak:
    """Mist's `target_model` and `LinfPGDAttack`, fused mode, one photo at a time as there."""
    sys.modules |= _advertorch()
    pgd = module_from((clone / "Masked_PGD.py").read_text(), "released_masked_pgd")
    text = (clone / "mist_v3.py").read_text()
    body = text[text.index("class identity_loss") : text.index("def init(")]
    header = "import torch\nimport torch.nn as nn\nimport torchvision.transforms as transforms\n"
    module = module_from(f"{header}device = '{base.device}'\n{body}", "released_mist")
    net = module.target_model(_LatentDiffusion(base), [CLASS_PROMPT], mode=2, rate=10000, input_size=base.side)
    net.target_info = pattern(base.side).to(base.device) * 2 - 1

    def cloak(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        radius, size = budget / 127.5, step / 127.5
        attack = pgd.LinfPGDAttack(net, module.identity_loss(), radius, STEPS, size, clip_min=-1.0, targeted=True)
        made = [attack.perturb(photo[None] * 2 - 1, torch.zeros_like(photo[None])) for photo in photos]
        return torch.cat(made) / 2 + 0.5

    return _quiet(cloak)


class _LatentDiffusion(nn.Module):
    """What Mist calls on a CompVis model, on ours."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self._base = [base]  # not a module of this one

    def encode_first_stage(self, photos: Tensor) -> Any:
        return self._base[0].vae.encode(photos).latent_dist

    def get_first_stage_encoding(self, posterior: Any) -> Tensor:
        latents: Tensor = posterior.sample() * self._base[0].vae.config.scaling_factor
        return latents

    def get_learned_conditioning(self, prompts: list[str]) -> Any:
        return self._base[0].condition(prompts)

    def forward(self, latents: Tensor, condition: Any) -> tuple[Tensor]:
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        return (self._base[0].denoising_errors(latents, condition, draw).mean(),)


def _advertorch() -> dict[str, types.ModuleType]:
    """Stand-ins for the names that Mist imports; those of the L1 and L2 attacks stay empty."""
    utils, base, own = (types.ModuleType(f"advertorch.{name}") for name in ("utils", "attacks.base", "attacks.utils"))

    def clamp(values: Tensor, low: Any = None, high: Any = None, **named: Any) -> Tensor:
        return torch.clamp(values, named.get("min", low), named.get("max", high))

    def start(delta: nn.Parameter, x: Tensor, order: float, eps: float, low: float, high: float) -> None:
        delta.data.uniform_(-eps, eps)

    class Attack:
        def __init__(self, predict: Any, loss_fn: Any, clip_min: float, clip_max: float) -> None:
            self.predict, self.loss_fn, self.clip_min, self.clip_max = predict, loss_fn, clip_min, clip_max

    class LabelMixin:
        def _verify_and_process_inputs(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x.detach().clone(), y.detach().clone()

    vars(utils).update(
        clamp=clamp,
        batch_multiply=lambda factor, values: factor * values,
        batch_clamp=lambda limit, values: values.clamp(-limit, limit),
        is_float_or_torch_tensor=lambda value: isinstance(value, float | Tensor),
        **dict.fromkeys(("normalize_by_pnorm", "clamp_by_pnorm", "replicate_input", "batch_l1_proj")),
    )
    vars(base).update(Attack=Attack, LabelMixin=LabelMixin)
    vars(own).update(rand_init_delta=start)
    found = {module.__name__: module for module in (utils, base, own)}
    return {name: types.ModuleType(name) for name in ("advertorch", "advertorch.attacks")} | found


def _quiet(cloak: Cloak) -> Cloak:
    """Without the progress that released code prints."""
    import contextlib
    import io

    def quiet(photos: Tensor, reference: Tensor, seed: int) -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return cloak(photos, reference, seed)

    return quiet


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
