"""Open a photo, whatever camera, phone or program wrote it, as upright 8-bit sRGB; what cannot be is refused."""

from __future__ import annotations

import io
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from bench.core.errors import BenchError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP", "JPEG2000", "PPM")
"""What is opened, whatever a file is called. Never EPS: Pillow starts Ghostscript for it."""
MOST_PIXELS = 178_956_970
"""More is refused, lest a small file fill the memory: twice `Image.MAX_IMAGE_PIXELS`, which other libraries change."""
BITS = 258
"""TIFF's tag of the bits of each channel."""
_ONE_OF_MANY = ("MPO", "HEIF")
"""Formats whose first picture is the photo, and the others are its depth or another view of it."""


def read_image(source: Path | io.BytesIO, name: str = "") -> Image.Image:
    """Open a photo upright (EXIF orientation applied) and as RGB; transparency is dropped.

    Args:
        source: the file or its bytes.
        name: what messages call it; default: the path.

    Raises:
        BenchError: it is no picture, damaged, too large, animated, or of a kind that has no one conversion.
    """
    called, formats = name or str(source), _formats()
    try:
        with _quiet(), Image.open(source, formats=formats) as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            _refuse_ambiguous(image, called)
            image.load()
            return _srgb(_eight_bit(_upright(image, called))).convert("RGB")
    except BenchError:
        raise
    except Image.DecompressionBombError as error:
        raise BenchError(
            f"{called} is too large: a photo may have {MOST_PIXELS / 1e6:.0f} megapixels.",
            "Scale it down; no model here looks at more than 1 megapixel.",
        ) from error
    except Exception as error:  # decoders raise whatever comes to them of damaged files
        raise BenchError(
            f"{called} cannot be read as a picture ({type(error).__name__}).",
            f"Remove it from the folder, or replace it with a whole one ({', '.join(FORMATS)}).",
        ) from error


def is_picture(file: Path) -> bool:
    """Whether the content of a file begins as a picture does that `read_image` opens."""
    formats = _formats()
    try:
        with _quiet(), Image.open(file, formats=formats):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # decoders raise whatever comes to them of damaged files
        return False


@cache
def _formats() -> list[str]:
    """Those of `FORMATS` that are installed; old builds of Pillow lack some."""
    import pi_heif

    pi_heif.register_heif_opener()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _quiet() -> warnings.catch_warnings[None]:
    """What Pillow merely warns of (half of its largest size, odd EXIF) is no one's concern here."""
    return warnings.catch_warnings(action="ignore")


def _refuse_ambiguous(image: Image.Image, name: str) -> None:
    """Raises BenchError for several pictures in one file, and for values without a known white."""
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format not in _ONE_OF_MANY:
        raise BenchError(f"{name} holds {count} pictures (pages, or an animation).", "Save the one that is meant.")
    bits = image.tag_v2.get(BITS, (8,))[0] if isinstance(image, TiffImageFile) else 8
    if image.mode == "F" or bits not in (1, 2, 4, 8, 16) or (image.format == "TIFF" and image.mode == "I"):
        raise BenchError(f"{name} has values of unusual depth (mode {image.mode}).", "Save it with 8 bits a channel.")


def _upright(image: Image.Image, name: str) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception as error:
        raise BenchError(
            f"{name} has EXIF data that cannot be read ({type(error).__name__}), so which way is up is not known.",
            "Save it upright and without EXIF data.",
        ) from error


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey (0 to 65535) scaled to 8 bits; Pillow's own conversion would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).clip(0, 65535).astype(np.uint16)
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))  # a file of 1 MB may have 700 MB


def _srgb(image: Image.Image) -> Image.Image:
    """Colours of an embedded profile (phones' Display P3, a printer's CMYK) as sRGB. Broken profiles count as none."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    image = image.convert("RGB") if image.mode == "RGBA" else image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space.strip() != image.mode or "sRGB" in ImageCms.getProfileDescription(own):
            return image
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image
