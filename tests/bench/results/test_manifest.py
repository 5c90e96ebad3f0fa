"""What a run writes down of itself: people's names as codes, however they were typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.results import manifest


@pytest.mark.parametrize(
    ("typed", "written", "word"),
    [
        ([104, "ada"], ["104", "person-1"], "data.identities=['104','person-1']"),
        (104, ["104"], "data.identities=['104']"),
        ("ada", ["person-1"], "data.identities=['person-1']"),
    ],
)
def test_people_are_named_as_text_and_by_their_codes(tmp_path: Path, typed: Any, written: list[str], word: str) -> None:
    settings = {"data": {"name": "folder", "settings": {"identities": typed}}}
    words = ["data=folder", f"data.identities={typed}"]
    manifest.save(tmp_path, words, settings, tmp_path / "store", [], {"ada": "person-1"})
    made = manifest.load(tmp_path)
    assert made is not None
    assert made.settings["data"]["settings"]["identities"] == written
    assert made.overrides == ("data=folder", word)
