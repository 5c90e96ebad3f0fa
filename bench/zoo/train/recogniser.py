"""Train a recogniser: aligned faces to 512-d embeddings whose cosine tells whether two photos show one person.

`python -m bench.zoo.train.recogniser` trains `facelet-id-a`, with `--config-name id-b` `facelet-id-b`. The first learns
from dlib's descriptors of all photos and from the names of LFW and CelebA; the second from the names alone, so that it
owes nothing to another recogniser.
"""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from bench.models.faces.alignment import ALIGNED, TEMPLATE, compose, similarity, warp
from bench.zoo.train.augment import degrade, jitter, take
from bench.zoo.train.identity import ArcFace, Teacher, instances
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.networks import EMBEDDING, NETWORKS, load
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.verification import at_most, true_accept_rate

NAMES = 0.02
"""Weight of the names beside a teacher."""
RELATION = 10.0
"""Weight of the teacher's cosines beside its descriptors."""
SINGLES = 0.5
"""Weight of telling single photos apart beside the names."""
PER_PERSON = 10
"""Photos of a held-out person, at most."""


class Recogniser(Part):
    """A recogniser on the training photos.

    Args:
        network: a name of `NETWORKS`.
        photos: folder of the prepared photos.
        teacher: whether to learn from dlib's descriptors, and so from photos without names too.
        weights: file of a trained network to go on from, or None.
        singles: share of a batch that is photos of people of whom there is but one, twice each, to be told from all
            others; a teacher says more of them, so with one there are none.
        compiled: compile the training steps: a third faster on a CPU, after two minutes; it needs a C++ compiler.
    """

    def __init__(
        self,
        network: str,
        photos: Path,
        teacher: bool,
        weights: Path | None = None,
        singles: float = 0.0,
        compiled: bool = False,
    ) -> None:
        faces = Faces.load(photos)
        self._pixels = faces.pixels
        self._to_crop = similarity(torch.from_numpy(np.array(faces.points)).float() * SIDE, TEMPLATE)
        self._descriptors = torch.from_numpy(np.array(faces.descriptors)).float()
        aligned = ~np.isnan(faces.points[:, 0, 0])
        named = faces.source != "utkface_adults"
        use = aligned & (faces.split == "train")
        people, person = np.unique(faces.person[use & named], return_inverse=True)
        self._person = torch.full((len(named),), -1)
        self._person[torch.from_numpy(use & named)] = torch.from_numpy(person)
        self._train = torch.from_numpy((use if teacher else use & named).nonzero()[0])
        self._single = torch.from_numpy((use & ~named).nonzero()[0])
        self._share = 0.0 if teacher else singles
        held = (aligned & named & (faces.split == "held")).nonzero()[0]
        held = held[at_most(faces.person[held], PER_PERSON)]
        self._held, self._held_people = torch.from_numpy(held), faces.person[held]
        self._weights = torch.ones(len(self._train)) if teacher else _balanced(self._person[self._train])

        made = load(network, weights) if weights else NETWORKS[network]()
        self.module = nn.ModuleDict({"network": made.train(), "names": ArcFace(EMBEDDING, len(people))})
        self._compiled = torch.compile(made) if compiled else made
        if teacher:
            known = self._descriptors[self._train]
            self.module["teacher"] = Teacher(EMBEDDING, known.nanmean(dim=0), RELATION)
        self.module.to(memory_format=torch.channels_last)

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        twice = int(self._share * count / 2)
        pick, crops = self._batch(count, random, twice)
        embeddings = self._embed(crops)
        if twice:
            first, second = embeddings[-2 * twice :].chunk(2)
            embeddings, pick = embeddings[: -2 * twice], pick[: -2 * twice]
            loss = self.module["names"](embeddings, self._person[pick].to(device()))
            return loss + SINGLES * instances(first, second, embeddings)  # type: ignore[no-any-return]
        person, descriptors = self._person[pick].to(device()), self._descriptors[pick].to(device())
        named, described = person >= 0, ~descriptors[:, 0].isnan()
        loss = self.module["names"](embeddings[named], person[named])
        if "teacher" in self.module:
            loss = NAMES * loss + self.module["teacher"](embeddings[described], descriptors[described])
        return loss  # type: ignore[no-any-return]

    def report(self) -> str:
        self._settle()
        sharp, soft = (self._held_rate(softened) for softened in (False, True))
        return f"true accepts at 1 % false accepts {sharp:.3f}, from 64 px {soft:.3f}"

    def grid(self) -> Tensor:
        return self._batch(32, torch.Generator().manual_seed(0))[1]

    def export(self, folder: Path) -> None:
        self._settle()
        folder.mkdir(parents=True, exist_ok=True)
        weights = self.module["network"].state_dict()
        save_file({name: value.contiguous() for name, value in weights.items()}, folder / "network.safetensors")

    def _batch(self, count: int, random: torch.Generator, twice: int = 0) -> tuple[Tensor, Tensor]:
        """Rows (n,) and augmented aligned faces (n, 3, 112, 112) in [0, 1]; the last are singles, `twice` of them."""
        drawn = torch.multinomial(self._weights, count - 2 * twice, replacement=True, generator=random)
        pick = self._train[drawn]
        if twice:
            single = self._single[torch.randint(len(self._single), (twice,), generator=random)]
            pick = torch.cat([pick, single, single])
        matrix = compose(self._to_crop[pick], jitter(count, ALIGNED, random))
        return pick, degrade(warp(take(self._pixels, pick), matrix.to(device()), ALIGNED), random)

    def _embed(self, crops: Tensor) -> Tensor:
        crops = (crops * 2 - 1).to(memory_format=torch.channels_last)
        network = self._compiled if self.module.training else self.module["network"]
        with autocast():
            return network(crops).float()  # type: ignore[no-any-return]

    def _settle(self) -> None:
        """Measure the batch norms' statistics anew: training's are not those of the averaged weights."""
        random = torch.Generator().manual_seed(0)
        with autocast():
            update_bn((self._batch(128, random)[1] * 2 - 1 for _ in range(30)), self.module["network"])

    def _held_rate(self, softened: bool) -> float:
        embeddings = []
        for rows in torch.split(self._held, 128):
            photos = take(self._pixels, rows)
            if softened:
                photos = F.interpolate(F.avg_pool2d(photos, 2), scale_factor=2, mode="bicubic").clamp(0, 1)
            embeddings.append(self._embed(warp(photos, self._to_crop[rows].to(device()), ALIGNED)))
        return true_accept_rate(torch.cat(embeddings).double().cpu().numpy(), self._held_people)


def _balanced(person: Tensor) -> Tensor:
    """(n,) how often to draw each photo, so that a person comes up by the root of their number of photos.

    Equal turns for all would show the two photos of most people of LFW far too often.
    """
    return person.bincount()[person].float().rsqrt()


@hydra.main(version_base=None, config_path="conf", config_name="id-a")
def main(config: DictConfig) -> None:
    """Train the recogniser of the configuration."""
    torch.manual_seed(config.schedule.seed)
    weights = Path(config.weights) if config.weights else None
    part = Recogniser(config.network, Path(config.photos), config.teacher, weights, config.singles, config.compiled)
    train(part, Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
