"""Errors: a reason is never empty, whatever was raised."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.errors import BenchError, FitFailed, reason_of
from bench.models.diffusion.model_cache import Pool
from bench.runner.pipeline import Pipeline
from bench.runner.plan import cells, load_data
from tests.support.settings import parsed


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error  # the line
    return caught.value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BenchError("No photo.", "Give one."), "No photo.\nGive one."),
        (ValueError("too small"), "ValueError: too small"),
        (ValueError(), "ValueError: raise error  # the line"),
        (BenchError(""), "BenchError: raise error  # the line"),
        (FitFailed(" \n"), "FitFailed: raise error  # the line"),
    ],
)
def test_an_error_without_a_message_is_told_by_its_type_and_line(error: BaseException, said: str) -> None:
    assert reason_of(raised(error)) == said


def test_an_error_that_was_never_raised_has_its_type() -> None:
    assert reason_of(ValueError()) == "ValueError: no message"


@pytest.mark.parametrize("error", [AssertionError(), KeyError(), BenchError(""), FitFailed(""), RuntimeError(" ")])
def test_a_cell_that_failed_always_has_a_reason(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Pipeline, *_: Any) -> None:
        raise error

    settings = parsed("data.limit=1", "defense=noise", "attack=lora")
    cell = cells(settings, load_data(settings), Pool("cpu"))[0]
    pipeline = object.__new__(Pipeline)
    pipeline.settings = settings
    monkeypatch.setattr(Pipeline, "problem", lambda self, person: "")
    monkeypatch.setattr(Pipeline, "_record", lambda self, cell, status, reason: (status, reason))
    monkeypatch.setattr(Pipeline, "_run", fail)
    found: Any = pipeline.run(cell, lambda stage, share: None)
    assert found[0] == ("fit_failed" if isinstance(error, FitFailed) else "failed")
    assert found[1].startswith(f"{type(error).__name__}: raise error")
