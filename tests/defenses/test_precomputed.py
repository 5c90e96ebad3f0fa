"""Cloaks made elsewhere: matched by name, of the right size, hashed, and held to the budget like all others."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.config.resolved_method import ResolvedMethod
from bench.core import numbered
from bench.core.budget import audit
from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.core.seeding import generator
from bench.core.types import Budget, Identity, Photo
from bench.data.synthetic import Synthetic
from bench.export import write_crops
from bench.runner.stages import protect as protect_stage
from bench.store import Store
from defenses import Context, ignore, nobody
from defenses.precomputed import Precomputed
from tests.support.contexts import no_class

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
    context = Context([], PHOTOS, Budget(8), generator(0), no_class, identity=person, names=names)
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


def test_litter_is_no_cloak_and_a_name_is_itself_in_either_form_of_its_accents(root: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    before = Precomputed("theirs", str(root)).files()
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._a.png").write_bytes(b"litter")
    (root / "ada" / "._a.png").write_bytes(b"litter")
    (root / "ada" / "Thumbs.db").write_bytes(b"litter")
    assert Precomputed("theirs", str(root)).files() == before
    write(root, nfd, f"{nfd}.PNG", PHOTOS[0])
    for person, name in ((nfc, f"{nfc}.jpg"), (nfd, f"{nfd}.jpg")):
        assert torch.equal(protect(root, (name,), person), PHOTOS[:1])


def test_two_photos_of_one_name_have_no_cloak_of_their_own(root: Path) -> None:
    with pytest.raises(BenchError, match=r"both a\.heic and a\.jpg"):
        protect(root, ("a.heic", "a.jpg"))
    write(root, "ada", "a.bmp", PHOTOS[0])
    with pytest.raises(BenchError, match=r"both a\.bmp and a\.png"):
        protect(root)


def test_a_linked_folder_of_cloaks_is_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("linked")
    (other / "ada").symlink_to(root / "ada")
    assert torch.equal(protect(other), protect(root))
    (root / "ada" / "a.png").unlink()
    before = Precomputed("theirs", str(other)).files()
    write(root, "ada", "a.png", PHOTOS[1])
    assert Precomputed("theirs", str(other)).files() != before


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
    person, defense = Identity("ada", reference=shown, protect=shown), Precomputed("theirs", str(root))
    method = ResolvedMethod.of("precomputed", defense)
    folder, store = tmp_path_factory.mktemp("cloaked"), Store(tmp_path_factory.mktemp("store"))
    context = protect_stage.context(person, Budget(8), [], 0, store, nobody, ignore)
    protect_stage.protect(folder, method, person.protect, context)
    assert np.array_equal(numbered.load(folder)[0], to_pixels(PHOTOS[1:] + 3 / 255)[0])

    def key() -> str:
        return protect_stage.key(method, person, Budget(8), [], 0)

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


def person(*names: str) -> Identity:
    pixels = to_pixels(PHOTOS)
    shown = tuple(Photo(name, pixels[i % 2], sha256=name) for i, name in enumerate(names))
    return Identity("ada", reference=shown, protect=shown)


def test_photos_are_checked_beforehand_and_all_that_is_wrong_is_named_at_once(root: Path) -> None:
    defense = Precomputed("theirs", str(root))
    defense.check(person("a.jpg", "b.jpg"), Budget(3))
    with pytest.raises(BenchError) as missing:
        defense.check(person("a.jpg", "x.jpg", "y.jpg"), Budget(8))
    assert "ada/x" in missing.value.message
    assert "ada/y" in missing.value.message
    with pytest.raises(BenchError) as beyond:
        defense.check(person("a.jpg", "b.jpg"), Budget(2))
    assert "theirs, ada/a.jpg" in beyond.value.message
    assert "theirs, ada/b.jpg" in beyond.value.message
    for name in ("a.png", "b.png"):
        write(root, "ada", name, torch.rand(3, 20, 24))
    with pytest.raises(BenchError, match=r"a\.png is 24 x 20 pixels") as size:
        defense.check(person("a.jpg", "b.jpg"), Budget(8))
    assert "b.png is 24 x 20 pixels" in size.value.message


def test_a_person_under_another_name_is_told_who_is_there(root: Path) -> None:
    (root / "ada").rename(root / "adah")
    with pytest.raises(BenchError, match="ada/a") as caught:
        Precomputed("theirs", str(root)).check(person("a.jpg"), Budget(8))
    assert "Did you mean 'adah'?" in caught.value.fix


@pytest.mark.parametrize(("published", "decimals", "levels"), [(16, "cut off", 9), (12, "rounded", 6)])
def test_what_networks_make_of_the_crops_is_taken(tmp_path: Path, published: int, decimals: str, levels: int) -> None:
    """As GAP-Diff and RID save their cloaks: noise of so many of 255 on values in [-1, 1], the same folders and names.

    The guide to defenses says which budgets theirs are in grey levels.
    """
    crops, cloaked = tmp_path / "crops", tmp_path / "cloaked"
    assert write_crops(["data=synthetic", "data.limit=1"], crops) == len(list(crops.glob("*/*.png"))) > 0
    draw = np.random.default_rng(0)
    for file in crops.glob("*/*.png"):
        values = np.asarray(Image.open(file), np.float32) / 127.5 - 1
        noise = np.tanh(draw.normal(scale=20, size=values.shape)).astype(np.float32) * (published / 255)
        made = np.clip(values + noise, -1, 1) * 127.5 + 127.5
        (cloaked / file.parent.name).mkdir(parents=True, exist_ok=True)
        pixels = (made if decimals == "cut off" else (made + 0.5)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(cloaked / file.parent.name / file.name)
    ann = Synthetic(limit=1).load(128).identities[0]
    defense = Precomputed("theirs", str(cloaked))
    defense.check(ann, Budget(levels))
    with pytest.raises(BenchError, match="exceeds its budget"):
        defense.check(ann, Budget(published // 2 - 1))
