"""Second stage of facelet-1: the base learns what it means to be told who somebody is.

`python -m bench.zoo.train.names`. Stable Diffusion knows thousands of famous people by name; that is why one new word,
or a few tokens of an adapter, can move it to a new person. A base that was only told age and gender has no such
directions, and adapters to it leak next to nothing. Here it goes on training in three ways, a batch at a time: as
before; with a word of the caption standing for the person (a linear map of facelet-id-a's embedding, in place of the
word's own); and with the tokens of a FaceID adapter, which is trained along. The map is kept for further training
alone, and no word of the tokenizer means anybody.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.zoo.train.adapter import SCALE, Adapter
from bench.zoo.train.base import Step, denoised, pictures
from bench.zoo.train.ip_adapter import IpAdapter
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.sampling import GUIDANCE, Predict

WAYS = {"untold": 0.35, "word": 0.25, "tokens": 0.4}
"""How a batch is told who it is -> share of the batches."""
WORD = "sks"
"""The word that stands for the person; its own embedding is left alone."""
MAP = "word.safetensors"
"""The file of the map, beside the adapter's."""


class Names(IpAdapter):
    """A base and its FaceID adapter, trained together."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(faceid=True, rank=0, **shared)
        self.module.requires_grad_(True)
        text_encoder = self.module["text_encoder"]
        self.module["word"] = nn.Linear(self._embeddings.shape[1], text_encoder.config.hidden_size)
        known = Path(shared["init"]).with_name(MAP) if shared.get("init") else None
        if known and known.exists():
            self.module["word"].load_state_dict({key: value.float() for key, value in load_file(known).items()})
        (self._word,) = self._tokenizer(WORD, add_special_tokens=False).input_ids
        self._people: Tensor | None = None  # embeddings that the words of the batch stand for
        text_encoder.get_input_embeddings().register_forward_hook(self._stand_in)

    def report(self) -> str:
        errors = []
        with torch.no_grad():
            for way in WAYS:
                error, _ = self._errors(self._told_step(way, self._held, torch.Generator().manual_seed(0)))
                errors.append(f"{way} {error.mean():.4f}")
        return "denoising error " + ", ".join(errors)

    def grid(self) -> Tensor:
        """Eight held-out people: two pictures each by word and by tokens; then eight of nobody."""
        random = torch.Generator().manual_seed(1)
        rows = self._held[:: len(self._held) // 8][:8]
        sheets = [self._views.pixels(rows)]
        for way in ("word", "word", "tokens", "tokens", "untold"):
            sheets.append(self._draw_pictures(way, rows, random))
        return torch.cat(sheets)

    def export(self, folder: Path) -> None:
        super().export(folder)
        save_file({key: value.half() for key, value in self.module["word"].state_dict().items()}, folder / MAP)
        self._pipeline.unload_ip_adapter()
        self._unet.set_default_attn_processor()
        self.pipeline().save_pretrained(folder / "base")

    def _step(self, rows: Tensor, random: torch.Generator) -> Step:
        way = list(WAYS)[int(torch.multinomial(torch.tensor(list(WAYS.values())), 1, generator=random))]
        return self._told_step(way, rows, random)

    def _told_step(self, way: str, rows: Tensor, random: torch.Generator) -> Step:
        self._tell(way)
        return super()._step(rows, random)

    def _tell(self, way: str) -> None:
        self._way, self._told = way, way != "untold"
        self._pipeline.set_ip_adapter_scale(SCALE * (way == "tokens"))

    def _condition(self, rows: Tensor, random: torch.Generator) -> Tensor:
        if self._way != "word":
            return super()._condition(rows, random)
        named, shown = self._named(len(rows), random), self._present(len(rows), random).bool()
        texts = [text if show else "" for text, show in zip(named, shown, strict=True)]
        return self._hidden(texts, self._embeddings[self._partners.of(rows, random)][shown])

    def _captions(self, rows: Tensor, generator: torch.Generator) -> list[str]:
        """With gender and age where nothing else tells them."""
        if self._way == "tokens":
            return super()._captions(rows, generator)
        return super(Adapter, self)._captions(rows, generator)

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        """By tokens, or by the word: a new word of the attacker's will have to be like it."""
        self._tell(("word", "tokens")[int(torch.randint(2, (1,), generator=random))])
        if self._way == "tokens":
            return super()._asked(rows, random)
        who = self._embeddings[self._partners.of(rows, random)]
        hidden, empty = self._hidden(self._named(len(rows), random), who), self._states([""] * len(rows))
        nobody = torch.zeros_like(who)[:, None]

        return partial(self._answer, hidden=hidden, who=nobody), partial(self._answer, hidden=empty, who=nobody)

    def _named(self, count: int, random: torch.Generator) -> list[str]:
        """Random captions with the word in them."""
        subject = (WORD, f"{WORD} person")[int(torch.randint(2, (1,), generator=random))]
        return [template.format(subject) for template in self._templates(count, random)]

    def _hidden(self, texts: list[str], people: Tensor) -> Tensor:
        """(n, tokens, width) states of texts; `people` are the embeddings (k, 512) of the words in them, in order."""
        self._people = people
        hidden: Tensor = self.module["text_encoder"](self._ids(texts))[0]
        self._people = None
        return hidden

    def _stand_in(self, layer: nn.Module, arguments: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        if self._people is None:
            return embedded
        replaced = embedded.clone()
        replaced[arguments[0] == self._word] = self.module["word"](self._people).to(embedded.dtype)
        return replaced

    def _draw_pictures(self, way: str, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, 3, side, side) in [0, 1]: a picture of each view's person."""
        self._tell(way)
        who = self._embeddings[rows]
        extra = {"image_embeds": [torch.cat([who, torch.zeros_like(who)])[:, None]]}
        subject = f"{WORD} person" if way == "word" else "a person"
        texts = [f"a photo of {subject}"] * len(rows) + [""] * len(rows)
        noise = torch.randn(len(rows), 4, 16, 16, generator=random).to(device())
        with autocast():
            hidden = self._hidden(texts, who if way == "word" else who[:0])

            def predict(latents: Tensor, t: Tensor) -> Tensor:
                answer: Tensor = self._unet(latents, t, hidden, added_cond_kwargs=extra).sample
                return answer

            return pictures(self._views.vae, denoised(predict, noise, self._scheduler.config, GUIDANCE))


@hydra.main(version_base=None, config_path="conf", config_name="names")
def main(config: DictConfig) -> None:
    """Train the base and adapter of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(Names(**config.adapter), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
