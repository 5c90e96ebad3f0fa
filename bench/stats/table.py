"""Tables of person-by-person scores in long form, as CSV: one row per method, person, budget and metric.

They come from spreadsheets, too, and mean the same: with semicolons or tabs, a decimal comma, a byte order mark, empty
lines, headings in other letters, spaces around names, accents in two forms, and 8 beside 8.0.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.core.errors import BenchError, unknown_name
from bench.core.names import composed
from bench.core.ranges import Budgeted, read_number
from bench.core.spreadsheet import csv_text, restored
from bench.stats.comparison import Scores
from bench.stats.rule import by_name
from metrics import METRICS, plain


class Row(NamedTuple):
    """One score."""

    method: str
    identity: str
    budget: str
    metric: str
    value: float


COLUMNS = Row._fields
SEPARATORS = (",", ";", "\t")

Key = tuple[str, str]
"""Metric, as `same_text` writes it, and budget, as `plain_budget` does."""
Lines = dict[int, list[str]]
"""Where a row ends in a file -> what it says of each of `COLUMNS`."""


def read(
    file: Path, higher: Collection[str] = (), metric: str | None = None, *, lower: Collection[str] = ()
) -> dict[Key, Scores]:
    """Scores by metric and budget, in the order of the file.

    Which way is better, and what a metric can be, are as `metrics.METRICS` declares them. Of metrics that it does not
    have, less is better. Values beyond its range (percentages, say) are taken as a metric of another range.

    Args:
        file: CSV with the columns `method,identity,budget,metric,value`; others are ignored. An empty value is missing.
        higher: metrics of which more is better, whatever it declares. "fdfr" means "fdfr/dreambooth", too.
        metric: read only this one.
        lower: metrics of which less is better, whatever it declares.

    Raises:
        BenchError: no such file, column, metric or number, a budget in another unit, two values for one place, or two
            directions for one metric.
    """
    lines = _lines(file)
    metric, higher, lower = metric and same_text(metric), [*map(same_text, higher)], [*map(same_text, lower)]
    known = dict.fromkeys(word for _, _, _, name, _ in lines.values() for word in (name, plain(name)))
    for name in [*higher, *lower, *([metric] if metric else [])]:
        if name not in known:
            raise unknown_name("metric", name, known)
    for name in set(higher) & set(lower):
        raise BenchError(f"More and less of {name!r} cannot both be better.", "Name it once.")
    _check_once(lines, file)
    found: dict[Key, dict[tuple[str, str], float]] = {}
    for number, (method, person, budget, name, value) in lines.items():
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
        return same_text(text)
    try:
        return f"{read_number(text.strip(), Budgeted):g}"
    except ValueError as error:
        said = str(error)
        raise BenchError(f"{place}bad budget {text!r}.", f"{said[0].upper()}{said[1:]}.") from None


def as_csv(rows: Iterable[Row]) -> bytes:
    """Scores as a file that `read` reads."""
    return csv_text([COLUMNS, *rows]).encode()


def same_text(text: str) -> str:
    """A name as it is compared: without spaces around it, its accents in one form, and 8.0 as 8."""
    return re.sub(r"^(\d+)\.0*$", r"\1", composed(restored(text.strip())))


def _lines(file: Path) -> Lines:
    if not file.is_file():
        raise BenchError(f"There is no file {file}.", f"Give a CSV with the columns {','.join(COLUMNS)}.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(f"{file} is not a CSV file in UTF-8: {error}.", "Save it as UTF-8.") from error
    head = text.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=head.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [(table.line_num, row) for row in table if any(map(str.strip, row))]
    except csv.Error as error:
        raise BenchError(f"{file} is not a CSV file: line {table.line_num}: {error}.", _FIX) from error
    if not rows:
        raise BenchError(f"{file} is not a CSV file: it is empty.", _FIX)
    names = [name.strip().casefold() for name in rows[0][1]]
    for name in COLUMNS:
        if names.count(name) != 1:
            raise BenchError(
                f"{file} has {'no' if name not in names else 'more than one'} column {name!r}; "
                f"it has {', '.join(names)}.",
                _FIX,
            )
    if not rows[1:]:
        raise BenchError(f"{file} holds no scores, only a header.", "One row per method, person, budget and metric.")
    lines = {line: _row(row, names, separator, f"{file}, line {line}") for line, row in rows[1:]}
    spelled: dict[str, str] = {}  # of a metric, as the file has it first: ILR is ilr
    return {line: [*p, spelled.setdefault(name.casefold(), name), v] for line, (*p, name, v) in lines.items()}


_FIX = f"Its columns are {','.join(COLUMNS)}."


def _row(row: Sequence[str], names: Sequence[str], separator: str, where: str) -> list[str]:
    if len(row) < len(names) or any(map(str.strip, row[len(names) :])):
        raise BenchError(f"{where}: {len(row)} values for {len(names)} columns.", "Put a text with commas in quotes.")
    said = dict(zip(names, row, strict=False))
    for name in ("method", "identity", "metric"):
        if not said[name].strip():
            raise BenchError(f"{where} has no {name}.", "Only values may be missing.")
    if separator != ",":  # where it stands for a decimal point
        said |= {name: said[name].replace(",", ".") for name in ("budget", "value")}
    texts = (same_text(said[name]) for name in ("method", "identity"))
    return [*texts, plain_budget(said["budget"], f"{where}: "), same_text(said["metric"]), said["value"]]


def _check_once(lines: Lines, file: Path) -> None:
    first: dict[tuple[str, ...], int] = {}
    for number, (*place, value) in lines.items():
        before = first.setdefault(tuple(place), number)
        if before != number:
            where = ", ".join(f"{name} {text}" for name, text in zip(COLUMNS, place, strict=False))
            what = "the same row twice" if lines[before][-1] == value else "two values"
            raise BenchError(
                f"{file} has {what} for {where}: lines {before} and {number}.",
                "One row per person: average pictures and seeds first; arms with other settings need other names.",
            )


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
    declared = METRICS.find(metric)
    usual = declared is None or declared.lower_is_better
    lower_is_better = asked.get(metric, asked.get(plain(metric), usual))
    low, high = declared.range if declared else (-np.inf, np.inf)
    known = table[~np.isnan(table)]
    fits = bool(((low <= known) & (known <= high)).all())
    bounds = (low, high) if fits else (-np.inf, np.inf)
    return Scores(methods, people, table, lower_is_better, bounds, *by_name(methods))
