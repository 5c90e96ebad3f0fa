"""Who trains and who does not, decided once, person by person.

Kept from training are `held` (a quarter of the people of LFW and every 64th photo of UTKFace: figures are measured on
them), `tune` (people of CelebA with many photos: recipes of attacks and presets of defenses are chosen on them) and
`dropped`: whoever one of two recognisers takes for somebody of the evaluation, or both for somebody of `tune` or, of
LFW, of CelebA. The second rule is milder because most whom one of them takes for another only look alike to it, and an
error costs less: a person with two names, or a preset chosen on somebody who is not quite new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from bench.core.types import Array

TUNE, TUNE_PHOTOS = 24, 12
"""How many people are kept for tuning, and how many photos each must have."""
ALIKE, FEW_ALIKE, FEW = 0.7, 0.65, 4
"""Cosine of mean embeddings, after centring, above which two people are taken for one; and where there are fewer photos
of the first than `FEW`. Of people of the training data with 16 photos or more, one of the two recognisers finds
everybody by four photos, 99 of 100 by two, and 94 (CelebA) or 99 (LFW) of 100 by one."""


@dataclass(frozen=True)
class Described:
    """Photos as recognisers see them.

    Attributes:
        source: (n,) where each photo is from.
        person: (n,) who is on it; a name stands for one person in all sources.
        embeddings: recogniser -> (n, d), NaN where it sees no face.
    """

    source: Array
    person: Array
    embeddings: dict[str, Array]

    def people(self, *sources: str) -> Array:
        """Names of the people of some sources, in order."""
        return np.unique(self.person[np.isin(self.source, sources)])


def split_people(faces: Described, evaluation: Sequence[str]) -> Array:
    """The split (n,) of every photo: "train", "held", "tune" or "dropped". Prints how many each recogniser drops.

    Args:
        faces: of the sources `utkface_adults` (one photo a person), `celeba`, `lfw`, and of those of the evaluation.
        evaluation: the latter.
    """
    crowds = {name: Crowd(faces, name) for name in faces.embeddings}

    def alike(what: str, people: Array, others: Array, enough: int = 1) -> Array:
        """Those people whom `enough` recognisers take for one of the others."""
        seen = {name: crowd.alike(people, others) for name, crowd in crowds.items()}
        votes = np.sum(list(seen.values()), axis=0)
        each = ", ".join(f"{name} {found.sum()}" for name, found in seen.items())
        print(f"{what}: {(votes >= enough).sum()} of {len(people)} ({each}, both {(votes > 1).sum()})", flush=True)
        return np.asarray(people[votes >= enough])

    tested = faces.people(*evaluation)
    celeba, lfw, singles = (faces.people(source) for source in ("celeba", "lfw", "utkface_adults"))
    dropped = [
        alike("people of CelebA like somebody of the evaluation", celeba, tested),
        alike("people of LFW like somebody of the evaluation", lfw, tested),
        alike("photos of UTKFace like somebody of the evaluation", singles, tested),
        alike("people of LFW like somebody of CelebA", lfw, celeba, enough=2),
    ]
    names, photos = np.unique(faces.person, return_counts=True)
    many = np.setdiff1d(np.intersect1d(celeba, names[photos >= TUNE_PHOTOS]), np.concatenate(dropped))
    tune = np.array(sorted(many, key=_hash)[:TUNE])
    dropped += [
        alike("other people of CelebA like somebody kept for tuning", np.setdiff1d(celeba, tune), tune, enough=2),
        alike("photos of UTKFace like somebody kept for tuning", singles, tune, enough=2),
    ]
    split = np.full(len(faces.person), "train", dtype="<U7")
    split[np.flatnonzero(faces.source == "utkface_adults")[::64]] = "held"  # a stride: the rows are sorted by age
    split[np.isin(faces.person, [name for name in lfw if _hash(name)[0] % 4 == 0])] = "held"
    split[np.isin(faces.person, tune)] = "tune"
    split[np.isin(faces.person, np.concatenate([*dropped, tested]))] = "dropped"
    return split


class Crowd:
    """People as one recogniser sees them: their mean embeddings, less what all faces have in common."""

    def __init__(self, faces: Described, recogniser: str) -> None:
        embeddings = faces.embeddings[recogniser]
        self._names, person, self._photos = np.unique(faces.person, return_inverse=True, return_counts=True)
        self._means = np.zeros((len(self._names), embeddings.shape[1]))
        np.add.at(self._means, person, _unit(embeddings - np.nanmean(embeddings, axis=0)))
        self._means = _unit(self._means)

    def alike(self, people: Array, others: Array) -> Array:
        """(k,) bool: which of k people (names) are taken for one of the others (m,)."""
        first, second = (np.searchsorted(self._names, names) for names in (people, others))
        limits = np.where(self._photos[first] < FEW, FEW_ALIKE, ALIKE)
        return np.asarray((self._means[first] @ self._means[second].T).max(axis=1, initial=-1) > limits)


def _unit(vectors: Array) -> Array:
    """Of length 1; zeros where there is no vector."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.nan_to_num(vectors / np.where(lengths > 0, lengths, 1))


def _hash(name: str) -> bytes:
    return sha256(str(name).encode()).digest()
