"""The square that is cut out of a photo: the middle, or around the largest face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from PIL import Image

from bench.core.hashing import sha256_array
from bench.core.images import crop_centre, crop_square, resize
from bench.core.ranges import Range
from bench.core.types import Photo

Crop = Literal["auto", "centre", "face"]
Margin = Annotated[float, Range(gt=0, le=10, unit="sides of the face box")]

SMALL = 256
"""Below this many pixels, `crop=auto` cuts out the face."""


class NoFace(Exception):
    """A photo to be cropped around its face has none."""


@dataclass(frozen=True)
class Cutter:
    """Cuts photos to squares of one size.

    Attributes:
        crop: "centre" takes the largest middle square, "face" a square around the largest face; "auto" is "face" below
            256 px, where a face must fill the photo to be recognised, and else "centre", as in the published protocols.
        face_margin: side of the face crop, in face boxes.
        resolution: side of the result in pixels.
    """

    crop: Crop
    face_margin: float
    resolution: int

    def cut(self, image: Image.Image, name: str, place: str) -> Photo:
        """A photo of an upright RGB picture; `place` is what messages call it.

        Raises:
            NoFace: it is to be cropped around a face, and has none.
        """
        around_face = self.crop == "face" or (self.crop == "auto" and self.resolution < SMALL)
        square = self._face(image, place) if around_face else crop_centre(image)
        pixels = resize(square, self.resolution)
        return Photo(name, pixels, sha256_array(pixels))

    def _face(self, image: Image.Image, place: str) -> Image.Image:
        from bench.models.faces.dlib_recogniser import find_boxes

        boxes = find_boxes(image)
        if not boxes:
            raise NoFace(f"no face found in {place}; remove the photo or use data.crop=centre")
        return crop_square(image, face_square(boxes, image.size, self.face_margin))


def face_square(
    boxes: list[tuple[float, float, float, float]], size: tuple[int, int], margin: float
) -> tuple[float, float, float, float]:
    """A square in pixels around the largest face, moved up by a tenth of its height so that the forehead is in.

    Args:
        boxes: (left, top, right, bottom) of faces, as fractions of the picture's width and height.
        size: width and height of the picture in pixels.
        margin: side of the square, in face boxes.
    """
    left, top, right, bottom = max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
    width, height = size
    half = margin * max((right - left) * width, (bottom - top) * height) / 2
    x, y = (left + right) / 2 * width, ((top + bottom) / 2 - 0.1 * (bottom - top)) * height
    return x - half, y - half, x + half, y + half
