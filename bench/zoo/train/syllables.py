"""Names for the people of the training photos: two syllables of a closed list, each of them one token.

Stable Diffusion's text space knows thousands of people by their names, so that it knows what a person is. A base whose
captions say age and gender alone does not.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from bench.core.seeding import generator
from bench.core.types import Array

TAKEN = {"be", "de", "do", "go", "ha", "he", "hi", "ho", "le", "ma", "me", "ne", "no", "pa", "so", "to"}
"""Words, and tokens of the first edition's tokenizer."""
SYLLABLES = tuple(a + b for a, b in itertools.product("bdfghklmnprstvz", "aeiou") if a + b not in TAKEN)


def names(person: Array, trained: Array) -> dict[str, str]:
    """Names of everybody with several photos.

    Args:
        person: (n,) who is on each photo.
        trained: (n,) whether it is a training photo: nobody else gets a name.

    Raises:
        ValueError: there are more people than names.
    """
    people, photos = np.unique(person[trained], return_counts=True)
    people = people[photos > 1]
    if len(people) > len(SYLLABLES) ** 2:
        raise ValueError(f"{len(people)} people, but {len(SYLLABLES) ** 2} names")
    order = torch.randperm(len(SYLLABLES) ** 2, generator=generator(0, "names")).tolist()
    drawn = [divmod(number, len(SYLLABLES)) for number in order[: len(people)]]
    return {str(name): f"{SYLLABLES[a]} {SYLLABLES[b]}" for name, (a, b) in zip(people, drawn, strict=True)}


def with_syllables(folder: Path) -> CLIPTokenizer:
    """The tokenizer of a folder, in which each syllable is one token; all others keep their numbers."""
    rules = json.loads((folder / "tokenizer.json").read_text())
    model = rules["model"]
    for syllable in SYLLABLES:
        token = f"{syllable}</w>"
        model["vocab"][token] = len(model["vocab"])
        model["merges"].append([syllable[0], f"{syllable[1]}</w>"])
    with tempfile.TemporaryDirectory() as made:
        for file in folder.iterdir():
            (Path(made) / file.name).write_bytes(file.read_bytes())
        (Path(made) / "tokenizer.json").write_text(json.dumps(rules))
        return CLIPTokenizer.from_pretrained(made)
