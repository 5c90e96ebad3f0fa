"""Stage 3: an attack personalises a base model on the photos it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from attacks import Artifact, Attack, FitContext
from bench.config.resolved_method import ResolvedMethod
from bench.core import numbered
from bench.core.code_version import code_version, module_version
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import to_tensor
from bench.core.seeding import generator
from bench.runner.stages.class_images import class_latents
from bench.store import Store

ARTIFACT = "artifact.safetensors"


def key(
    photos: str, attack: ResolvedMethod[Attack], name: str, base: str, identity: str, seed: int, together: int = 1
) -> str:
    """Hash of the treated photos' key, the attack, its settings, code and files, the base model and the seed.

    `name` and `base` are the base model's name and fingerprint. With `together` it is the result of a batch that had
    room for so many fits; whose they are is nothing that the digits depend on.

    An attack that does not look at the photos has one key for all of them, so it runs once.
    """
    files = attack.instance.files(name)
    return hash_of(
        {
            "code": [module_version(__name__), code_version(type(attack.instance))],
            "photos": [photos, identity, seed] if attack.instance.needs_photos else [],
            "attack": attack.facts(files),
            "files": files,
            "base": base,
            **({"together": together} if together > 1 else {}),
        }
    )


def context(identity: str, seed: int, store: Store, progress: Callable[[float], None] | None) -> FitContext:
    """What an attack may use while it fits.

    The defense is not part of the seed: all defenses face the same training noise, and differences are paired.
    """
    return FitContext(generator(seed, "fit", identity), partial(class_latents, store), progress)


def fit(folder: Path, photos: Path, attack: Attack, context: FitContext) -> None:
    """Write what an attack that has its base learned from a folder of photos as `artifact.safetensors`.

    Raises:
        FitFailed: the attack cannot use these photos.
        BenchError: the training diverged.
    """
    _save(folder, attack.fit(to_tensor(numbered.load(photos)).to(attack.base.device), context))


def fit_many(
    folders: Sequence[Path],
    photos: Sequence[Path],
    attack: Attack,
    contexts: Sequence[FitContext],
    places: int,
) -> list[BenchError | None]:
    """The same for several folders of equally many photos at once; what went wrong with each, if anything.

    The batch always has so many places. Empty ones fit once more to the first folder: their shape is what counts.
    """
    given = [to_tensor(numbered.load(each)).to(attack.base.device) for each in photos]
    empty = places - len(given)
    seats = [*contexts, *(_once_more(contexts[0]) for _ in range(empty))]
    artifacts = attack.fit_many([*given, *given[:1] * empty], seats)
    return [_problem(partial(_save, *each)) for each in zip(folders, artifacts, strict=False)]


def _once_more(context: FitContext) -> FitContext:
    """The same draws again, from a generator of their own."""
    return dataclasses.replace(context, generator=context.generator.clone_state(), progress=None)


def _problem(work: Callable[[], None]) -> BenchError | None:
    try:
        work()
    except BenchError as error:
        return error
    return None


def _save(folder: Path, artifact: Artifact) -> None:
    from safetensors.torch import save_file

    for name, tensor in artifact.items():
        if not bool(tensor.isfinite().all()):
            raise BenchError(f"The attack diverged: {name} is not finite.", "Lower attack.learning_rate.")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in artifact.items()}, folder / ARTIFACT)
