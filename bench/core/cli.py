"""How commands end: a mistake of the user is one short message and a status other than 0, never a traceback."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from bench.core.errors import BenchError, system_errors
from bench.core.ranges import read_number


def guarded(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command; turn a `BenchError`, and what the system says of files, into a message and exit status 1."""
    try:
        with system_errors():
            return command(arguments)
    except BenchError as error:
        complain(error)
        return 1
    except KeyboardInterrupt:
        complain(BenchError("Interrupted.", "Finished work is kept: the same command goes on from here."))
        return 130
    except BrokenPipeError:  # whoever read it has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest when it ends
        return 141


def callable_module(name: str, function: Callable[..., Any]) -> None:
    """Let a command's module be called: `bench.cloak` is a command, and the function of the same name in `bench.api`.

    Importing a submodule sets it as an attribute of its package, in place of the function that was there.
    """
    kind = type("CallableModule", (ModuleType,), {"__call__": staticmethod(function)})
    sys.modules[name].__class__ = kind


def ranged(kind: Any) -> Callable[[str], Any]:
    """A `type` for argparse: a number within its range, from an annotation such as `bench.core.ranges.Count`."""

    def read(text: str) -> Any:
        try:
            return read_number(text, kind)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None

    return read


def complain(error: BenchError) -> None:
    """Print what was wrong and how to mend it."""
    from rich.text import Text

    from bench.core.terminal import terminal

    console = terminal(stderr=True)
    console.print(Text.assemble(("Error:", "bold red"), f" {error.message}"), soft_wrap=True)
    if error.fix:
        console.print(Text(error.fix), soft_wrap=True)
