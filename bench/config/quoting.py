"""How a value is written so that Hydra and the shell take it, and what is told when they do not.

Hydra reads `key=value` by a grammar of its own: letters outside of ASCII, parentheses, `=`, `&`, `'`, `#` and others
need quotes inside the shell's quotes, as in `'data.root="/photos/José (1)"'`. Its message is that of a lexer; ours is
the word to type.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from bench.core.errors import BenchError

SAME = re.compile(r"0|-?[1-9][0-9]*")
"""Numbers whose text comes back from their value."""


def read(word: str) -> Override | None:
    """What Hydra makes of one word of a command line; None if it cannot read it."""
    try:
        override = _parser().parse_override(word)
    except HydraException:
        return None
    return override if override.key_or_group else None


def quoted(text: str) -> str:
    """A value that Hydra reads as exactly this text."""
    return QuotedString(text, Quote.double).with_quotes()


def shell_word(word: str) -> str:
    """A word as it is typed in a shell; in double quotes where single ones would have to be taken apart."""
    if "'" in word and not set(word) & set("$`\\!"):
        return '"' + word.replace('"', '\\"') + '"'
    return shlex.quote(word)


def pieces(text: str) -> list[str]:
    """The parts between the commas that are inside no brackets and no quotes, without spaces around them."""
    pairs = {"[": "]", "{": "}"} | ({"(": ")"} if text.count("(") == text.count(")") else {})
    cut, depth, quote, start = [], 0, "", 0
    for index, letter in enumerate(text):
        before = text[start:index]
        if (len(before) - len(before.rstrip("\\"))) % 2:
            continue  # escaped
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and before.rstrip()[-1:] in ("", *",:=([{") and letter in text[index + 1 :]:
            quote = letter  # and not the apostrophe of O'Brien
        elif letter in pairs:
            depth += 1
        elif letter in pairs.values():
            depth = max(0, depth - 1)
        elif letter == "," and not depth:
            cut.append(before.strip())
            start = index + 1
    return [*cut, text[start:].strip()]


def spelled(value: str, sweep: bool = False, text: bool = False) -> str:
    """The same value with quotes where Hydra needs them.

    Args:
        value: what was typed after the `=`.
        sweep: whether commas separate the values of a sweep.
        text: whether brackets are part of a text, and do not make a list.
    """
    if read(f"_={value}"):
        return value
    parts = pieces(value)
    if sweep and len(parts) > 1:
        return ",".join(spelled(part, text=text) for part in parts)
    around = value[:1] + value[-1:] if len(parts) == 1 and not text else ""
    if around == "[]":
        return "[" + ",".join(spelled(part) for part in pieces(value[1:-1])) + "]"
    if around == "{}":
        pairs = [part.partition(":") for part in pieces(value[1:-1])]
        whole = "{" + ", ".join(f"{key.strip()}: {spelled(one.strip())}" for key, _, one in pairs) + "}"
        return whole if read(f"_={whole}") else quoted(value)
    return quoted(value)


def as_names(value: str, numbers: bool = False) -> str:
    """The same value with quotes around what Hydra would take for a number, a truth value or, in a list, for nothing.

    So the names 1e3, 1_000, true and null stay what was typed.

    Args:
        value: what was typed after the `=`, which Hydra can read.
        numbers: whether to quote whole numbers, too, whose text is not lost.
    """
    parts = pieces(value)
    changed = [_as_name(part, numbers) for part in parts]
    return value if changed == parts else ",".join(changed)


def _as_name(value: str, numbers: bool, in_list: bool = False) -> str:
    override = read(f"_={value}")
    meant = override.value() if override else ""
    if isinstance(meant, list) and meant:
        parts = pieces(value[1:-1])
        changed = [_as_name(part, numbers, in_list=True) for part in parts]
        return value if changed == parts else f"[{','.join(changed)}]"
    if isinstance(meant, str | dict | list) or "(" in value:
        return value
    kept = in_list if meant is None else numbers or not SAME.fullmatch(value)
    return f"'{value}'" if kept else value


def rejected(words: Sequence[str], index: int, sweep: bool, text: bool) -> BenchError:
    """What to tell about a word that Hydra cannot read.

    Args:
        words: all words of the command line that are no options.
        index: which of them it is.
        sweep: whether commas separate the values of a sweep.
        text: whether the setting takes text, and no list.
    """
    word = words[index]
    key, equals, value = word.partition("=")
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        return BenchError(f"The shell passed the quotes around {word} on.", f"Type: {shell_word(word[1:-1])}")
    if not equals:
        return _no_value(words, index)
    if read(f"{key}=1") is None:
        return BenchError(f"{key!r} cannot be the name of a setting.", "Settings are key=value; quote only the value.")
    if _open(value):
        for end in range(index + 2, len(words) + 1):  # cut at its spaces by the shell?
            whole = " ".join(words[index:end])
            if not _open(whole.partition("=")[2]):
                name, _, rest = whole.partition("=")
                typed = shell_word(f"{name}={spelled(rest, sweep, text)}")
                return BenchError(f"The shell cut {whole} at its spaces.", f"Type: {typed}")
        if not text:
            return BenchError(
                f"A bracket of {word} is not closed.", f"Text needs quotes: {shell_word(f'{key}={quoted(value)}')}"
            )
    return BenchError(f"{word} needs quotes.", f"Type: {shell_word(f'{key}={spelled(value, sweep, text)}')}")


def _no_value(words: Sequence[str], index: int) -> BenchError:
    """About a word without `=`, which may be the end of the word before it."""
    word, following = words[index], words[index + 1 : index + 3]
    example = "Settings are key=value, as in budget=16."
    if following and following[0].startswith("="):
        value = following[0][1:] or "".join(following[1:])
        return BenchError(
            f"{word!r} has no value.", f"Leave no spaces around the =: {shell_word(f'{word}={spelled(value)}')}"
        )
    if index and words[index - 1].partition("=")[2]:
        key, _, value = words[index - 1].partition("=")
        rest = takewhile(lambda one: "=" not in one, words[index:])
        whole = shell_word(f"{key}={spelled(' '.join([value, *rest]))}")
        return BenchError(f"{word!r} is not key=value.", f"{example} If it belongs to {key}, type: {whole}")
    return BenchError(f"{word!r} is not key=value.", example)


def _open(value: str) -> bool:
    """Whether a list or a mapping begins and does not end."""
    return value[:1] in ("[", "{") and value.count(value[0]) > value.count({"[": "]", "{": "}"}[value[0]])


@cache
def _parser() -> Any:
    return OverridesParser.create()
