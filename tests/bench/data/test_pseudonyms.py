"""Real people's names end where they are loaded; who runs the benchmark still finds everybody."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.pseudonyms import is_code, pseudonym
from bench.core.types import Dataset
from bench.data.folder import Folder
from bench.data.prepared import LFW, CelebAHQ
from bench.data.pseudonyms import legend, load, stored, told
from bench.data.synthetic import Synthetic
from bench.store.secret import FILE, secret

SIDE = 16


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people with names, and one with a number."""
    for person, name in enumerate(("Ada Lovelace", "Zoë", "104")):
        for part in "ABC":
            folder = tmp_path / "photos" / name / f"set_{part}"
            folder.mkdir(parents=True)
            for index in range(2):
                grey = np.full((SIDE, SIDE, 3), 60 * person + 10 * ord(part) % 50 + index, np.uint8)
                Image.fromarray(grey).save(folder / f"{name} {index}.png")
    (tmp_path / "photos" / "Ada Lovelace" / "will.txt").write_text("no photo")
    return tmp_path / "photos"


def folder(root: Path, **settings: object) -> Folder:
    return Folder(str(root), crop="centre", **settings)  # type: ignore[arg-type]


def names(data: Dataset) -> list[str]:
    return [person.name for person in data.identities]


def test_names_end_here_and_the_terminal_has_them_back(root: Path, tmp_path: Path) -> None:
    data = load(folder(root), SIDE, tmp_path / "store")
    assert data.selected == tuple(names(data))
    assert all(map(is_code, data.selected))
    assert "104" in data.selected, "a number is a code already"
    ada = next(person for person in data.identities if data.own[person.name] == "Ada Lovelace")
    assert ada.skipped == ("files that are no photos: 1",)
    place = ada.place("B", ada.protect[1])
    assert place == f"{ada.name}/B2"
    assert told(data, f"{place} may not show {ada.name}.") == (
        "Ada Lovelace/set_B/Ada Lovelace 1.png may not show Ada Lovelace."
    )
    assert f"Ada Lovelace is {ada.name}" in legend(data, 20)
    assert "104 is" not in legend(data, 20)


def test_what_an_error_says_is_stored_without_names(root: Path, tmp_path: Path) -> None:
    data = load(folder(root), SIDE, tmp_path / "store")
    ada = next(person for person in data.identities if data.own[person.name] == "Ada Lovelace")
    zoe = pseudonym("Zoë", secret(tmp_path / "store"))
    said = stored(data, ada, "Ada Lovelace/set_B/Ada Lovelace 1.png: Ada Lovelace looks like Zoë, not like Zoëlle")
    assert said == f"{ada.name}/B2: {ada.name} looks like {zoe}, not like Zoëlle"
    assert "Ada" not in stored(data, ada, "cannot open 'Ada Lovelace 0.png'")


def test_one_store_knows_a_person_again_and_another_does_not(root: Path, tmp_path: Path) -> None:
    first, again, other = (load(folder(root), SIDE, tmp_path / store) for store in ("a", "a", "b"))
    assert first == again
    assert set(names(first)) & set(names(other)) == {"104"}
    file = tmp_path / "a" / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text()) == 64


def test_a_published_data_set_has_the_same_pseudonyms_everywhere(root: Path) -> None:
    assert (LFW().published, CelebAHQ().published, folder(root).published) == ("lfw", "celebahq", "")


def test_people_are_chosen_and_left_out_by_name_or_pseudonym(root: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ada, zoe = (pseudonym(name, secret(store)) for name in ("Ada Lovelace", "Zoë"))
    for given in (ada, "Ada Lovelace"):
        assert load(folder(root, identities=(given,)), SIDE, store).selected == (ada,)
        assert ada not in names(data := load(folder(root, exclude=(given, "104")), SIDE, store))
        assert data.selected == (zoe,)
        assert data.own[ada] == "Ada Lovelace", "the plan of a run names those left out by their pseudonyms"
    with pytest.raises(BenchError, match="p0123456789ab"):
        load(folder(root, identities=("p0123456789ab",)), SIDE, store)


def test_names_are_kept_when_asked_and_those_of_invented_people_always(root: Path, tmp_path: Path) -> None:
    own = load(folder(root, names="own"), SIDE, tmp_path / "store")
    assert own == folder(root, names="own").load(SIDE)
    assert legend(own, 20) == ""
    assert stored(own, own.identities[0], "Ada Lovelace") == "Ada Lovelace"
    assert not (tmp_path / "store").exists()
    assert names(load(Synthetic(), 128, tmp_path / "store"))[:2] == ["p01", "p02"]


def test_people_of_numbers_are_the_people_they_were(root: Path, tmp_path: Path) -> None:
    """So nothing that was computed for them, nor any entry of the board, changes its place."""
    alone = folder(root, exclude=("Ada Lovelace", "Zoë"))
    data = load(alone, SIDE, tmp_path / "store")
    assert data.fingerprint == alone.load(SIDE).fingerprint
    assert names(data) == ["104"]


def test_a_store_that_cannot_keep_a_secret_is_a_mistake(root: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(BenchError, match=FILE):
        load(folder(root), SIDE, tmp_path / "store")
