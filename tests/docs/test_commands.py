"""Every command in the README and the documentation is run, in a folder that has what they name.

Runs of the benchmark are planned, not computed (`dry_run=true`); what is marked `<!-- needs: ... -->` is left out.
"""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench.config.compose import prepare, settings_of
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.runner.run import run
from tests.support.contexts import ROOT
from tests.support.plugins import forget_plugins
from tests.support.runs import small_run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- needs: [^>]+-->\n)?```bash\n(.*?)```", re.DOTALL)


class Command(NamedTuple):
    """A command and the page that it is on."""

    page: str
    text: str


def commands() -> Iterator[Command]:
    for page in PAGES:
        if "_build" in page.parts or "reference" in page.parts:
            continue
        for needs, block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip() and not needs:
                    yield Command(str(page.relative_to(ROOT)), line.strip())


COMMANDS = list(commands())


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands name: photos, plug-ins, a run that has ended, a table of scores, a Parquet file."""
    place = tmp_path_factory.mktemp("workplace")
    for person in ("p01", "p02"):
        shutil.copytree(SYNTHETIC / person, place / "photos" / person)
    for example in (ROOT / "docs" / "examples").glob("*.py"):
        shutil.copy(example, place)
    status, _, _ = small_run(place, f"out={place / 'runs' / 'mine'}")
    assert status == 0
    rows = [f"{method},{person},8,ilr,{leak}" for method, leak in (("aspl", 0.2), ("noise", 0.9)) for person in "abc"]
    (place / "scores.csv").write_text("\n".join(["method,identity,budget,metric,value", *rows]))
    files = sorted(SYNTHETIC.glob("p01/*/*.png"))
    stored = [{"bytes": file.read_bytes(), "path": None} for file in files]
    pq.write_table(pa.table({"image": stored, "identity": ["ada"] * len(files)}), place / "people.parquet")
    (place / "zips").mkdir()
    with zipfile.ZipFile(place / "zips" / "ada.zip", "w") as archive:
        for number, file in enumerate(files):
            archive.write(file, f"{number:02d}.png")
    return place


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("CLOAKBENCH_STORE", str(workplace / "store"))
    forget_plugins(monkeypatch)
    return workplace


@pytest.mark.parametrize("command", COMMANDS, ids=[f"{c.page}: {c.text[:60]}" for c in COMMANDS])
def test_command_of_the_documentation_does_what_it_says(command: Command, here: Path) -> None:
    words = shlex.split(command.text, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert all(name in extras for name in re.findall(r"\[(\w+)\]", command.text))
    elif words[:3] == ["python", "-m", "bench"]:
        planned(words[3:])
    elif words[:2] == ["python", "-m"]:
        module = importlib.import_module(
            words[2] if hasattr(importlib.import_module(words[2]), "main") else f"{words[2]}.__main__"
        )
        if words[3:4] == ["submit"]:  # each page sends the run in for the first time
            shutil.rmtree(here / "results", ignore_errors=True)
        # Cloaks of a method that takes no time: what dladiff does is tested elsewhere.
        assert module.main(["defense=noise" if word == "defense=dladiff" else word for word in words[3:]]) == 0
    else:
        assert words[0] in ("rm", "eval", "source")


def planned(words: list[str]) -> None:
    """A run, planned: with all that is checked before anything is computed."""
    if "--help" in words:
        return
    if "-m" in words:
        _, sweep = prepare([*words, "logger=none"])
        assert sweep
        return
    text = StringIO()
    assert run(settings_of([*words, "logger=none", "dry_run=true"]), Console(file=text)) == 0
    assert "nothing was executed" in text.getvalue()


def test_every_example_is_shown_and_registered(here: Path) -> None:
    shown = "".join(page.read_text() for page in PAGES)
    for example in sorted(here.glob("my_*.py")):
        assert example.name in shown
        assert importlib.import_module("bench.list").main([example.name]) == 0
