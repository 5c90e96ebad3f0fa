"""Orders of two populations: Kendall's tau by scipy, known answers, and what cannot be asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.core.errors import BenchError
from bench.core.types import Array
from bench.stats.__main__ import main
from bench.stats.agreement import agreement
from bench.stats.comparison import Scores

NAMES = ("a", "b", "c", "d", "noise")


def scores(values: Array, names: tuple[str, ...] = NAMES, lower: bool = True) -> Scores:
    people = tuple(f"p{i}" for i in range(len(values)))
    controls = frozenset(i for i, name in enumerate(names) if name == "noise")
    return Scores(names, people, values, lower, controls=controls)


def population(means: list[float], people: int, seed: int, spread: float = 0.1) -> Array:
    return np.array(means) + spread * np.random.default_rng(seed).normal(size=(people, len(means)))


@pytest.mark.parametrize("seed", range(8))
def test_tau_is_scipys_with_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = (random.integers(3, size=(1, 5)).repeat(4, axis=0) / 4 for _ in range(2))
    expected = kendalltau(first[0, :4], second[0, :4]).statistic
    assert agreement(scores(first), scores(second)).tau == pytest.approx(expected, nan_ok=True)


def test_what_all_people_agree_on_is_certain() -> None:
    order = population([0.1, 0.3, 0.5, 0.7, 0.0], 12, 0, spread=0.01)
    found = agreement(scores(order), scores(population([0.2, 0.4, 0.6, 0.8, 0.9], 20, 1, spread=0.01)))
    assert found.methods == ("a", "b", "c", "d")
    assert found.people == (12, 20)
    assert (found.tau, *found.interval, found.turned) == (1, 1, 1, [])
    back = agreement(scores(order), scores(1 - order))
    assert (back.tau, *back.interval) == (-1, -1, -1)


def test_the_pairs_that_turn_are_named_better_first() -> None:
    first = population([0.1, 0.2, 0.5, 0.7, 0.0], 9, 0, spread=0.01)
    second = population([0.2, 0.1, 0.5, 0.7, 0.0], 9, 1, spread=0.01)
    assert agreement(scores(first), scores(second)).turned == [("a", "b")]
    assert agreement(scores(first, lower=False), scores(second, lower=False)).turned == [("b", "a")]
    assert agreement(scores(first), scores(second)).tau == pytest.approx(2 / 3)


def test_more_people_make_it_surer() -> None:
    means = [0.30, 0.32, 0.34, 0.36, 0.0]
    few, many = (agreement(scores(population(means, n, 0)), scores(population(means, n, 1))) for n in (6, 600))
    assert many.interval.high - many.interval.low < few.interval.high - few.interval.low
    assert few.interval.low <= few.tau <= few.interval.high


def test_people_of_both_sides_are_drawn_apart() -> None:
    """Drawn together, the same scores would always agree with themselves."""
    close = scores(population([0.30, 0.32, 0.34, 0.36, 0.0], 10, 0))
    found = agreement(close, close)
    assert found.tau == 1
    assert found.interval.low < 0.9


def test_people_and_methods_of_one_side_alone_do_not_count() -> None:
    first, second = (population([0.1, 0.3, 0.5, 0.7, 0.0], 8, seed) for seed in range(2))
    first[0, 1] = np.nan
    other = scores(second[:, :4], ("d", "b", "x", "a"))
    found = agreement(scores(first), other)
    assert found.methods == ("a", "b", "d")
    assert found.people == (7, 8)


def test_an_order_takes_three_methods_and_two_people() -> None:
    values = population([0.1, 0.3, 0.5, 0.7, 0.0], 4, 0)
    with pytest.raises(BenchError, match="2 methods in common"):
        agreement(scores(values), scores(values[:, :3], ("a", "b", "noise")))
    values[:3, 0] = np.nan
    with pytest.raises(BenchError, match="1 of 4 people have a value of each of a, b, c, d"):
        agreement(scores(values), scores(values))


def test_the_command_holds_two_files_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file, means in (("here", [0.1, 0.2, 0.5]), ("there", [0.2, 0.1, 0.5])):
        lines = [
            f"{method},{file}{i},16,likeness,{mean + i / 1000}"
            for method, mean in zip(("aspl", "mist", "photoguard"), means, strict=True)
            for i in range(5)
        ]
        (tmp_path / f"{file}.csv").write_text("\n".join(["method,identity,budget,metric,value", *lines]))
    (tmp_path / "elsewhere.csv").write_text("method,identity,budget,metric,value\naspl,p,8,ilr,0.5\n")
    assert main([str(tmp_path / "here.csv"), "--beside", str(tmp_path / "there.csv")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for wanted in ("likeness", "5 and 5", "0.33", "aspl, mist"):
        assert wanted in told
    with pytest.raises(BenchError, match="no metric and budget in common"):
        main([str(tmp_path / "here.csv"), "--beside", str(tmp_path / "elsewhere.csv")])


def test_the_command_leaves_out_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run's scores hold metrics of clean photos alone, and such that some people lack."""
    lines = ["method,identity,budget,metric,value", "aspl,p0,16,fdfr,0", "mist,p0,16,fdfr,0", "dladiff,p0,16,fdfr,0"]
    lines += [f"{method},p{i},16,likeness,0.{i}" for method in ("aspl", "mist", "dladiff") for i in range(3)]
    lines += ["clean,p0,0,likeness,0.9", "clean,p1,0,likeness,0.9"]
    (tmp_path / "scores.csv").write_text("\n".join(lines))
    assert main([str(tmp_path / "scores.csv"), "--beside", str(tmp_path / "scores.csv")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "likeness 16 3 3 and 3" in told
    assert "left out: 2 that too few methods or people have on both sides" in told
