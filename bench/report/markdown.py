"""Tables in Markdown, and texts that Markdown leaves as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

MARKS = re.compile(
    r"[\\`*~|]"
    r"|&(?=#?\w+;)"  # &amp;
    r"|(?<![^\W_])_|_(?![^\W_])"  # _as here_, not as_here
    r"|\[(?=[^\]]*\][(\[:])"  # [text](address)
)
"""What would be more than text."""
BLOCK = re.compile(r"\d{1,9}(?=[.)](\s|$))|(?=[#>+=-])")
"""Before what a text would begin a heading, a list, a quotation or a line."""


def escape(text: str) -> str:
    """Text in one line that is shown as it is, and stays within its cell."""
    return MARKS.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split())).replace("<", "&lt;")


def paragraph(text: str) -> str:
    """Text that is shown as it is, at the start of a line."""
    line = escape(text)
    start = BLOCK.match(line)
    return line if start is None else f"{start[0]}\\{line[start.end() :]}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], escape: Callable[[str], str] = escape) -> list[str]:
    """The lines of a table; all texts are escaped."""

    def line(values: Sequence[str]) -> str:
        return f"| {' | '.join(map(escape, values))} |"

    return [line(header), "|" + " --- |" * len(header), *map(line, rows)]
