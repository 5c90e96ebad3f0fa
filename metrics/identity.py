"""How much of the person is in the generated pictures.

Functions take `similarity`, (n,) cosines between the n requested pictures and the person's reference by one recogniser,
with NaN where no face was found; or `leaks`, (n,) whether each picture passes for the person by the rule of the
protocol. A missing face stays in the denominator: dropping it would reward a cloak for the few pictures that survived,
as it does in the mean over detected faces that Anti-DreamBooth reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import comb

import numpy as np
import numpy.typing as npt

from bench.core.types import Array
from metrics.metric import COSINE, SHARE, Metric

Leaks = npt.NDArray[np.bool_]
"""(n,) whether each of n pictures passes for the person."""

MIN_DETECTED = 5
"""Fewer detected faces than this make a mean over detected faces meaningless."""

VALID_LEAK = 0.5
"""An attack that leaks less than this on clean photos cannot show what a cloak does."""


def centroid(embeddings: Array) -> Array:
    """Reference of a person: the normalised mean (d,) of L2-normalised embeddings (n, d)."""
    mean = embeddings.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def fdfr(similarity: Array) -> float:
    """Face detection failure rate, in [0, 1]. Higher: the attack is more disrupted."""
    return float(np.isnan(similarity).mean())


def ism_detected(similarity: Array) -> float | None:
    """Mean similarity of the pictures with a face, in [-1, 1]; None below `MIN_DETECTED` of them.

    Lower is better protection, but never rank by it: it forgets the pictures without a face.
    """
    found = similarity[~np.isnan(similarity)]
    return float(found.mean()) if len(found) >= MIN_DETECTED else None


def ism_zero(similarity: Array) -> float:
    """Mean similarity over all pictures, no face counted as 0, in [-1, 1]. Lower is better protection."""
    return float(np.nan_to_num(similarity, nan=0.0).mean())


def passing(similarity: Array, threshold: float) -> Leaks:
    """(n,) which pictures have a face at or above a threshold."""
    return np.nan_to_num(similarity, nan=-np.inf) >= threshold


def recognised(similarities: Mapping[str, Array], thresholds: Mapping[str, float]) -> Leaks:
    """(n,) which pictures leak: at least one recogniser finds the person in them.

    Args:
        similarities: recogniser -> (n,).
        thresholds: recogniser -> threshold for this person.
    """
    return np.asarray(np.any([passing(values, thresholds[name]) for name, values in similarities.items()], axis=0))


def ilr(leaks: Leaks) -> float:
    """Identity leak rate, in [0, 1]: the share of all pictures that pass for the person. Lower is better protection."""
    return float(leaks.mean())


def any_leak(leaks: Leaks, draws: int) -> float | None:
    """Chance that at least one of `draws` pictures leaks, in [0, 1]; None where there are fewer pictures than that.

    One good picture is enough to lose one's privacy. The pictures are drawn without replacement from all n, of which k
    leak: 1 - C(n - k, draws) / C(n, draws), exactly. Lower is better protection; for one draw it is `ilr`.
    """
    if draws > len(leaks):
        return None
    return 1 - comb(len(leaks) - int(leaks.sum()), draws) / comb(len(leaks), draws)


def on_scale(similarity: Array, stranger: float, own: float) -> Array | None:
    """(n,) similarity on a scale from strangers (0) to the person's own photos (1), clipped to it; no face is 0.

    So recognisers of different scales can be compared. None where the recogniser finds strangers as similar as the
    person.

    Args:
        similarity: (n,).
        stranger: mean similarity of other people's photos to the reference.
        own: mean similarity of the person's clean photos to a reference of the others of them.
    """
    if own <= stranger:
        return None
    return np.asarray(np.nan_to_num(np.clip((similarity - stranger) / (own - stranger), 0, 1), nan=0.0))


def likeness(
    similarities: Mapping[str, Array], strangers: Mapping[str, float], own: Mapping[str, float]
) -> Array | None:
    """(n,) mean of the recognisers' similarities, each on its own scale; None if none of them has one (`on_scale`).

    Args:
        similarities: recogniser -> (n,).
        strangers: recogniser -> mean similarity of other people's photos.
        own: recogniser -> mean similarity of the person's own.
    """
    scaled = [on_scale(values, strangers[name], own[name]) for name, values in similarities.items()]
    known = [values for values in scaled if values is not None]
    return np.mean(known, axis=0) if known else None


def leave_one_out(embeddings: Array) -> float:
    """Mean similarity of each of a person's photos to the reference made of the others; (n, d) with n >= 2."""
    everyone = np.arange(len(embeddings))
    return float(np.mean([e @ centroid(embeddings[everyone != i]) for i, e in enumerate(embeddings)]))


def retention(clean: Array, cloaked: Array) -> float | None:
    """How much a cloaked photo still looks like the person: mean cosine to the same photo before, in [-1, 1].

    A cloak that fools a recogniser here hides the person from friends as well as from attackers. Higher is better.

    Args:
        clean: (n, d) normalised embeddings of the photos, NaN where no face was found; those photos are left out.
        cloaked: (n, d) of the cloaked ones; no face counts as 0.

    Returns:
        None if there is no face in any clean photo.
    """
    known = ~np.isnan(clean).any(axis=1)
    cosines = np.nan_to_num((clean[known] * cloaked[known]).sum(axis=1).clip(-1, 1), nan=0.0)
    return float(cosines.mean()) if known.any() else None


def protection(cloaked: float, clean: float) -> float | None:
    """1 - ILR(cloaked) / ILR(clean), at most 1 and negative where the cloak helps the attacker. Higher is better.

    None where the attack leaks less than `VALID_LEAK` on the person's clean photos: there is nothing to prevent, and
    the ratio is noise.
    """
    return 1 - cloaked / clean if clean >= VALID_LEAK else None


ILR = Metric(
    "identity",
    "lower",
    SHARE,
    "identity leak rate: share of all pictures in which a judge recognises the person, at a threshold of the person's "
    "own that the stated share of the world's faces reaches",
    pitfalls="an attack that leaks little on clean photos says little of a cloak",
    head=True,
)
ILR_MATCHED = Metric(
    "identity",
    "lower",
    SHARE,
    "identity leak rate at the threshold that the stated share of the tenth of the world's faces most like the person "
    "reaches",
    pitfalls="a look-alike criterion: stricter than ILR, and reached less often by the person, too",
)
LIKENESS = Metric(
    "identity",
    "lower",
    SHARE,
    "mean over all pictures and judges of the similarity on a scale from strangers (0) to the person's own clean "
    "photos (1), cut there; no face counts as 0",
    pitfalls="half way to the person's own photos is not half the risk: ILR says how many pictures pass",
    head=True,
)
FALSE_LEAK = Metric(
    "identity",
    "lower",
    SHARE,
    "share in which a cell's pictures pass for the other people of the data set, each at that person's threshold",
    pitfalls="about the false-accept rate where pictures look like one person; more where they look like anybody",
)
PHOTOS_RECOGNISED = Metric(
    "identity",
    "higher",
    SHARE,
    "share of the cloaked photos, before any attack, that pass for the person",
    pitfalls="where it is low, even an attack that reproduces its photos does not leak",
)
ILR_USABLE = Metric(
    "identity",
    "lower",
    SHARE,
    "share of all pictures that leak and look no worse than the worst twentieth of the clean arm's pictures; "
    "computed from records",
    pitfalls="only as good as the quality score behind it, which reports name",
)
ANY_LEAK_4 = Metric(
    "identity",
    "lower",
    SHARE,
    "chance that at least one of 4 pictures, drawn from all of a cell's, leaks (hypergeometric)",
)
ANY_LEAK_16 = Metric(
    "identity",
    "lower",
    SHARE,
    "chance that at least one of 16 pictures, drawn from all of a cell's, leaks (hypergeometric)",
    pitfalls="0 or 1 where a cell has just 16 pictures",
)
PROTECTION = Metric(
    "identity",
    "higher",
    (-math.inf, 1.0),
    "1 - ILR(cloaked) / ILR(clean), of people whose clean ILR is at least one half; computed from records",
    pitfalls="leaves out people on whom the attack fails; prevented does not",
)
PREVENTED = Metric(
    "identity",
    "higher",
    COSINE,
    "ILR(clean) - ILR(cloaked), person by person; computed from records",
)
ISM_CALIBRATED = Metric(
    "identity",
    "lower",
    SHARE,
    "likeness by dlib alone, between the data set's other people and the person; protocol 1",
)
ISM_ZERO = Metric(
    "identity",
    "lower",
    COSINE,
    "mean similarity over all pictures, no face counted as 0",
    pitfalls="a stranger's face (cosine below 0) scores below no face at all",
    head=True,
)
ISM_DETECTED = Metric(
    "identity",
    "lower",
    COSINE,
    "mean similarity of the pictures with a face (Anti-DreamBooth's ISM)",
    pitfalls="forgets the pictures without a face; never rank by it",
    also=("ISM",),
)
FDFR = Metric(
    "identity",
    "higher",
    SHARE,
    "face detection failure rate: share of all pictures in which no face is found",
    pitfalls="an attack that never worked has a high one, too: compare with the clean arm",
    head=True,
)
RETENTION = Metric(
    "identity",
    "higher",
    COSINE,
    "mean similarity of a cloaked photo to the same photo before (DLADiff's ISM_pro) by the judges, no face counted as "
    "0",
    pitfalls="of the published photos, not of generated ones: low values mean that friends lose the person, too",
    also=("ISM_pro",),
)
