"""CSV files that a spreadsheet opens: texts stay texts, each in its own cell."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.spreadsheet import FORMULA, as_text, csv_text, restored


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\r=1", "\n=1", " =1", "\uff1d1", "=HYPERLINK(1;2)"])
def test_no_text_begins_as_a_formula_does(text: str) -> None:
    ((cell,),) = csv.reader([csv_text([[text]])[:-1]], strict=True)
    assert not FORMULA.match(cell)
    assert restored(cell) == text


def test_texts_are_quoted_and_numbers_are_not() -> None:
    assert csv_text([["a", 'say "x"', "a;=1", -0.5, 7, "-0.5", None, "", "\u0661"]]) == (
        '"a","say ""x""","a;=1",-0.5,7,-0.5,,,"\u0661"\n'
    )


@settings(max_examples=50)
@given(st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=1), min_size=1))
def test_another_reader_finds_the_same_cells(rows: list[list[str]]) -> None:
    """Oracle: the standard library's reader."""
    found = [row or [""] for row in csv.reader(io.StringIO(csv_text(rows), newline=""), strict=True)]
    assert found == [list(map(as_text, row)) for row in rows]
