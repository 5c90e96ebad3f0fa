"""One photo in two places: equal ones are refused where they change results, copies saved again are named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.core.images import jpeg
from bench.core.types import Dataset, Identity, Photo, Pixels
from bench.data import dataset
from bench.data.duplicates import Duplicate, duplicates, refuse


def scene(seed: int, side: int = 64) -> Pixels:
    """A picture of large soft shapes, as photos are; noise would be one grey to a thumbnail."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def photo(name: str, pixels: Pixels) -> Photo:
    return Photo(name, pixels, sha256_array(pixels))


def person(name: str, first: int, **extra: Pixels) -> Identity:
    """Four photos each in A and B; `extra` are "A", "B" or "C" -> one more."""
    sets = {part: [photo(f"{i}.png", scene(first + 10 * j + i)) for i in range(4)] for j, part in enumerate("AB")} | {
        "C": list[Photo]()
    }
    for part, pixels in extra.items():
        sets[part].append(photo("more.png", pixels))
    return Identity(name, tuple(sets["A"]), tuple(sets["B"]), tuple(sets["C"]))


def found(*people: Identity) -> list[Duplicate]:
    return duplicates(data(*people))


def data(*people: Identity, limit: int = 0) -> Dataset:
    return dataset("mine", "CC0", list(people), (), limit)


def test_different_photos_are_not_taken_for_one() -> None:
    assert found(*(person(f"p{i}", 100 * i) for i in range(30))) == []


@pytest.mark.parametrize("part", ["A", "C"])
def test_a_photo_that_is_both_cloaked_and_clean_is_refused_with_both_places(part: str) -> None:
    ann = person("ann", 0, **{part: scene(12)})
    (pair,) = found(ann)
    assert pair.exact
    assert "a photo that the attacker has" in str(pair)
    assert {"ann/set_B/2.png", f"ann/set_{part}/more.png"} == set(pair.places)
    with pytest.raises(BenchError, match=r"ann/set_B/2\.png") as caught:
        refuse([pair], ["ann"])
    assert "data.exclude=[ann]" in caught.value.fix


def test_a_photo_of_two_people_is_refused_unless_the_run_is_about_others() -> None:
    people = person("ann", 0), person("bob", 100, B=scene(3))
    (pair,) = found(*people)
    assert "under two names" in str(pair)
    with pytest.raises(BenchError, match=r"bob/set_B/more\.png"):
        refuse([pair], ["ann"])
    refuse([pair], ["cid"])


def test_all_that_are_refused_are_named_at_once() -> None:
    pairs = found(person("ann", 0, A=scene(10), C=scene(11)), person("bob", 100, A=scene(110)))
    with pytest.raises(BenchError) as caught:
        refuse(pairs, ["ann", "bob"])
    assert len(caught.value.message.splitlines()) == 3


def test_a_photo_twice_in_one_set_is_no_reason_to_stop() -> None:
    (pair,) = found(person("ann", 0, B=scene(12)))
    assert "counts twice" in str(pair)
    refuse([pair], ["ann"])


def shrunk(pixels: Pixels) -> Pixels:
    small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((64, 64), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("copy", [lambda p: jpeg(p, 90), lambda p: jpeg(p, 40), shrunk, lambda p: p ^ 1])
def test_a_copy_saved_again_is_named_and_not_refused(copy: object) -> None:
    assert callable(copy)
    (pair,) = found(person("ann", 0, A=copy(scene(12))))
    assert not pair.exact
    assert "saved twice" in str(pair)
    refuse([pair], ["ann"])


def test_many_photos_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [person(f"p{i}", 100 * i, A=jpeg(scene(100 * i + 11), 80)) for i in range(6)]
    whole = found(*people)
    monkeypatch.setattr("bench.data.duplicates.BLOCK", 7)
    assert found(*people) == whole
    assert len(whole) == 6


def test_where_a_photo_lies_is_said_if_it_is_known() -> None:
    here = Photo("a.png", scene(0), "x", place="ann/a.png")
    assert Identity("ann", (here,), ()).place("A", here) == "ann/a.png"


def test_people_none_of_whose_photos_has_a_face_have_no_photos_in_common() -> None:
    nobody = Identity("ada", (), (), (), "no face found in ada/1.png")
    assert found(nobody) == []
