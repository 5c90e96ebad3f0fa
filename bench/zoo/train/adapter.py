"""What the adapters' trainings share: a frozen base, and another view of the same person beside every training view.

The loss is the base's own, and, if wanted, how unlike the person the step's result is (`likeness.py`). Some batches
sample pictures instead, and are looked at in the same way. Only what the adapter adds is trained. A tenth of the
examples has no person, for guidance.
Captions say "person" and never a gender or an age, so that these must come from the photo.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.models.adapters.locate import read_groups
from bench.zoo.train.base import Diffusion
from bench.zoo.train.captions import ANY, bare, caption
from bench.zoo.train.likeness import DETECTOR, PICTURES, Likeness
from bench.zoo.train.photos import Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.sampling import Predict, clean, glimpse
from bench.zoo.train.views import Views

NOBODY = 0.1
"""Share of examples without a person."""
SCALE = 0.8
"""Weight of an adapter in training: the attacks' default."""
MOST = 4
"""Photos of a person that a sampled picture is made from, at most: an attacker mostly has several."""


class Adapter(Diffusion):
    """A frozen base and a trainable adapter.

    Args:
        base: folder of the base.
        photos: folder of the prepared photos.
        latents: file of the base's cached views.
        recognisers: folders of the weights of the recognisers, by the name of the network, for the likeness; None
            trains without.
        likeness: weight of the likeness beside the denoising loss.
        sampled: share of the batches that sample.
        pictures: of a batch, at most: what is decoded for the likeness.
        detector: folder of the weights of the detector, for the likeness of sampled pictures.

    Attributes:
        placed: share of the sampled pictures whose face is looked for where the view has its own, and nowhere else.
    """

    placed: ClassVar[float] = 0.0

    def __init__(
        self,
        base: str,
        photos: str,
        latents: str,
        recognisers: Mapping[str, str] | None = None,
        likeness: float = 0.1,
        sampled: float = 0.0,
        pictures: int = PICTURES,
        detector: str = str(DETECTOR),
    ) -> None:
        pipeline = StableDiffusionPipeline.from_pretrained(base, dtype=torch.float32, safety_checker=None)
        views = Views.cached(Faces.load(Path(photos)), pipeline.vae, Path(latents))
        super().__init__(pipeline.unet, pipeline.text_encoder, pipeline.tokenizer, views, v=False)
        self._pipeline = pipeline
        self._unet: Any = pipeline.unet
        self.module.requires_grad_(False)
        usable = self._usable()
        self._train, self._held = self._train[usable[self._train]], self._held[usable[self._held]]
        self._partners = Partners(views, usable)
        folders = {name: Path(folder) for name, folder in (recognisers or {}).items()}
        self._likeness = Likeness(views, folders, likeness, pictures, Path(detector)) if folders else None
        self._sampled = sampled
        self._told = True  # whether the steps are told who it is

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        rows = self._draw(count, random)
        if self._likeness is not None and torch.rand((), generator=random) < self._sampled:
            rows = rows[: self._likeness.pictures]
            return self._likeness.of_samples(self._glimpse(rows, random), rows, random, self.placed)
        step = self._step(rows, random)
        error, weight = self._errors(step)
        loss: Tensor = (error * weight).mean()
        if self._likeness is not None and self._told:
            signal = self._signal[step.timesteps][:, None, None, None]
            shown = clean(step.noised, step.predicted, signal)
            loss = loss + self._likeness.of_steps(shown, rows, step.timesteps, random)
        return loss

    def trainable(self, before: set[int]) -> None:
        """Train every weight that was not there `before` (ids of tensors)."""
        for weight in self.module.parameters():
            weight.requires_grad_(id(weight) not in before)

    def grid(self) -> Tensor | None:
        return None

    def _glimpse(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, 4, h, w) estimates, while sampling, of pictures of the people of views (n,)."""
        with autocast():
            told, free = self._asked(rows, random)
            noise = torch.randn(len(rows), *self._views.latents.shape[1:], generator=random).to(device())
            return glimpse(told, free, noise, self._scheduler.config, random)

    @abstractmethod
    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        """The predictions for pictures of the people of views (n,), and for pictures of nobody, as the attack asks."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the files in the official layout, in half precision."""

    def _usable(self) -> Tensor:
        """(n,) which views can be used: here those whose key points are known, and so surely have a face."""
        return ~self._views.points(torch.arange(len(self._views.row)))[:, 0, 0].isnan()

    def _captions(self, rows: Tensor, generator: torch.Generator) -> list[str]:
        pick = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
        facts = [self._views.facts(int(row)) for row in rows]
        return [caption(-1, "", close, grey, pick) for _, _, close, grey in facts]

    def _states(self, texts: list[str]) -> Tensor:
        """(n, tokens, width) hidden states of texts."""
        hidden: Tensor = self.module["text_encoder"](self._ids(texts))[0]
        return hidden

    def _prompts(self, count: int, random: torch.Generator) -> list[str]:
        """Random captions of "person"."""
        return [template.format("person") for template in self._templates(count, random)]

    def _templates(self, count: int, random: torch.Generator) -> list[str]:
        """Random captions with a place for a name instead of "a person"."""
        return [bare(ANY[i]) for i in torch.randint(len(ANY), (count,), generator=random)]

    def _present(self, count: int, random: torch.Generator) -> Tensor:
        """(n,) 1 where the person is shown to the adapter, 0 where not."""
        return (torch.rand(count, generator=random) >= NOBODY).float()


class Partners:
    """For every view, another view of the same person: of another photo where there is one."""

    def __init__(self, views: Views, usable: Tensor) -> None:
        index = usable.nonzero()[:, 0].numpy()
        _, self._person = np.unique(views.faces.person[views.row.numpy()], return_inverse=True)
        self._order = index[np.argsort(self._person[index], kind="stable")]
        self._start = np.searchsorted(self._person[self._order], np.arange(self._person.max() + 2))

    def of(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n,) a random view of each view's person."""
        person = self._person[rows.numpy()]
        first, count = self._start[person], self._start[person + 1] - self._start[person]
        turn = torch.rand(len(rows), generator=random).numpy() * count
        return torch.from_numpy(self._order[first + turn.astype(int)])


def crosses(unet: Any) -> dict[int, str]:
    """Number in IP-Adapter files -> name, of every cross-attention, in the order of `unet.attn_processors`."""
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    return {2 * i + 1: name for i, name in enumerate(names)}


def fresh_projections(unet: Any) -> dict[str, Tensor]:
    """K and V of a new IP-Adapter: copies of the base's own for the text, as the authors start."""
    weights = unet.state_dict()
    return {
        f"{number}.to_{which}_ip.weight": weights[name.replace("processor", f"to_{which}.weight")].clone()
        for number, name in crosses(unet).items()
        for which in "kv"
    }


def take_over(layout: dict[str, dict[str, Tensor]], file: Path) -> None:
    """Replace a new adapter's tensors by those of the same name in an adapter's file."""
    for group, named in read_groups(file).items():
        layout[group] |= {name: value.float() for name, value in named.items() if name in layout[group]}


def projections(unet: Any) -> dict[str, Tensor]:
    """K and V of the loaded IP-Adapter, named as in the official files."""
    processors = unet.attn_processors
    return {
        f"{number}.to_{which}_ip.weight": getattr(processors[name], f"to_{which}_ip")[0].weight
        for number, name in crosses(unet).items()
        for which in "kv"
    }


def ids(module: nn.Module) -> set[int]:
    """Ids of a module's weights, to tell later which are new."""
    return {id(weight) for weight in module.parameters()}


def save_groups(file: Path, **groups: dict[str, Tensor]) -> None:
    """Write an adapter's main file in half precision, each tensor under its group's name."""
    named = {f"{group}.{name}": value for group, tensors in groups.items() for name, value in tensors.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().half().contiguous() for name, value in named.items()}, file)
