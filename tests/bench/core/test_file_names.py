"""Names of files out of names that others chose: whatever they are, the file is where it is meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import BenchError
from bench.core.file_names import file_name, inside, is_file_name

OUTSIDE = [
    "..",
    ".",
    "",
    "../x",
    "/etc/x",
    "a/b",
    "a\\b",
    "C:x",
    ".hidden",
    "a\0b",
    "a\nb",
    "a\u202eb",
    "x.",
    " x",
    "x" * 201,
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_could_be_elsewhere_or_seem_another_is_no_name(tmp_path: Path, name: str) -> None:
    assert not is_file_name(name)
    with pytest.raises(BenchError, match="cannot be the name of a file"):
        inside(tmp_path, "ada", name)


@pytest.mark.parametrize(
    "name", ["ada", "Zoë O'Brien", "n000001", "李小龙", "पूजा", "00.png", "dladiff (steps 5)", "-a"]
)
def test_names_of_people_and_labels_are_names(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == tmp_path / name
    assert file_name(name) == name


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ada").symlink_to(tmp_path)
    with pytest.raises(BenchError, match="a link leads elsewhere"):
        inside(tmp_path / "out", "ada", "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert inside(tmp_path / "link", "bob") == tmp_path / "link" / "bob", "the folder itself may be a link"


@given(st.text())
def test_any_text_becomes_a_name(text: str) -> None:
    assert is_file_name(file_name(text))
    assert file_name(file_name(text)) == file_name(text)
