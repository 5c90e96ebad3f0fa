"""Results in README and documentation: what the records say, and nothing typed unless it says so."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bench.core.errors import BenchError
from docs import from_records
from docs.from_records import FILES, filled, main
from tests.support.contexts import ROOT

TYPED = "<!-- typed: these records are not in the repository -->"


def read(entry: str) -> list[dict[str, Any]]:
    """The records of an entry, read without the package."""
    with gzip.open(ROOT / "results" / entry / "records.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def table(name: str) -> list[list[str]]:
    """The rows of a block of docs/results.md, the heading first."""
    text = (ROOT / "docs/results.md").read_text()
    block = text.partition(f"<!-- results: {name} -->\n")[2].partition("<!-- end of results -->")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
    return [rows[0], *rows[2:]]


@pytest.mark.parametrize("name", FILES)
def test_documents_say_what_the_records_say(name: str) -> None:
    text = (ROOT / name).read_text()
    assert filled(text) == text, "python -m docs.from_records writes them again"


def test_a_leak_rate_is_the_mean_of_its_records() -> None:
    header, *rows = table("eight-people")
    every = read("reference-celebahq") + read("reference-vggface2")
    names = {"DreamBooth": "dreambooth", "LoRA": "lora", "FaceID": "ip_adapter", "InstantID": "instantid"}
    checked = 0
    for title, *cells in rows:
        defense = {"clean": "none"}.get(title, title.strip("`"))
        if "dladiff" in defense:  # several settings share that name
            continue
        for heading, cell in zip(header[1:], cells, strict=True):
            wanted = (defense, 0 if defense == "none" else 16, names[heading], "facelet-1")
            leaks = [
                r["metrics"]["ilr"]
                for r in every
                if (r["defense"]["name"], r["defense"]["budget"], r["attack"]["name"], r["base"]) == wanted
            ]
            assert (len(leaks), cell) == (8, f"{fmean(leaks):.2f}"), (title, heading)
            checked += 1
    assert checked == 24


def test_a_witness_has_columns_of_its_own() -> None:
    header, *rows = table("encoders")
    of_clean = [r for r in read("reference-2-celeba-encoders") if r["defense"]["name"] == "none"]
    by_dlib = [r["metrics"]["ilr.dlib"] for r in of_clean if r["attack"]["name"] == "instantid"]
    assert rows[0][header.index("InstantID by dlib")] == f"{fmean(by_dlib):.2f}"


def test_a_figure_that_somebody_typed_is_found_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs/results.md").read_text()
    changed = re.sub(r"(\| noise \| )0\.\d\d", r"\g<1>0.01", text, count=1)
    assert changed != text
    (tmp_path / "page.md").write_text(changed)
    filled(text)  # reads the records, which are kept
    monkeypatch.setattr(from_records, "ROOT", tmp_path)
    monkeypatch.setattr(from_records, "FILES", ("page.md",))
    assert main(["--check"]) == 1
    assert (tmp_path / "page.md").read_text() == changed
    assert main([]) == 0
    assert (tmp_path / "page.md").read_text() == text
    assert main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "page.md does not say what the records say.",
        "page.md now says what the records say.",
    ]


def test_a_block_that_nobody_writes_is_named() -> None:
    with pytest.raises(BenchError, match="results block 'encoder'") as caught:
        filled("<!-- results: encoder -->\n<!-- end of results -->")
    assert "'encoders'" in caught.value.fix
    with pytest.raises(BenchError, match="no block of results"):
        filled("| clean | 0.84 |")


@pytest.mark.parametrize("name", ["docs/results.md", "docs/guides/countermeasures.md"])
def test_a_table_of_results_that_is_typed_says_so(name: str) -> None:
    text = re.sub(r"<!-- results: .*?<!-- end of results -->", "", (ROOT / name).read_text(), flags=re.DOTALL)
    tables = [part for part in re.split(r"\n\s*\n", text) if re.search(r"^\|.*\b[01]\.\d\d\b", part, re.MULTILINE)]
    assert tables
    assert all(part.strip().startswith(TYPED) for part in tables)


def test_the_example_of_a_run_s_table_is_of_one_attack_and_one_cloak() -> None:
    text = (ROOT / "docs/start/first-run.md").read_text()
    rows = text.partition("<!-- results: one-defense -->")[2].partition("<!-- end of results -->")[0]
    (row,) = (line.split() for line in rows.splitlines() if line.startswith(" antidreambooth"))
    leaks = [
        record["metrics"]["ilr"]
        for record in read("reference-2-held-out")
        if record["defense"]["name"] == "antidreambooth" and record["attack"]["name"] == "dreambooth"
    ]
    assert row[1] == str(len(leaks)) == "24"
    assert row[4] == f"{fmean(leaks):.2f}"
