"""How commands end: a mistake of the user is one short message and a status other than 0, never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.errors import BenchError


def guarded(command: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> int:
    """Run a command; turn a `BenchError` into its message and exit status 1."""
    try:
        return command(arguments)
    except BenchError as error:
        complain(error)
        return 1


def complain(error: BenchError) -> None:
    """Print what was wrong and how to mend it."""
    from rich.console import Console

    console = Console(stderr=True)
    console.print(f"[bold red]Error:[/] {_plain(error.message)}", highlight=False, soft_wrap=True)
    if error.fix:
        console.print(_plain(error.fix), highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
