"""Cloaks made elsewhere: matched by name, of the right size, hashed, and held to the budget like all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench import numbered
from bench.budget import audit
from bench.errors import BenchError
from bench.images import to_pixels
from bench.seeds import generator
from bench.settings import Method
from bench.stages import protect as protect_stage
from bench.store import Store
from bench.types import Budget, Identity, Photo
from defenses import Context
from defenses.precomputed import Precomputed

PHOTOS = (torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 200 + 20).round() / 255


def write(root: Path, person: str, name: str, photo: Tensor) -> None:
    (root / person).mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_pixels(photo[None])[0]).save(root / person / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files in another order and of another type than the photos."""
    for name, photo in (("b.png", PHOTOS[1]), ("a.png", PHOTOS[0])):
        write(tmp_path, "ada", name, photo + 3 / 255)
    return tmp_path


def protect(root: Path, names: tuple[str, ...] = ("a.jpg", "b.jpg"), person: str = "ada") -> Tensor:
    context = Context([], PHOTOS, Budget(8), generator(0), lambda b, n: torch.empty(0), identity=person, names=names)
    return Precomputed("theirs", str(root)).protect(PHOTOS.clone(), context)


def test_photos_are_matched_by_name(root: Path) -> None:
    assert torch.allclose(protect(root), PHOTOS + 3 / 255, atol=1e-6)
    assert torch.allclose(protect(root, ("b.jpg", "a.jpg")), PHOTOS.flip(0) + 3 / 255, atol=1e-6)


def test_a_missing_photo_or_person_is_named(root: Path) -> None:
    with pytest.raises(BenchError, match=r"ada/c") as caught:
        protect(root, ("a.jpg", "c.jpg"))
    assert "a" in caught.value.fix
    with pytest.raises(BenchError, match="eve/a"):
        protect(root, person="eve")


def test_another_size_is_an_error(root: Path) -> None:
    write(root, "ada", "a.png", torch.rand(3, 20, 20))
    with pytest.raises(BenchError, match="20 x 20"):
        protect(root)


def test_the_audit_finds_a_cloak_beyond_the_budget(root: Path) -> None:
    write(root, "ada", "a.png", PHOTOS[0] + 9 / 255)
    with pytest.raises(BenchError, match="exceeds its budget: 9"):
        audit(to_pixels(PHOTOS), to_pixels(protect(root)), Budget(8), "precomputed")


def test_the_stage_says_whose_photos_these_are_and_its_key_follows_the_pictures(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pictures = zip(("b.jpg", "a.jpg"), to_pixels(PHOTOS.flip(0)), strict=True)
    shown = tuple(Photo(name, pixels, sha256=name) for name, pixels in pictures)
    person, settings = Identity("ada", reference=shown, protect=shown), {"label": "theirs", "root": str(root)}
    defense, method = Precomputed("theirs", str(root)), Method(name="precomputed", settings=settings)
    folder, store = tmp_path_factory.mktemp("cloaked"), Store(tmp_path_factory.mktemp("store"))
    protect_stage.protect(folder, "precomputed", defense, person, Budget(8), list, 0, store, lambda share: None)
    assert np.array_equal(numbered.load(folder)[0], to_pixels(PHOTOS[1:] + 3 / 255)[0])

    def key() -> str:
        return protect_stage.key(method, defense, person, Budget(8), [], 0)

    before = key()
    assert key() == before
    write(root, "ada", "a.png", PHOTOS[0])
    assert key() != before


def test_the_fingerprint_is_of_the_pictures(root: Path, tmp_path: Path) -> None:
    before = Precomputed("theirs", str(root)).files()
    assert set(before) == {"root"}
    pixels = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(root / "ada" / "a.png")
    assert Precomputed("theirs", str(root)).files() != before
    with pytest.raises(BenchError, match="no pictures"):
        Precomputed("theirs", str(tmp_path / "nowhere")).files()
