"""Names are compared as people mean them."""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import unknown_name
from bench.core.names import composed, natural
from bench.results.record import load_all, save
from tests.support.boards import record

NFC, NFD = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    "ordered",
    [
        ["9.jpg", "10.jpg", "101.jpg", "1000.jpg"],
        ["IMG_2.png", "IMG_10.png", "IMG_10a.png"],
        ["a", "a1", "a01x", "a2", "b"],
        ["dreambooth 8/255", "dreambooth 16/255"],
        ["v0.9.2", "v0.10.0"],
        ["2", "a"],
    ],
)
def test_numbers_count(ordered: list[str]) -> None:
    assert sorted(set(ordered), key=natural) == ordered


@given(st.text(), st.text(), st.text())
def test_any_names_have_one_order(a: str, b: str, c: str) -> None:
    first, *rest = sorted([a, b, c], key=natural)
    assert all(natural(x) <= natural(y) for x, y in pairwise([first, *rest]))
    assert (natural(a) == natural(b)) == (composed(a) == composed(b))


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_equal_widths_sort_as_text(a: int, b: int) -> None:
    one, other = f"p{a:07}.png", f"p{b:07}.png"
    assert (natural(one) < natural(other)) == (one < other)


def test_an_accent_is_one_letter_in_either_form() -> None:
    assert composed(NFD) == NFC == composed(NFC)
    assert natural(NFD) == natural(NFC)


def test_what_is_allowed_is_listed_by_number() -> None:
    assert unknown_name("identity", "7", ["10", "9", "101"]).fix.endswith("Allowed: 9, 10, 101.")


def test_records_come_back_by_person(tmp_path: Path) -> None:
    for person in ("10", "9", "101"):
        save(record("noise", person, 0.5), tmp_path / "cells")
    assert [r.identity for r in load_all(tmp_path)] == ["9", "10", "101"]
