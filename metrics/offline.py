"""A stretch of code that reaches no network: for libraries that download as soon as they find something missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

REACHING = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
"""Audit events of whoever looks for a host, be it by name or by address."""

_closed: ContextVar[bool] = ContextVar("closed", default=False)


@contextmanager
def offline() -> Iterator[None]:
    """No host is looked up inside, by this thread; others, which may have good reasons to, do not notice.

    Whoever tries gets an OSError, as on a machine without a network. Python asks its audit hooks before it does so, and
    one of ours refuses: nothing of the libraries is replaced.
    """
    _install()
    before = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(before)


@cache
def _install() -> None:
    """Once a process: an audit hook stays."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in REACHING and _closed.get():
        raise OSError(f"{arguments[0]} is not asked: nothing is downloaded unasked")
