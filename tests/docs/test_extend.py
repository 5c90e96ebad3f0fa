"""Each page on extending the benchmark, followed to the letter in an empty folder, and its run made small."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.config.compose import settings_of
from bench.core.plugins import import_plugins
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.results.record import Record, load_all
from bench.runner.run import run
from tests.support.contexts import ROOT
from tests.support.plugins import forget_plugins
from tests.support.runs import places

PAGES = ROOT / "docs" / "extend"
INCLUDED = re.compile(r"Save this as `(\w+\.py)`[^`]*:\n\n```{literalinclude} (\S+)\n")
SMALL = ["model.steps=2", "protocol.images_per_prompt=1", "controls=[]", "workers=1", "mode=cached"]
DREAMBOOTH = ["attack.steps=1", "attack.batch=2"]
ONE_PERSON = ["data.limit=1"]
QUIET = ["logger=none"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody stands who has nothing yet."""
    monkeypatch.chdir(tmp_path)
    forget_plugins(monkeypatch)
    return tmp_path


def saved(page: str, here: Path) -> str:
    """The page's text; its file is saved under the name that the page says."""
    text = (PAGES / f"{page}.md").read_text()
    found = INCLUDED.search(text)
    assert found, f"{page}: what is to be saved, and as what?"
    shutil.copy(PAGES / found[2], here / found[1])
    assert found[1] == Path(found[2]).name
    return text


def follow(page: str, here: Path, *small: str) -> list[Record]:
    """Do what a page says; the records of attacks in its last run, which settings make as small as can be."""
    runs = []
    for block in re.findall(r"```bash\n(.*?)```", saved(page, here), re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[:2] == ["python", "-m"]
            if words[2] == "bench":
                runs.append(words[3:])
            elif words[2] == "bench.list":  # `bench.check` is run by `test_commands`
                assert importlib.import_module("bench.list").main(words[3:]) == 0
    out = StringIO()
    status = run(settings_of([*runs[-1], *SMALL, *small, *places(here)]), Console(file=out, width=200))
    assert status == 0, out.getvalue()
    return [record for record in load_all(here / "out") if record.attack.name != "none"]


def test_a_metric(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = follow("metric", here, *DREAMBOOTH, *ONE_PERSON, *QUIET)
    assert "changed" in capsys.readouterr().out
    assert 0.5 < (record.metrics["changed"] or 0) < 1  # uniform noise of 8 levels leaves a value out of 17 alone
    assert (record.metrics["changed.worst"] or 0) >= (record.metrics["changed"] or 0)
    darkness = [image.quality["darkness"] for image in record.images]
    assert record.metrics["darkness"] == pytest.approx(sum(darkness) / len(darkness))
    assert "changed" in (here / "out" / "scores.csv").read_text()


def test_a_defense(here: Path) -> None:
    (record,) = follow("defense", here, "defense.steps=2", *DREAMBOOTH, *ONE_PERSON, *QUIET)
    assert record.defense.name == "my_cloak"
    assert 0 < (record.metrics["linf"] or 0) <= 8


def test_an_attack(here: Path) -> None:
    (record,) = follow("attack", here, *ONE_PERSON, *QUIET)
    assert (record.attack.name, record.attack.config["share"]) == ("mean_photo", 0.3)
    assert record.images


def test_a_countermeasure(here: Path) -> None:
    (record,) = follow("countermeasure", here, "defense=none", *DREAMBOOTH, *ONE_PERSON, *QUIET)
    assert [step.name for step in record.countermeasure] == ["mirror"]


def test_a_data_set(here: Path) -> None:
    (here / "zips").mkdir()
    with zipfile.ZipFile(here / "zips" / "ada.zip", "w") as archive:
        for number, file in enumerate(sorted(SYNTHETIC.glob("p01/*/*.png"))):
            archive.write(file, f"{number:02d}.png")
    (record,) = follow("data-set", here, "defense=none", "attack=dreambooth", *DREAMBOOTH, *QUIET)
    assert record.data == "zips"
    assert re.fullmatch("p[0-9a-f]{12}", record.identity), "a pseudonym"


def test_a_logger(here: Path) -> None:
    follow("logger", here, "defense=none", "attack=dreambooth", *DREAMBOOTH, *ONE_PERSON)
    lines = (here / "out" / "cells.txt").read_text().splitlines()
    assert [line.split()[1:3] for line in lines] == [["none", "none"], ["none", "dreambooth"]]


def test_every_page_is_followed_here() -> None:
    """But for that of bases, which has no code: `test_commands` plans what it says."""
    followed = set(re.findall(r'follow\("([\w-]+)"', Path(__file__).read_text()))
    assert followed == {page.stem for page in PAGES.glob("*.md")} - {"base"}


def test_names_of_examples_are_not_those_of_built_ins(here: Path) -> None:
    import_plugins(map(str, sorted((ROOT / "docs" / "examples").glob("my_*.py"))))
