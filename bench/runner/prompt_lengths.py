"""What the text encoders will not read: checked before the first cell, since a tokenizer cuts it off without a word."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench.config.prompts import captions
from bench.config.schema import ModelSettings
from bench.core.errors import BenchError
from bench.models.diffusion.model_cache import Pool
from bench.runner.plan import Cell
from countermeasures import Purifier

RUST = "tokenizer.json"
Text = tuple[ModelSettings, str, str]
"""The base that reads it, the text, and where it comes from."""


def check_texts(cells: Iterable[Cell], pool: Pool) -> None:
    """Whether every prompt and caption of some cells can be used, and is read to its end.

    Raises:
        BenchError: an attack cannot use a prompt, or a text has more tokens than the base's text encoder reads.
    """
    for model, text, origin in dict.fromkeys(each for cell in cells if not cell.skip for each in _texts(cell)):
        for folder in sorted(pool.checkpoint(model).path.glob("tokenizer*")):
            _check_length(text, origin, model.name, folder)


def _texts(cell: Cell) -> Iterator[Text]:
    for template in cell.protocol.prompts:
        cell.attack.instance.check_prompt(template)
        text = cell.attack.instance.longest(template, len(cell.identity.protect))
        yield cell.model, text, f"The prompt {template!r}, as {cell.attack.name} puts it,"
    for surrogate in cell.surrogates:
        for setting, text in captions(cell.defense.instance).items():
            yield surrogate, text, f"defense.{setting}={text!r}"
    for method in cell.countermeasures:
        for setting, text in captions(method.instance).items() if isinstance(method.instance, Purifier) else ():
            yield cell.model, text, f"countermeasure.{method.name}.{setting}={text!r}"


def _check_length(text: str, origin: str, base: str, folder: Path) -> None:
    limit = _limit(folder)
    # A token is a byte or more, the start and the end are two, and spaces are none: most texts need no tokenizer.
    if text.isascii() and len("".join(text.split())) + 2 <= limit:
        return
    ids = _ids(text, folder)
    if len(ids) > limit:
        lost = _tokenizer(folder).decode(ids[limit - 1 : -1])
        raise BenchError(
            f"{origin} has {len(ids)} tokens, and the text encoder of {base} reads {limit}: "
            f"{lost!r} would be left out.",
            "Shorten it; what stands for {subject} counts, too (attack.vectors, attack.references). "
            f"Counted was: {text!r}",
        )


@cache
def _limit(folder: Path) -> int:
    return int(json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"])


def _ids(text: str, folder: Path) -> list[int]:
    """By the Rust library alone where the folder has its file: transformers takes seconds to import."""
    if (folder / RUST).is_file():
        from tokenizers import Tokenizer

        rust = Tokenizer.from_file(str(folder / RUST))
        rust.no_truncation()
        rust.no_padding()
        return list(rust.encode(text).ids)
    return list(_tokenizer(folder)(text).input_ids)


@cache
def _tokenizer(folder: Path) -> Any:
    import transformers.utils.logging

    transformers.utils.logging.set_verbosity_error()  # it would warn of what is said better here
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)
