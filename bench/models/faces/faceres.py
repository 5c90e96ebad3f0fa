"""A judge: HSE FaceRes, a MobileNet trained on VGGFace2 for identity; its heads for age and gender are not here.

Savchenko, "Efficient facial representations for age, gender and identity recognition in organizing photo albums using
multi-output ConvNet" (2019). Where the weights come from: `bench/zoo/judges/README.md`.
"""

from __future__ import annotations

import numpy as np

from bench.core.types import Array, Pixels
from bench.models.faces.independent import IndependentJudge
from bench.models.faces.mtcnn import Detection

SIDE = 224
"""Of its input, pixels."""
ENLARGED, UP = 1.1, 0.05
"""The square it sees: how much larger than the box's longer side, and how far it is moved up, as a share of itself.
Chosen on people of the training data (model card)."""
MEAN = np.array([103.939, 116.779, 123.68], np.float32)[:, None, None]
"""Of blue, green and red, grey levels of 255."""


class FaceRes(IndependentJudge):
    """Sees square crops, not turned, 224 px, BGR less `MEAN`."""

    name = "faceres"
    width = 1024

    def crop(self, picture: Pixels, face: Detection) -> Array:
        import torch  # not before there is a face to describe

        from bench.models.faces.cutting import cut

        side = ENLARGED * (face.box[2:] - face.box[:2]).max()
        left, top = (face.box[:2] + face.box[2:]) / 2 - side * np.array([0.5, 0.5 + UP])
        scale = SIDE / side
        # The square goes from -0.5 to SIDE - 0.5, the outer edges of the first and the last pixel.
        to_face = torch.tensor([[scale, 0, -scale * left - 0.5], [0, scale, -scale * top - 0.5]])
        return np.asarray(cut(picture, to_face, SIDE)[::-1] - MEAN)
