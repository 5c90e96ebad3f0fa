"""Benchmarks that nobody runs for weeks still say what the benchmark understands."""

from __future__ import annotations

import pytest

from bench.config.compose import settings_of
from benchmarks import faults, kills


@pytest.mark.parametrize("words", [[*faults.WORDS, faults.CLOAKS], kills.GRID], ids=["faults", "kills"])
def test_what_a_benchmark_sets_are_settings(words: list[str]) -> None:
    settings = settings_of(words)
    assert settings.attack.settings["steps"] == 1
