"""The simplest attack: the person's mean photo, as the start of sampling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks import ATTACKS, Artifact, Attack, FitContext
from bench.core.ranges import Share


@ATTACKS.register("mean_photo")
@dataclass
class MeanPhoto(Attack):
    """The mean of the photos' latents, blended into the initial noise of every picture.

    Attributes:
        share: of the blend, in [0, 1].
    """

    share: Share = 0.3

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        with torch.no_grad():
            self._mean = self.base.encode(photos).mean(dim=0, keepdim=True)
        return {"mean": self._mean}

    def load(self, artifact: Artifact) -> None:
        self._mean = artifact["mean"].to(self.base.device)

    def generate(self, artifact, templates, noise, steps, guidance):  # type: ignore[no-untyped-def]
        self.load(artifact)
        blended = (1 - self.share) * noise + self.share * self._mean / self._mean.std()
        return super().generate(artifact, templates, blended, steps, guidance)
