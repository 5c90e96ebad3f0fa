"""The terminal as commands use it: every text is shown as it is.

Names of people, methods and folders are other people's texts. Rich would take `[bold]` in one for a style and `:cat:`
for a picture; so no command makes a console of its own. What is given any console, as
`bench.runner.run` is, prints `Text`.
"""

from __future__ import annotations

from typing import IO

from rich.console import Console


def terminal(file: IO[str] | None = None, stderr: bool = False) -> Console:
    """A console that interprets nothing; what is to be coloured is a `rich.text.Text`, or printed with a style.

    Args:
        file: where it writes, in place of the terminal.
        stderr: whether it writes errors.
    """
    return Console(file=file, stderr=stderr, markup=False, emoji=False)
