"""Textual Inversion (Gal et al., ICLR 2023): learn a new word for the person; the model itself stays as it is."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks import Artifact, Attack, FitContext, personalise
from attacks.training import Recipe
from bench.errors import BenchError
from bench.models.base import Base
from bench.presets import fill

PLACEHOLDER = "<cloak>"
INITIALISER = "person"


def _preset(vectors: int, steps: int, learning_rate: float, batch: int) -> dict[str, Any]:
    return dict(locals())


@dataclass
class TextualInversion(Attack):
    """Textual Inversion: only the embedding of a new word is trained.

    Saved as `learned_embeds.safetensors`, the artifact is a file that `load_textual_inversion` of diffusers reads. SDXL
    has two embeddings, which the file names as others do: "clip_l" and "clip_g".

    Differences from the diffusers example: one caption instead of 27 random ones, so that all attacks are trained on
    the same words; no random flip, since faces are not symmetric and a mirrored person is another one; the other rows
    of the embedding are frozen instead of being put back after every step.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models, "hf_xl" for SDXL and "hf" for all others. "hf" and
            "hf_xl" are the recipes of the diffusers example's README: 5e-4, scaled by its batch of 4.
        vectors: how many vectors the word has.
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step.
        weight_decay: AdamW weight decay.
    """

    preset: str = "auto"
    vectors: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch: int | None = None
    weight_decay: float = 1e-2

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "hf": _preset(1, 3000, 2e-3, 4),
        "hf_xl": _preset(1, 500, 2e-3, 4),
        "facelet": _preset(4, 300, 2e-2, 8),
    }

    @property
    def subject(self) -> str:
        """The word written out, one token per vector: "<cloak> <cloak>_1 <cloak>_2", as diffusers expands it."""
        assert self.vectors
        return " ".join(_tokens(self.vectors))

    def resolved(self, family: str) -> TextualInversion:
        return fill(self, self.presets, {"facelet": "facelet", "sdxl": "hf_xl"}.get(family, "hf"))

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        self.reset()
        assert self.vectors
        rows = [torch.nn.Parameter(row) for row in initial_rows(self.base, self.vectors)]
        _insert(self.base, rows)
        recipe = Recipe.of(self, prompt=f"a photo of {self.subject}", max_norm=math.inf)  # the example does not clip
        personalise(self.base, rows, photos, recipe, context)
        return {name: row.detach().clone() for name, row in zip(_names(self.base), rows, strict=True)}

    def load(self, artifact: Artifact) -> None:
        self.reset()
        _insert(self.base, [artifact[name] for name in _names(self.base)])

    def reset(self) -> None:
        _take_out(self.base)
        self.base.restore()


def initial_rows(base: Base, vectors: int) -> list[Tensor]:
    """(vectors, dim) for each text encoder: its embedding of "person", once per vector.

    Raises:
        BenchError: the base's tokenizer splits the word.
    """
    rows = []
    for tokenizer, encoder in zip(base.tokenizers, base.text_encoders, strict=True):
        ids = tokenizer(INITIALISER, add_special_tokens=False).input_ids
        if len(ids) != 1:
            raise BenchError(
                f"The tokenizer of {base.checkpoint.name} splits {INITIALISER!r} into {len(ids)} tokens.",
                "Textual Inversion starts from the vector of that word: use a base whose vocabulary has it.",
            )
        rows.append(encoder.get_input_embeddings().weight[ids[0]].detach().repeat(vectors, 1))
    return rows


def _names(base: Base) -> tuple[str, ...]:
    """What the artifact calls the rows of each text encoder."""
    return (PLACEHOLDER,) if len(base.text_encoders) == 1 else ("clip_l", "clip_g")


def _tokens(vectors: int) -> list[str]:
    return [PLACEHOLDER, *(f"{PLACEHOLDER}_{index}" for index in range(1, vectors))]


def _insert(base: Base, rows: Sequence[Tensor]) -> None:
    """Give a base new words. Tokenizer and embedding are replaced, not changed, so that taking them out is exact."""
    for which, (encoder, row) in enumerate(zip(base.text_encoders, rows, strict=True)):
        tokenizer = base.tokenizers[which]
        encoder.set_input_embeddings(_Embedding(encoder.get_input_embeddings(), tokenizer, row))
        base.tokenizers[which] = copy.deepcopy(tokenizer)
        base.tokenizers[which].add_tokens(_tokens(len(row)))


def _take_out(base: Base) -> None:
    for which, encoder in enumerate(base.text_encoders):
        embedding = encoder.get_input_embeddings()
        if isinstance(embedding, _Embedding):
            encoder.set_input_embeddings(embedding.words)
            base.tokenizers[which] = embedding.tokenizer


class _Embedding(torch.nn.Module):
    """A token embedding with further rows, the only ones to be trained; it remembers the tokenizer it was made for."""

    def __init__(self, words: torch.nn.Module, tokenizer: Any, rows: Tensor) -> None:
        super().__init__()
        self.words = words
        self.tokenizer = tokenizer
        self.rows = rows

    def forward(self, ids: Tensor) -> Tensor:
        """(n, tokens) ids -> (n, tokens, dim)."""
        first = len(self.tokenizer)  # the id of the first new token
        new = ids >= first
        return torch.where(new[..., None], self.rows[(ids - first).clamp(min=0)], self.words(ids * ~new))
