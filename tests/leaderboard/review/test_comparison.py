"""An entry beside the controls and the trusted rows: what is compared, and that nothing of a stranger's is obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.errors import BenchError
from leaderboard.__main__ import main
from leaderboard.review.comparison import against
from tests.support.boards import pack, record, table

PEOPLE = 8


def write(root: Path) -> None:
    """A good cloak against two attacks; controls and a rival of the maintainers; two rows that say nothing of it."""
    flat = {"dreambooth": [0.25] * PEOPLE, "lora": [0.125 * (i % 2) for i in range(PEOPLE)]}
    clean = {"dreambooth": [1.0] * PEOPLE, "lora": [0.75] * PEOPLE}
    pack(root, "mine", table("mine", flat))
    controls = table("none", clean) + table("noise", clean) + table("noise", clean, budget=4)
    pack(root, "controls", controls, kind="reference")
    pack(root, "rival", table("rival", {"dreambooth": [0.5] * PEOPLE}), kind="reference")
    pack(root, "stranger", table("stranger", flat))


def rows(text: str) -> dict[str, list[str]]:
    """Label -> the cells of its line."""
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "/255 |" in line]
    clean = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if "| clean" in line]
    return {label: cells for label, *cells in lines + clean}


def test_differences_are_those_of_the_worst_attack_on_each_person(tmp_path: Path) -> None:
    write(tmp_path)
    found = rows(against(tmp_path, "mine"))
    assert set(found) == {"mine 8/255", "clean", "noise 8/255", "rival 8/255"}, "no other budget, and nobody unverified"
    assert found["mine 8/255"][:3] == ["8", "0.25", "0.25 to 0.25"]
    # All eight people agree: p is 1 / 2^8 of a question that is asked in one direction.
    assert found["noise 8/255"] == ["8", "1.00", "1.00 to 1.00", "-0.75", "-0.75 to -0.75", "0.004", "beats noise"]
    assert found["clean"] == ["8", "1.00", "1.00 to 1.00", "", "", "", ""], "a line to read the others by"


def test_the_worst_attack_is_chosen_by_one_half_of_the_pictures_and_scored_by_the_other(tmp_path: Path) -> None:
    """Each attack seems to leak 0.8 in one half: by the other half it is 0.2 and 0.4."""
    halves = {"dreambooth": (0.8, 0.2), "lora": (0.4, 0.8)}
    mine = [record("mine", f"person-{i:02}", 0.5, attack=a, halves=h) for a, h in halves.items() for i in range(8)]
    pack(tmp_path, "mine", mine)
    assert rows(against(tmp_path, "mine"))["mine 8/255"][:2] == ["8", "0.30"]


def test_what_was_not_tried_was_not_survived(tmp_path: Path) -> None:
    write(tmp_path)
    assert rows(against(tmp_path, "mine"))["rival 8/255"][:2] == ["0", "incomplete"], "never tried against LoRA"
    own = rows(against(tmp_path, "rival"))
    assert own["rival 8/255"][:2] == ["8", "0.50"], "held against what it was tried against itself"
    assert own["noise 8/255"][-1] == "beats noise"


def test_a_worse_row_is_not_called_better(tmp_path: Path) -> None:
    write(tmp_path)
    pack(tmp_path, "worse", table("worse", {"dreambooth": [1.0] * 7 + [0.9]}))
    found = rows(against(tmp_path, "worse"))
    assert found["noise 8/255"][-1] == "not shown"
    assert found["rival 8/255"][-1] == "not asked: worse 8/255 not shown to beat noise"
    pack(tmp_path, "weak", table("weak", {"dreambooth": [0.75] * PEOPLE}))
    assert rows(against(tmp_path, "weak"))["rival 8/255"][-2:] == ["0.008", "the row protects better"]


def test_strangers_text_is_only_text(tmp_path: Path) -> None:
    write(tmp_path)
    evil = "`x` | <img src=x> [a](b) **c** # d"
    pack(tmp_path, "evil", [record(evil, f"person-{i:02}", 0.5) for i in range(PEOPLE)], title=evil)
    text = against(tmp_path, "evil")
    assert "\\`x\\` \\| \\<img src=x\\> \\[a\\](b) \\*\\*c\\*\\* \\# d" in text
    assert "<img" not in text.replace("\\<img", "")
    assert text.count("\n## ") == 0


def test_an_entry_that_is_not_there_or_not_whole_is_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(BenchError, match="Did you mean 'rival'"):
        against(tmp_path, "rivale")
    (tmp_path / "mine" / "records.jsonl.gz").write_bytes(b"damaged")
    with pytest.raises(BenchError, match="its hash differs"):
        against(tmp_path, "mine")


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert main(["compare", str(tmp_path), "mine"]) == 0
    assert capsys.readouterr().out.strip() == against(tmp_path, "mine").strip()


def test_it_says_when_a_picture_passes_for_the_person(tmp_path: Path) -> None:
    write(tmp_path / "one")
    assert "similarity >= 0.50, where 1.0% of strangers pass" in against(tmp_path / "one", "mine")
    judges = {"far": 0.01} | {f"{name}.{judge}": 0.4 for judge in ("ann", "bob") for name in ("ilr", "own")}
    leaks = {"dreambooth": [0.5] * PEOPLE}
    pack(tmp_path / "two", "mine", table("mine", leaks, thresholds=judges))
    pack(tmp_path / "two", "controls", table("none", leaks, thresholds=judges), kind="reference")
    assert "ann or bob recognises the person, each as 0.5%" in against(tmp_path / "two", "mine")
