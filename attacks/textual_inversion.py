"""Textual Inversion (Gal et al., ICLR 2023): learn a new word for the person; the model itself stays as it is."""

from __future__ import annotations

import copy
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

    Saved as `learned_embeds.safetensors`, the artifact is a file that `load_textual_inversion` of diffusers reads.

    Differences from the diffusers example: one caption instead of 27 random ones, so that all attacks are trained on
    the same words; no random flip, since faces are not symmetric and a mirrored person is another one; the other rows
    of the embedding are frozen instead of being put back after every step.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "hf" for all others. "hf" is the recipe of the
            diffusers example's README: 5e-4, scaled by its batch of 4.
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
        "facelet": _preset(4, 300, 2e-2, 8),
    }

    @property
    def subject(self) -> str:
        """The word written out, one token per vector: "<cloak> <cloak>_1 <cloak>_2", as diffusers expands it."""
        assert self.vectors
        return " ".join(_tokens(self.vectors))

    def resolved(self, family: str) -> TextualInversion:
        return fill(self, self.presets, "facelet" if family == "facelet" else "hf")

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        self.reset()
        assert self.vectors
        rows = torch.nn.Parameter(initial_rows(self.base, self.vectors))
        _insert(self.base, rows)
        personalise(self.base, [rows], photos, Recipe.of(self, prompt=f"a photo of {self.subject}"), context)
        return {PLACEHOLDER: rows.detach().clone()}

    def load(self, artifact: Artifact) -> None:
        self.reset()
        _insert(self.base, artifact[PLACEHOLDER])

    def reset(self) -> None:
        _take_out(self.base)
        self.base.restore()


def initial_rows(base: Base, vectors: int) -> Tensor:
    """(vectors, dim): the embedding of "person", once per vector.

    Raises:
        BenchError: the base's tokenizer splits the word.
    """
    ids = base.tokenizer(INITIALISER, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise BenchError(
            f"The tokenizer of {base.checkpoint.name} splits {INITIALISER!r} into {len(ids)} tokens.",
            "Textual Inversion starts from the vector of that word: use a base whose vocabulary has it.",
        )
    row: Tensor = base.text_encoder.get_input_embeddings().weight[ids[0]].detach()
    return row.repeat(vectors, 1)


def _tokens(vectors: int) -> list[str]:
    return [PLACEHOLDER, *(f"{PLACEHOLDER}_{index}" for index in range(1, vectors))]


def _insert(base: Base, rows: Tensor) -> None:
    """Give a base new words. Tokenizer and embedding are replaced, not changed, so that taking them out is exact."""
    embedding = _Embedding(base.text_encoder.get_input_embeddings(), base.tokenizer, rows)
    base.tokenizer = copy.deepcopy(base.tokenizer)
    base.tokenizer.add_tokens(_tokens(len(rows)))
    base.text_encoder.set_input_embeddings(embedding)


def _take_out(base: Base) -> None:
    embedding = base.text_encoder.get_input_embeddings()
    if isinstance(embedding, _Embedding):
        base.text_encoder.set_input_embeddings(embedding.words)
        base.tokenizer = embedding.tokenizer


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
