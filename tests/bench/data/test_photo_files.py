"""One scanner of folders: what is a photo, in which order, what is passed over, and what is named."""

from __future__ import annotations

import base64
import gzip
import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.litter import is_litter
from bench.core.types import Dataset
from bench.data.folder import Folder
from bench.data.photo_files import OTHER_PICTURES, SUFFIXES, entries, scan, scan_all, subfolders
from bench.data.upstream import from_folder
from tests.support.contexts import ROOT
from tests.support.heic import HEIC

NFC, NFD = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


def photo(file: Path, shade: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (shade, 2 * shade, 0)).save(file)
    return file


def names(folder: Path) -> list[str]:
    return [file.name for file in scan(folder).photos]


def skipped(folder: Path) -> dict[str, str]:
    return {item.path.relative_to(folder).as_posix(): item.reason for item in scan_all(folder).skipped}


def load(root: Path) -> Dataset:
    return Folder(str(root), crop="centre").load(8)


# --- order ------------------------------------------------------------------------------------------------------------


def test_numbers_count(tmp_path: Path) -> None:
    """A user who numbers photos 1 to 12 expects 1 to 4 in set A; as text, 10, 11 and 12 would be."""
    for number in range(1, 13):
        photo(tmp_path / "ada" / f"IMG_{number}.jpg", number)
    (ada,) = load(tmp_path).identities
    assert [p.name for p in ada.reference] == [f"IMG_{number}.jpg" for number in (1, 2, 3, 4)]
    assert [p.name for p in ada.extra] == [f"IMG_{number}.jpg" for number in (9, 10, 11, 12)]


def test_within_a_chosen_set_names_are_compared_as_text_because_published_results_rest_on_it(tmp_path: Path) -> None:
    for part in "ABC":
        for number in (9, 10, 101):
            photo(tmp_path / "ada" / f"set_{part}" / f"{number}.png", number)
    (ada,) = load(tmp_path).identities
    assert [p.name for p in ada.protect] == ["10.png", "101.png", "9.png"]


def test_the_published_results_are_of_these_photos(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(ROOT / "results" / "reference-celebahq" / "records.jsonl.gz") as lines:
        record = json.loads(next(lines))
    data = Folder(str(shared_data("celebahq_mini"))).load(128)
    assert data.fingerprint == record["provenance"]["data"]["fingerprint"]


def test_people_with_numbers_for_names_count_too(tmp_path: Path) -> None:
    for name in ("10", "9", "101", "p2", "p10", "07"):
        for number in range(6):
            photo(tmp_path / name / f"{number}.png", number)
    assert load(tmp_path).selected == ("07", "9", "10", "101", "p2", "p10")


# --- what is a photo --------------------------------------------------------------------------------------------------


def test_every_kind_that_is_read_is_taken_and_in_capitals_too(tmp_path: Path) -> None:
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".mpo": "JPEG", ".apng": "PNG", ".jpf": "JPEG2000", ".jpx": "JPEG2000"}
    for suffix in sorted(SUFFIXES):
        file = tmp_path / "ada" / f"a{suffix[1:]}{suffix.upper()}"
        if suffix in (".heic", ".heif", ".hif"):
            file.write_bytes(base64.b64decode(HEIC))
        else:
            file.parent.mkdir(exist_ok=True)
            Image.new("RGB" if suffix != ".pgm" else "L", (16, 16)).save(file, formats.get(suffix))
    (ada,) = load(tmp_path).identities
    assert len(ada.clean + ada.protect) == len(SUFFIXES)
    assert not ada.skipped


def test_a_picture_without_a_picture_s_name_is_taken(tmp_path: Path) -> None:
    for name in ("IMG_1", "photo.jpg_large", "photo.jpg?w=1200"):
        photo(tmp_path / "a.jpg").rename(tmp_path / name)
    assert names(tmp_path) == ["IMG_1", "photo.jpg?w=1200", "photo.jpg_large"]


@pytest.mark.parametrize("suffix", OTHER_PICTURES)
def test_a_picture_that_is_not_read_stops_the_run_because_the_sets_would_shift(tmp_path: Path, suffix: str) -> None:
    for number in range(6):
        photo(tmp_path / "ada" / f"{number}.png")
    photo(tmp_path / "ada" / "x.tiff").rename(tmp_path / "ada" / f"IMG_7{suffix.upper()}")  # raw files are TIFF within
    with pytest.raises(BenchError, match=rf"IMG_7\{suffix.upper()} is a kind of picture that is not read"):
        load(tmp_path)


def test_everything_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    for name in ("a.cr2", "b.psd"):
        photo(tmp_path / "ada" / "set_A" / "x.png").rename(tmp_path / "ada" / "set_A" / name)
    photo(tmp_path / "ada" / "set_B" / "x.png")
    with pytest.raises(BenchError, match=r"set_A/a\.cr2 is a kind.*; set_A/b\.psd is a kind"):
        load(tmp_path)


# --- what is not ------------------------------------------------------------------------------------------------------


def test_what_systems_leave_behind_is_passed_over_by_every_reader(tmp_path: Path) -> None:
    for part in "ABC":
        for number in range(2):
            photo(tmp_path / "ada" / f"set_{part}" / f"{number}.jpg", number + 10)
    for folder in (tmp_path, tmp_path / "ada", tmp_path / "ada" / "set_A"):
        for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", ".hidden", "$RECYCLE.BIN"):
            photo(folder / name / "0.jpg")
        for name in (".DS_Store", "Thumbs.db", "._0.jpg", "desktop.ini"):
            (folder / name).write_bytes(b"litter")
    data = load(tmp_path)
    assert [person.name for person in data.identities] == ["ada"]
    assert [len(data.identities[0].clean), len(data.identities[0].protect), data.skipped] == [4, 2, ()]
    told: list[str] = []
    assert {name: len(files) for name, files in from_folder(tmp_path, {}, told.append).items()} == {"ada": 6}
    assert not told
    assert is_litter("__MACOSX")


def test_everything_else_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    for number in range(6):
        photo(tmp_path / "bob" / f"{number}.png", number)
    (tmp_path / "bob" / "notes.txt").write_text("on Bob")
    (tmp_path / "bob" / "IMG_1.mov").write_bytes(b"....ftypqt  ")
    photo(tmp_path / "bob" / "holiday" / "7.png")
    os.mkfifo(tmp_path / "bob" / "pipe.png")
    photo(tmp_path / "stray.png")
    (tmp_path / "README.md").write_text("of the folder")
    data = load(tmp_path)
    assert data.skipped == (
        "stray.png belongs to nobody",
        "bob/IMG_1.mov is not a photo",
        "bob/holiday is a folder, where none is expected",
        "bob/notes.txt is not a photo",
        "bob/pipe.png is no plain file",
    )
    assert data.identities[0].skipped == data.skipped[1:]


def test_photos_beside_the_sets_are_named(tmp_path: Path) -> None:
    for name in ("set_A/1.png", "set_A/2.png", "Set_C/3.png", "set_B/4.png", "5.png", "set_D/6.png"):
        photo(tmp_path / "ada" / name, int(Path(name).stem))
    (ada,) = load(tmp_path).identities
    assert [len(ada.reference), len(ada.protect), len(ada.extra)] == [2, 1, 1]
    assert ada.skipped == ("ada/5.png is in no set", "ada/set_D is a folder, where none is expected")


def test_too_few_photos_say_what_was_not_counted(tmp_path: Path) -> None:
    for file in ("1.png", "holiday/2.png"):
        photo(tmp_path / "ada" / file)
    with pytest.raises(BenchError, match=r"too few photos .*Not counted: ada/holiday is a folder"):
        load(tmp_path)


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_are_followed_by_every_reader(tmp_path: Path) -> None:
    for number in range(6):
        photo(tmp_path / "elsewhere" / f"{number}.png", number)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "ada").symlink_to(tmp_path / "elsewhere")
    for number in range(6):
        target = photo(tmp_path / "blobs" / f"{number}.png", number + 50)
        (tmp_path / "root" / "bob").mkdir(exist_ok=True)
        (tmp_path / "root" / "bob" / f"photo{number}.png").symlink_to(target)
    data = load(tmp_path / "root")
    assert [(p.name, len(p.clean + p.protect)) for p in data.identities] == [("ada", 6), ("bob", 6)]
    assert data.identities[1].reference[0].name == "photo0.png"
    assert {name: len(files) for name, files in from_folder(tmp_path / "root", {}).items()} == {"ada": 6, "bob": 6}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    photo(tmp_path / "ada" / "0.png")
    (tmp_path / "ada" / "again").symlink_to(tmp_path)
    (tmp_path / "ada" / "self").symlink_to(tmp_path / "ada" / "self")
    assert [file.name for file in scan_all(tmp_path).photos] == ["0.png"]
    assert skipped(tmp_path) == {"ada/self": "is a link to nothing"}


def test_a_photo_reached_twice_is_taken_once_and_a_link_to_nothing_is_missed(tmp_path: Path) -> None:
    photo(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("1.png")
    assert names(tmp_path) == ["1.png"]
    assert skipped(tmp_path) == {"2.png": "is the same file as 1.png"}
    (tmp_path / "3.png").symlink_to("lost.png")
    with pytest.raises(BenchError, match=r"3\.png is a link to nothing"):
        scan(tmp_path).complete(tmp_path)


def test_one_folder_is_not_two_people(tmp_path: Path) -> None:
    photo(tmp_path / "ada" / "0.png")
    (tmp_path / "bob").symlink_to("ada")
    with pytest.raises(BenchError, match=r"bob and .*ada are the same folder"):
        subfolders(tmp_path)


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_itself_in_either_form_of_its_accents(tmp_path: Path) -> None:
    for name in (NFD, "Ana"):
        for number in range(6):
            photo(tmp_path / name / f"{NFD}{number}.png", number)
    for typed in (NFC, NFD):
        data = Folder(str(tmp_path), crop="centre", identities=(typed,)).load(8)
        assert data.selected == (NFC,)
        assert data.identities[1].reference[0].name == f"{NFC}0.png"
        left = Folder(str(tmp_path), crop="centre", exclude=(typed,)).load(8)
        assert left.selected == ("Ana",)
    assert from_folder(tmp_path, {}).keys() == {NFC, "Ana"}
    table = {f"{NFC}0.png": "x", f"{NFC}1": "y"}
    assert {name: len(files) for name, files in from_folder(tmp_path, table).items()} == {"x": 2, "y": 2}


@pytest.mark.parametrize(("one", "other", "how"), [(NFC, NFD, "accents"), ("Ada", "ada", "upper and lower case")])
def test_names_that_another_system_takes_for_the_same_are_refused(
    tmp_path: Path, one: str, other: str, how: str
) -> None:
    for name in (one, other):
        try:
            (tmp_path / name).mkdir()
        except FileExistsError:
            pytest.skip("this file system takes them for the same")
    with pytest.raises(BenchError, match=f"differ in {how if how[0] == 'u' else 'the form of their accents'} alone"):
        entries(tmp_path)
