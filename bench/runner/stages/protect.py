"""Stage 1: a defense cloaks a person's photos. The stage quantises, saves, re-reads and audits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.config.resolved_method import ResolvedMethod
from bench.core import numbered
from bench.core.budget import audit
from bench.core.code_version import code_version, module_version
from bench.core.hashing import hash_of
from bench.core.images import to_pixels, to_tensor
from bench.core.seeding import generator
from bench.core.types import Budget, Identity, Photo
from bench.models.diffusion.base import DiffusionModel
from bench.runner.stages.class_images import class_latents
from bench.store import Store
from defenses import Context, Defense, Pretuned


def key(
    defense: ResolvedMethod[Defense],
    identity: Identity,
    budget: Budget,
    surrogates: Sequence[str],
    seed: int,
    pretuned: str = "",
) -> str:
    """Hash of the defense, its settings, code and files, the photos, the budget, the surrogates and the seed.

    `surrogates` are fingerprints of the bases, `pretuned` is the key of what one of them has learned beforehand.
    """
    files = defense.instance.files()
    return hash_of(
        {
            "code": [module_version(__name__), code_version(type(defense.instance))],
            "defense": defense.facts(files),
            "files": files,
            "photos": [photo.sha256 for photo in identity.protect],
            "reference": [photo.sha256 for photo in identity.reference],
            "budget": budget.levels,
            "surrogates": list(surrogates) if defense.instance.needs_surrogate else [],
            "seed": [seed, identity.name],
            **({"pretuned": pretuned} if pretuned else {}),
        }
    )


def context(
    identity: Identity,
    budget: Budget,
    bases: Sequence[DiffusionModel],
    seed: int,
    store: Store,
    pretuned: Pretuned,
    progress: Callable[[float], None],
) -> Context:
    """What a defense may use while it cloaks one person's photos; `bases` are its surrogates, if it needs any."""
    reference = to_tensor([photo.pixels for photo in identity.reference])
    return Context(
        surrogates=bases,
        reference=reference.to(bases[0].device) if bases else reference,
        budget=budget,
        generator=generator(seed, "protect", identity.name),
        class_latents=partial(class_latents, store),
        pretuned=pretuned,
        progress=progress,
        identity=identity.name,
        names=[photo.name for photo in identity.protect],
    )


def protect(folder: Path, defense: ResolvedMethod[Defense], photos: Sequence[Photo], context: Context) -> None:
    """Write the cloaked photos of one person as PNGs, in their order.

    Raises:
        BenchError: the saved photos exceed the budget, or a value is not finite.
    """
    originals = [photo.pixels for photo in photos]
    clean = to_tensor(originals).to(context.reference.device)
    try:
        cloaked = defense.instance.protect(clean.clone(), context)
    finally:
        for base in context.surrogates:
            base.restore()
    numbered.save(folder, to_pixels(cloaked))
    audit(originals, numbered.load(folder, len(originals)), context.budget, defense.name)
