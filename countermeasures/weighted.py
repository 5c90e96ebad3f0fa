"""What countermeasures with a network of their own share: where its files are, and that results depend on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from bench.models.weights.checkpoint import Checkpoint
from bench.models.weights.files import ZOO
from bench.models.weights.single import locate_network
from countermeasures import Countermeasure

SHIPPED = ZOO / "countermeasures"


@dataclass(frozen=True)
class Weighted(Countermeasure):
    """Base class of those with a network of their own.

    Attributes:
        weights: a folder or a hub id; "zoo" for one that is shipped.
    """

    weights: str | None = None

    setting: ClassVar[str]
    """The setting as it is written, for messages."""
    network: ClassVar[str]
    """What the network is."""
    shipped: ClassVar[Path | None] = None
    """Where the shipped one is; None if there is none."""

    def files(self) -> dict[str, str]:
        return {"weights": self.located.fingerprint}

    @property
    def located(self) -> Checkpoint:
        """The network's files.

        Raises:
            BenchError: see `locate_network`.
        """
        return locate_network(self.network, str(self.weights), self.setting, self.shipped)

    @property
    def device(self) -> str:
        """Where it computes."""
        return "cuda" if torch.cuda.is_available() else "cpu"
