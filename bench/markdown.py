"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def escape(text: str) -> str:
    """Text that stays within its cell."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], escape: Callable[[str], str] = escape) -> list[str]:
    """The lines of a table; all texts are escaped."""

    def line(values: Sequence[str]) -> str:
        return f"| {' | '.join(map(escape, values))} |"

    return [line(header), "|" + " --- |" * len(header), *map(line, rows)]
