"""What a run would do, without doing it."""

from __future__ import annotations

from bench.config.compose import settings_of
from bench.models.diffusion.model_cache import Pool
from bench.runner.plan import Cell, cells, load_data


def planned(*words: str) -> list[Cell]:
    settings = settings_of(words)
    return cells(settings, load_data(settings), Pool("cpu"))
