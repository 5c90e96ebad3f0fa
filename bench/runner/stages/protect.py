"""Stage 1: a defense cloaks a person's photos. The stage quantises, saves, re-reads and audits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.config.schema import Method
from bench.core import numbered
from bench.core.budget import audit
from bench.core.code_version import code_version, module_version
from bench.core.hashing import hash_of
from bench.core.images import to_pixels, to_tensor
from bench.core.seeding import generator
from bench.core.types import Budget, Identity
from bench.models.diffusion.base import DiffusionModel
from bench.runner.stages.class_images import class_images
from bench.store import Store
from defenses import Context, Defense


def key(
    method: Method, defense: Defense, identity: Identity, budget: Budget, surrogates: Sequence[str], seed: int
) -> str:
    """Hash of the defense, its settings, code and files, the photos, the budget, the surrogates and the seed.

    `surrogates` are fingerprints of the bases.
    """
    files = defense.files()
    return hash_of(
        {
            "code": [module_version(__name__), code_version(type(defense))],
            "defense": method.without(files).facts(),
            "files": files,
            "photos": [photo.sha256 for photo in identity.protect],
            "reference": [photo.sha256 for photo in identity.reference],
            "budget": budget.levels,
            "surrogates": list(surrogates) if defense.needs_surrogate else [],
            "seed": [seed, identity.name],
        }
    )


def protect(
    folder: Path,
    name: str,
    defense: Defense,
    identity: Identity,
    budget: Budget,
    surrogates: Callable[[], Sequence[DiffusionModel]],
    seed: int,
    store: Store,
    progress: Callable[[float], None],
) -> None:
    """Write the cloaked photos of one person as PNGs, in the order of `identity.protect`.

    Raises:
        BenchError: the saved photos exceed the budget, or a value is not finite.
    """
    bases = list(surrogates()) if defense.needs_surrogate else []
    context = Context(
        surrogates=bases,
        reference=to_tensor([photo.pixels for photo in identity.reference]),
        budget=budget,
        generator=generator(seed, "protect", identity.name),
        class_images=lambda base, count: class_images(store, base, count),
        progress=progress,
        identity=identity.name,
        names=[photo.name for photo in identity.protect],
    )
    originals = [photo.pixels for photo in identity.protect]
    clean = to_tensor(originals)
    if bases:
        clean, context.reference = clean.to(bases[0].device), context.reference.to(bases[0].device)
    try:
        cloaked = defense.protect(clean.clone(), context)
    finally:
        for base in bases:
            base.restore()
    numbered.save(folder, to_pixels(cloaked))
    audit(originals, numbered.load(folder, len(originals)), budget, name)
