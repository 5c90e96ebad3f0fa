"""Features of pictures for distances of distributions, as clean-fid computes them, by any network.

clean-fid (Parmar et al. 2022) resizes each channel in floating point with Pillow's bicubic filter to 299 px, and does
not round in between: resizing otherwise moves the distance by as much as a better generator would.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.core.types import Array, Pixels

if TYPE_CHECKING:
    from torch import Tensor

Network = Callable[["Tensor"], "Tensor"]
"""(n, 3, 299, 299) in [0, 255] -> (n, d)."""
BATCH = 32


@dataclass(frozen=True)
class Features:
    """An instrument that describes a picture by a network's features: `features` (n, d).

    Attributes:
        name: of the network, which belongs beside every number computed from it.
        fingerprint: of its weights.
        network: the network.
    """

    name: str
    fingerprint: str
    network: Network = field(compare=False)

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        torch, resize, batched = _clean_fid()
        found = []
        for start in range(0, len(pictures), BATCH):
            resized = np.stack([resize(picture) for picture in pictures[start : start + BATCH]])
            batch = torch.from_numpy(resized).permute(0, 3, 1, 2)
            found.append(np.asarray(batched(batch, self.network, "cpu"), np.float64))
        return {"features": np.concatenate(found)}


def extractor(source: str) -> Features:
    """A feature network.

    Args:
        source: the file inception-2015-12-05.pt, which clean-fid and the usual FID take, or "module:name" of your own
            `Features`.

    Raises:
        BenchError: there is no such file or name, or clean-fid is not installed.
    """
    if not source.endswith(".pt"):
        return _own(source)
    path = Path(source)
    if not path.is_file():
        raise BenchError(
            f"There is no file {path}.",
            "To fetch it: python -c \"from cleanfid.downloads_helper import check_download_inception as c; c('.')\"",
        )
    _clean_fid()
    from cleanfid.inception_torchscript import InceptionV3W

    network = InceptionV3W(str(path.parent), download=False)
    return Features("inception", sha256_file(path), network)


def _own(source: str) -> Features:
    module, _, name = source.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BenchError(f"There is no extractor {source!r}: {error}", "Give a .pt file, or module:name.") from error
    if not isinstance(found, Features):
        raise BenchError(f"{source!r} is no metrics.features.Features.", "Wrap the network in one, with a name.")
    return found


def _clean_fid() -> tuple[Any, Callable[[Pixels], Array], Callable[..., Array]]:
    """torch, and clean-fid's own resizing and feature functions."""
    try:
        import torch
        from cleanfid.fid import get_batch_features
        from cleanfid.resize import build_resizer
    except ImportError as error:
        raise BenchError("clean-fid is not installed.", "Run: pip install 'cloakbench[full]'") from error
    return torch, build_resizer("clean"), get_batch_features
