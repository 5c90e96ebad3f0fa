"""A judge: MobileFaceNet, trained on MS-Celeb-1M.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices" (2018), with
the loss of ArcFace. Where the weights come from: `bench/zoo/judges/README.md`.
"""

from __future__ import annotations

import numpy as np

from bench.core.types import Array, Pixels
from bench.models.faces.independent import IndependentJudge
from bench.models.faces.mtcnn import Detection


class MobileFaceNet(IndependentJudge):
    """Sees faces aligned to ArcFace's template, 112 px, RGB, (x - 127.5) / 128."""

    name = "mobilefacenet"
    width = 192

    def crop(self, picture: Pixels, face: Detection) -> Array:
        import torch  # not before there is a face to describe

        from bench.models.faces.alignment import ALIGNED, TEMPLATE, similarity
        from bench.models.faces.cutting import cut

        to_face = similarity(torch.from_numpy(face.points)[None].float(), TEMPLATE)[0]
        return np.asarray((cut(picture, to_face, ALIGNED) - 127.5) / 128)
