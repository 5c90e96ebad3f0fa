"""Data sets with names: who and what is chosen, what is written, and what is refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.core.images import read_png
from bench.data import SOURCES
from bench.data.prepare import HEADER, Choice, choose, main, write
from bench.data.prepared import LFW
from bench.data.upstream import ORIGINS, People, from_folder, from_hub, from_parquet, names_of

CHOICE = Choice(people=0, photos=2, smallest=40, side=32)


def picture(faces: int, shade: int, side: int = 48) -> Image.Image:
    """Grey of a shade; the red of it says how many faces the fake finder sees."""
    return Image.fromarray(np.full((side, side, 3), (10 * faces, shade, shade), np.uint8))


@pytest.fixture(autouse=True)
def finder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.models.faces.dlib_recogniser.find_boxes", lambda image: [None] * (image.getpixel((0, 0))[0] // 10)
    )


def person(folder: Path, count: int, faces: int = 1, side: int = 48, shade: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(faces, shade + number, side).save(folder / f"{len(list(folder.iterdir())):02}.png")


def written(out: Path) -> dict[str, bytes]:
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    person(root / "ada", 8, shade=10)
    person(root / "bob", 5)
    person(root / "cleo", 6, side=39)
    person(root / "dan", 6, faces=2)
    person(root / "eve", 6, shade=100)
    person(root / "eve", 3, faces=0)
    (root / "eve" / "broken.jpg").write_bytes(b"no picture")
    return root


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_people_need_enough_large_photos_with_one_face(photos: Path) -> None:
    chosen = dict(choose(from_folder(photos, {}), CHOICE))
    assert chosen.keys() == {"ada", "eve"}
    for sets in chosen.values():
        assert [len(sets[part]) for part in "ABC"] == [2, 2, 2]
        places = [photo.place for part in sets.values() for photo, _ in part]
        assert len(set(places)) == 6
    shades = {pixels[0, 0, 1] for part in chosen["eve"].values() for _, pixels in part}
    assert shades == set(range(100, 106))


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    for name in "abcdefgh":
        person(tmp_path / name, 8)
    found = from_folder(tmp_path, {})

    def picked(seed: int) -> list[tuple[str, list[str]]]:
        choice = Choice(people=3, photos=2, smallest=40, side=32, seed=seed)
        return [(name, [photo.place for photo, _ in sets["B"]]) for name, sets in choose(found, choice)]

    assert len(picked(0)) == 3
    assert picked(0) == picked(0)
    assert picked(0) != picked(1)


def test_sets_that_somebody_chose_are_kept(tmp_path: Path) -> None:
    for name in ("ada", "bob"):
        person(tmp_path / name / "set_A", 3, shade=0)
        person(tmp_path / name / "set_B", 2, shade=100)
    person(tmp_path / "cleo" / "set_A", 3)
    person(tmp_path / "cleo" / "set_B", 1)
    chosen = dict(choose(from_folder(tmp_path, {}), CHOICE))
    assert chosen.keys() == {"ada", "bob"}
    assert {pixels[0, 0, 1] for _, pixels in chosen["ada"]["B"]} == {100, 101}
    assert {pixels[0, 0, 1] for _, pixels in chosen["ada"]["A"]} < {0, 1, 2}
    assert chosen["ada"]["C"] == []


# --- sources ----------------------------------------------------------------------------------------------------------


def parquet(file: Path, people: dict[str, int], column: str = "instance_name", shade: int = 0) -> None:
    def png(number: int) -> bytes:
        buffer = io.BytesIO()
        picture(1, shade + number).save(buffer, "PNG")
        return buffer.getvalue()

    rows = [
        {"image": {"bytes": png(number), "path": None}, column: name}
        for name, count in people.items()
        for number in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), file)


def counts(found: People) -> dict[str, list[str]]:
    return {name: [photo.part for photo in photos] for name, photos in found.items()}


def test_parquet_files_named_as_splits_are_sets_and_others_are_not_read(tmp_path: Path) -> None:
    parquet(tmp_path / "vggface2_gen-00000-of-00001.parquet", {"7": 2})
    parquet(tmp_path / "vggface2_eval-00000-of-00001.parquet", {"7": 1})
    parquet(tmp_path / "celeba_gen-00000-of-00001.parquet", {"8": 2})
    assert counts(from_parquet(tmp_path, ORIGINS["vggface2"])) == {"7": ["A", "B", "B"]}
    assert counts(from_parquet(tmp_path, ORIGINS["celebahq"])) == {"8": ["B", "B"]}


def test_other_parquet_files_are_all_read(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", {"7": 2, "8": 1}, "label", shade=3)
    found = from_parquet(tmp_path, ORIGINS["lfw"])
    assert counts(found) == {"7": ["", ""], "8": [""]}
    assert found["7"][1].open().getpixel((0, 0)) == (10, 4, 4)


def test_a_missing_column_names_those_that_are_there(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", {"7": 2}, "who")
    with pytest.raises(BenchError, match=r"no column 'label', but image, who(.|\n)*--identity-column"):
        from_parquet(tmp_path, ORIGINS["lfw"])


def test_celebahq_gets_its_names_from_two_tables(tmp_path: Path) -> None:
    identities, mapping = tmp_path / "identity_CelebA.txt", tmp_path / "mapping.txt"
    identities.write_text("000001.jpg 2880\n000002.jpg 2937\n000003.jpg 8692\n")
    mapping.write_text("idx orig_idx orig_file\n0 2 000003.jpg\n1 0 000001.jpg\n2 7 000008.jpg\n")
    assert names_of(identities, None)["000002.jpg"] == "2937"
    names = names_of(identities, mapping)
    assert (names["0"], names["1"]) == ("8692", "2880")
    assert "2.jpg" not in names
    (tmp_path / "all").mkdir()
    for number in range(3):
        picture(1, number).save(tmp_path / "all" / f"{number}.jpg")
    assert counts(from_folder(tmp_path / "all", names)) == {"2880": [""], "8692": [""]}


def test_the_hub_is_read_with_its_class_names(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'cloakbench[data]'")
    asked = []

    def load(name: str, split: str, revision: str | None, download_config: Any) -> Any:
        asked.append((name, split, revision, download_config.max_retries))
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ada", "bob"])})
        return datasets.Dataset.from_dict({"image": [picture(1, 5), picture(1, 6)], "label": [1, 0]}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = from_hub(ORIGINS["lfw"], "abc")
    assert asked == [("logasja/lfw", "train", "abc", 1)]
    assert list(found) == ["ada", "bob"]
    assert found["bob"][0].open().getpixel((0, 0)) == (10, 5, 5)


def test_a_hub_that_does_not_answer_is_an_error_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs pip install 'cloakbench[data]'")

    def load(*arguments: Any, **options: Any) -> Any:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(BenchError, match=r"ConnectionError(.|\n)*--source"):
        from_hub(ORIGINS["vggface2"], None)


def fake_ghostscript(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of its name; the file that says that it was started."""
    (folder / "bin").mkdir()
    (folder / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {folder / 'started'}\n")
    (folder / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return folder / "started"


# --- writing ----------------------------------------------------------------------------------------------------------


def test_the_same_source_gives_the_same_files_and_every_one_is_in_the_header(photos: Path, tmp_path: Path) -> None:
    words = ["lfw", "--source", str(photos), "--photos", "2", "--smallest", "40", "--side", "32"]
    for name in ("one", "two"):
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    assert written(tmp_path / "one") == written(tmp_path / "two")
    header = json.loads((tmp_path / "one" / HEADER).read_text())
    listed = {file["file"]: file["sha256"] for file in header["files"]}
    assert len(listed) == 12
    assert listed.keys() == written(tmp_path / "one").keys() - {HEADER}
    assert all(sha256_file(tmp_path / "one" / name) == digest for name, digest in listed.items())
    assert read_png(tmp_path / "one" / next(iter(listed))).shape == (32, 32, 3)
    assert "news agencies" in header["licence"]
    assert str(tmp_path) not in json.dumps(header)


def test_what_is_broken_off_is_not_taken_for_a_data_set(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out = from_folder(photos, {}), tmp_path / "out"
    calls = iter(range(100))

    def stop(file: Path) -> str:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return sha256_file(file)

    with monkeypatch.context() as patched:
        patched.setattr("bench.data.prepare.sha256_file", stop)
        with pytest.raises(KeyboardInterrupt):
            write(out, "lfw", "mine", "here", found, CHOICE)
    assert not out.exists()
    assert write(out, "lfw", "mine", "here", found, CHOICE) == 2
    assert not out.with_name("out.partial").exists()


@pytest.mark.parametrize(
    ("licence", "choice", "problem"),
    [
        (" ", CHOICE, "needs a licence"),
        ("mine", Choice(photos=9, smallest=40), "None of 5 people has enough photos of 40 px"),
    ],
)
def test_what_cannot_be_prepared(photos: Path, tmp_path: Path, licence: str, choice: Choice, problem: str) -> None:
    with pytest.raises(BenchError, match=problem):
        write(tmp_path / "out", "lfw", licence, "here", from_folder(photos, {}), choice)
    assert not (tmp_path / "out").exists()


def test_a_prepared_data_set_is_not_written_over(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BenchError, match="is there already"):
        write(tmp_path / "out", "lfw", "mine", "here", from_folder(photos, {}), CHOICE)


@pytest.mark.parametrize("name", ["../../../ada", "TMP/elsewhere/ada", "..", ".ada", "a\u202eb"])
def test_a_table_s_names_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    name = name.replace("TMP", str(tmp_path))
    (tmp_path / "source").mkdir()
    parquet(tmp_path / "source" / "a.parquet", {name: 6, "bob": 6}, "label")
    out = tmp_path / "deep" / "er" / "out"
    words = ["lfw", "--source", str(tmp_path / "source"), "--photos", "2", "--smallest", "40", "--side", "32"]
    assert main([*words, "--out", str(out)]) == 0
    assert {file.parent.parent for file in tmp_path.rglob("*.png")} == {out / "bob"}
    assert json.loads((out / HEADER).read_text())["skipped"] == [f"{name!r} cannot be the name of a folder"]


def test_no_photo_ends_the_work_on_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs, PostScript, broken EXIF, a cell of a table without a picture, and one that the finder chokes on."""

    def saved(shade: int, **options: Any) -> bytes:
        picture(1, shade).save(buffer := io.BytesIO(), **{"format": "PNG", **options})
        return buffer.getvalue()

    def find(image: Image.Image) -> list[Any]:
        if image.getpixel((0, 0)) == (10, 99, 99):
            raise MemoryError("bad allocation")
        return [None]

    bomb = bytearray(saved(5))
    bomb[16:24] = (20_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    broken = {
        "bad allocation": saved(99),
        "too large": bytes(bomb),
        "cannot be read as a picture": saved(5, format="EPS"),
        "holds no picture": None,
        "has EXIF data that cannot be read": saved(5, exif=b"Exif\0\0no EXIF at all"),
    }
    # Five good photos beside each: one too few, so every photo is looked at. Only Ada has enough.
    contents = [(said, content) for said, bad in broken.items() for content in (bad, *[saved(5)] * 5)]
    rows = [{"image": {"bytes": c, "path": None}, "label": who} for who, c in (*contents, *[("ada", saved(5))] * 6)]
    (tmp_path / "source").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "source" / "a.parquet")
    monkeypatch.setattr("bench.models.faces.dlib_recogniser.find_boxes", find)
    started = fake_ghostscript(tmp_path, monkeypatch)
    words = ["lfw", "--source", str(tmp_path / "source"), "--photos", "2", "--smallest", "40", "--side", "32"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert [place.name for place in (tmp_path / "out").iterdir() if place.is_dir()] == ["ada"]
    skipped = sorted(json.loads((tmp_path / "out" / HEADER).read_text())["skipped"])
    assert len(skipped) == len(broken)
    for number, said in enumerate(broken):
        assert skipped[number].startswith(f"a.parquet/{6 * number:06} ")
        assert said in skipped[number]
    assert not started.exists(), "Ghostscript"


# --- loading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(photos: Path, tmp_path: Path) -> Path:
    write(tmp_path / "lfw", "lfw", "research only", "here", from_folder(photos, {}), CHOICE)
    return tmp_path / "lfw"


def test_it_is_loaded_by_name_with_its_licence(prepared: Path) -> None:
    source = SOURCES.create("lfw", {"root": str(prepared), "crop": "centre"})
    data = source.load(16)
    assert (data.name, data.licence) == ("lfw", "research only")
    assert [p.name for p in data.identities] == ["ada", "eve"]
    ada = data.identities[0]
    assert [len(ada.reference), len(ada.protect), len(ada.extra)] == [2, 2, 2]
    assert ada.protect[0].pixels.shape == (16, 16, 3)
    assert not source.invented


def test_a_copy_with_accents_in_another_form_is_the_same_data_set(photos: Path, tmp_path: Path) -> None:
    nfc, nfd = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    (photos / "ada").rename(photos / nfd)
    write(tmp_path / "lfw", "lfw", "mine", "here", from_folder(photos, {}), CHOICE)
    (tmp_path / "lfw" / nfc).rename(tmp_path / "lfw" / nfd)
    data = LFW(root=str(tmp_path / "lfw"), crop="centre", identities=(nfd,)).load(16)
    assert data.selected == (nfc,)


def test_what_was_skipped_is_told_and_written_down(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "ada" / "notes.txt").write_text("on Ada")
    (photos / "__MACOSX").mkdir()
    shutil.copy(photos / "ada" / "00.png", photos / "__MACOSX" / "._00.png")
    words = ["lfw", "--source", str(photos), "--photos", "2", "--smallest", "40", "--side", "32"]
    assert main([*words, "--people", "0", "--out", str(tmp_path / "out")]) == 0
    skipped = json.loads((tmp_path / "out" / HEADER).read_text())["skipped"]
    assert skipped[0] == "ada/notes.txt is not a photo"
    assert set(skipped[1:]) <= {"eve/broken.jpg cannot be read as a picture (UnidentifiedImageError)."}
    assert "Skipped: ada/notes.txt is not a photo" in capsys.readouterr().out


def test_more_than_a_hundred_photos_a_set_keep_their_order(tmp_path: Path) -> None:
    person(tmp_path / "ada", 303)
    write(tmp_path / "out", "lfw", "mine", "here", from_folder(tmp_path, {}), Choice(photos=101, smallest=40, side=8))
    names = sorted(file.name for file in (tmp_path / "out" / "ada" / "set_B").iterdir())
    assert (names[0], names[-1]) == ("000.png", "100.png")


def test_people_who_asked_for_it_are_left_out(prepared: Path) -> None:
    data = LFW(root=str(prepared), crop="centre", exclude=("ada",)).load(16)
    assert [p.name for p in data.identities] == ["eve"]
    with pytest.raises(BenchError, match=r"data\.exclude 'adda'"):
        LFW(root=str(prepared), exclude=("adda",)).load(16)


def damage(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda root: change(next(root.rglob("*.png")))


def without_licence(root: Path) -> None:
    header = json.loads((root / HEADER).read_text())
    (root / HEADER).write_text(json.dumps({**header, "licence": ""}))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (damage(lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x")), "not as it was prepared"),
        (damage(lambda file: file.unlink()), "missing or not as it was prepared"),
        (damage(lambda file: shutil.copy(file, file.with_name("99.png"))), "is not of the data set as it was prepared"),
        (without_licence, "states no licence"),
        (lambda root: (root / HEADER).unlink(), r"not prepared(.|\n)*bench\.data\.prepare lfw(.|\n)*188 MB"),
    ],
)
def test_what_is_not_as_it_was_prepared_is_refused(
    prepared: Path, harm: Callable[[Path], object], problem: str
) -> None:
    harm(prepared)
    with pytest.raises(BenchError, match=problem):
        LFW(root=str(prepared)).load(16)


def test_real_faces_are_found(shared_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = from_folder(shared_data("vggface2_mini"), {})
    ((name, sets),) = choose(found, Choice(people=1, photos=1, smallest=100, side=64))
    assert name.startswith("n0")
    assert [len(sets[part]) for part in "ABC"] == [1, 1, 1]
