"""Some hundred entries that are wrong somehow: every command refuses or takes each, and does nothing else."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.fuzz_entries import RESULTS, fuzz
from benchmarks.mutations import mutated, plain, written


def test_nothing_but_clean_refusals() -> None:
    found = fuzz(entries=120, seed=0)
    assert found.wrong == []
    assert all(counts.total() == 120 for counts in found.counts.values())
    assert all(counts["refused"] > 60 for counts in found.counts.values()), "most mutations are noticed"


def test_an_entry_is_made_again_from_its_number(tmp_path_factory: pytest.TempPathFactory) -> None:
    draft = plain(RESULTS / "reference-2-synthetic", "mine", "p03")
    for number in range(20):
        made = []
        for name in ("one", "two"):
            random = Random(f"0 {number}")
            path = written(mutated(draft, random), tmp_path_factory.mktemp(name), random)
            files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
            made.append([file.read_bytes() for file in files if file.suffix != ".zip"])
        assert made[0] == made[1]


def test_what_a_command_raises_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*arguments: object) -> None:
        raise KeyError("unforeseen")

    monkeypatch.setattr("benchmarks.fuzz_entries.validate", stumble)
    monkeypatch.setattr("leaderboard.site.grouping.comparable", stumble)
    found = fuzz(entries=1, seed=0)
    assert [line.split(",")[2].strip() for line in found.wrong] == [
        "validate raised: KeyError: 'unforeseen'",
        "build raised: the good entry is not on the page",
    ]
