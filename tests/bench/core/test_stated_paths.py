"""Paths in texts that others read: their last part alone, and nothing else changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.stated_paths import relative, shortened


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/ada/my cloaks", ".../my cloaks"),
        ("/data", ".../data"),
        ("~/x", ".../x"),
        ("~ada/x", ".../x"),
        ("OSError: '/home/Ada Lovelace/b c.jpg' is gone", "OSError: '.../b c.jpg' is gone"),
        ("no memory (at /usr/lib/x.py:12)", "no memory (at .../x.py:12)"),
        ("data.root=/home/ada/photos", "data.root=.../photos"),
        ("[/a/b,/c/d]", "[.../b,.../d]"),
        ("file:///home/ada/x.jpg", ".../x.jpg"),
        (r"C:\Users\ada\x.png", ".../x.png"),
        (r"it is C:\Users\ada\x.png.", "it is .../x.png."),
        (r"\\server\ada\x", ".../x"),
    ],
)
def test_of_an_absolute_path_the_last_part_is_left(text: str, said: str) -> None:
    assert shortened(text) == said
    assert shortened({"a": [text, 1, None]}) == {"a": [said, 1, None]}


@pytest.mark.parametrize(
    "text",
    [
        "https://creativecommons.org/licenses/by/4.0/",
        "noise 8/255",
        "1 /255",
        "runs/x",
        "and/or",
        "",
        "/",
        "a ~ b",
        "CC BY/NC",
    ],
)
def test_anything_else_stays(text: str) -> None:
    assert shortened(text) == text


def test_what_is_shortened_stays() -> None:
    assert shortened(shortened("/home/ada/x")) == ".../x"


def test_from_here_a_path_still_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = relative(f"data.root={tmp_path / 'photos'}")
    assert said == "data.root=photos"
    assert not Path(relative("/data/x")).is_absolute()
    assert Path(relative("/data/x")).resolve() == Path("/data/x").resolve()
