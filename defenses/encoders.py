"""Against zero-shot attacks: the encoders that read a person from a photo, and how near a cloaked photo is to the
clean.

Recognisers see aligned faces, image encoders (CLIP) whole photos; both are compared by the cosine of embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.deferred import Tensor, torch
from bench.core.deferred import functional as F
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.models.adapters.clip import load_image_encoder
from bench.models.faces.insightface import Pack, locate_pack
from bench.models.weights.files import ZOO, hashes
from bench.models.weights.published import ADAPTERS, Missing, together

if TYPE_CHECKING:
    from bench.models.faces.embedder import FaceEmbedder

FACELET = {
    "recognisers": ("facelet-id-a", "facelet-id-b"),
    "image_encoders": ("zoo",),
}
"""Settings for the embedded models."""
OFFICIAL = ("buffalo_l", "antelopev2")
"""The recognisers of the published attacks: FaceID's and InstantID's."""


def packs(recognisers: Sequence[str] | None) -> tuple[Pack, ...]:
    """The packs that a defense's `recognisers` setting names.

    Raises:
        BenchError: none is set, or one is not there.
    """
    if not recognisers:
        raise BenchError(
            "This defense needs face recognisers.",
            "Pass defense.recognisers=[buffalo_l,antelopev2], or folders of insightface packs.",
        )
    return tuple(together(partial(locate_pack, source) for source in recognisers))


def encoder_folder(source: str) -> Path:
    """The folder of an image encoder: "zoo" is the embedded IP-Adapter's, "sd15" and "sdxl" the published ones'.

    Raises:
        Missing: a published one is not on this machine.
    """
    if source == "zoo":
        return ZOO / "adapters" / "facelet-1" / "ip-adapter" / "image_encoder"
    adapter = ADAPTERS.get(("ip-adapter", source))
    if adapter is None or adapter.encoder is None:
        return Path(source).expanduser()
    folder = adapter.encoder.folder()
    if folder is None:
        raise Missing([adapter.encoder])
    return folder / adapter.encoder_folder


def fingerprints(recognisers: Sequence[str] | None, image_encoders: Sequence[str] = ()) -> dict[str, str]:
    """Setting -> hash of the files behind it, for those that are set."""
    found: dict[str, str] = {}
    if recognisers is not None:  # an empty choice is an error, told by `packs`
        found["recognisers"] = hash_of([pack.fingerprint for pack in packs(recognisers)])
    if image_encoders:
        folders = [encoder_folder(source) for source in image_encoders]
        fix = "Give the folder of a CLIPVisionModelWithProjection."
        found["image_encoders"] = hash_of(
            [hashes({name: folder / name for name in ("config.json", "model.safetensors")}, fix) for folder in folders]
        )
    return found


@dataclass(frozen=True)
class Faces:
    """The photos with a face, and where it is.

    Attributes:
        rows: indices of the photos in which a face was found.
        points: (5, 2) key points of each of them.
    """

    rows: list[int]
    points: list[Tensor]

    @classmethod
    def found(cls, photos: Tensor, pack: Pack) -> Faces:
        """Look for the largest face of each clean photo with one pack's detector."""
        from bench.models.faces.embedder import find_points

        seen = find_points(pack, photos)
        rows = [row for row, points in enumerate(seen) if points is not None]
        return cls(rows, [points for points in seen if points is not None])


Similarity = Callable[[Tensor], Tensor]
"""Photos (n, 3, h, w) -> (encoders, n) cosines with the clean photos, or their aims; 0 where no face was found."""


Aim = Callable[[Tensor], Tensor]
"""What embeddings (n, dim) of the clean photos become before cloaked ones are compared with them."""


def themselves(embeddings: Tensor) -> Tensor:
    """The aim of most cloaks: away from the clean photos' own embeddings."""
    return embeddings


def face_similarity(
    clean: Tensor,
    faces: Faces,
    sources: Sequence[Pack],
    sigma: float,
    generator: torch.Generator,
    aim: Aim = themselves,
) -> Similarity:
    """Cosines by each recogniser, under a fresh, slightly wrong alignment at every call (DLADiff, Sec. 4.2)."""
    from bench.models.faces.embedder import aligned, alignment

    embedders = [embedder(pack, str(clean.device)) for pack in sources]
    if not faces.rows:
        return lambda photos: photos.new_zeros(len(embedders), len(photos))
    with torch.no_grad():
        original = aligned(clean[faces.rows], alignment(faces.points))
        wanted = [aim(embed(original)) for embed in embedders]

    def similarity(photos: Tensor) -> Tensor:
        seen = aligned(photos[faces.rows], alignment(faces.points, sigma, generator))
        cosines = torch.stack([F.cosine_similarity(e(seen), w) for e, w in zip(embedders, wanted, strict=True)])
        return cosines.new_zeros(len(embedders), len(photos)).index_copy(1, _rows(faces, photos), cosines)

    return similarity


def photo_similarity(clean: Tensor, folders: Sequence[Path], aim: Aim = themselves) -> Similarity:
    """Cosines by each image encoder, on whole photos."""
    towers = [image_encoder(folder, str(clean.device)) for folder in folders]
    with torch.no_grad():
        wanted = [aim(look(tower, clean)) for tower in towers]

    def similarity(photos: Tensor) -> Tensor:
        cosines = [F.cosine_similarity(look(t, photos), w) for t, w in zip(towers, wanted, strict=True)]
        return torch.stack(cosines)

    return similarity


def look(tower: Any, photos: Tensor) -> Tensor:
    """(n, dim) embeddings by CLIP of photos (n, 3, h, w) in [0, 1]; differentiable."""
    embeddings: Tensor = tower(clip_input(tower, photos)).image_embeds
    return embeddings


def clip_input(tower: Any, photos: Tensor) -> Tensor:
    """Photos (n, 3, h, w) in [0, 1] as a tower wants them, (n, 3, side, side); differentiable.

    Resized as `bench.models.adapters.clip.clip_pixels` does, but not rounded to 8 bits in between.
    """
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    side = tower.config.image_size
    seen = F.interpolate(photos, (side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    mean, std = (torch.tensor(values).to(photos)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (seen - mean) / std


@lru_cache(maxsize=4)
def embedder(pack: Pack, device: str) -> FaceEmbedder:
    """A recogniser's network, kept for the next person."""
    from bench.models.faces.embedder import FaceEmbedder

    return FaceEmbedder(pack, device)


@lru_cache(maxsize=2)
def image_encoder(folder: Path, device: str) -> Any:
    """An image encoder, frozen, kept for the next person."""
    return load_image_encoder(folder, device).requires_grad_(False)


def _rows(faces: Faces, like: Tensor) -> Tensor:
    return torch.tensor(faces.rows, device=like.device)
