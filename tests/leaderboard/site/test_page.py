"""The page in a real browser, from disk: what it computes, what a reader can do, what it never does."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.types import Array
from bench.stats.comparison import Scores, better, compare, worst_attack
from bench.stats.intervals import mean_interval
from bench.stats.rule import by_name, judge, standing, tiers
from leaderboard.site.build import build
from tests.support.boards import hundred_thousand, pack, record, table
from tests.support.reader import Reader

ATTACKS = ("dreambooth", "lora", "instantid")
DEFENSES = ("none", "noise", "good", "weak")
EVIL = '"><script>window.pwned=1</script><img src=x onerror="window.pwned=1">'


def scores(people: int, seed: int = 0) -> dict[str, Array]:
    """Defense -> (attacks, people) leaks in sixteenths."""
    rng = np.random.default_rng(seed)
    level = {"none": 0.8, "noise": 0.78, "good": 0.2, "weak": 0.7}
    person = rng.uniform(-0.15, 0.15, people)
    return {
        name: np.clip(np.round((level[name] + person + rng.normal(0, 0.1, (len(ATTACKS), people))) * 16) / 16, 0, 1)
        for name in DEFENSES
    }


def write(results: Path, people: int = 12, **more: Any) -> None:
    for name, values in scores(people).items():
        leaks = dict(zip(ATTACKS, values.tolist(), strict=True))
        records = table(name, leaks, **more) + table(name, leaks, chain=["jpeg"], **more)
        if name == "weak":
            records = [r for r in records if r.attack.name != "lora"]  # never tried
        kind = "reference" if name in ("none", "noise") else "defense"
        facts: dict[str, Any] = {
            "title": f"{name} {EVIL}",
            "authors": [EVIL],
            "card": {name: {"paper": f"2023 {EVIL}"}},
        }
        pack(results, name, records, pictures=name == "none", kind=kind, **facts)
    base = [record("none", f"person-{i:02}", 0.0, attack="none", **more) for i in range(people)]
    pack(results, "base", base, kind="reference")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("board")
    write(root / "results")
    evil = table("evil", {EVIL: [0.5, 0.5]}, config={"note": EVIL})
    pack(root / "results", "evil", evil, description=EVIL, submitted="2026-11-25")
    assert build(root / "results", root / "site") == []
    return root / "site"


@pytest.fixture
def reader(browser: Any, site: Path) -> Iterator[Reader]:
    one = Reader(browser, site, viewport={"width": 1280, "height": 900})
    yield one
    assert one.wrong == []
    assert one.page.evaluate("window.pwned") is None
    one.page.context.close()


def board(reader: Reader) -> dict[str, Any]:
    """What the page computed: label -> line; and the pairs by labels."""
    found: dict[str, Any] = reader.page.evaluate(
        """() => {
            const { lines, cloaks, against, ranked, pairs } = Score.board();
            const plain = (l) => ({ score: l.score, interval: l.interval, rank: l.rank ?? null, people: l.people,
                                    tier: l.rank?.[0] ?? null, less: l.less ?? null,
                                    coverage: l.coverage, broken: l.broken, said: l.said ?? "control" });
            const figures = (of) => (p) => [of[p.first].row.label, p.difference, p.p, p.adjusted];
            return { lines: Object.fromEntries(lines.map((l) => [l.row.label, plain(l)])),
                     noise: against.map(figures(cloaks)), pairs: pairs.map(figures(ranked)) };
        }"""
    )
    return found


def expected(people: int, attacks: tuple[int, ...]) -> Scores:
    """The worst of some attacks, person by person, of the rows that were tried against all."""
    values = {name: found[list(attacks)].max(axis=0) for name, found in scores(people).items()}
    if 1 in attacks:
        del values["weak"]
    label = {"none": "clean", "noise": "noise 8/255", "good": "good 8/255", "weak": "weak 8/255"}
    names = tuple(label[name] for name in values)
    table = np.stack(list(values.values()), axis=1)
    return Scores(names, tuple(map(str, range(people))), table, True, (0, 1), *by_name(names))


@pytest.mark.parametrize("attacks", [(0, 1, 2), (0, 2)])
def test_page_and_library_say_the_same(reader: Reader, attacks: tuple[int, ...]) -> None:
    reader.open()
    order = reader.page.evaluate("View.group().attacks")
    chosen = ",".join(str(order.index(ATTACKS[a])) for a in attacks)
    group = reader.page.evaluate("View.group().id")
    reader.open(f"index.html#group={group}&attacks={chosen}")
    found, oracle = board(reader), expected(12, attacks)
    judged = judge(oracle)
    for number, name in enumerate(oracle.methods):
        line, own = found["lines"][name], oracle.values[:, number]
        assert line["score"] == pytest.approx(own.mean(), abs=1e-4)
        assert line["interval"] == pytest.approx(mean_interval(own, bounds=(0, 1)), abs=2e-4)
        assert line["tier"] == tiers(oracle, judged)[number]
        if line["rank"]:
            worse = sum(pair.separable and better(oracle, pair)[0] == number for pair in judged.pairs)
            assert line["rank"][1] == len(judged.passed) - worse
        if number in oracle.noise:
            assert line["less"] == [int((own < oracle.values[:, oracle.noise[number]]).sum()), len(own)]
        assert line["said"].removesuffix(" to beat noise") == standing(oracle, judged, number)
        assert line["coverage"] == 1
    for pairs, family in ((found["noise"], judged.against_noise), (found["pairs"], judged.pairs)):
        assert len(pairs) == len(family)
        by_first = {first: rest for first, *rest in pairs}  # with two cloaks there is at most one pair of each
        for pair in family:
            difference, p, adjusted = by_first[oracle.methods[pair.first]]
            assert difference == pytest.approx(pair.difference, abs=1e-4)
            assert (p, adjusted) == pytest.approx((pair.p, pair.adjusted), abs=1e-9)
    if 1 in attacks:
        weak = found["lines"]["weak 8/255"]
        assert (weak["rank"], weak["people"]) == (None, 0)
        assert weak["coverage"] == pytest.approx(2 / 3)


def test_statistics_of_many_people(reader: Reader) -> None:
    """Random resamples and signs: the same up to chance."""
    rng = np.random.default_rng(3)
    first, second = np.round(rng.beta(1, 3, 40), 4), np.round(rng.beta(1.6, 3, 40), 4)
    reader.open()
    interval = reader.page.evaluate("v => Stats.meanInterval(v, [0, 1])", first.tolist())
    assert interval == pytest.approx(mean_interval(first), abs=0.004)
    (pair,) = reader.page.evaluate("v => Stats.compare(v)", [first.tolist(), second.tolist()])
    oracle = compare(Scores(("a", "b"), tuple(map(str, range(40))), np.stack([first, second], axis=1), True))[0]
    assert pair["p"] == pytest.approx(oracle.p, abs=0.012)


def test_quantiles_are_scipys(reader: Reader) -> None:
    from scipy import stats

    reader.open()
    for freedom in (1, 4, 13, 60):
        assert reader.page.evaluate(f"Stats.studentQuantile(0.975, {freedom})") == pytest.approx(
            stats.t.ppf(0.975, freedom), rel=1e-6
        )
    for p in (0.001, 0.025, 0.5, 0.9):
        assert reader.page.evaluate(f"Stats.normalQuantile({p})") == pytest.approx(stats.norm.ppf(p), abs=1e-5)


def test_missing_people_are_left_out_of_a_pair(reader: Reader) -> None:
    reader.open()
    rows = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.7, 0.5, None], [None, None, None, 0.1]]
    found = reader.page.evaluate("v => Stats.compare(v.map((r) => r.map((x) => x ?? NaN)))", rows)
    (pair,) = found
    oracle = compare(Scores(("a", "b"), ("1", "2", "3"), np.array([[0.1, 0.5], [0.2, 0.7], [0.3, 0.5]]), True))[0]
    assert (pair["people"], pair["p"]) == (3, pytest.approx(oracle.p))


@pytest.mark.parametrize("two_sided", [True, False])
def test_families_are_those_of_the_library(reader: Reader, two_sided: bool) -> None:
    """Rows that lack people, equal rows, and a family of some of the pairs."""
    values = np.random.default_rng(5).normal([0, 0.5, 1, 0.2, 0], 0.6, (11, 5)).round(3)
    values[:, 4] = values[:, 0]
    values[:3, 1], values[10, 2] = np.nan, np.nan
    oracle = Scores(tuple("abcde"), tuple(map(str, range(11))), values, lower_is_better=True)
    asked = None if two_sided else [(1, 0), (0, 2), (0, 1), (3, 2)]
    rows = [[None if np.isnan(v) else v for v in column] for column in values.T.tolist()]
    reader.open()
    found = reader.page.evaluate(
        "([rows, asked, way]) => Stats.compare(rows.map((r) => r.map((x) => x ?? NaN)), asked, way)",
        [rows, asked, 0 if two_sided else -1],
    )
    for pair, own in zip(compare(oracle, asked, two_sided), found, strict=True):
        assert (own["first"], own["second"], own["people"]) == (pair.first, pair.second, pair.people)
        assert (own["p"], own["adjusted"]) == pytest.approx((pair.p, pair.adjusted))
        assert (own["apart"], own["undecided"]) == (pair.separable, pair.undecided)


def test_sort_by_mouse_and_by_keyboard(reader: Reader) -> None:
    page = reader.open()
    before = reader.rows()
    page.click("th:has-text('cloak')")
    assert reader.sorted_by("defense.asc") == sorted(before)
    page.focus("th:has-text('cloak') [tabindex='0'], th:has-text('cloak')[tabindex='0']")
    page.keyboard.press("Enter")
    assert reader.sorted_by("defense.desc") == sorted(before, reverse=True)
    reader.open(page.url.split("/")[-1])
    assert reader.rows() == sorted(before, reverse=True)


MISSING = {"–", "incomplete", "no noise"}  # noqa: RUF001


def test_what_is_missing_is_last_whichever_way_a_column_is_sorted(reader: Reader) -> None:
    page = reader.open()
    names = page.evaluate("Columns.all([]).filter((c) => c.orderable !== false).map((c) => c.name)")
    seen = set()
    for name in names:
        place = page.evaluate("name => Columns.all([]).findIndex((c) => c.name === name)", name)
        for direction in ("asc", "desc"):
            reader.open(f"index.html#sort={name}.{direction}")
            cells = page.eval_on_selector_all(
                f"#table tbody tr td:nth-child({place + 1})", "all => all.map(c => c.innerText)"
            )
            lacking = [cell.strip() in MISSING for cell in cells]
            assert lacking == sorted(lacking), (name, direction, cells)
            seen |= {name} if any(lacking) and not all(lacking) else set()
    attack = page.evaluate("`attack-${View.group().attacks.indexOf('lora')}`")
    assert seen >= {"rank", "score", "noise", attack}


def test_names_are_sorted_by_their_numbers(reader: Reader) -> None:
    page = reader.open()
    sort = "direction => ['b 16/255', 'b 8/255', null, 'a', ''].sort(DataTable.type('words').order[direction])"
    assert page.evaluate(sort, "asc") == ["a", "b 8/255", "b 16/255", None, ""]
    assert page.evaluate(sort, "desc") == ["b 16/255", "b 8/255", "a", None, ""]


def test_rows_expand_on_a_narrow_screen_and_are_whole_again_on_a_wide_one(browser: Any, site: Path) -> None:
    reader = Reader(browser, site, viewport={"width": 390, "height": 800})
    page = reader.open("index.html#hidden=psnr,evaluations,budget,broken")
    page.locator("#table tbody td.forest-column").first.click()
    hidden = page.locator("#table tr.child .dtr-data")
    hidden.first.wait_for()
    texts = [text.strip() for text in hidden.all_inner_texts()]
    heads = page.locator("#table thead th")
    assert len(texts) == heads.count() - heads.locator("visible=true").count() > 5
    assert "[object" not in page.inner_text("#table")
    assert all(texts[1:]), "all but the box to compare it by"
    assert "100 %" in texts
    page.set_viewport_size({"width": 1600, "height": 900})
    page.wait_for_function("() => !document.querySelector('#table tr.child')")
    row = page.eval_on_selector("#table tbody tr", "row => [...row.cells].map((c) => c.innerText.trim())")
    assert row[-len(texts) + 1 :] == texts[1:]
    assert reader.wrong == []


def test_search_narrows_the_rows(reader: Reader) -> None:
    page = reader.open()
    page.click("#choices > summary")
    page.fill("#search", "goo")
    assert reader.rows() == ["good 8/255"]
    reader.open(page.url.split("/")[-1])
    assert reader.rows() == ["good 8/255"]


def test_the_choice_of_attacks_changes_scores_and_address(reader: Reader) -> None:
    page = reader.open()
    page.click("#choices > summary")
    assert "incomplete" in page.inner_text("#table")
    page.uncheck("#attacks label:has-text('lora') input")
    reader.drawn()
    assert "incomplete" not in page.inner_text("#table")
    lines = board(reader)["lines"]
    reader.open(page.url.split("/")[-1])
    assert board(reader)["lines"] == lines
    assert not page.is_checked("#attacks label:has-text('lora') input")


def test_newest_entries_and_rows_lead_to_a_view_that_shows_them(reader: Reader) -> None:
    """What is shown first are the attacks of most rows, which one that was just sent in may not have."""
    shown = "() => View.state.attacks.map((i) => View.group().attacks[i])"
    page = reader.open()
    assert page.evaluate(shown) == sorted(ATTACKS)
    page.locator("#newest a").first.click()
    page.wait_for_function("location.hash.startsWith('#entry=evil')")
    reader.drawn()
    assert page.evaluate(shown) == [EVIL]
    assert board(reader)["lines"]["evil 8/255"]["coverage"] == pytest.approx(2 / 12)  # of the people

    reader.open()
    page.click("#table a:has-text('weak 8/255')")
    page.click("text=on the board")
    reader.drawn()
    assert page.evaluate(shown) == ["dreambooth", "instantid"]
    assert board(reader)["lines"]["weak 8/255"]["coverage"] == 1
    page.click("#choices > summary")
    page.check("#attacks label:has-text('lora') input")
    page.wait_for_function("!location.hash.includes('entry')")
    reader.open(page.url.split("/")[-1])
    assert page.evaluate(shown) == sorted(ATTACKS)


def test_an_unknown_entry_in_the_address_changes_nothing(reader: Reader) -> None:
    reader.open()
    plain = board(reader)
    reader.open("index.html#entry=nobody")
    assert board(reader) == plain


def test_columns_are_hidden_and_a_link_remembers_which(reader: Reader) -> None:
    page = reader.open()
    heads = page.locator("#table thead th")
    before = heads.all_text_contents()
    page.click("#choices > summary")
    page.get_by_label("rank", exact=True).uncheck()
    page.wait_for_function("location.hash.includes('rank')")
    assert heads.all_text_contents() == [name for name in before if not name.startswith("rank")]
    again = reader.open(f"index.html#{page.url.partition('#')[2]}")
    assert again.locator("#table thead th").all_text_contents() == heads.all_text_contents()
    assert len(heads.all_text_contents()) == len(before) - 1
    again.click("#choices > summary")
    again.get_by_label("rank", exact=True).check()
    again.wait_for_function("!location.hash.includes('hidden')")
    assert again.locator("#table thead th").all_text_contents() == before


def test_compare_shows_the_difference_and_the_same_pictures(reader: Reader) -> None:
    page = reader.open()
    page.check("input[aria-label='compare good 8/255']")
    page.click("#tab-compare")
    page.select_option("#compare-add", label="clean")
    page.wait_for_selector("#plot-compare svg")
    (row,) = page.eval_on_selector_all(
        "#compare-text tbody tr", "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    )
    oracle = expected(12, (0, 1, 2))
    pair = next(p for p in compare(oracle) if {p.first, p.second} == {0, 2})
    assert row[0] == "good 8/255 − clean"  # noqa: RUF001
    assert float(row[2]) == pytest.approx(-pair.difference, abs=0.006)
    assert row[-1] == "good 8/255"
    assert page.locator("#compare-strips .tile").count() > 0


def test_as_many_rows_are_compared_as_are_chosen(reader: Reader) -> None:
    page = reader.open("index.html#tab=compare")
    for count, label in enumerate(("clean", "noise 8/255", "good 8/255", "base"), 1):
        page.select_option("#compare-add", label=label)
        page.wait_for_selector(f"#compare-rows button:nth-of-type({count})")
    reader.drawn()
    assert page.locator("#compare-text tbody tr").count() == 6
    page.click("#compare-rows button[aria-label='leave out base']")
    page.wait_for_function("document.querySelectorAll('#compare-text tbody tr').length === 3")
    assert page.evaluate("document.activeElement.id") == "compare-add", "the focus is where the next row is chosen"


def test_gallery_zooms_all_pictures_together_and_blurs_them(reader: Reader) -> None:
    page = reader.open("index.html#tab=gallery")
    tiles = page.locator("#gallery-strips .tile")
    assert tiles.count() > 0
    assert tiles.first.get_attribute("aria-label")
    size = "el => getComputedStyle(el).backgroundSize"
    before = tiles.first.evaluate(size)
    page.evaluate(
        "() => { const z = document.getElementById('zoom'); z.value = 3; z.dispatchEvent(new Event('input')) }"
    )
    assert tiles.first.evaluate(size) != before
    assert tiles.first.evaluate(size) == tiles.nth(3).evaluate(size)
    page.check("#blur")
    reader.drawn()
    assert "blur" in page.locator("#gallery-strips .tile").first.evaluate("el => getComputedStyle(el).filter")
    assert "blur=1" in page.url


def test_no_two_cloaks_look_alike_in_plots_and_each_looks_the_same_everywhere(reader: Reader) -> None:
    page = reader.open()
    page.evaluate(
        """() => {
            for (let i = 0; i < 36; i++) View.group().rows.push({ control: false, name: `c${i}`, series: `c${i}` });
        }"""
    )
    looks = page.evaluate("Plots.looks()")
    cloaks = [name for name in looks["color"]["scale"]["domain"] if name not in ("none", "noise")]
    assert len(cloaks) > 36
    for other in ("shape", "strokeDash"):
        pairs = [
            json.dumps([looks[kind]["scale"]["range"][i] for kind in ("color", other)]) for i in range(len(cloaks))
        ]
        assert len(set(pairs)) == len(pairs)
        assert looks[other]["scale"]["domain"] == looks["color"]["scale"]["domain"]


def test_the_front_is_of_cloaks_alone(reader: Reader) -> None:
    page = reader.open()
    rows = [
        {"label": "jpeg", "psnr": 40, "score": 0.1, "control": True},
        {"label": "a", "psnr": 30, "score": 0.4, "control": False},
        {"label": "b", "psnr": 25, "score": 0.2, "control": False},
        {"label": "c", "psnr": 24, "score": 0.3, "control": False},
    ]
    assert page.evaluate("rows => Plots.front(rows, (r) => r.psnr).map((r) => r.label)", rows) == ["a", "b"]


@pytest.mark.parametrize("width", [390, 1024])
def test_print_has_all_columns_on_the_paper(browser: Any, site: Path, width: int) -> None:
    """A4 across is 1047 pixels wide without its margins."""
    reader = Reader(browser, site, viewport={"width": width, "height": 800}, color_scheme="dark")
    page = reader.open()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1047, "height": 700})
    heads = page.locator("#table thead th:not(.compare-column)")
    assert heads.locator("visible=true").count() == heads.count()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1047
    right = heads.last.evaluate("th => th.getBoundingClientRect().right")
    assert right <= 1047
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert reader.wrong == []


@pytest.mark.parametrize(("refused", "said"), [(False, "copied"), (True, "could not copy: select the text")])
def test_copying_says_whether_it_was_done(reader: Reader, refused: bool, said: str) -> None:
    page = reader.open()
    write = (
        "() => Promise.reject(new Error('no'))"
        if refused
        else "(text) => { window.kept = text; return Promise.resolve(); }"
    )
    page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{ value: {{ writeText: {write} }} }})")
    page.click("#copy")
    page.wait_for_function("document.getElementById('copied').textContent")
    assert page.inner_text("#copied").startswith(said)
    assert page.evaluate("window.kept ?? null") == (None if refused else page.url)


def test_ticking_a_filter_keeps_the_focus(reader: Reader) -> None:
    page = reader.open()
    page.click("#choices > summary")
    for box in ("#attacks input >> nth=1", "#columns input >> nth=2"):
        page.focus(box)
        page.keyboard.press("Space")
        reader.drawn()
        assert page.locator(box).evaluate("box => box === document.activeElement")


def test_methods_are_cited_once_each(reader: Reader) -> None:
    page = reader.open()
    cited = {"name": "X & {Y}", "where": "ICML 2023, arXiv 2302.04578", "year": "2023", "arxiv": "2302.04578"}
    cited |= {"title": "", "authors": ""}
    text = page.evaluate(
        """(cited) => {
            const line = (defense, control, facts) => ({ row: { defense, control, cited: { ...cited, ...facts } } });
            const twice = [line("a b}", false), line("a b}", false)];
            const paper = { authors: "Ruiz and others", title: "On {Dogs}", where: "" };
            View.group().cited = { dreambooth: { ...cited, ...paper } };
            return Export.bibtex([line("noise", true), ...twice, line("mine", false, { where: "" })]);
        }""",
        cited,
    )
    assert re.findall(r"@misc{([^,]*),", text) == ["a-b-", "dreambooth"]
    assert "title = {{X \\& Y }}" in text
    assert text.count("eprint = {2302.04578}") == 2
    assert "author = {Ruiz and others}" in text
    assert "title = {{On Dogs }}" in text


def test_plots_are_drawn(reader: Reader) -> None:
    page = reader.open("index.html#tab=plots")
    for name in ("sight", "budget", "heat", "cost", "evaluations"):
        page.wait_for_selector(f"#plot-{name} svg")


def test_tabs_by_keyboard(reader: Reader) -> None:
    page = reader.open()
    page.focus("#tab-board")
    page.keyboard.press("ArrowRight")
    reader.drawn()
    assert page.evaluate("document.activeElement.id") == "tab-plots"
    assert page.is_visible("#plots")
    assert not page.is_visible("#board")


def test_dark_follows_the_system_and_the_button(browser: Any, site: Path) -> None:
    paper = "() => getComputedStyle(document.body).backgroundColor"
    found = {}
    for scheme in ("light", "dark"):
        reader = Reader(browser, site, color_scheme=scheme)
        page = reader.open()
        found[scheme] = page.evaluate(paper)
        page.click("#theme")  # auto -> dark
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert reader.wrong == []
    assert found["light"] != found["dark"]


def test_every_kind_of_file_can_be_saved(reader: Reader) -> None:
    page = reader.open()
    for kind in ("csv", "json", "tex", "bib"):
        with page.expect_download() as saved:
            page.click(f"#save-{kind}")
        text = Path(saved.value.path()).read_text()
        assert text
        if kind == "csv":
            assert text.splitlines()[0].startswith('"defense","kind","budget","rank_low","rank_high"')
        if kind == "tex":
            assert text.count("\\\\\n") == 1 + page.evaluate("Score.board().lines.length")


def test_saved_tables_leave_missing_values_empty_and_hold_no_formula(reader: Reader) -> None:
    page = reader.open()
    evil = """(kind) => {
        const { lines } = Score.board(), label = '[x] =1+1 & 50% _|"';
        lines[0] = { ...lines[0], row: { ...lines[0].row, label: kind === 'csv' ? '=1+1' : label } };
        return Export[{ csv: 'csv', tex: 'latex', json: 'json' }[kind]](lines);
    }"""
    head, *rows = csv.reader(page.evaluate(evil, "csv").splitlines())
    weak = dict(zip(head, next(row for row in rows if row[0] == "weak 8/255"), strict=True))
    assert {weak[name] for name in ("score", "low", "high", "rank_low", "rank_high", "attack lora")} == {""}
    assert weak["people"] == "0"
    assert float(weak["attack dreambooth"]) > 0
    assert rows[0][0] == "'=1+1"
    assert "–" not in page.evaluate(evil, "csv")  # noqa: RUF001
    assert r"{[}x{]} =1+1 \& 50\% \_\textbar{}\textquotedbl{} &" in page.evaluate(evil, "tex")
    (weak,) = [row for row in json.loads(page.evaluate(evil, "json"))["rows"] if row["defense"] == "weak 8/255"]
    assert (weak["score"], weak["attack lora"]) == (None, None)
    assert page.evaluate("Export.csv([])").startswith('"defense","kind","budget"')


def test_saved_tables_are_in_the_order_shown_with_four_places(reader: Reader) -> None:
    page = reader.open("index.html#sort=defense.desc")
    with page.expect_download() as saved:
        page.click("#save-csv")
    rows = list(csv.DictReader(Path(saved.value.path()).read_text().splitlines()))
    assert [row["defense"] for row in rows if row["kind"] == "cloak"] == reader.rows() == ["weak 8/255", "good 8/255"]
    assert [row["defense"] for row in rows[2:]] == ["base", "clean", "noise 8/255"]
    figures = [cell for row in rows for cell in row.values() if re.fullmatch(r"\d+\.\d+", cell)]
    assert max(len(figure.partition(".")[2]) for figure in figures) == 4


def test_saved_files_keep_every_name_in_its_place(reader: Reader) -> None:
    """An attack called `score`, two of one name, a name with a semicolon."""
    page = reader.open()
    page.evaluate(
        "() => ['score', 'score', '=1;+2'].forEach((n, i) => { View.group().attacks[View.state.attacks[i]] = n; })"
    )
    scores = page.evaluate("Score.board().lines.map((l) => Number.isFinite(l.score) ? l.score : null)")
    rows = json.loads(page.evaluate("Export.json(Score.board().lines)"))["rows"]
    assert [row["score"] for row in rows] == pytest.approx(scores, abs=1e-4)
    assert {"attack score", "attack score #2", "attack =1;+2"} <= rows[0].keys()
    text = page.evaluate("Export.csv(Score.board().lines)")
    table = list(csv.DictReader(text.splitlines()))
    assert [float(row["score"]) if row["score"] else None for row in table] == pytest.approx(scores, abs=1e-4)
    assert all(cell[0] + cell[-1] == '""' for line in text.splitlines() for cell in line.split(",") if not number(cell))


def number(cell: str) -> bool:
    return re.fullmatch(r"-?[\d.]*(e-?\d+)?", cell) is not None


@pytest.mark.parametrize(
    ("leaks", "rows"),
    [
        ({}, []),
        ({"lora": [0.5]}, ["mine 8/255"]),
        ({"lora": [None, None]}, ["mine 8/255"]),
        ({"lora": [0.5, None]}, ["mine 8/255"]),
    ],
    ids=["no entry", "one person", "all failed", "one of two"],
)
def test_boards_of_next_to_nothing_are_drawn(
    tmp_path: Path, browser: Any, leaks: dict[str, Any], rows: list[str]
) -> None:
    (tmp_path / "results").mkdir()
    if leaks:
        pack(tmp_path / "results", "mine", table("mine", leaks))
    assert build(tmp_path / "results", tmp_path / "site") == []
    reader = Reader(browser, tmp_path / "site")
    for tab in ("board", "compare", "gallery"):
        page = reader.open(f"index.html#tab={tab}")
    assert ("no results yet" in page.inner_text("main")) == (not leaks)
    page = reader.open()
    shown = reader.rows() if leaks else []
    assert shown == ([] if leaks.get("lora") == [None, None] else rows)
    assert not {"NaN", "undefined", "null"} & set(page.inner_text("main").split())
    assert reader.wrong == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(browser: Any, site: Path, width: int) -> None:
    reader = Reader(browser, site, viewport={"width": width, "height": 800})
    for tab in ("board", "plots", "compare", "gallery"):
        page = reader.open(f"index.html#tab={tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    assert reader.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, site: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    reader = Reader(browser, site, color_scheme=scheme)
    rows = sorted(path.name for path in (site / "rows").iterdir())[:2]
    pages = [*(f"index.html#tab={tab}" for tab in ("board", "plots", "compare", "gallery")), "metrics.html"]
    for where in [*pages, *(f"rows/{name}" for name in rows)]:
        found = axe.Axe().run(reader.open(where)).response["violations"]
        serious = [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], where


def test_strangers_text_does_nothing_anywhere(reader: Reader) -> None:
    page = reader.open()
    for tab in ("board", "plots", "compare", "gallery"):
        for group in page.evaluate("CLOAKBENCH.groups.map(g => g.id)"):
            reader.open(f"index.html#tab={tab}&group={group}&search=%3Cimg%20src=x%20onerror=window.pwned=1%3E")
            reader.open(f"index.html#tab={tab}&group={group}&sort=%22%3E&compare=x&person=99&attacks=77,-1")
            reader.open(f"index.html#tab={tab}&group={group}&attacks=0,1,2,3")
    for row in (reader.site / "rows").iterdir():
        reader.open(f"rows/{row.name}")
        assert page.evaluate("window.pwned") is None


@pytest.mark.slow
def test_a_hundred_thousand_cells(tmp_path: Path, browser: Any) -> None:
    """Its size; `benchmarks.board` measures time and memory."""
    hundred_thousand(tmp_path / "results")
    assert build(tmp_path / "results", tmp_path / "site") == []
    size = sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    assert size < 25e6
    reader = Reader(browser, tmp_path / "site")
    reader.open()
    assert len(reader.rows()) > 30
    assert reader.wrong == []


def test_the_worst_attack_is_chosen_by_one_half_of_the_pictures_and_scored_by_the_other(
    browser: Any, tmp_path: Path
) -> None:
    """As the library does it; a single attack has the score of all pictures, and so has a measure without halves."""
    rng = np.random.default_rng(0)
    halves = rng.integers(0, 65, (2, len(ATTACKS), 6)) / 64
    for name in ("none", "mine"):
        records = [
            record(
                name, f"person-{p:02}", float(halves[:, a, p].mean()), attack=attack, halves=halves[:, a, p].tolist()
            )
            for a, attack in enumerate(ATTACKS)
            for p in range(6)
        ]
        pack(tmp_path / "results", name, records)
    build(tmp_path / "results", tmp_path / "site")
    one = Reader(browser, tmp_path / "site")
    one.open()
    found = one.page.evaluate("View.group().attacks.map((_, a) => Score.people(1, [a]).scores)")
    order = [ATTACKS.index(attack) for attack in one.page.evaluate("View.group().attacks")]
    assert np.array(found) == pytest.approx(halves.mean(axis=0)[order], abs=1e-4)
    by_likeness, by_rate = one.page.evaluate(
        "View.data.measures.slice(0, 2).map((m) => Score.people(1, undefined, undefined, 'worst', m).scores)"
    )
    assert by_likeness == pytest.approx(worst_attack(halves[:, order], True), abs=1e-4)
    assert by_rate == pytest.approx(halves.mean(axis=0).max(axis=0), abs=1e-4)
    one.page.context.close()


def test_the_base_stands_for_every_attack_and_countermeasure(reader: Reader) -> None:
    """It is sent once, and what a person's base leaks is the same whatever is chosen."""
    page = reader.open()
    of_base = """() => {
        const { rows, attacks, chains, people, cells } = View.group(), row = rows.findIndex((r) => r.name === "base");
        const value = (a, c, p) => Score.cell(row, a, c, p, "fdfr");
        const each = (list) => list.map((_, i) => i), all = each(attacks);
        return { sent: cells.row.filter((r) => r === row).length, spots: all.length * chains.length,
                 values: all.flatMap((a) => each(chains).flatMap((c) => each(people).map((p) => value(a, c, p)))) };
    }"""
    found = page.evaluate(of_base)
    assert found["sent"] == 12
    assert len(found["values"]) == 12 * found["spots"] > 12
    assert set(found["values"]) == {0.1}
    assert board(reader)["lines"]["base"]["coverage"] == 1


def test_a_weak_attack_is_told_whatever_the_board_is_ranked_by(browser: Any, tmp_path: Path) -> None:
    """Nothing passes for the person, though all is quite like them; of one of six, something does."""
    leaks = {"lora": [0.0] * 5 + [0.25]}
    for name in ("none", "noise", "mine"):
        pack(tmp_path / "results", name, table(name, leaks, likeness=0.75))
    build(tmp_path / "results", tmp_path / "site")
    one = Reader(browser, tmp_path / "site")
    said = one.open().inner_text("#said")
    assert "on clean photos only 0.04 leak" in said
    assert "Clean photos of 1 of 6 people leak at all" in said
    assert one.page.evaluate("View.measure().key") == "likeness"
    one.page.context.close()


def test_strangers_choose_neither_what_is_shown_first_nor_what_is_said_of_others(browser: Any, tmp_path: Path) -> None:
    """Many rows against an attack of their own, on people of their own, at a budget of their own; and a break."""
    results = tmp_path / "results"
    values = scores(8)
    for name, found in values.items():
        pack(results, name, table(name, dict(zip(ATTACKS, found.tolist(), strict=True))), kind="reference")
    build(results, tmp_path / "site")
    one = Reader(browser, tmp_path / "site")
    chosen = "({ ...View.state, attacks: View.state.attacks.map((a) => View.group().attacks[a]) })"
    one.open()
    before, view, said = board(one), one.page.evaluate(chosen), one.page.inner_text("#verdict")
    assert "good leaks least; 2 of 2 cloaks are shown to beat noise" in said
    theirs = {"new": [0.0] * 40} | {attack: [0.0] * 40 for attack in ATTACKS}
    best = table("evil-cloak", {attack: [0.0] * 8 for attack in ATTACKS})
    rows = [r for i in range(20) for r in table(f"cloak-{i}", theirs, budget=4)]
    pack(
        results, "evil", rows + best + table("noise", theirs) + table("noise", theirs, budget=4) + table("none", theirs)
    )
    pack(results, "breaker", table("good", {"new": [1.0] * 40}), kind="break", amends="good")
    build(results, tmp_path / "site")

    one.open()
    after = board(one)["lines"]
    assert one.page.evaluate(chosen) == view
    assert one.page.inner_text("#verdict") == said
    assert after["evil-cloak 8/255"]["score"] == 0
    for label, line in before["lines"].items():
        for key in ("score", "interval", "people", "coverage", "broken"):
            assert after[label][key] == line[key], (label, key)
    page = one.open("index.html#budgets=4,8")
    assert "good 8/255 verifiedbroken, say others" in page.inner_text("#table")
    (cloak,) = page.locator("#table tr", has_text=re.compile(r"^cloak-0 4/255")).all()
    assert "self-reported" in cloak.inner_text()
    assert "not shown (0 of 40)" in cloak.inner_text()
    page.click("#choices > summary")
    page.check("#ran")
    page.wait_for_function("location.hash.includes('ran=1')")
    one.drawn()
    assert board(one) == before
    one.open("index.html#entry=breaker")
    assert one.page.evaluate(chosen)["attacks"] == ["new"]
    assert board(one)["lines"]["good 8/255"]["score"] == 1
    assert "good 8/255 self-reported" in one.page.inner_text("#table")
    assert "no noise" in one.page.inner_text("#table")
    assert one.wrong == []
    one.page.context.close()


def test_noise_of_a_stranger_takes_no_rank_from_rows_that_the_maintainers_ran(browser: Any, tmp_path: Path) -> None:
    """Where the maintainers have no noise, all of their cloaks are ranked."""
    results = tmp_path / "results"
    pack(results, "ours", table("good", {"lora": [0.1] * 8}) + table("weak", {"lora": [0.6] * 8}), kind="reference")
    one = Reader(browser, tmp_path / "site")
    tiers = []
    for name in ("nobody", "evil"):
        if name == "evil":
            pack(results, name, table("noise", {"lora": [0.0] * 8}) + table("mine", {"lora": [0.5] * 8}))
        build(results, tmp_path / "site")
        one.open()
        tiers.append({label: line["tier"] for label, line in board(one)["lines"].items() if label[0] in "gw"})
    assert tiers == [{"good 8/255": 1, "weak 8/255": 2}] * 2
    one.page.context.close()


def test_a_row_of_which_some_cells_were_verified_says_how_many(browser: Any, tmp_path: Path) -> None:
    results = tmp_path / "results"
    pack(results, "good", table("good", {"lora": [0.5] * 3}), kind="reference")
    pack(results, "breaker", table("good", {"new": [1.0] * 3}), kind="break", amends="good")
    build(results, tmp_path / "site")
    one = Reader(browser, tmp_path / "site")
    page = one.open("index.html#attacks=0,1")
    assert "3 of 6 cells verified" in page.inner_text("#table")
    page.click("#table a:has-text('good 8/255')")
    assert "3 of 6 cells verified" in page.inner_text("h2")
    assert "breaker (self-reported)" in page.inner_text("table.plain")
    one.page.context.close()
