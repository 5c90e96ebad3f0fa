"""The two parts of InstantID (Wang et al. 2024) that diffusers does not have: IdentityNet, and the drawing it reads."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
from diffusers import ControlNetModel
from PIL import Image, ImageDraw
from torch import Tensor

from bench.core.types import Array, Pixels

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
"""Of left eye, right eye, nose, left and right corner of the mouth."""
NOSE, OUTER = 2, (0, 1, 3, 4)
FINE = 4
"""Drawn this many times larger and averaged."""


class IdentityNet(ControlNetModel):  # type: ignore[misc]
    """A stock ControlNet whose cross-attention sees the face in place of the text.

    `face` is (1 or 2, tokens, dim): the conditional half, after the unconditional one if there is guidance. The weights
    are those of a `ControlNetModel`, so `from_pretrained` reads the official folder.
    """

    face: Tensor | None = None

    def forward(self, sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As `ControlNetModel.forward`, but for the given text states, which are ignored."""
        assert self.face is not None
        face = self.face.repeat_interleave(len(sample) // len(self.face), dim=0)
        return super().forward(sample, timestep, face, *args, **kwargs)

    def show(self, face: Tensor) -> None:
        """Whose face the sampler call that follows is about. All its rows have one picture, which is embedded once.

        The pipeline repeats the picture for every row and hands it over at every step; embedding it so often is a fifth
        of what this network computes.
        """
        self.face = face
        embedding = self.controlnet_cond_embedding
        embedding.forward = _once(MethodType(type(embedding).forward, embedding))


def _once(embed: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Embeds the first row of the first batch (n, 3, h, w), and returns that as (1, c, h', w') ever after."""
    known: list[Tensor] = []

    def first(pictures: Tensor) -> Tensor:
        if not known:
            known.append(embed(pictures[:1]))
        return known[0]

    return first


def face_tokens(unet: Any, embeddings: Tensor) -> Tensor:
    """The tokens that a loaded IP-Adapter makes of face embeddings: (n, 1, 1, 512) -> (n, tokens, dim)."""
    tokens: Tensor = unet.encoder_hid_proj([embeddings])[0][:, 0]
    return tokens


def draw_points(points: Array, side: int) -> Pixels:
    """The key points as InstantID draws them, on a black square of `side` pixels.

    The four outer points are joined to the nose by ellipses of half-width 4 in their colour, darkened to 0.6; on top
    are discs of radius 10. Below 512 px both shrink in proportion: at 64 px full-size discs would cover the face. Edges
    are smooth, so that such small marks say where they are; the original's are hard.

    Args:
        points: (5, 2) x and y as fractions of the side.
        side: side of the picture.
    """
    unit = FINE * min(1.0, side / 512)
    canvas = Image.new("RGB", (side * FINE, side * FINE))
    draw = ImageDraw.Draw(canvas)
    places = points * side * FINE
    for outer in OUTER:
        dark = tuple(int(0.6 * value) for value in COLOURS[outer])
        draw.polygon(_ellipse(places[outer], places[NOSE], 4 * unit), fill=dark)
    for (x, y), colour in zip(places, COLOURS, strict=True):
        radius = 10 * unit
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX))


def _ellipse(start: Array, end: Array, half_width: float) -> list[tuple[float, float]]:
    """Outline of the ellipse whose long axis goes from `start` to `end`."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    along = (end - start) / 2
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * half_width
    outline = (start + end) / 2 + np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * across
    return [(float(x), float(y)) for x, y in outline]
