"""Tables for LaTeX, with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
} | {character: f"\\{character}" for character in "&%$#_{}"}


def escape(text: str) -> str:
    """Text that LaTeX prints as it is. The brackets are braced, since `\\\\ [x]` would be a length."""
    printed = "".join(SPECIAL.get(character, character) for character in text)
    return printed.replace("[", "{[}").replace("]", "{]}").replace("\n", " ")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, wide: bool = False) -> str:
    r"""A floating table, the first column left and the others right. Needs \usepackage{booktabs}.

    A wide one goes over both columns of a page, in small print.
    """
    place = "table*" if wide else "table"

    def line(values: Sequence[str]) -> str:
        return "    " + " & ".join(map(escape, values)) + r" \\"

    return "\n".join(
        [
            rf"\begin{{{place}}}",
            r"  \centering",
            rf"  \caption{{{escape(caption)}}}",
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
