"""Statistics over people, against scipy and statsmodels, by simulation, and by examples with a known answer."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from bench import power as power_command
from bench.core.errors import BenchError
from bench.core.types import Array
from bench.stats import __main__ as command
from bench.stats.comparison import (
    Scores,
    compare,
    ranking,
    worst_attack,
)
from bench.stats.intervals import mean_interval, resampled
from bench.stats.rule import judge, letters, tiers
from bench.stats.table import Row, as_csv, read
from bench.stats.variance import detectable, people_needed, power, variance_split


def leaks(people: int, average: float, pictures: int = 16, seed: int = 0) -> Array:
    """(people,) leak rates: everybody's own rate is beta-distributed, and seen in some pictures."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(2 * average, 2 * (1 - average), people)
    return np.asarray(rng.binomial(pictures, rates) / pictures)


def scores(values: Array, lower: bool = True) -> Scores:
    people, methods = values.shape
    return Scores(tuple("abcdefgh"[:methods]), tuple(map(str, range(people))), values, lower)


# intervals


def test_t_is_scipys() -> None:
    values = leaks(9, 0.4)
    wanted = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert mean_interval(values) == pytest.approx(wanted)


def test_bca_and_percentiles_differ_where_the_spread_depends_on_the_mean() -> None:
    values = leaks(30, 0.15)
    bca, plain = (mean_interval(values, method=m) for m in ("bca", "percentile"))
    assert bca.high > plain.high + 0.002


@pytest.mark.parametrize(("people", "average"), [(20, 0.5), (50, 0.5), (50, 0.2)])
def test_intervals_cover_the_truth_as_often_as_they_say(people: int, average: float) -> None:
    """Clustered data: pictures of a person are alike. 1,000 studies: 95 % +- 1.4 % by chance alone."""
    found = [mean_interval(leaks(people, average, seed=seed)) for seed in range(1000)]
    covered = np.mean([low <= average <= high for low, high in found])
    assert 0.93 <= covered <= 0.97


def test_an_interval_over_pictures_instead_of_people_would_not() -> None:
    """Why the person is the unit: the same data, 16 pictures a person taken as independent."""
    missed = 0
    for seed in range(300):
        rate = leaks(20, 0.5, seed=seed).mean()
        half = 1.96 * (rate * (1 - rate) / (20 * 16)) ** 0.5
        missed += not rate - half <= 0.5 <= rate + half
    assert missed > 90


def test_seeded_and_narrower_with_more_people() -> None:
    assert mean_interval(leaks(40, 0.3)) == mean_interval(leaks(40, 0.3))
    widths = [np.ptp(mean_interval(leaks(n, 0.5))) for n in (10, 40, 160)]
    assert widths[0] > widths[1] > widths[2]


def test_no_spread_and_too_few() -> None:
    assert mean_interval([0.5] * 4) == (0.5, 0.5)
    assert mean_interval([0.5] * 40) == (0.5, 0.5)
    with pytest.raises(ValueError, match="two people"):
        mean_interval([0.5])
    with pytest.raises(ValueError, match="number for everybody"):
        mean_interval([0.5, math.nan])


# tiers and ranks


def planted(seed: int = 0, people: int = 40) -> Array:
    """(people, 4): a and b are equal, c leaks more, d far more; people differ much, methods of one person little."""
    rng = np.random.default_rng(seed)
    person = rng.normal(0.4, 0.3, people)[:, None]
    return np.asarray(person + np.array([0.0, 0.0, 0.25, 0.6]) + rng.normal(0, 0.15, (people, 4)))


@pytest.mark.parametrize("lower", [True, False])
def test_planted_structure_is_found(lower: bool) -> None:
    table = scores(planted() if lower else -planted(), lower)
    judged = judge(table)
    assert [p.separable for p in judged.pairs] == [False, True, True, True, True, True]
    assert tiers(table, judged) == [1, 1, 3, 4]
    assert letters(table, judged) == ["a", "a", "b", "c"]
    firm = ranking(table)
    assert firm is not None
    assert firm.intervals[2:] == [(3, 3), (4, 4)]
    assert all(i == (1, 2) for i in firm.intervals[:2])
    assert sum(firm.first) == pytest.approx(1)
    assert 0.3 < firm.reproduced < 0.999  # a and b change places


def test_pairing_is_what_finds_it() -> None:
    """The same scores with the people of each method shuffled: the differences drown in the spread between people."""
    values, rng = planted(), np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(column) for column in values.T], axis=1)
    paired, not_paired = compare(scores(values)), compare(scores(shuffled))
    assert paired[1].p < 0.001
    assert np.ptp(not_paired[1].interval) > 2 * np.ptp(paired[1].interval)


def test_equal_methods_share_ranks_and_are_not_separable() -> None:
    column = leaks(12, 0.5)
    table = scores(np.stack([column, column], axis=1))
    (pair,), firm = compare(table), ranking(table)
    assert (pair.difference, pair.p) == (0, 1)
    assert firm is not None
    assert firm.intervals == [(1.5, 1.5)] * 2
    assert firm.first == [0.5, 0.5]
    assert firm.reproduced == 1


def test_ranks_are_scipys_ties_included() -> None:
    values = np.random.default_rng(3).integers(0, 3, size=(9, 5)) / 2
    firm = ranking(scores(values))
    ranks = stats.rankdata(values[resampled(9, 0)].mean(axis=1).round(12), axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0)
    assert firm is not None
    assert firm.intervals == list(zip(low, high, strict=True))


def test_missing_values_are_left_out_pair_by_pair() -> None:
    values = planted()
    values[:10, 0] = np.nan
    table = scores(values)
    pairs = compare(table)
    assert [p.people for p in pairs] == [30, 30, 30, 40, 40, 40]
    assert pairs[0].difference == pytest.approx((values[10:, 0] - values[10:, 1]).mean())
    firm = ranking(table)
    assert firm is not None
    assert firm.people == 30
    assert ranking(scores(values[:11])) is None


def test_the_worst_attack_is_chosen_person_by_person() -> None:
    values = np.array([[[0.1], [0.9]], [[0.8], [0.2]]])  # two attacks, two people, one method
    halves = np.stack([values, values])
    assert worst_attack(halves, lower_is_better=True).tolist() == [[0.8], [0.9]]
    assert worst_attack(halves, lower_is_better=False).tolist() == [[0.1], [0.2]]
    halves[0, 0, 0, 0] = np.nan
    assert math.isnan(worst_attack(halves, lower_is_better=True)[0, 0])


def test_the_worst_attack_is_chosen_by_one_half_and_scored_by_the_other() -> None:
    """By hand: the halves disagree, and each one's choice is worth what the other says of it."""
    halves = np.array([[0.9, 0.5], [0.2, 0.6]])  # two attacks
    assert worst_attack(halves, lower_is_better=True) == pytest.approx((0.2 + 0.5) / 2)
    assert worst_attack(halves, lower_is_better=False) == pytest.approx((0.6 + 0.9) / 2)


def test_of_equal_attacks_the_worst_is_no_worse_than_each() -> None:
    """Six attacks that leak 0.5 of 16 pictures: the highest leaks 0.66 by chance alone, the chosen one 0.5."""
    pictures = np.random.default_rng(0).random((2, 8, 6, 4000)) < 0.5
    halves = pictures.mean(axis=1)
    assert worst_attack(halves, lower_is_better=True).mean() == pytest.approx(0.5, abs=0.005)
    assert halves.mean(axis=0).max(axis=0).mean() > 0.6
    halves[:, 3] += 1.0  # and one that is worse by far is chosen
    assert worst_attack(halves, lower_is_better=True).mean() == pytest.approx(1.5, abs=0.005)


# variance and power


def test_variance_components_come_back() -> None:
    """The mean over 40 simulated studies is the truth within a fifth."""
    wanted = {"identity": 0.04, "training": 0.06, "prompt": 0.02, "picture": 0.09}
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        drawn = {
            name: variance**0.5 * rng.normal(size=n)
            for (name, variance), n in zip(wanted.items(), (30, 90, 8, 5760), strict=True)
        }
        table = drawn["identity"].reshape(30, 1, 1, 1) + drawn["training"].reshape(30, 3, 1, 1)
        found.append(
            variance_split(table + drawn["prompt"].reshape(1, 1, 8, 1) + drawn["picture"].reshape(30, 3, 8, 8))
        )
    for name, variance in wanted.items():
        assert np.mean([getattr(split, name) for split in found]) == pytest.approx(variance, rel=0.2)


def test_nothing_but_people() -> None:
    split = variance_split(np.tile(np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1), (1, 2, 2, 2)))
    assert (split.identity, split.total) == (1, 1)
    with pytest.raises(ValueError, match="two people"):
        variance_split(np.zeros((1, 1, 1, 4)))


@pytest.mark.parametrize("people", [3, 10, 50])
def test_power_is_statsmodels(people: int) -> None:
    assert power(0.2, 0.4, people) == pytest.approx(TTestPower().power(0.5, people, 0.05))
    found = detectable(0.4, people)
    assert found / 0.4 == pytest.approx(TTestPower().solve_power(nobs=people, alpha=0.05, power=0.8), rel=1e-4)


@given(st.floats(0.02, 3), st.floats(0.05, 1))
def test_people_needed_are_just_enough(difference: float, spread: float) -> None:
    people = people_needed(difference, spread)
    assert power(difference, spread, people) >= 0.8
    assert people == 2 or power(difference, spread, people - 1) < 0.8


def test_power_without_spread_or_people() -> None:
    assert (power(0.1, 0, 5), power(0, 0, 5), power(1, 1, 1)) == (1, 0, 0)
    assert (detectable(0.3, 1), detectable(0, 9)) == (math.inf, 0)
    with pytest.raises(ValueError, match="zero"):
        people_needed(0, 1)


# the commands


def write(folder: Path, values: Array, header: str = "method,identity,budget,metric,value") -> Path:
    file = folder / "scores.csv"
    rows = [f"{'abcd'[m]},p{i},8,ilr,{v}" for i, row in enumerate(values) for m, v in enumerate(row)]
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def test_the_command_says_what_is_separable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(write(tmp_path, planted())), "--pairs"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "No noise to compare with; 5 of 6 pairs can be told apart" in shown
    assert "40 people find" in shown


def test_comparing_with_one_method_alone_asks_fewer_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    table = scores(planted(people=8))
    every, few = compare(table), compare(table, [(0, 3), (1, 3), (2, 3)])
    same = {(p.first, p.second): p for p in every}
    assert all(p.p == same[p.first, p.second].p for p in few)
    assert all(p.adjusted <= same[p.first, p.second].adjusted for p in few)
    file = str(write(tmp_path, planted(people=8)))
    assert command.main([file, "--against", "d"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("can be told apart") + shown.count("not shown") == 3
    with pytest.raises(BenchError, match="Unknown method 'e'"):
        command.main([file, "--against", "e"])


def test_the_command_asks_about_noise_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, planted())
    file.write_text(re.sub("^d,", "noise,", file.read_text(), flags=re.MULTILINE))
    assert command.main([str(file), "--pairs"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 of 3 beat noise; 2 of 3 pairs of these can be told apart" in shown
    assert "methods against noise" in shown


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    values = planted(people=3).round(3)
    ((key, found),) = read(write(tmp_path, values)).items()
    assert key == ("ilr", "8")
    assert found.methods == ("a", "b", "c", "d")
    assert found.lower_is_better
    assert np.array_equal(found.values, values)
    assert not next(iter(read(write(tmp_path, values), higher=["ilr"]).values())).lower_is_better


@pytest.mark.parametrize(
    ("flags", "fdfr", "sds", "assumed"),
    [
        ([], "higher", "lower", True),
        (["--lower", "SDS"], "higher", "lower", False),
        (["--lower", "FDFR", "--higher", "SDS"], "lower", "higher", False),
    ],
)
def test_directions_are_known_or_asked_for_or_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], fdfr: str, sds: str, assumed: bool
) -> None:
    assert command.main([str(paper(tmp_path)), *flags]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"FDFR at budget 8 ({fdfr} is better)" in shown
    assert f"SDS at budget 8 ({sds} is better)" in shown
    assert ("not known of SDS: less was taken" in shown) == assumed


def test_numbers_are_not_broken_where_a_table_is_too_wide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "76")
    file = write(tmp_path, planted())
    file.write_text(re.sub("^d,", "a method of many words,", file.read_text(), flags=re.MULTILINE))
    assert command.main([str(file), "--pairs"]) == 0
    shown = capsys.readouterr().out
    assert len(re.findall(r" \d\.\d{3} to \d\.\d{3} ", shown)) == 4
    assert len(re.findall(r" [+-]\d\.\d{3} to [+-]\d\.\d{3} ", shown)) == 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--higher", "SDS", "--lower", "SDS"], "cannot both be better"), (["--lower", "SSD"], "Unknown metric 'SSD'")],
)
def test_directions_that_cannot_be(tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        command.main([str(paper(tmp_path)), *flags])


def paper(folder: Path) -> Path:
    """A table with a metric that is declared in small letters, and with one that it has not."""
    file = folder / "paper.csv"
    rows = ("a,p,8,FDFR,.1", "b,p,8,FDFR,.4", "a,q,8,FDFR,.2", "b,q,8,FDFR,.4")
    more = (row.replace("FDFR", "SDS") for row in rows)
    file.write_text("\n".join(["method,identity,budget,metric,value", *rows, *more]))
    return file


def test_empty_values_are_missing(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("note,method,identity,budget,metric,value\nx,a,p,4,ilr,0.5\ny,b,p,4,ilr,\n")
    (found,) = read(file).values()
    assert found.values[0, 0] == 0.5
    assert math.isnan(found.values[0, 1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,identity,budget,value\na,p,4,1\n", "no column 'metric'"),
        ("method,identity,budget,metric,value\na,p,4,ilr,much\n", "line 2.*'much'"),
        ("method,identity,budget,metric,value\na,p,4,ilr,nan\n", "line 2.*'nan'"),
        ("method,identity,budget,metric,value\na,p,4,ilr,1\na,p,4,ilr,2\n", "two values.*method a"),
        ("method,identity,budget,metric,value\na,p,4,ilr,1\n\na , p,4.0,ilr,1.0\n", "two values.*lines 2 and 4"),
        ("method,identity,budget,metric,value\na,p,4,ilr,1\na,p,4,ilr,1\n", "same row twice.*lines 2 and 3"),
        ("method,identity,budget,metric,value\na,p\n", "line 2: 2 values for 5 columns"),
        ("method,identity,budget,metric,value\na,p,4,ilr,0,5\n", "line 2: 6 values for 5 columns"),
        ("method,identity,budget,metric,value\n ,p,4,ilr,1\n", "line 2 has no method"),
        ("method,identity,budget,metric,value,Method\na,p,4,ilr,1,b\n", "more than one column 'method'"),
        ('method,identity,budget,metric,value\n"a,p,4,ilr,1\n', "not a CSV"),
        ("", "not a CSV"),
        ("method,identity,budget,metric,value\n", "no scores"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(text)
    with pytest.raises(BenchError, match=message):
        read(file)


CLEAN = "method,identity,budget,metric,value\na,José,8,ilr,0.5\nb,José,8,ilr,0.25\na,104,8,ilr,1\nb,104,8,ilr,0\n"


@pytest.mark.parametrize(
    "text",
    [
        CLEAN.replace("a,", "a ,").replace("b,", " b,").replace(",8,", ", 8.0,", 2).replace("104", "104.0", 1),
        CLEAN.replace("José", "Jose\N{COMBINING ACUTE ACCENT}", 1),
        "\N{BYTE ORDER MARK}" + CLEAN.replace("\n", "\r\n"),
        CLEAN.replace("\n", "\r"),
        CLEAN.replace(",", ";").replace("0.", "0,").replace(";8;", ";8,0;", 1),
        CLEAN.replace(",", "\t"),
        CLEAN.replace("\n", "\n\n,,,,\n"),
        CLEAN.replace("method,identity", " Method,IDENTITY ").replace("\n", ",,\n"),
        CLEAN.replace("a,José", '"a","José"')
        .replace(",8,", ",08,", 1)
        .replace("0.5", " 5e-1 ")
        .replace("104,8,ilr", "104,8,ILR"),
    ],
    ids=["spaces, 8.0", "NFD", "BOM, CRLF", "CR", "semicolons", "tabs", "empty lines", "headings, columns", "quotes"],
)
def test_tables_that_mean_the_same_are_read_the_same(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.csv"
    file.write_bytes(text.encode())
    ((key, found),) = read(file).items()
    assert (key, found.methods, found.people) == (("ilr", "8"), ("a", "b"), ("José", "104"))
    assert found.values.tolist() == [[0.5, 0.25], [1, 0]]
    assert command.main([str(file), "--metric", " ilr", "--against", "b "]) == 0
    words = ["--metric", "ilr ", "--budget", "8.00", "--first", "a", "--second", " b", "--difference", "0.5"]
    assert power_command.main([str(file), *words]) == 0
    assert "0.5 takes" in capsys.readouterr().out


def test_names_that_a_spreadsheet_would_compute_come_back(tmp_path: Path) -> None:
    rows = [Row("=1+1", "@ada", "8", "ilr", -0.5), Row("-x", "-7", "8", "ilr", 0.5), Row("'=y", "+", "8", "ilr", 0.0)]
    (tmp_path / "scores.csv").write_bytes(as_csv(rows))
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[1:] == [
        """"'=1+1","'@ada",8,"ilr",-0.5""",
        """"'-x",-7,8,"ilr",0.5""",
        """"'=y","'+",8,"ilr",0.0""",
    ]
    ((_, found),) = read(tmp_path / "scores.csv").items()
    assert (found.methods, found.people) == (("=1+1", "-x", "=y"), ("@ada", "-7", "+"))


def test_a_missing_file_and_an_unknown_metric(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(BenchError, match="metric 'irl'") as caught:
        read(write(tmp_path, planted()), metric="irl")
    assert "'ilr'" in caught.value.fix


def test_power_from_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = planted()
    file = str(write(tmp_path, values))
    assert power_command.main([file, "--first", "a", "--second", "c"]) == 0
    needed = people_needed(0.1, float(np.std(values[:, 0] - values[:, 2], ddof=1)))
    assert f"takes {needed} people" in capsys.readouterr().out
    assert power_command.main(["--spread", "0.3", "--difference", "0.3"]) == 0
    assert "takes 10 people" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Either a file or --spread"),
        (["FILE", "--spread", "1"], "Either a file or --spread"),
        (["FILE", "--first", "a"], "Two methods"),
        (["FILE", "--first", "a", "--second", "z"], "method 'z'"),
        (["FILE", "--budget", "9"], "not clear"),
        (["--spread", "1", "--difference", "0"], "difference of zero"),
    ],
)
def test_unclear_questions_about_power(tmp_path: Path, arguments: list[str], message: str) -> None:
    file = str(write(tmp_path, planted()))
    with pytest.raises(BenchError, match=message):
        power_command.main([file if word == "FILE" else word for word in arguments])


@pytest.mark.parametrize("written", ["8", "8.0", " 8/255", "8 / 255 "])
def test_a_budget_is_the_same_however_it_is_written(tmp_path: Path, written: str) -> None:
    file = tmp_path / "scores.csv"
    file.write_text(f"method,identity,budget,metric,value\na,p,8,ilr,0.5\nb,p,{written},ilr,0.25\n")
    tables = read(file)
    assert list(tables) == [("ilr", "8")]
    assert tables["ilr", "8"].methods == ("a", "b")


def test_a_budget_without_a_number_stays(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("method,identity,budget,metric,value\na,p,as published,ilr,0.5\na,p,12.75,ilr,0.5\na,p,-,ilr,0.5\n")
    assert [budget for _, budget in read(file)] == ["as published", "12.75", "-"]


def test_a_budget_in_another_unit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("method,identity,budget,metric,value\na,p,0.03,ilr,0.5\n")
    with pytest.raises(BenchError, match=r"bad budget '0\.03'") as caught:
        read(file)
    assert "give 7.65, or 8" in caught.value.fix
    with pytest.raises(BenchError, match=r"--budget: bad budget '0\.05'") as caught:
        power_command.main([str(write(tmp_path, planted())), "--budget", "0.05"])
    assert "give 12.75, or 13" in caught.value.fix
    assert power_command.main([str(write(tmp_path, planted())), "--budget", "8/255"]) == 0


@pytest.mark.parametrize("words", [["--pairs", "0"], ["--difference", "nan"], ["--spread", "-1"], ["--spread", "inf"]])
def test_numbers_on_the_command_line_have_ranges(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        power_command.main(["--spread", "1", *words])
    assert f"argument {words[0]}: give a" in capsys.readouterr().err
