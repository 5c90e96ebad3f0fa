"""The first screen: which board it opens on, the sentence that says what the board shows, the plot, the pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leaderboard.site.build import build
from tests.support.boards import pack, record, table
from tests.support.reader import Reader

BOARD = """
([cloaks, pairs, noise]) => {
    const line = ([series, score, said, people = 12, budget = 16]) => {
        const label = `${series} ${budget}/255`, defense = series.split(" ")[0];
        return { row: { label, series, name: label, defense, budget, control: false }, score, said, people };
    };
    const lines = cloaks.map(line), ranked = lines.filter((l) => ["", "beats noise"].includes(l.said));
    const of = (name) => ranked.findIndex((l) => l.row.series === name);
    const apart = pairs.map(([a, b]) => ({ first: of(a), second: of(b), apart: true }));
    return Verdict.sentence({ cloaks: lines.filter((l) => l.people > 1), lines, ranked, noise, pairs: apart });
}
"""
BEATS, NOT = "beats noise", "not shown to beat noise"
FEW = "undecided: 4 people cannot show it"
NOISE_ONLY = "nothing shows that a cloak does more than noise: there is no noise to compare with."
SENTENCES: dict[str, tuple[list[list[Any]], list[list[str]], str]] = {
    "one is better than all": (
        [["a", 0.1, BEATS], ["b", 0.3, BEATS], ["c", 0.4, BEATS], ["d", 0.6, NOT]],
        [["a", "b"], ["a", "c"]],
        "a leaks least; 3 of 4 cloaks are shown to beat noise; a is shown to do better than each of the others.",
    ),
    "better than the other": (
        [["a", 0.1, BEATS], ["b", 0.3, BEATS]],
        [["a", "b"]],
        "a leaks least; 2 of 2 cloaks are shown to beat noise; a is shown to do better than the other.",
    ),
    "two cannot be told apart": (
        [["a", 0.1, BEATS], ["b", 0.12, BEATS], ["c", 0.4, BEATS]],
        [["a", "c"], ["b", "c"]],
        "a leaks least; 3 of 3 cloaks are shown to beat noise; a and b cannot be told apart.",
    ),
    "many cannot be told apart": (
        [[name, 0.1 + i / 100, BEATS] for i, name in enumerate("abcdefg")],
        [["a", "g"]],
        "a leaks least; 7 of 7 cloaks are shown to beat noise; a cannot be told apart from b, c, d or 2 others.",
    ),
    "equal means": (
        [["a", 0.1, BEATS], ["b", 0.1, BEATS], ["c", 0.4, BEATS]],
        [["a", "c"], ["b", "c"]],
        "a and b leak least, equally; 3 of 3 cloaks are shown to beat noise.",
    ),
    "one alone, though another has a better mean": (
        [["a", 0.2, BEATS], ["b", 0.1, NOT, 5]],
        [],
        "a is the only one of 2 cloaks that is shown to beat noise.",
    ),
    "the only cloak": ([["a", 0.2, BEATS]], [], "a is shown to beat noise; no other cloak was tried."),
    "none": ([["a", 0.2, NOT], ["b", 0.1, NOT]], [], "none of 2 cloaks is shown to beat noise."),
    "not the only one": ([["a", 0.2, NOT]], [], "a, the only cloak, is not shown to beat noise."),
    "too few": (
        [["a", 0.2, FEW, 4], ["b", 0.1, FEW, 4]],
        [],
        "none of 2 cloaks is shown to beat noise: 4 people cannot show it, whatever the scores.",
    ),
    "twice the same method": (
        [["a (steps 1)", 0.1, BEATS], ["a (steps 2)", 0.3, BEATS]],
        [["a (steps 1)", "a (steps 2)"]],
        "a (steps 1) leaks least; 2 of 2 cloaks are shown to beat noise; "
        "the first is shown to do better than the other.",
    ),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real people by protocol 2, more invented ones by protocol 1, and pictures of invented ones by protocol 2."""
    root = tmp_path_factory.mktemp("first")
    level = {"none": 0.8, "noise": 0.78, "good": 0.2, "weak": 0.77}
    rng = np.random.default_rng(1)
    for data, protocol, people in (("faces", "2", 8), ("synthetic", "2", 3), ("synthetic", "1", 12)):
        records = [record("none", f"person-{i:02}", 0.0, attack="none", data=data) for i in range(people)]
        for name, mean in level.items():
            leaks = np.round(mean + rng.uniform(-0.1, 0.1, people), 4).tolist()
            records += table(name, {"lora": leaks}, data=data)
        pictures = (data, protocol) == ("synthetic", "2")
        card = {"good": {"description": "GOOD: it is good.", "paper": "ICML 2023, arXiv 2302.04578"}}
        entry = f"{data}-{protocol}"
        pack(root / "results", entry, records, pictures, kind="reference", protocol=protocol, card=card)
    assert build(root / "results", root / "site") == []
    return root / "site"


def opened(browser: Any, site: Path, width: int = 1440, height: int = 900) -> Reader:
    reader = Reader(browser, site, viewport={"width": width, "height": height})
    reader.open()
    return reader


def test_the_sentence_says_no_more_than_the_rule(browser: Any, site: Path) -> None:
    page = opened(browser, site).page
    small = "Small 128 px model; says nothing about Stable Diffusion."
    for name, (cloaks, pairs, said) in SENTENCES.items():
        found = page.evaluate(BOARD, [cloaks, pairs, True])
        people = sorted({cloak[3] if len(cloak) > 3 else 12 for cloak in cloaks})
        count = f"{'up to ' if len(people) > 1 else ''}{people[-1]} real people"
        assert found == f"On {count} at 16/255 {said} {small}", name
    assert page.evaluate(BOARD, [[], [], True]) == f"No cloak was tried here. {small}"
    assert page.evaluate(BOARD, [[["a", 0.1, "", 1]], [], True]).startswith("Nothing can be said: no cloak was tried")
    without = page.evaluate(BOARD, [[["a", 0.1, ""], ["b", 0.2, ""]], [["a", "b"]], False])
    assert without == f"On 12 real people at 16/255 {NOISE_ONLY} {small}"
    budgets = [["a", 0.1, BEATS, 12, 8], ["a", 0.2, BEATS, 12, 16]]
    assert "at 8/255 and 16/255 a 8/255 leaks least;" in page.evaluate(BOARD, [budgets, [], True])


def test_where_nobody_else_ran_it_the_sentence_says_so(browser: Any, tmp_path: Path) -> None:
    for name, leak in (("none", 0.9), ("noise", 0.8), ("mine", 0.1)):
        pack(tmp_path / "results", name, table(name, {"lora": [leak] * 6}, data="faces"))
    build(tmp_path / "results", tmp_path / "site")
    said = opened(browser, tmp_path / "site").page.inner_text("#verdict")
    assert "Nobody but those who say so ran it." in said


def test_it_opens_on_real_people_of_the_latest_protocol(browser: Any, site: Path) -> None:
    reader = opened(browser, site)
    page = reader.page
    facts = page.evaluate("View.group().facts")
    assert (facts["data"], facts["version"]) == ("faces", "2")
    verdict = "On 8 real people at 8/255 good is the only one of 2 cloaks that is shown to beat noise."
    assert page.inner_text("#verdict").startswith(verdict)
    assert not page.is_visible("#measure")
    assert page.inner_text("#choice-text") == "faces on facelet-1, protocol 2 · likeness · lora · 8/255"
    assert reader.wrong == []


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_all_that_matters_is_on_the_first_screen(browser: Any, site: Path, width: int, height: int) -> None:
    reader = opened(browser, site, width, height)
    page = reader.page
    for part in ("#verdict", "#measured", "#trio", "#choice-text", "#key", "#table tbody tr:first-child"):
        box = page.locator(part).bounding_box()
        assert box, part
        assert box["y"] + box["height"] <= height, part
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert reader.wrong == []


def test_controls_are_lines_and_no_rows(browser: Any, site: Path) -> None:
    """Dots, bars and lines stand where the numbers are, in hundredths of the axis."""
    reader = opened(browser, site)
    page = reader.page
    assert reader.rows() == ["good 8/255", "weak 8/255"]
    lines = page.evaluate(
        """() => {
            const values = ({ row, score, scores, interval }) => [row.label, { score, scores, interval }];
            return Object.fromEntries(Score.board().lines.map(values));
        }"""
    )
    paths = page.eval_on_selector_all(
        "#table tbody tr:first-child .forest path",
        "all => all.map((p) => [p.getAttribute('class'), p.getAttribute('d')])",
    )
    drawn = dict(paths)
    starts = {name: [float(part.split()[0]) for part in d.split("M")[1:]] for name, d in drawn.items()}
    for kind, label in (
        ("line-base", "base"),
        ("line-noise", "noise 8/255"),
        ("line-none", "clean"),
        ("mean", "good 8/255"),
    ):
        assert starts[kind] == [pytest.approx(100 * lines[label]["score"], abs=0.006)]
    assert starts["dots"] == pytest.approx([100 * score for score in lines["good 8/255"]["scores"]], abs=0.006)
    low, high = lines["good 8/255"]["interval"]
    assert starts["range"] == [pytest.approx(100 * low, abs=0.006)]
    assert float(drawn["range"].split("H")[1]) == pytest.approx(100 * high, abs=0.006)
    assert {row.split("\t")[0] for row in page.inner_text("#controls tbody").split("\n")} == {
        "base",
        "clean",
        "noise 8/255",
    }


def test_every_column_explains_itself(browser: Any, site: Path) -> None:
    page = opened(browser, site).page
    heads = page.locator("#table thead th").all()
    assert all(head.get_attribute("title") for head in heads)
    (score,) = [head.inner_text() for head in heads if "likeness" in head.inner_text()]
    assert "lower is better, n = 8" in score
    page.click("summary:has-text('What the columns mean')")
    assert page.locator("#column-texts dt").count() == len(heads)


def test_papers_are_linked_by_their_number_alone(browser: Any, site: Path) -> None:
    page = opened(browser, site).page
    (paper,) = page.locator("#table a.paper").all()
    assert (paper.inner_text(), paper.get_attribute("href")) == ("2023", "https://arxiv.org/abs/2302.04578")


def test_pictures_are_of_the_invented_person_of_whom_clean_photos_leak_most(browser: Any, site: Path) -> None:
    page = opened(browser, site).page
    assert page.locator("#trio .tile").count() == 3
    found = page.evaluate("[...document.querySelectorAll('#trio .tile')].map((t) => t.style.backgroundImage)")
    data = page.evaluate("CLOAKBENCH.groups.find((g) => g.facts.data === 'synthetic' && g.facts.version === '2')")
    pictures = page.evaluate("CLOAKBENCH_PICTURES")
    clean = next(i for i, row in enumerate(data["rows"]) if row["name"] == "clean")
    cells = zip(data["cells"]["row"], data["cells"]["person"], data["cells"]["likeness"], strict=True)
    _, person = max((leak, person) for row, person, leak in cells if row == clean)
    place = f"{data['id']} {clean} 0 0 {person}"
    assert json.dumps(pictures[place]["file"]) in found[0]
    assert found[0] == found[1] != found[2]
