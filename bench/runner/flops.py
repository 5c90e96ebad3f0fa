"""What methods compute: samples that pass through the networks, and what these cost at the size of Stable Diffusion.

The passes are counted, by running every method with its published settings on a model of random weights (`python -m
benchmarks.work`), and kept in `flops.json`. The cost of one pass is counted too, on the real architectures without
weights. Both are exact; the seconds are not, for they take rates measured on one GPU (`benchmarks/README.md`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from bench.config.resolved_method import ResolvedMethod
from bench.config.schema import ModelSettings
from bench.core.profiling import Passes
from bench.models.diffusion.recipe import Recipe
from bench.runner.groups import places
from bench.runner.plan import Cell
from defenses import PHOTOS, Defense

FILE = Path(__file__).with_suffix(".json")
COST = {"plain": 1, "inputs": 2, "weights": 3}
"""What a sample costs, in forward passes: alone, with gradients of what went in, and with those of the weights too."""
PEAK = 989e12
"""bf16 FLOP/s of an H100 or H200 (dense)."""
RATES = {"plain": 400e12, "inputs": 130e12, "weights": 130e12}
"""FLOP/s that UNet and ControlNet reach in bf16 autocast, as measured on an H200: alone, and with gradients."""
VAE_RATE, XL_VAE_RATE = 90e12, 50e12
"""The same of the autoencoder, whose large activations hold it back; some compute in fp32."""
IN_FP32 = ("sdxl", "sd35", "sd35-large")
"""Bases whose autoencoder computes so."""
STEP = {"sd15": 0.2, "sd21": 0.2, "sdxl": 0.4, "sd35": 0.2, "sd35-large": 0.4, "flux": 0.4}
"""Seconds that a step with gradients takes however small its batch: launching kernels, of which there are thousands.
Of the transformers nobody has measured it: they are taken for U-Nets with as many layers."""
SOURCES = {"stabilityai/stable-diffusion-3.5-large": "sd35-large", "black-forest-labs/FLUX.1-Kontext-dev": "flux"}
"""Other models that a base is told to be by its source, and what their sizes are called here."""
BESIDE = ("kontext", "decontext")
"""Methods with a photo beside the picture: as many tokens again, which is about a second pass of the transformer."""
AT_ONCE = 4
"""Photos in a step of a cloak that says nothing else."""

STAGES = ("surrogate", "protect", "fit", "generate")


def forwards(samples: Mapping[str, int]) -> int:
    """Passes as so many forward passes of one sample."""
    return sum(COST[kind] * count for kind, count in samples.items())


def networks() -> dict[str, dict[str, float]]:
    """Base -> network -> FLOP of a forward pass of one sample at the base's own resolution; and sizes, for memory."""
    found: dict[str, dict[str, float]] = _file()["networks"]
    return found


def sized(model: ModelSettings) -> str | None:
    """What the sizes of a base are called; None if they are not known."""
    name = SOURCES.get(model.source, model.name)
    return name if name in networks() else None


def counted(stage: str, method: ResolvedMethod[Any]) -> Passes | None:
    """What a method computes for one person, if it was counted with just these settings.

    Settings that name files do not matter, nor what type of model it is.
    """
    asked = stage, method.name, comparable(method.settings)
    for entry in _file()["counted"]:
        if (entry["stage"], entry["name"], entry["settings"]) == asked:
            passes: Passes = entry["passes"]
            return passes
    return None


def generation(attack: ResolvedMethod[Any], pictures: int, steps: int, guidance: float) -> Passes:
    """What making pictures computes: twice the steps with guidance, a ControlNet beside the UNet for InstantID."""
    passes = {"plain": pictures * steps * (2 if guidance > 1 else 1), "inputs": 0, "weights": 0}
    more = {"controlnet": passes} if attack.name == "instantid" else {}
    return _beside(attack, {"unet": passes, **more, "decoder": {"plain": pictures, "inputs": 0, "weights": 0}})


def _beside(method: ResolvedMethod[Any], passes: Passes) -> Passes:
    """Passes, with those of the transformer twice where the method shows it a photo (`BESIDE`)."""
    if method.name not in BESIDE:
        return passes
    return passes | {"unet": {how: 2 * count for how, count in passes["unet"].items()}}


def pretuning(recipe: Recipe, photos: int) -> Passes:
    """What a surrogate's learning of so many photos computes: every photo encoded once, then the steps."""
    return {
        "encoder": {"plain": photos, "inputs": 0, "weights": 0},
        "unet": {"plain": 0, "inputs": 0, "weights": recipe.steps * recipe.batch},
    }


def _but_for_pretuning(passes: Passes, defense: Defense) -> Passes:
    """What was counted for a whole cloak, without what a stage of its own computes."""
    recipe = defense.pretuning(PHOTOS)
    apart = pretuning(recipe, PHOTOS) if recipe else {}
    return {
        network: {how: count - apart.get(network, {}).get(how, 0) for how, count in samples.items()}
        for network, samples in passes.items()
    }


def flops(passes: Passes, base: str) -> float:
    """FLOP of passes on a base of known size.

    Raises:
        KeyError: its size is not known.
    """
    sizes = networks()[base]
    return sum(sizes[network] * forwards(samples) for network, samples in passes.items())


def memory(attack: ResolvedMethod[Any], base: str, low: bool = False, together: int = 1) -> float:
    """Bytes that a GPU needs at least while an attack fits, as a sum of sizes.

    fp32 weights of all networks, but bf16 ones of T5, which nobody trains; of what is trained, gradients and the two
    moments of AdamW; and the bf16 activations that the denoiser keeps for a batch, with fused attention and without
    recomputing any. With prior preservation there are two batches. A LoRA or a learned word is too small to count. What
    the VAE and the generating take is not in it.

    Args:
        attack: which.
        base: which.
        low: with `model.memory=low`: the moments have a byte each, and activations are computed again.
        together: places in the batch; see `bench.runner.groups.places`.

    Raises:
        KeyError: the base's size is not known.
    """
    sizes, settings = networks()[base], attack.settings
    parts = ["unet", "text", "vae", *(["controlnet"] if attack.name == "instantid" else [])]
    weights = 4 * sum(sizes[f"{part}_parameters"] for part in parts) + 2 * sizes.get("frozen_parameters", 0)
    trained = 0.0
    if attack.name == "dreambooth":
        trained = sizes["unet_parameters"] + settings["train_text_encoder"] * sizes["text_parameters"]
    learned = "kept_for_inputs" if attack.name == "textual_inversion" else "kept_for_weights"
    kept = sizes["kept_checkpointed" if low else learned]
    return weights + (4 + 2 * (1 if low else 4)) * trained + together * at_once(attack, 0) * kept / 2


def seconds(passes: Passes, base: str, at_once: int) -> float:
    """About how long an H100 takes, if so many samples with gradients pass in one step.

    Raises:
        KeyError: the base's size is not known.
    """
    sizes, vae = networks()[base], XL_VAE_RATE if base in IN_FP32 else VAE_RATE
    plain = learning = 0.0
    for network, samples in passes.items():
        for kind, count in samples.items():
            rate = vae if network in ("encoder", "decoder") else RATES[kind]
            took = sizes[network] * COST[kind] * count / rate
            plain, learning = (plain + took, learning) if kind == "plain" else (plain, learning + took)
    with_gradients = sum(count for kind, count in passes.get("unet", {}).items() if kind != "plain")
    return plain + max(learning, STEP[base] * with_gradients / at_once)


def at_once(method: ResolvedMethod[Any], unsaid: int = AT_ONCE) -> int:
    """Samples in a step of a fit or a cloak; `unsaid` is the batch of one that has no such setting."""
    return int(method.settings.get("batch") or unsaid) * (2 if method.settings.get("prior_weight") else 1)


def table(planned: Sequence[Cell], together: int = 1) -> Table | None:
    """What cells compute on bases of known size, whether they can run here or not; None if nothing is known.

    Every piece of work counts once, however many cells share it, and whether it is in the store or not. Fits that
    share a pass (`fits_together`) are taken to fill it.
    """
    work: dict[tuple[str, str, str], dict[Any, tuple[float, float]]] = defaultdict(dict)
    needs: dict[tuple[str, str, str], float] = {}
    for cell in planned:
        room = places(cell, together)
        for stage, name, base, key, passes, samples in _pieces(cell):
            samples *= room if stage == "fit" else 1
            work[stage, name, base][key] = flops(passes, base), seconds(passes, base, samples)
        if own := sized(cell.model):
            needs["fit", cell.attack.name, own] = memory(cell.attack, own, cell.model.memory == "low", room)
    if not work:
        return None
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="By counted passes, for a GPU", title_justify="left")
    for heading in ("stage", "method", "base", "times", "PFLOP each", "PFLOP", "H100", "memory"):
        made.add_column(heading, justify="left" if heading in ("stage", "method", "base") else "right")
    every = np.zeros(2)
    for (stage, name, base), pieces in sorted(work.items(), key=lambda item: STAGES.index(item[0][0])):
        computed, took = total = np.sum(list(pieces.values()), axis=0)
        every += total
        each = f"{computed / len(pieces) / 1e15:.1f}"
        needed = f"{needs[stage, name, base] / 1e9:.0f} GB" if (stage, name, base) in needs else ""
        sums = str(len(pieces)), each, f"{computed / 1e15:.1f}", clock(took), needed
        made.add_row(stage, Text(name), Text(base), *sums)
    made.add_section()
    made.add_row("all", "", "", "", "", f"{every[0] / 1e15:.1f}", clock(every[1]), "")
    return made


def _pieces(cell: Cell) -> Iterator[tuple[str, str, str, Any, Passes, int]]:
    """(stage, method, base, what makes it one piece of work, passes, samples in a step), where passes are known."""
    cloak = (cell.identity.name, str(cell.defense.facts()), cell.budget.levels)
    found = (*cloak, str([method.facts() for method in cell.countermeasures]), str(cell.attack.facts()))
    if cell.surrogates and (base := sized(cell.surrogates[0])):
        passes, recipe = counted("protect", cell.defense), cell.pretuning
        if passes is not None:
            if recipe is not None:
                learned, references = (cell.identity.name, str(recipe)), len(cell.taught)
                yield "surrogate", cell.defense.name, base, learned, pretuning(recipe, references), recipe.batch
                passes = _but_for_pretuning(passes, cell.defense.instance)
            yield "protect", cell.defense.name, base, cloak, _beside(cell.defense, passes), at_once(cell.defense)
    if base := sized(cell.model):
        passes, model = counted("fit", cell.attack), cell.model
        if passes is not None:
            yield "fit", cell.attack.name, base, found, passes, at_once(cell.attack)
        pictures = len(cell.protocol.asked)
        made = generation(cell.attack, pictures, model.steps, 1 if model.guidance_told else model.guidance)
        yield "generate", cell.attack.name, base, found, made, AT_ONCE


def clock(seconds: float) -> str:
    """So many seconds in the unit that suits."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
    )


FILES = (
    *("weights", "recogniser", "recognisers", "image_encoder", "image_encoders", "adapter", "photomaker", "detector"),
    "sides",
)
"""Settings that say where files lie, and the sides of attention maps, which are smaller where passes are counted."""


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide how much a method computes, as plain values of JSON."""
    plain: dict[str, Any] = json.loads(json.dumps({k: v for k, v in settings.items() if k not in FILES}))
    return plain


@cache
def _file() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found
