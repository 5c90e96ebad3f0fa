"""The store is its owner's alone, and what it gives back is what was put in."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.store import META, Store
from bench.store.inventory import items
from bench.store.lease import lease

KEY = "ab" * 32


def work(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "a.txt").write_text("result")
    (folder / "sub" / "b.txt").write_text("result")


def state(store: Store) -> str:
    (item,) = items(store)
    return item.state()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(params=[0o000, 0o022])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
def test_nobody_else_may_look_in_whatever_the_umask_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "above" / "store")
    store.compute("fit", KEY, work)
    with lease(store.root, tmp_path, ["fit/k"]):
        for path in (store.root, *store.root.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


def test_a_store_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(0o777)
    (tmp_path / "store").chmod(0o777)
    assert stat.S_IMODE(Store(tmp_path / "store").root.stat().st_mode) == 0o700


def test_a_file_that_the_manifest_does_not_list_is_damage(store: Store) -> None:
    """`numbered.load` reads all pictures of a folder: one more would be taken for the run's own."""
    folder = store.compute("fit", KEY, work).path
    (folder / "planted.txt").write_text("not of the work")
    assert state(store) == "damaged"
    assert store.find("fit", KEY) is None
    again = store.compute("fit", KEY, work)
    assert not again.cached
    assert not (folder / "planted.txt").exists()


@pytest.mark.parametrize("place", ["a.txt", "sub", META])
def test_a_link_is_damage_even_to_the_same_content(place: str, store: Store, tmp_path: Path) -> None:
    folder = store.compute("fit", KEY, work).path
    (folder / place).rename(tmp_path / "elsewhere")
    (folder / place).symlink_to(tmp_path / "elsewhere")
    assert store.find("fit", KEY) is None
    assert state(store) == "damaged"
    store.compute("fit", KEY, work)
    assert state(store) == "whole"
    assert (tmp_path / "elsewhere").exists(), "what a link leads to is nobody's to delete"


def test_an_output_that_is_a_link_is_made_again(store: Store, tmp_path: Path) -> None:
    folder = store.compute("fit", KEY, work).path
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert store.find("fit", KEY) is None
    assert not store.compute("fit", KEY, work).cached
    assert not folder.is_symlink()
    assert (tmp_path / "elsewhere" / "a.txt").exists()


def test_what_another_user_has_put_there_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store.compute("fit", KEY, work).path
    (folder / "a.txt").write_text("poisoned")
    meta = json.loads((folder / META).read_text())
    meta["files"]["a.txt"] = sha256_file(folder / "a.txt")
    (folder / META).write_text(json.dumps(meta))
    assert store.find("fit", KEY) is not None, "whoever may write there can do so; hence nobody else may"
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert store.find("fit", KEY) is None
    with pytest.raises(BenchError, match="belongs to another user"):
        Store(store.root)


def test_where_the_system_has_no_users_all_is_one_s_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.compute("fit", KEY, work)
    monkeypatch.delattr(os, "geteuid")
    assert Store(store.root).find("fit", KEY) is not None
