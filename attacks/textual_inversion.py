"""Textual Inversion (Gal et al., ICLR 2023): learn a new word for the person; the model itself stays as it is."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from attacks import Artifact, Attack, FitContext, personalise, personalise_many
from attacks.per_layer import attend_by_layer, cross_attentions, read_by_layer
from bench.core.errors import BenchError
from bench.core.presets import fill
from bench.core.ranges import Count, Decay, Range, Rate
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.recipe import Recipe

PLACEHOLDER = "<cloak>"
INITIALISER = "person"
CAPTION = "a photo of {subject}"
"""What the photos are captioned with while the word is learned."""


def _preset(vectors: int, per_layer: bool, steps: int, learning_rate: float, batch: int) -> dict[str, Any]:
    return dict(locals())


@dataclass
class TextualInversion(Attack):
    """Textual Inversion: only the embedding of a new word is trained.

    Saved as `learned_embeds.safetensors`, the artifact is a file that `load_textual_inversion` of diffusers reads. SDXL
    has two embeddings, which the file names as others do: "clip_l" and "clip_g".

    Differences from the diffusers example: one caption instead of 27 random ones, so that all attacks are trained on
    the same words; no random flip, since faces are not symmetric and a mirrored person is another one; the other rows
    of the embedding are frozen instead of being put back after every step.

    With `per_layer` it is Extended Textual Inversion (P+, Voynov et al. 2023, arXiv 2303.09522): the word has other
    vectors in each cross-attention of the UNet. diffusers cannot read such a file.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models, "hf_xl" for SDXL and "hf" for all others. "hf" and
            "hf_xl" are the recipes of the diffusers example's README: 5e-4, scaled by its batch of 4.
        vectors: how many vectors the word has, in each layer.
        per_layer: whether every cross-attention has vectors of its own.
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step.
        weight_decay: AdamW weight decay.
    """

    preset: str = "auto"
    vectors: Annotated[int, Range(ge=1, le=75, unit="tokens of a prompt")] | None = None
    per_layer: bool | None = None
    steps: Count | None = None
    learning_rate: Rate | None = None
    batch: Count | None = None
    weight_decay: Decay = 1e-2

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "hf": _preset(1, False, 3000, 2e-3, 4),
        "hf_xl": _preset(1, False, 500, 2e-3, 4),
        "facelet": _preset(4, False, 60, 8e-2, 8),
    }

    reserved: ClassVar[tuple[str, ...]] = (PLACEHOLDER,)
    stacks: ClassVar[bool] = True

    @property
    def subject(self) -> str:
        """The word written out, one token per vector: "<cloak> <cloak>_1 <cloak>_2", as diffusers expands it."""
        assert self.vectors
        return " ".join(_tokens(self.vectors))

    def longest(self, template: str, photos: int) -> str:
        """As many words of one token each as the new word has vectors; of the caption that it learns, if longer."""
        del photos
        assert self.vectors
        return max(template, CAPTION, key=len).format(subject=" ".join([INITIALISER] * self.vectors))

    @property
    def unet_only(self) -> str:
        return "each cross-attention has a word of its own (attack.per_layer)" if self.per_layer else ""

    def resolved(self, family: str) -> TextualInversion:
        return fill(self, self.presets, {"facelet": "facelet", "sdxl": "hf_xl"}.get(family, "hf"))

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        self.reset()
        rows = self._inserted(self._fresh_rows())
        personalise(self.base, rows, photos, self._recipe, context)
        return {name: row.detach().clone() for name, row in zip(_names(self.base), rows, strict=True)}

    def fit_many(self, photos: Sequence[Tensor], contexts: Sequence[FitContext]) -> list[Artifact]:
        """The word has rows (people, vectors, dim), of which each person's prompt finds its own."""
        self.reset()
        rows = self._fresh_rows(people=len(photos))
        personalise_many(self.base, partial(self._inserted, rows), photos, self._recipe, contexts)
        return [
            {name: row[place].detach().clone() for name, row in zip(_names(self.base), rows, strict=True)}
            for place in range(len(photos))
        ]

    @property
    def _recipe(self) -> Recipe:
        prompt = CAPTION.format(subject=self.subject)
        return Recipe.of(self, prompt=prompt, max_norm=math.inf)  # the example does not clip

    def _fresh_rows(self, people: int = 0) -> list[torch.nn.Parameter]:
        """(vectors, dim) for each text encoder, or (people, vectors, dim)."""
        assert self.vectors
        layers = len(cross_attentions(self.base.unet)) if self.per_layer else 1
        rows = initial_rows(self.base, self.vectors * layers)
        return [torch.nn.Parameter(row.repeat(people, 1, 1) if people else row) for row in rows]

    def _inserted(self, rows: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
        assert self.vectors
        _insert(self.base, rows, self.vectors)
        return rows

    def load(self, artifact: Artifact) -> None:
        self.reset()
        assert self.vectors
        _insert(self.base, [artifact[name] for name in _names(self.base)], self.vectors)

    def reset(self) -> None:
        _take_out(self.base)
        self.base.restore()


def initial_rows(base: DiffusionModel, vectors: int) -> list[Tensor]:
    """(vectors, dim) for each text encoder: its embedding of "person", once per vector (of every layer).

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


def _names(base: DiffusionModel) -> tuple[str, ...]:
    """What the artifact calls the rows of each text encoder."""
    return (PLACEHOLDER,) if len(base.text_encoders) == 1 else ("clip_l", "clip_g")


def _tokens(vectors: int) -> list[str]:
    return [PLACEHOLDER, *(f"{PLACEHOLDER}_{index}" for index in range(1, vectors))]


def _insert(base: DiffusionModel, rows: Sequence[Tensor], vectors: int) -> None:
    """Give a base a new word of so many tokens, with (vectors, dim) rows or as many for each of its cross-attentions.

    With (people, vectors, dim) rows the word is another one for each of them, whose prompts lie side by side.
    Tokenizer and embedding are replaced, not changed, so that taking them out is exact.
    """
    layers = rows[0].shape[-2] // vectors
    for which, (encoder, row) in enumerate(zip(base.text_encoders, rows, strict=True)):
        tokenizer = base.tokenizers[which]
        embedding = _Embedding(encoder.get_input_embeddings(), tokenizer, row)
        if layers > 1:
            embedding.hooks += read_by_layer(encoder, len(tokenizer), vectors, layers)
            embedding.hooks += attend_by_layer(base.unet) if which == 0 else []
        encoder.set_input_embeddings(embedding)
        base.tokenizers[which] = copy.deepcopy(tokenizer)
        if base.tokenizers[which].add_tokens(_tokens(vectors)) != vectors:
            raise BenchError(
                f"The tokenizer of {base.checkpoint.name} has the word {PLACEHOLDER} already.",
                "Textual Inversion teaches it as a new one: use a base without it.",
            )


def _take_out(base: DiffusionModel) -> None:
    for which, encoder in enumerate(base.text_encoders):
        embedding = encoder.get_input_embeddings()
        if isinstance(embedding, _Embedding):
            for hook in embedding.hooks:
                hook.remove()
            encoder.set_input_embeddings(embedding.words)
            base.tokenizers[which] = embedding.tokenizer


class _Embedding(torch.nn.Module):
    """A token embedding with further rows, the only ones to be trained.

    Attributes:
        tokenizer: what it was made for.
        hooks: what else was changed for it.
    """

    def __init__(self, words: torch.nn.Module, tokenizer: Any, rows: Tensor) -> None:
        super().__init__()
        self.words = words
        self.tokenizer = tokenizer
        self.rows = rows
        self.hooks: list[RemovableHandle] = []

    def forward(self, ids: Tensor) -> Tensor:
        """(n, tokens) ids -> (n, tokens, dim)."""
        first = len(self.tokenizer)  # the id of the first new token
        new, place = ids >= first, (ids - first).clamp(min=0)
        if self.rows.ndim == 2:
            learned = self.rows[place]
        else:
            own = self.rows.repeat_interleave(len(ids) // len(self.rows), dim=0)
            learned = own.gather(1, place[..., None].expand(-1, -1, own.shape[-1]))
        return torch.where(new[..., None], learned, self.words(ids * ~new))
