"""pyiqa's metrics (https://github.com/chaofengc/IQA-PyTorch), by their names there, without downloading anything.

pyiqa fetches weights as soon as a metric is made. Here a metric is made with the network closed, so that one whose
weights are not on this machine says so, and how to get them, instead of asking a server about it unasked.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.images import to_tensor
from bench.types import Array, Pixels

INSTALL = "pip install 'cloakbench[full]'"


class Unavailable(BenchError):
    """A metric that cannot be computed here, why, and what would change that."""


@cache
def metric(name: str, device: str = "cpu", differentiable: bool = False) -> Any:
    """A pyiqa metric, made once.

    Raises:
        Unavailable: pyiqa or the metric's weights are not here, or it knows no metric of this name.
    """
    fetch = f'To fetch them: python -c "import pyiqa; pyiqa.create_metric({name!r})"'
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


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """No host can be looked up inside, by this thread: others may have good reasons to."""
    from huggingface_hub import constants

    look_up, here, was = socket.getaddrinfo, threading.get_ident(), constants.HF_HUB_OFFLINE

    def refuse(host: Any, *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() == here:
            raise socket.gaierror(f"{host} is not asked: nothing is downloaded unasked")
        return look_up(host, *arguments, **options)

    socket.getaddrinfo, constants.HF_HUB_OFFLINE = refuse, True  # the hub would try again and again otherwise
    try:
        yield
    finally:
        socket.getaddrinfo, constants.HF_HUB_OFFLINE = look_up, was
