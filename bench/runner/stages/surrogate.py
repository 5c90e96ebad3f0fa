"""Stage 0: a copy of a surrogate learns a person from clean photos, for the defenses that want one (`pretuning`).

What it learns does not depend on the cloak, so budgets and ablations of one defense share it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.core.code_version import module_version
from bench.core.deferred import Tensor, torch
from bench.core.hashing import hash_of, sha256_array
from bench.core.images import to_pixels
from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.finetuning import finetune
from bench.models.diffusion.fingerprint import fingerprint
from bench.models.diffusion.recipe import Recipe
from bench.store import Store
from defenses import ignore

STAGE = "surrogate"
WEIGHTS = "denoiser.safetensors"


def key(recipe: Recipe, photos: Sequence[str], base: str, seed: int) -> str:
    """Hash of the code, the recipe, the photos' hashes in their order, the base's fingerprint and the seed."""
    return hash_of([module_version(__name__), dataclasses.asdict(recipe), list(photos), base, seed])


def tuned(
    base: DiffusionModel,
    photos: Tensor,
    recipe: Recipe,
    seed: int,
    progress: Callable[[float], None] = ignore,
) -> DiffusionModel:
    """A frozen copy of a base whose denoiser has learned photos (n, 3, h, w) in [0, 1]; without prior preservation."""
    copy = base.clone()
    with torch.no_grad():
        latents = base.posterior(photos)
    random = generator(seed, STAGE, *_hashes(photos))
    finetune(copy, copy.parameters(text_encoder=False), latents, recipe, random, progress=progress)
    copy.freeze()
    return copy


def save(folder: Path, model: DiffusionModel) -> None:
    """Write what was learned."""
    from safetensors.torch import save_file

    weights = model.denoiser.state_dict()
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)


def pretuned(store: Store, seed: int) -> Callable[[DiffusionModel, Tensor, Recipe], DiffusionModel]:
    """`Context.pretuned` of a run: what the store has is loaded, and nothing else is kept there."""

    def made(base: DiffusionModel, photos: Tensor, recipe: Recipe) -> DiffusionModel:
        from safetensors.torch import load_file

        name = fingerprint(base.checkpoint, base.computing)
        entry = store.find(STAGE, key(recipe, _hashes(photos), name, seed))
        if entry is None:
            return tuned(base, photos, recipe, seed)
        copy = base.clone()
        copy.denoiser.load_state_dict(load_file(entry.path / WEIGHTS, device=str(base.device)))
        return copy

    return made


def _hashes(photos: Tensor) -> list[str]:
    """As `Photo.sha256`."""
    return [sha256_array(pixels) for pixels in to_pixels(photos)]
