"""Third stage of facelet-1: words near "person" mean people, so that a new word can be learned there.

`python -m bench.zoo.train.words`. Textual Inversion starts at the vectors of "person" and goes where the denoising loss
leads. So that is where people have to be: "person" moved by a linear map of facelet-id-a's embedding. The map is
trained by the denoising loss alone, and so ends where an attacker's vectors would; what the base makes of the words is
trained by the likeness of sampled pictures as well. Only the text encoder and the cross-attentions' K and V change, and
they must say of ordinary captions what they said before: adapters of the base stay as they are.
"""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.zoo.train.adapter import MOST, Adapter
from bench.zoo.train.embeddings import embed_faces
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.precision import autocast, plain_attention
from bench.zoo.train.sampling import Predict

PERSON, PLACE = "person", "sks"
"""The word that people are near to, and the one that stands for their vectors in captions; both keep their own."""
VECTORS = 4
"""Of a person: as many as the attack learns."""
KEPT = 10.0
"""Weight of the change of what is said of ordinary captions."""
LEAST = 0.2
"""Share of the way to a person's vectors at which sampled pictures shall already show the person, at least."""
MAP = "words.safetensors"
"""The file of the map, beside the base."""


class Words(Adapter):
    """A base whose text side learns people.

    Args:
        encoder: folder of the recogniser's pack.
        cache: file for its embeddings of the views.
        init: a map's file to start from.
        shared: see `Adapter`.
    """

    def __init__(self, encoder: str, cache: str, init: str, **shared: Any) -> None:
        super().__init__(**shared)
        self._embeddings = F.normalize(embed_faces(self._views, Path(encoder), Path(cache)), dim=1)
        self._text = self.module["text_encoder"]
        self._projections = nn.ModuleList(
            module for name, module in self._unet.named_modules() if name.endswith(("attn2.to_k", "attn2.to_v"))
        )
        self._before = copy.deepcopy(self._text), copy.deepcopy(self._projections)
        self.module["map"] = _start(Path(init), self._text.config.hidden_size)
        for module in (self._text.encoder, self._text.final_layer_norm, self._projections):
            module.requires_grad_(True)
        plain_attention(self._unet)
        self._place, self._person = (self._tokenizer(w, add_special_tokens=False).input_ids[0] for w in (PLACE, PERSON))
        self._share = 1.0  # of the map, that people's vectors are moved by
        self._people: Tensor | None = None  # vectors that stand in for the places of a batch's captions
        self._text.get_input_embeddings().register_forward_hook(self._stand_in)

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        return super().loss(count, random) + KEPT * self._change(self._draw(count, random), random)

    def report(self) -> str:
        """Errors of the same denoising steps with "person" moved by shares of the map: the least should be at 1."""
        errors = []
        with torch.no_grad():
            for self._share in (0.0, 0.5, 1.0, 1.5):
                error, _ = self._errors(self._step(self._held, torch.Generator().manual_seed(0)))
                errors.append(f"{self._share:g}: {error.mean():.5f}")
            self._share = 1.0
            change = self._change(self._held, torch.Generator().manual_seed(0))
        return f"denoising error by share of the map {', '.join(errors)}; change of captions {change:.5f}"

    def export(self, folder: Path) -> None:
        self._unet.set_default_attn_processor()
        self.pipeline().save_pretrained(folder)
        save_file({"weight": self.module["map"].weight.detach().half().contiguous()}, folder / MAP)

    def _condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        who = self._embeddings[self._partners.of(rows, random)] * self._present(len(rows), random)[:, None]
        texts = [_named(template) for template in self._templates(len(rows), random)]
        return self._states(texts, self._share * self._vectors(who))

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        photos = int(torch.randint(1, MOST + 1, (1,), generator=random))
        who = torch.stack([self._embeddings[self._partners.of(rows, random)] for _ in range(photos)]).mean(dim=0)
        texts = [_named(template) for template in self._templates(len(rows), random)]
        share = LEAST + (1 - LEAST) * torch.rand(len(rows), 1, 1, generator=random)
        told = self._states(texts, share.to(who) * self._vectors(F.normalize(who, dim=1)).detach())
        return partial(self._answer, hidden=told), partial(self._answer, hidden=self._states([""] * len(rows)))

    def _answer(self, noised: Tensor, timesteps: Tensor, hidden: Tensor) -> Tensor:
        predicted: Tensor = self._unet(noised, timesteps, hidden, return_dict=False)[0]
        return predicted

    def _vectors(self, who: Tensor) -> Tensor:
        """(n, VECTORS, width): by how much people's vectors differ from the word's."""
        moved: Tensor = self.module["map"](who).view(len(who), VECTORS, -1)
        return moved

    def _states(self, texts: list[str], people: Tensor | None = None) -> Tensor:
        """(n, tokens, width) hidden states of texts; `people` moves the vectors of the places in them."""
        self._people = people
        hidden = super()._states(texts)
        self._people = None
        return hidden

    def _stand_in(self, layer: nn.Embedding, arguments: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        if self._people is None:
            return embedded
        replaced = embedded.clone()
        vectors = layer.weight[self._person].detach() + self._people
        replaced[arguments[0] == self._place] = vectors.flatten(0, 1).to(embedded.dtype)
        return replaced

    def _change(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Mean square of the change of K and V of ordinary captions, as a share of their own."""
        prompts = [_named(template, PLACE + " person") for template in self._templates(len(rows) // 4, random)]
        ids = self._ids([*super()._captions(rows, random), *prompts, ""])
        old_text, old_projections = self._before
        with autocast():
            now = self._text(ids)[0]
            with torch.no_grad():
                then = old_text(ids)[0]
                wanted = [old(then) for old in old_projections]
            pairs = zip(self._projections, wanted, strict=True)
            return torch.stack([(new(now) - old).square().mean() / old.square().mean() for new, old in pairs]).mean()


def _named(template: str, subject: str = " ".join([PLACE] * VECTORS)) -> str:
    return template.format(subject)


def _start(file: Path, width: int) -> nn.Linear:
    """A map (512 -> VECTORS x width) from a file, which may be that of the single word of `names`."""
    known = load_file(file)["weight"].float()
    layer = nn.Linear(known.shape[1], VECTORS * width, bias=False)
    layer.load_state_dict({"weight": known.repeat(VECTORS * width // len(known), 1)})
    return layer


@hydra.main(version_base=None, config_path="conf", config_name="words")
def main(config: DictConfig) -> None:
    """Train the base of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(Words(**config.adapter), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
