"""JSON of strangers costs little, however much is wrong with it."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from bench.core.strict import Strict
from leaderboard.entries import strict_json
from leaderboard.entries.strict_json import BadEntry, _unique, parse


class _Numbers(Strict):
    values: dict[str, int]


class _Counted(str):
    """A key that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        _Counted.compared += 1
        return str.__eq__(self, other) if isinstance(other, str) else False


def test_a_key_given_twice_is_named() -> None:
    with pytest.raises(BadEntry, match="b: this key is given twice"):
        parse(_Numbers, b'{"values": {"a": 1, "b": 2, "b": 3, "c": 5}}', "x")


def test_keys_given_twice_are_looked_for_in_one_go() -> None:
    """The last of many: comparing each with all others would take a hundred million comparisons."""
    pairs: list[tuple[str, object]] = [(_Counted(f"k{i}"), 0) for i in [*range(10_000), 9_999]]
    with pytest.raises(strict_json._Twice, match="k9999"):
        _unique(pairs)
    assert _Counted.compared < 50_000


def test_too_many_values_are_not_parsed() -> None:
    text = json.dumps({"values": {str(i): i for i in range(strict_json.MOST_VALUES + 2)}}).encode()
    with pytest.raises(BadEntry, match=f"more than {strict_json.MOST_VALUES} values"):
        parse(_Numbers, text, "x")


def test_a_hundred_thousand_wrong_values_are_one_short_message() -> None:
    text = json.dumps({"values": dict.fromkeys(map(str, range(90_000)), "")}).encode()
    tracemalloc.start()
    with pytest.raises(BadEntry, match="has 90000 values that are wrong"):
        parse(_Numbers, text, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6, "explaining each took a hundred megabytes"
