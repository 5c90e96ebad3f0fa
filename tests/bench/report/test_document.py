"""Reports in all forms, read back: Markdown, CSV, LaTeX and plots."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.core.errors import BenchError
from bench.report import plots, summary_table, tables
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST
from bench.report.conclusions import conclusions
from bench.report.document import main
from bench.report.formats import latex_table, markdown_paragraph, markdown_table, markdown_text
from bench.results.labels import arm_label
from bench.results.record import MethodFacts, Record, StageFacts, save
from tests.support.plain_records import defense, record, scored
from tests.support.two_attacks import PEOPLE, THRESHOLDS, markdown, run


def complete() -> list[Record]:
    """Two attacks, three arms, and photos' metrics; one attack has a second budget."""
    records = [r.model_copy(update={"metrics": {**r.metrics, "psnr": 32.5, "linf": r.defense.budget}}) for r in run()]
    wide = [
        record(p, 0.1 + i / 100, attack={"name": "lora", "config": {}}, defense=defense("aspl", 16.0))
        for i, p in enumerate(PEOPLE)
    ]
    return records + [r.model_copy(update={"metrics": {**r.metrics, "psnr": 26.0, "linf": 16.0}}) for r in wide]


def entries(records: list[Record]) -> list[tables.Entry]:
    return tables.entries(RunAnalysis(records))


def table_of(records: list[Record]) -> Table:
    return summary_table.table(RunAnalysis(records))


def parsed(text: str) -> list[list[str]]:
    """The rows of LaTeX tables, unescaped, by an own small reader."""
    rows = []
    for line in text.splitlines():
        if line.endswith(r"\\"):
            cells = re.split(r"(?<!\\)&", line.removesuffix(r"\\"))
            rows.append([_unescaped(cell.strip()) for cell in cells])
    return rows


def _unescaped(text: str) -> str:
    words = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<"}
    words |= {"textgreater": ">", "textbar": "|", "textquotedbl": '"'}
    text = re.sub(r"\{([\[\]])\}", r"\1", text)
    return re.sub(r"\\(?:([a-z]+)\{\}|(.))", lambda m: words[m[1]] if m[1] else m[2], text)


# --- LaTeX ----------------------------------------------------------------------------------------------------------


def test_latex_comes_back_whatever_the_names() -> None:
    odd = ["50% & more_", r"a\b{c}", '~^<>|"#$', "[1, 2]", "plain"]
    text = latex_table(["arm"] * 5, [odd], "100 % of_it")
    assert parsed(text) == [["arm"] * 5, odd]
    assert r"\caption{100 \% of\_it}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_the_latex_table_has_the_numbers_intervals_and_letters() -> None:
    records = complete()
    found = entries(records)
    text = tables.as_latex(found, "A & B")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3, "two attacks and the worst"
    header, *body = parsed(text)
    assert header[:3] == ["arm", "people", "ILR (lower)"]
    assert "PSNR (higher)" in header
    clean = next(row for row in body if row[0] == "clean")
    entry = next(e for e in found if (e.arm, e.metric, e.attack) == ("clean", "ilr", "dreambooth"))
    assert entry.low is not None
    assert clean[1:3] == ["12", f"{entry.mean:.2f} [{entry.low:.2f}, {entry.high:.2f}]"], "a control has no letter"
    assert all(len(row) == len(header) for row in body[:3])


def mean(attack: str, arm: str) -> float:
    """The leak rate of an arm of `complete`, summed by hand."""
    leaks = [r.metrics["ilr"] for r in complete() if (arm_label(r), r.attack.name) == (arm, attack)]
    return sum(leak or 0 for leak in leaks) / len(leaks)


def test_the_main_table_has_a_line_for_every_arm_and_a_column_for_every_attack() -> None:
    records = complete()
    header, lines = tables.across(records, entries(records))
    assert header == ["arm", "dreambooth", "lora", WORST, "LINF", "PSNR"]
    by_arm = {line[0]: dict(zip(header[1:], line[1:], strict=True)) for line in lines}
    assert list(by_arm) == ["clean", "noise 8/255", "aspl 8/255", "aspl 16/255"], "controls first"
    for arm, attack in (("clean", "lora"), ("aspl 8/255", "dreambooth"), ("aspl 16/255", "lora")):
        letter = " a" if arm == "aspl 8/255" else ""  # no control has one, and there is no noise at 16/255
        assert re.fullmatch(rf"{mean(attack, arm):.2f} \[\d\.\d\d, \d\.\d\d\]{letter}", by_arm[arm][attack])
    assert by_arm["aspl 16/255"]["dreambooth"] == by_arm["aspl 16/255"][WORST] == "-", "what was not tried"
    assert (by_arm["aspl 8/255"]["LINF"], by_arm["aspl 16/255"]["PSNR"]) == ("8.0", "26.0")
    text = markdown(records)
    assert text.index("| arm | dreambooth | lora |") < text.index("| arm | n | FDFR |")
    printed = tables.as_latex(entries(records), "", (header, lines))
    assert parsed(printed)[: 1 + len(lines)] == [header, *lines]
    assert printed.count(r"\begin{table*}") == printed.count(r"\end{table*}") == 1
    alone = [r for r in records if r.attack.name == "lora"]
    assert tables.across(alone, entries(alone)) == ([], [])
    assert "| arm | lora |" not in markdown(alone)


def test_treated_photos_are_not_in_the_main_table_but_in_the_worst_attack() -> None:
    records = complete()
    blurred = [
        r.model_copy(update={"countermeasure": [MethodFacts(name="blur", config={})], "metrics": scored(1.0)})
        for r in records
    ]
    header, lines = tables.across(records + blurred, entries(records + blurred))
    assert header == ["arm", "dreambooth", "lora", WORST, "LINF", "PSNR"]
    assert {line[3].split()[0] for line in lines} == {"1.00", "-"}
    assert tables.across(blurred, entries(blurred))[0][1:3] == ["dreambooth after blur", "lora after blur"]


def test_many_arms_fit_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    many = [
        r.model_copy(update={"defense": r.defense.model_copy(update={"budget": float(b)})})
        for b in range(1, 9)
        for r in complete()
        if r.defense.name == "aspl" and r.defense.budget == 8
    ]
    Console(width=80).print(table_of(complete() + many))
    text = capsys.readouterr().out
    assert "worst" in text
    assert f"{mean('lora', 'clean'):.2f}" in text
    assert "ISM0" not in text
    Console(width=80).print(table_of(complete()))
    assert "FDFR" in capsys.readouterr().out


# --- CSV ------------------------------------------------------------------------------------------------------------


def test_the_csv_holds_every_number_in_full() -> None:
    records = complete()
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(entries(records)).decode())))
    leaks = [r.metrics["ilr"] for r in records if r.attack.name == "lora" and r.defense.name == "none"]
    (row,) = [r for r in rows if (r["attack"], r["arm"], r["metric"]) == ("lora", "clean", "ilr")]
    assert float(row["mean"]) == pytest.approx(sum(x or 0 for x in leaks) / 12, abs=1e-15)
    assert float(row["low"]) < float(row["mean"]) < float(row["high"])
    assert (row["better"], row["people"]) == ("lower", "12")
    by_standing = {s.attack: s for s in RunAnalysis(records).comparisons}
    worst = [r for r in rows if r["attack"] == WORST]
    assert [r["arm"] for r in worst] == list(by_standing[WORST].scores.methods)
    assert {r["metric"] for r in worst} == {"likeness"}
    shared = {r["arm"]: set(r["group"]) for r in rows if r["attack"] == "dreambooth" and r["metric"] == "likeness"}
    assert shared == {"clean": set(), "noise 8/255": set(), "aspl 8/255": {"a"}}
    assert {r["metric"] for r in rows} >= {"ilr", "protection", "prevented", "psnr", "linf"}


def test_a_cell_of_markdown_stays_one_cell() -> None:
    lines = markdown_table(["a|b", "c"], [["x|y\nz", "<b>"]])
    assert len(lines) == 3
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3, 3, 3]
    assert not any("<" in line or "\n" in line for line in lines)


def shown(text: str) -> list[Token]:
    """What a renderer makes of a text: the tokens within its first block, or the blocks if there are several."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inline = [block for block in blocks if block.type == "inline"]
    return inline[0].children or [] if len(inline) == 1 and len(blocks) == 3 else blocks


@given(st.text("ab1_*`~[]()<>&;:#!|\\\\-+= .\n", min_size=1).map(str.strip).filter(bool))
@example("[bold]ada[_]")
@example("# ada")
@example("1. [ada](x) ~~b~~ &amp; <i>")
def test_texts_are_shown_as_they_are(text: str) -> None:
    tokens = shown(markdown_paragraph(text))
    assert {token.type for token in tokens} <= {"text", "text_special"}
    assert "".join(token.content for token in tokens) == " ".join(text.split())


def test_common_names_and_numbers_are_not_made_ugly() -> None:
    plain = ["my_cloak_v2 8/255 (layers [1, 2])", "0.40 [0.15, 0.63] ab", "-", "-0.12", "C-3", "a & b"]
    assert [markdown_text(text) for text in plain] == plain


# --- Markdown and conclusions ---------------------------------------------------------------------------------------


def test_conclusions_name_what_is_separable_and_what_is_not() -> None:
    everywhere = "Against dreambooth, lora, the worst attack: "
    (said, scope) = conclusions(RunAnalysis(run()).comparisons)
    assert said == f"{everywhere}aspl 8/255 beats noise.", "the same may be said of all, and nothing of controls"
    assert "no other" in scope
    idle = [r.model_copy(update={"metrics": scored(0.8)}) if r.attack.name == "lora" else r for r in run()]
    assert conclusions(RunAnalysis(idle).comparisons)[1] == "Against lora: aspl 8/255 is not shown to beat noise."
    few = conclusions(RunAnalysis(run(PEOPLE[:4])).comparisons)
    assert few[0] == f"{everywhere}whether aspl 8/255 beats noise is undecided: 4 people cannot show it."
    without = conclusions(RunAnalysis([r for r in run() if r.defense.name != "noise"]).comparisons)
    assert without[0].startswith(f"{everywhere}there is no noise to compare with")
    alone = conclusions(RunAnalysis([r for r in run() if r.defense.name != "aspl"]).comparisons)
    assert alone[0] == f"{everywhere}there is no cloak."
    assert conclusions([])[0].startswith("Nothing")


def test_conclusions_say_in_one_sentence_what_may_be_said_of_several_arms() -> None:
    """Two cloaks beat two others, and a third one beats all; neither the two nor the others differ on average."""
    leaks = {"aspl": (0.4, 0.1), "mist": (0.4, -0.1), "advdm": (0.8, 0.1), "sds": (0.8, -0.1), "simac": (0.1, 0.0)}
    leaks |= {"noise": (1.0, 0.0), "caat": (1.0, 0.0)}
    records = [
        record(p, level + shift * (-1) ** i, defense=defense(name, 8.0), thresholds=THRESHOLDS)
        for name, (level, shift) in leaks.items()
        for i, p in enumerate(PEOPLE)
    ]
    (said, _) = conclusions(RunAnalysis(records).comparisons)
    noise, less, rest = said.removeprefix("Against lora: ").split(". ")
    assert noise == (
        "advdm 8/255, aspl 8/255, mist 8/255, sds 8/255 and simac 8/255 beat noise; "
        "caat 8/255 is not shown to beat noise"
    )
    assert less == (
        "simac 8/255 leaves less than all others of these; "
        "aspl 8/255 and mist 8/255 leave less than all others of these but simac 8/255"
    )
    assert rest == "Not to be told apart: advdm 8/255 from sds 8/255; aspl 8/255 from mist 8/255."


def test_many_pairs_that_stay_open_are_counted_and_many_arms_are_lines() -> None:
    alike = [
        record(p, 0.5, defense=defense("aspl", float(b)), thresholds=THRESHOLDS)
        for p in PEOPLE[:3]
        for b in range(1, 11)
    ]
    (said, _) = conclusions(RunAnalysis(alike).comparisons)
    assert said.endswith("Of 45 pairs, 45 are not to be told apart (the letters above; 3 people cannot show it).")
    text = markdown(alike)
    assert "| arm | p0 | p1 | p2 |" in text
    assert "| aspl 10/255 | 0.50 | 0.50 | 0.50 |" in text
    assert "| person | aspl 1/255 | aspl 2/255 |" in markdown([r for r in alike if r.defense.budget < 3])
    failed = [r.model_copy(update={"metrics": {}, "status": "failed", "reason": "no memory"}) for r in alike]
    assert "- p0, aspl 1/255: failed: no memory" in markdown(failed), "many arms without any metric"


def test_markdown_has_every_metric_and_says_what_is_missing() -> None:
    lacking = [r.model_copy(update={"metrics": {**r.metrics, "lpips": None}, "unavailable": {"lpips": "no weights"}})
               for r in complete()]  # fmt: skip
    text = markdown(lacking)
    assert "| psnr (higher) |" in text
    assert "| prevented (higher) |" in text
    assert "- not measured: lpips: no weights" in text
    assert text.count("no weights") == 1, "each reason once"
    assert "## What may be concluded" in text


# --- plots ----------------------------------------------------------------------------------------------------------


def test_plots_are_pictures_and_the_same_every_time() -> None:
    records = complete()
    files = plots.draw(RunAnalysis(records))
    assert set(files) == {f"{name}.{kind}" for name in ("trade-off", "heat-map", "budget") for kind in ("svg", "png")}
    assert plots.draw(RunAnalysis(records)) == files
    svg = files["heat-map.svg"].decode()
    leaks = [r.metrics["ilr"] or 0 for r in records if (r.attack.name, r.defense.name) == ("lora", "none")]
    assert all(word in svg for word in ("dreambooth", "lora", "aspl 8/255", f"{np.mean(leaks):.2f}"))
    assert "aspl, lora" in files["budget.svg"].decode()
    assert all(word in files["trade-off.svg"].decode() for word in ("PSNR", "noise 8/255"))
    assert Image.open(io.BytesIO(files["trade-off.png"])).width > 500


def test_plots_that_would_show_nothing_are_not_drawn() -> None:
    one = [r for r in run() if r.attack.name == "lora"]
    assert plots.draw(RunAnalysis(one)) == {}, "one attack, one budget, no PSNR"


def test_without_matplotlib_the_tables_are_saved_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, r in enumerate(complete()):
        save(r.model_copy(update={"cell": f"{number:012d}"}), tmp_path / "cells")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"cells", "report.md", "report.csv", "report.tex"}
    assert "cloakbench[plots]" in capsys.readouterr().out
    monkeypatch.undo()
    assert main([str(tmp_path)]) == 0
    assert len(list((tmp_path / "plots").iterdir())) == 6


def test_bad_arguments_are_told(tmp_path: Path) -> None:
    assert main([]) == 2
    with pytest.raises(BenchError, match="holds no records"):
        main([str(tmp_path)])


def test_reports_do_not_import_matplotlib_or_torch() -> None:
    code = "import sys, bench.report; sys.exit(bool({'matplotlib', 'torch'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recognisers_that_bind_whoever_uses_them_are_named_once() -> None:
    named: dict[str, Any] = {"attack": {"recogniser": "antelopev2"}, "defense": {"recognisers": ["buffalo_l", "mine"]}}
    records = [
        r.model_copy(update={kind: getattr(r, kind).model_copy(update={"config": config})})
        for r in complete()
        for kind, config in named.items()
    ]
    assert markdown(records).count("antelopev2, buffalo_l of insightface: non-commercial research only.") == 1
    assert "insightface" not in markdown(complete())


def test_the_cost_counts_every_output_once() -> None:
    def with_stages(r: Record, **stages: tuple[str, float]) -> Record:
        facts = {n: StageFacts(seconds=s, peak_mb=1, key=k, cached=False) for n, (k, s) in stages.items()}
        return r.model_copy(update={"stages": facts})

    first, second = complete()[:2]
    shared = [
        with_stages(first, protect=("cloak", 3600), fit=("one", 600)),
        with_stages(second, protect=("cloak", 3600), fit=("two", 600)),
    ]
    assert "1:20:00 of computing, and without a store that cells share, 2:20:00, 1.8 times as much." in markdown(shared)
    assert "What it cost" not in markdown([with_stages(first), with_stages(second)])
