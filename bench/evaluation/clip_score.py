"""Prompt following: whether a generated picture shows what was asked for, whoever is on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import to_tensor
from bench.core.types import Array, Pixels
from bench.models.weights.files import hashes

NAME = "clip_score"
SUBJECT = "a person"
"""Takes the place of the word that stands for the person, which CLIP does not know."""


@dataclass(frozen=True)
class ClipScore:
    """CLIP score (Hessel et al. 2021, without the factor of 2.5): 100 times the cosine of picture and prompt, or 0.

    Attributes:
        model: folder or hub id of a stock `CLIPModel`; from the hub's cache on this machine alone.
        prompts: for every picture, the prompt's template with `{subject}`.
        device: tells where it computes.
    """

    model: str
    prompts: tuple[str, ...]
    device: Callable[[], str] = lambda: "cpu"

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and prompts.

        Raises:
            BenchError: the model is not on this machine.
        """
        folder = _located(self.model)
        files = {
            file.name: file for file in sorted(folder.iterdir()) if file.suffix in (".safetensors", ".json", ".txt")
        }
        return hash_of([hashes(files, f"Get {self.model} again."), self.prompts])

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """`clip_score` (n,) of n pictures; one by one, so that a batch does not change what a picture is given."""
        import torch

        from bench.models.adapters.clip import clip_pixels

        model, tokenizer = _loaded(_located(self.model), self.device())
        side = model.config.vision_config.image_size
        with torch.no_grad():
            wanted = {}
            for prompt in set(self.prompts):
                tokens = tokenizer([prompt.format(subject=SUBJECT)], truncation=True, return_tensors="pt")
                wanted[prompt] = model.text_projection(model.text_model(**tokens.to(model.device)).pooler_output)
            scores = []
            for picture, prompt in zip(pictures, self.prompts, strict=True):
                pixels = clip_pixels(to_tensor([picture]), side).to(model.device)
                shown = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
                scores.append(torch.cosine_similarity(shown, wanted[prompt]).item())
        return {NAME: 100 * np.maximum(0, np.array(scores))}


def _located(source: str) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(source, local_files_only=True))
    except Exception as error:  # the hub client raises unrelated types; all mean "not here"
        raise BenchError(
            f"The CLIP model {source!r} is not on this machine.",
            f"Fetch it (hf download {source}), or give a folder: metric.clip=<folder>.",
        ) from error


@cache
def _loaded(folder: Path, device: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    return model.to(device).eval(), CLIPTokenizer.from_pretrained(folder, local_files_only=True)
