"""Tables and texts in Markdown and LaTeX, which show them as they are."""

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


def markdown_text(text: str) -> str:
    """Text in one line that is shown as it is, and stays within its cell."""
    return MARKS.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split())).replace("<", "&lt;")


def markdown_paragraph(text: str) -> str:
    """Text that is shown as it is, at the start of a line."""
    line = markdown_text(text)
    start = BLOCK.match(line)
    return line if start is None else f"{start[0]}\\{line[start.end() :]}"


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], escape: Callable[[str], str] = markdown_text
) -> list[str]:
    """The lines of a table; all texts are escaped."""

    def line(values: Sequence[str]) -> str:
        return f"| {' | '.join(map(escape, values))} |"

    return [line(header), "|" + " --- |" * len(header), *map(line, rows)]


LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is. The brackets are braced, since `\\\\ [x]` would be a length."""
    printed = "".join(LATEX_SPECIAL.get(character, character) for character in text)
    return printed.replace("[", "{[}").replace("]", "{]}").replace("\n", " ")


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, wide: bool = False) -> str:
    r"""A floating table, the first column left and the others right. Needs \usepackage{booktabs}.

    A wide one goes over both columns of a page, in small print.
    """
    place = "table*" if wide else "table"

    def line(values: Sequence[str]) -> str:
        return "    " + " & ".join(map(latex_text, values)) + r" \\"

    return "\n".join(
        [
            rf"\begin{{{place}}}",
            r"  \centering",
            rf"  \caption{{{latex_text(caption)}}}",
            *([r"  \scriptsize"] if wide else []),
            rf"  \begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"    \toprule",
            line(header),
            r"    \midrule",
            *map(line, rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            rf"\end{{{place}}}",
            "",
        ]
    )
