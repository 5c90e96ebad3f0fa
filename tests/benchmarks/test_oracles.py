"""What our defenses compute as released is what the released code computes, on tiny weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.oracles.methods import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_as_released_is_the_released_arithmetic(method: str, tmp_path: Path) -> None:
    rows = list(METHODS[method](tmp_path))
    assert len(rows) > 1
    for row in rows:
        assert row.method == method
        assert abs(row.released) > 0, row.what
        assert row.difference <= row.aim, row
