"""Pictures of "a person" by a base model, for prior preservation: made once per base, shared by all who ask."""

from __future__ import annotations

from pathlib import Path

from bench.core import numbered
from bench.core.code_version import module_version
from bench.core.deferred import Tensor, torch
from bench.core.hashing import hash_of
from bench.core.images import to_pixels, to_tensor
from bench.core.seeding import generator
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel, randn
from bench.models.diffusion.batching import in_batches
from bench.store import Store

PROMPT = "a photo of person"
STEPS = 25
GUIDANCE = 7.5
BATCH = 16


def class_images(store: Store, base: DiffusionModel, count: int) -> Tensor:
    """(count, 3, h, w) in [0, 1]. The base must be unchanged; picture i depends on i alone, not on `count`."""
    files = base.computing.applied_to(base.checkpoint.fingerprint)
    key = hash_of([files, PROMPT, STEPS, GUIDANCE, count, module_version(__name__)])

    def work(folder: Path) -> None:
        numbered.save(folder, in_batches(count, BATCH, some))

    def some(part: slice) -> list[Pixels]:
        drawn = [randn(base.latent_shape, generator("class", i), base.device) for i in range(part.start, part.stop)]
        with torch.no_grad():
            condition = base.condition([PROMPT]).expand(len(drawn))
            return to_pixels(base.sample(condition, torch.stack(drawn), STEPS, GUIDANCE))

    return to_tensor(numbered.load(store.compute("class", key, work).path, count)).to(base.device)
