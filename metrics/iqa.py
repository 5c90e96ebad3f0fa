"""pyiqa's metrics (https://github.com/chaofengc/IQA-PyTorch), by their names there, without downloading anything.

pyiqa fetches weights as soon as a metric is made. Here a metric is made offline (`metrics.offline`), so that one whose
weights are not on this machine says so, and how to get them, instead of asking a server about it unasked.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.images import to_tensor
from bench.core.types import Array, Pixels
from metrics.offline import offline

INSTALL = "pip install 'cloakbench[full]'"


class Unavailable(BenchError):
    """A metric that cannot be computed here, why, and what would change that."""


def metric(name: str, device: str = "cpu", differentiable: bool = False) -> Any:
    """A pyiqa metric, made once, or found missing once: a library may ask for half a minute before it gives up.

    Raises:
        Unavailable: pyiqa or the metric's weights are not here, or it knows no metric of this name.
    """
    made = _made(name, device, differentiable)
    if isinstance(made, Unavailable):
        raise made
    return made


@cache
def _made(name: str, device: str, differentiable: bool) -> Any:
    try:
        return _make(name, device, differentiable)
    except Unavailable as error:
        return error


def _make(name: str, device: str, differentiable: bool) -> Any:
    fetch = f'To fetch them: python -c "import pyiqa; pyiqa.create_metric({name!r})"; then start again.'
    try:
        with warnings.catch_warnings(action="ignore"):
            import pyiqa
    except ImportError as error:
        missing = "" if getattr(error, "name", None) == "pyiqa" else f" ({error})"
        raise Unavailable(f"pyiqa is not installed{missing}.", f"Run: {INSTALL}") from error
    if name not in pyiqa.list_models():
        raise Unavailable(f"pyiqa {pyiqa.__version__} has no metric {name!r}.", "pyiqa.list_models() names all.")
    try:
        with offline(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            return pyiqa.create_metric(name, device=device, as_loss=differentiable)
    except Exception as error:  # what it raises without a network depends on the library that wanted it
        told = f"The weights of {name} are not here, or do not load ({type(error).__name__})."
        raise Unavailable(told, fetch) from error


def fingerprint(name: str) -> str:
    """What a stored score depends on besides the pictures. pyiqa pins its weights by version."""
    try:
        return f"{name} pyiqa {version('pyiqa')} torch {version('torch')}"
    except PackageNotFoundError as error:
        raise Unavailable("pyiqa is not installed.", f"Run: {INSTALL}") from error


def score(name: str, pictures: Sequence[Pixels], device: str = "cpu") -> Array:
    """(n,) scores of pictures of any sizes, one by one: a batch must not change what a picture is given.

    A metric of faces gives a picture without any 0.

    Raises:
        Unavailable: as `metric`.
    """
    measure = metric(name, device)
    return np.array([_score(measure, picture) for picture in pictures])


def distance(name: str, clean: Sequence[Pixels], cloaked: Sequence[Pixels], device: str = "cpu") -> Array:
    """(n,) distances or similarities of photos, pair by pair.

    Raises:
        Unavailable: as `metric`.
    """
    measure = metric(name, device)
    return np.array([float(measure(to_tensor([b]), to_tensor([a]))) for a, b in zip(clean, cloaked, strict=True)])


def _score(measure: Any, picture: Pixels) -> float:
    try:
        return float(measure(to_tensor([picture])))
    except AssertionError as error:  # how pyiqa says that it found none
        if "No face" not in str(error):
            raise
        return 0.0
