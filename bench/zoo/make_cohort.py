"""Write what the independent judges know of strangers: `bench/zoo/judges/*-mean.npy` and `*-cohort.safetensors`.

Run `python -m bench.zoo.make_cohort [folder with celeba_train.parquet and lfw_train.parquet; default ../shared/data]`
after `bench.zoo.make_judges`, and `bench.zoo.make_manifest` afterwards. The cohort is people of the training data, none
of them of the evaluation; of their embeddings only mean and covariance are kept. How tails are corrected is decided on
these people alone, by cross-validation, whose figures it prints.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import logit

from bench.core.paths import expanded
from bench.core.types import Array
from bench.evaluation.cohort import Cohort, cohort_file
from bench.models.faces.panel import Panel
from bench.zoo.boxes import largest
from bench.zoo.photo_table import image_of, read_rows

FILES = ("celeba_train", "lfw_train")
EXCLUDED = ("7331",)
"""Of CelebA: 162 of CelebA-HQ, whom the evaluation has (model card). Those who only look like somebody there stay: a
world without look-alikes would have too few false accepts."""
PER_PERSON = 4
"""Photos, at most: LFW has 530 of one person."""
FOLDS = 4
DIRECTIONS = 96
"""In which the covariance is kept; twice as many change nothing."""
UNCORRECTED = np.array([0.0, 1.0])
RATES = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05])
"""Shares at which the tail is corrected: those that thresholds are set for."""


@dataclass(frozen=True)
class Photos:
    """Embeddings (n, d) as the network gives them, and who is on each photo (n,)."""

    embeddings: Array
    people: Array


def main(arguments: Sequence[str]) -> int:
    """Describe the photos, print the cross-validation, fit everything on all of them."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.make_cohort [folder with celeba_train.parquet and lfw_train.parquet]")
        return 2
    described = describe(expanded(arguments[0] if arguments else "../shared/data"))
    for judge in Panel().judges:
        photos = described[judge.name]
        print(f"{judge.name}: {len(photos.people)} photos of {len(set(photos.people))} people")
        normal = validate(photos, UNCORRECTED)
        calibration = calibrate(normal)
        show(normal, validate(photos, calibration))
        mean, cohort = fit(photos)
        np.save(judge.mean_file, mean)
        replace(cohort, calibration=calibration).save(cohort_file(judge.name))
        print(f"  shipped: logit of the share = {calibration[0]:.3f} + {calibration[1]:.3f} logit of the normal share")
    return 0


def describe(data: Path) -> dict[str, Photos]:
    """Judge -> what it says of the largest face of everybody's first photos."""
    panel = Panel()
    people: list[str] = []
    embeddings: dict[str, list[Array]] = {name: [] for name in panel.names}
    for file in FILES:
        photos: dict[str, int] = {}
        for row in read_rows(data / f"{file}.parquet"):
            name = row["identity"]
            photos[name] = photos.get(name, 0) + 1
            if name in EXCLUDED or photos[name] > PER_PERSON:
                continue
            picture = np.asarray(image_of(row, f"{file}, {name}"))
            if faces := panel.detector.find(picture):
                people.append(name)
                for judge in panel.judges:
                    embeddings[judge.name].append(judge.raw(picture, [largest(faces)])[0])
    return {name: Photos(np.array(e), np.array(people)) for name, e in embeddings.items()}


def fit(photos: Photos) -> tuple[Array, Cohort]:
    """The mean (d,) of the photos, and the cohort without a correction of its tail."""
    mean = photos.embeddings.mean(axis=0)
    unit = _unit(photos.embeddings - mean)
    centre = unit.mean(axis=0)
    _, sizes, axes = np.linalg.svd(unit - centre, full_matrices=False)
    variances = sizes**2 / len(unit)
    rest = variances[DIRECTIONS:].sum() / (len(centre) - DIRECTIONS)
    return mean, Cohort(centre, axes[:DIRECTIONS].T, variances[:DIRECTIONS], np.array(rest), UNCORRECTED)


def validate(photos: Photos, calibration: Array) -> Array:
    """(people, rates) the shares of strangers who pass the thresholds of people outside the cohort.

    The tail is corrected as given. Everybody is once outside: a fold's people are judged by the cohort of all others,
    each against the photos of all others of the fold, with the mean of the person's photos as reference. People with
    fewer photos than `PER_PERSON` are strangers only.
    """
    names = np.unique(photos.people)
    fold_of = dict(zip(names, np.random.default_rng(0).permutation(len(names)) % FOLDS, strict=True))
    folds, realised = np.array([fold_of[name] for name in photos.people]), []
    for fold in range(FOLDS):
        outside = folds == fold
        mean, cohort = fit(Photos(photos.embeddings[~outside], photos.people[~outside]))
        cohort = replace(cohort, calibration=calibration)
        unit, people = _unit(photos.embeddings[outside] - mean), photos.people[outside]
        for name in np.unique(people):
            own = people == name
            if own.sum() == PER_PERSON:
                reference = unit[own].mean(axis=0)
                cosines = unit[~own] @ (reference / np.linalg.norm(reference))
                realised.append([(cosines >= cohort.threshold(reference, rate)).mean() for rate in RATES])
    return np.array(realised)


def calibrate(realised: Array) -> Array:
    """(2,) the straight line through logits of nominal and of realised shares, by least squares."""
    slope, shift = np.polyfit(logit(RATES), logit(realised.mean(axis=0)), 1)
    return np.array([shift, slope])


def show(normal: Array, corrected: Array) -> None:
    """Print realised shares before and after the correction: means over people, and the worst tenth begins."""
    print(f"  {len(normal)} people; realised, and 90 % of people below: as if normal, and corrected")
    for number, rate in enumerate(RATES):
        parts = [f"{r[:, number].mean():.2%} ({np.quantile(r[:, number], 0.9):.2%})" for r in (normal, corrected)]
        print(f"  {rate:6.2%} nominal: {parts[0]}, {parts[1]}")


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


if __name__ == "__main__":
    from bench.core.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
