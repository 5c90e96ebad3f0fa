"""People from a folder of zip files."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.core.hashing import sha256_array
from bench.core.images import crop_centre, resize
from bench.core.types import Dataset, Identity, Photo
from bench.data import SOURCES, Source, dataset


@SOURCES.register("zips")
@dataclass(frozen=True)
class Zips(Source):
    """One zip file of photos a person.

    Attributes:
        root: the folder of zip files.
    """

    root: str

    def load(self, resolution: int) -> Dataset:
        people = [self._person(file, resolution) for file in sorted(Path(self.root).glob("*.zip"))]
        return dataset("zips", "my own photos", people, (), 0)

    def _person(self, file: Path, resolution: int) -> Identity:
        photos = []
        with zipfile.ZipFile(file) as archive:
            for name in sorted(archive.namelist()):
                image = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
                pixels = resize(crop_centre(image), resolution)
                photos.append(Photo(name, pixels, sha256_array(pixels)))
        third = len(photos) // 3
        return Identity(file.stem, tuple(photos[:third]), tuple(photos[third : 2 * third]), tuple(photos[2 * third :]))
