"""Prompts and captions as people write them, checked before anything is computed."""

from __future__ import annotations

import string
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator

from bench.core.registry import hints

SUBJECT = "{subject}"


def check_template(text: str) -> str:
    """A prompt in which `{subject}` stands for the person, at least once, and nothing else is in braces.

    Raises:
        ValueError: what is wrong with it.
    """
    shown = f"write the prompt as 'a photo of {SUBJECT}'"
    if not text.strip():
        raise ValueError(f"a prompt is empty; {shown}")
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(text)]
    except ValueError:
        raise ValueError(f"{text!r} has a brace without its other half; {shown}") from None
    fields = [field for field in fields if field[0] is not None]
    for name, _, _ in fields:
        if name != "subject":
            raise ValueError(f"{text!r} has {{{name}}}, and only {SUBJECT} is replaced; {shown}")
    if not fields:
        raise ValueError(
            f"{text!r} has no {SUBJECT}, and so would not show the person; {shown}: each attack puts its own words for "
            "the person there, PhotoMaker's trigger word included"
        )
    if text.count(SUBJECT) != len(fields):
        raise ValueError(f"{text!r} has more than {SUBJECT} in its braces; {shown}")
    return text


def check_caption(text: str) -> str:
    """A text that is used as it stands.

    Raises:
        ValueError: it has braces, as if something were put in their place.
    """
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has braces, and nothing is put in their place; write what the photo shows")
    return text


def check_different(texts: Iterable[str]) -> None:
    """Text encoders see no difference between capitals and small letters, nor between one space and two.

    Raises:
        ValueError: two prompts are the same.
    """
    seen: set[str] = set()
    for text in texts:
        read = " ".join(text.lower().split())
        if read in seen:
            raise ValueError(f"{text!r} is there twice; protocol.images_per_prompt asks for more pictures of a prompt")
        seen.add(read)


Template = Annotated[str, AfterValidator(check_template)]
"""A prompt for pictures of a person."""
Caption = Annotated[str, AfterValidator(check_caption)]
"""What a method says that a photo shows."""


def captions(method: Any) -> dict[str, str]:
    """Setting -> text of a plug-in's captions."""
    return {name: getattr(method, name) for name, hint in hints(type(method)).items() if hint == Caption}
