"""Stage 2: what happens to the cloaked photos before the attacker trains on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.resolved_method import ResolvedMethod
from bench.core import numbered
from bench.core.code_version import code_version, module_version
from bench.core.hashing import hash_of
from bench.core.seeding import generator
from bench.core.types import Photo, Pixels
from countermeasures import Countermeasure, Purifier

if TYPE_CHECKING:
    from bench.models.diffusion.base import DiffusionModel


def key(
    protected: str,
    countermeasures: Sequence[ResolvedMethod[Countermeasure]],
    base: str,
    seed: int,
    clean: Sequence[Photo] = (),
) -> str:
    """Hash of the cloaked photos' key, the countermeasures (settings, code, files), the seed, and the base if used.

    `base` is the base's fingerprint; `clean` are the photos that the attacker has uncloaked.
    """
    code = [module_version(__name__), *(code_version(type(each.instance)) for each in countermeasures)]
    used = [base for each in countermeasures if isinstance(each.instance, Purifier)]
    files = [each.instance.files() for each in countermeasures]
    steps = [each.facts(own) for each, own in zip(countermeasures, files, strict=True)]
    used += [digest for own in files for digest in own.values()]
    leaked = [photo.sha256 for photo in clean]
    facts = {"photos": protected, "countermeasures": steps, "code": code, "base": used, "seed": seed}
    return hash_of({**facts, "clean": leaked} if leaked else facts)


def counter(
    folder: Path,
    protected: Path,
    countermeasures: Sequence[Countermeasure],
    base: Callable[[], DiffusionModel],
    seed: int,
    identity: str,
    clean: Sequence[Photo] = (),
) -> None:
    """Write the photos as PNGs, treated by one countermeasure after another; each has its own randomness.

    `clean` photos take the place of the first cloaked ones, and are treated as the others are.
    """
    treated = numbered.load(protected)
    treated[: len(clean)] = [photo.pixels for photo in clean]
    for place, each in enumerate(countermeasures):
        random = generator(seed, "counter", identity, place)
        treat: Callable[..., list[Pixels]]
        treat = partial(each.purify, base=base()) if isinstance(each, Purifier) else each.apply
        treated = treat(treated, random)
    numbered.save(folder, treated)
