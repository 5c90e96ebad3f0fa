"""Before an adapter meets the UNet, its projection learns to say of a photo what a trained FaceID adapter says of it.

That adapter's K and V know what to do with such tokens. An adapter that starts from both (`take_over`, and this) leaks
at once, and the steps with the UNet, a hundred times as expensive, need not discover what a token is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection
from omegaconf import DictConfig
from torch import Tensor, nn

from bench.core.seeding import generator
from bench.models.adapters.locate import read_groups
from bench.zoo.train.adapter import Adapter
from bench.zoo.train.embeddings import embed_faces
from bench.zoo.train.loop import Schedule, train, untrained
from bench.zoo.train.precision import device

STEPS, BATCH, RATE = 3000, 256, 1e-3
"""Steps of teaching, views a step, and the highest learning rate of AdamW, which falls to nothing."""
OFFICIAL = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "norm": "norm"}
"""Layer of its projection in the files of FaceID -> in diffusers."""


class TokenAdapter(Adapter):
    """An adapter whose projection makes tokens of embeddings."""

    _embeddings: Tensor  # (views, dim)

    @abstractmethod
    def tokens(self, embeddings: Tensor) -> Tensor:
        """(n, tokens, width) of embeddings (n, dim)."""

    def _other_views(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, dim) embeddings of other views of the people of views (n,); zeros for a tenth, which has no person."""
        who = self._embeddings[self._partners.of(rows, random)]
        return who * self._present(len(rows), random)[:, None].to(who)

    def imitate(self, file: str, encoder: str, cache: str) -> None:
        """Learn to say what a FaceID adapter says of the same views.

        Args:
            file: of that adapter.
            encoder: folder of its recogniser's pack.
            cache: file for that recogniser's embeddings.
        """
        self.module.to(device())
        wanted = said_by(Path(file), F.normalize(embed_faces(self._views, Path(encoder), Path(cache)), dim=1))
        projection = list(self._unet.encoder_hid_proj.parameters())
        teach(self.tokens, projection, self._embeddings[self._train], wanted[self._train])
        left = unexplained(self.tokens, self._embeddings[self._held], wanted[self._held])
        print(f"of what FaceID says of held-out photos, {left:.3f} is unexplained", flush=True)


def train_after_imitation(adapter: TokenAdapter, config: DictConfig) -> None:
    """Train an adapter by its configuration, at first on the tokens of the `teacher`, if there is one."""
    out = Path(config.out)
    if config.teacher and untrained(out):
        adapter.imitate(**config.teacher)
    train(adapter, Schedule(**config.schedule), out)


def said_by(file: Path, embeddings: Tensor) -> Tensor:
    """(n, tokens, width): what a FaceID adapter's file makes of embeddings (n, dim) of unit length."""
    weights = {name: value.float() for name, value in read_groups(file)["image_proj"].items()}
    inside, width = weights["proj.0.weight"].shape[1], len(weights["norm.weight"])
    layer = IPAdapterFaceIDImageProjection(inside, width, mult=2, num_tokens=len(weights["proj.2.weight"]) // width)
    layer.load_state_dict({OFFICIAL[key.rpartition(".")[0]] + key[key.rindex(".") :]: w for key, w in weights.items()})
    layer.to(embeddings.device)
    with torch.no_grad():
        return torch.cat([layer(rows) for rows in torch.split(embeddings, 1024)])


def teach(project: Callable[[Tensor], Tensor], weights: list[nn.Parameter], embeddings: Tensor, wanted: Tensor) -> None:
    """Train a projection until it says of embeddings what is wanted.

    Args:
        project: embeddings (n, dim) -> tokens (n, tokens, width). It may have more tokens than are wanted, a multiple:
            then it learns to say each of them several times, which cross-attention does not tell from once.
        weights: what to train.
        embeddings: (views, dim).
        wanted: (views, tokens, width).
    """
    optimiser = torch.optim.AdamW(weights, lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for step in range(STEPS):
        rows = torch.randint(len(embeddings), (BATCH,), generator=generator(0, "teach", step))
        loss = _error(project(embeddings[rows]), wanted[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        falling.step()


@torch.no_grad()
def unexplained(project: Callable[[Tensor], Tensor], embeddings: Tensor, wanted: Tensor) -> float:
    """Squared error of a projection (see `teach`), as a share of the variance of what is wanted."""
    spread = (wanted - wanted.mean(dim=0)).square().mean()
    return (_error(project(embeddings), wanted) / spread).item()


def _error(said: Tensor, wanted: Tensor) -> Tensor:
    return F.mse_loss(said, wanted.repeat(1, said.shape[1] // wanted.shape[1], 1))
