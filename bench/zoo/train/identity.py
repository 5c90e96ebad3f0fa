"""Losses that put identity into an embedding: from names, from single photos, and from another recogniser."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 30.0
MARGIN = 0.4
"""Radians; below the paper's 0.5 because most people here have few photos."""
SPREAD = 0.2
"""Size of the class centres' entries at the start: with Adam's steps, what lets them follow within some epochs."""


class ArcFace(nn.Module):
    """Additive angular margin (Deng et al., "ArcFace", 2019, equation 3).

    The margin warms up with the square of the batch's share of right answers: none for an untrained network, which a
    margin keeps from learning, and all of it in the end. It counts no steps, so an interrupted training goes on as it
    was.
    """

    def __init__(self, width: int, people: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(SPREAD * torch.randn(people, width))

    def forward(self, embeddings: Tensor, person: Tensor) -> Tensor:
        """The loss of embeddings (n, width) of the people (n,)."""
        cosines = F.normalize(embeddings) @ F.normalize(self.centres).T
        own = cosines.gather(1, person[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        right = float((cosines.argmax(dim=1) == person).float().mean())
        margin = MARGIN * right**2
        turned = (own.acos() + margin).cos()
        # Past pi the cosine would rise again: go on falling in a straight line, as the authors' code does.
        turned = torch.where(own > -math.cos(margin), turned, own - margin * math.sin(margin))
        return F.cross_entropy(SCALE * cosines.scatter(1, person[:, None], turned), person)


def instances(first: Tensor, second: Tensor, others: Tensor) -> Tensor:
    """Tell every photo of people of whom there is but one from all others (InfoNCE, as Chen et al., "SimCLR", 2020).

    Args:
        first, second: (n, width) embeddings of two random changes of each photo.
        others: (m, width) embeddings of other people.
    """
    first, second, others = (F.normalize(embeddings) for embeddings in (first, second, others))
    right = torch.arange(len(first), device=first.device)
    ways = ((first, second), (second, first))
    losses = [F.cross_entropy(SCALE * a @ torch.cat([b, others]).T, right) for a, b in ways]
    return torch.stack(losses).mean()


class Teacher(nn.Module):
    """Distillation of another recogniser: its descriptors by a linear map and, if wanted, its cosines directly.

    The second term, on the batch's cosine matrix (Tung and Mori, "Similarity-preserving knowledge distillation", 2019),
    is what makes the cosine of the embedding itself, without the map, tell people apart.

    Args:
        width: of the embedding.
        background: (d,) the teacher's mean descriptor, which is subtracted from all.
        relation: weight of the second term.
    """

    background: Tensor

    def __init__(self, width: int, background: Tensor, relation: float) -> None:
        super().__init__()
        self.register_buffer("background", background)
        self.linear = nn.Linear(width, len(background), bias=False)
        self.relation = relation

    def forward(self, embeddings: Tensor, descriptors: Tensor) -> Tensor:
        """The loss of embeddings (n, width) of faces that the teacher describes by (n, d)."""
        target = F.normalize(descriptors - self.background)
        mapped, unit = F.normalize(self.linear(embeddings)), F.normalize(embeddings)
        apart = (unit @ unit.T - target @ target.T).square().mean()
        return (1 - (mapped * target).sum(dim=-1)).mean() + self.relation * apart
