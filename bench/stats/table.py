"""Tables of person-by-person scores in long form, as CSV: one row per method, person, budget and metric."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from bench.errors import BenchError, unknown_name
from bench.ranges import Budgeted, read_number
from bench.stats.comparison import Scores
from metrics.catalogue import find, plain


class Row(NamedTuple):
    """One score."""

    method: str
    identity: str
    budget: str
    metric: str
    value: float


COLUMNS = Row._fields

Key = tuple[str, str]
"""Metric, as written in the file, and budget, as `plain_budget` writes it."""


def read(
    file: Path, higher: Collection[str] = (), metric: str | None = None, *, lower: Collection[str] = ()
) -> dict[Key, Scores]:
    """Scores by metric and budget, in the order of the file.

    Which way is better, and what a metric can be, are as `metrics.catalogue` declares them. Of metrics that it does not
    have, less is better. Values beyond its range (percentages, say) are taken as a metric of another range.

    Args:
        file: CSV with the columns `method,identity,budget,metric,value`; others are ignored. An empty value is missing.
        higher: metrics of which more is better, whatever the catalogue says. "fdfr" means "fdfr/dreambooth", too.
        metric: read only this one.
        lower: metrics of which less is better, whatever the catalogue says.

    Raises:
        BenchError: no such file, column, metric or number, a budget in another unit, two values for one place, or two
            directions for one metric.
    """
    columns = _columns(file)
    known = dict.fromkeys(word for name in columns["metric"] for word in (name, plain(name)))
    for name in [*higher, *lower, *([metric] if metric else [])]:
        if name not in known:
            raise unknown_name("metric", name, known)
    for name in set(higher) & set(lower):
        raise BenchError(f"More and less of {name!r} cannot both be better.", "Name it once.")
    plainly = {text: plain_budget(text, f"{file}: ") for text in dict.fromkeys(columns["budget"])}
    columns["budget"] = [plainly[text] for text in columns["budget"]]
    rows = list(zip(*(columns[name] for name in COLUMNS), strict=True))
    twice = [place for place, count in Counter(row[:4] for row in rows).items() if count > 1]
    if twice:
        place = ", ".join(f"{name} {value}" for name, value in zip(COLUMNS, twice[0], strict=False))
        raise BenchError(f"{file} has two values for {place}.", "Average pictures and seeds first: one row per person.")
    found: dict[Key, dict[tuple[str, str], float]] = {}
    for number, (method, person, budget, name, value) in enumerate(rows, start=2):
        if metric in (None, name, plain(name)):
            found.setdefault((name, budget), {})[person, method] = _number(value, file, number)
    asked = {**dict.fromkeys(lower, True), **dict.fromkeys(higher, False)}
    return {key: _scores(key[0], values, asked) for key, values in found.items()}


def plain_budget(text: str, place: str = "") -> str:
    """A budget in grey levels, however it is written: "8", "8.0" and "8/255" are one. What is no number stays.

    Args:
        text: as it is written.
        place: what to begin an error with.

    Raises:
        BenchError: it is in another unit.
    """
    if not re.fullmatch(r"[\d\s./eE+-]*\d[\d\s./eE+-]*", text):
        return text.strip()
    try:
        return f"{read_number(text.strip(), Budgeted):g}"
    except ValueError as error:
        said = str(error)
        raise BenchError(f"{place}bad budget {text!r}.", f"{said[0].upper()}{said[1:]}.") from None


def as_csv(rows: Iterable[Row]) -> bytes:
    """Scores as a file that `read` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode()


def _columns(file: Path) -> dict[str, list[str]]:
    if not file.is_file():
        raise BenchError(f"There is no file {file}.", f"Give a CSV with the columns {','.join(COLUMNS)}.")
    text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()), strings_can_be_null=False)
    try:
        lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
        table = pyarrow.csv.read_csv(file, parse_options=lines, convert_options=text)
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise BenchError(f"{file} is not a CSV file: {error}", f"Its columns are {','.join(COLUMNS)}.") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise BenchError(
            f"{file} has no column {missing[0]!r}; it has {', '.join(table.column_names)}.",
            f"Its columns are {','.join(COLUMNS)}.",
        )
    if not len(table):
        raise BenchError(f"{file} holds no scores, only a header.", "One row per method, person, budget and metric.")
    return {name: table[name].to_pylist() for name in COLUMNS}


def _number(text: str, file: Path, line: int) -> float:
    if not text.strip():
        return np.nan
    try:
        value = float(text)
    except ValueError:
        value = np.inf
    if not np.isfinite(value):
        raise BenchError(f"{file}, line {line}: the value {text!r} is no number.", "Leave a missing value empty.")
    return value


def _scores(metric: str, values: dict[tuple[str, str], float], asked: Mapping[str, bool]) -> Scores:
    people = tuple(dict.fromkeys(person for person, _ in values))
    methods = tuple(dict.fromkeys(method for _, method in values))
    table = np.array([[values.get((person, method), np.nan) for method in methods] for person in people])
    declared = find(metric)
    usual = declared is None or declared.lower_is_better
    lower_is_better = asked.get(metric, asked.get(plain(metric), usual))
    low, high = declared.range if declared else (-np.inf, np.inf)
    known = table[~np.isnan(table)]
    fits = bool(((low <= known) & (known <= high)).all())
    return Scores(methods, people, table, lower_is_better, (low, high) if fits else (-np.inf, np.inf))
