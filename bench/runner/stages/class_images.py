"""Pictures of "a person" by a base model, for prior preservation: made once per base, encoded once per process."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

from bench.core import numbered
from bench.core.code_version import module_version
from bench.core.deferred import Tensor, torch
from bench.core.hashing import hash_of
from bench.core.images import to_pixels, to_tensor
from bench.core.seeding import generator
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.batching import in_batches
from bench.models.diffusion.devices import randn
from bench.models.diffusion.fingerprint import fingerprint
from bench.models.diffusion.latents import Posterior
from bench.store import Store

PROMPT = "a photo of person"
STEPS = 25
GUIDANCE = 7.5
BATCH = 16
_encoded: WeakKeyDictionary[torch.nn.Module, dict[str, Posterior]] = WeakKeyDictionary()
"""VAE -> key of the pictures -> their latents."""


def class_latents(store: Store, base: DiffusionModel, count: int) -> Posterior:
    """The VAE's distribution over latents of `count` class pictures: that of a base and its clones, which never learns.

    The base must be unchanged when it is first asked.
    """
    known, key = _encoded.setdefault(base.vae, {}), _key(base, count)
    if key not in known:
        with torch.no_grad():
            known[key] = base.posterior(class_images(store, base, count))
    return known[key]


def class_images(store: Store, base: DiffusionModel, count: int) -> Tensor:
    """(count, 3, h, w) in [0, 1]. The base must be unchanged; picture i depends on i alone, not on `count`."""

    def work(folder: Path) -> None:
        numbered.save(folder, in_batches(count, BATCH, some))

    def some(part: slice) -> list[Pixels]:
        drawn = [randn(base.latent_shape, generator("class", i), base.device) for i in range(part.start, part.stop)]
        with torch.no_grad():
            condition = base.condition([PROMPT]).expand(len(drawn))
            return to_pixels(base.sample(condition, torch.stack(drawn), STEPS, GUIDANCE))

    return to_tensor(numbered.load(store.compute("class", _key(base, count), work).path, count)).to(base.device)


def _key(base: DiffusionModel, count: int) -> str:
    return hash_of(
        [fingerprint(base.checkpoint, base.computing), PROMPT, STEPS, GUIDANCE, count, module_version(__name__)]
    )
