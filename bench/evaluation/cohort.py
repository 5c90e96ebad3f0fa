"""The threshold for one person: the similarity that a stated share of the world's photos reaches.

The world is a fixed cohort of real people. Of it a judge keeps the mean and the covariance of the embeddings, and
nobody's embedding (`bench.zoo.make_cohort`): the cosines of strangers to one person are close to normally distributed,
with a mean and a width that are this person's own. Who else is in a data set changes nobody's threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import expit, log_ndtr, logit, ndtri

from bench.core.types import Array
from bench.models.weights.files import ZOO

MATCHED = 0.1
"""Share of the cohort that is most like the person: look-alikes. Those are the photos of the largest cosines, so the
threshold that a share of them reach is the one that a tenth of this share of all strangers' photos do."""


@dataclass(frozen=True)
class Cohort:
    """Strangers' embeddings, centred and of unit length: their mean and covariance, and how heavy the tails are.

    Attributes:
        mean: (d,).
        basis: (d, q), orthonormal: the directions of the largest variance.
        variances: (q,) in these directions.
        rest: () variance in every other direction.
        calibration: (2,) a and b. If a share p of a normal distribution is above some cosine, the logit of the share of
            photos is a + b logit(p): tails of real similarities are heavier than normal ones, the more so for FaceRes.
    """

    mean: Array
    basis: Array
    variances: Array
    rest: Array
    calibration: Array

    def share(self, reference: Array, similarity: float) -> float:
        """The share of strangers' photos, in (0, 1), whose cosine to a reference (d,) of any length is at least this.

        Raises:
            ValueError: the reference has no direction.
        """
        mean, deviation = self._cosines(reference)
        z = (similarity - mean) / deviation
        shift, slope = self.calibration
        return float(expit(shift + slope * (log_ndtr(-z) - log_ndtr(z))))

    def threshold(self, reference: Array, far: float) -> float:
        """The cosine that a share `far` of strangers' photos reach: the inverse of `share`.

        Raises:
            ValueError: the reference has no direction, or `far` is not in (0, 1).
        """
        mean, deviation = self._cosines(reference)
        return mean + deviation * self.deviations(far)

    def deviations(self, far: float) -> float:
        """How many standard deviations of strangers' cosines the threshold is above their mean: as many for everybody.

        Raises:
            ValueError: `far` is not in (0, 1).
        """
        if not 0 < far < 1:
            raise ValueError(f"a false-accept rate of {far} is not between 0 and 1")
        shift, slope = self.calibration
        return -float(ndtri(expit((logit(far) - shift) / slope)))

    @property
    def extremes(self) -> tuple[float, float, float]:
        """What no reference exceeds: the largest mean of strangers' cosines, their least and largest deviation."""
        variances = [*self.variances, self.rest]
        return float(np.linalg.norm(self.mean)), float(np.sqrt(min(variances))), float(np.sqrt(max(variances)))

    def stranger(self, reference: Array) -> float:
        """Mean cosine of strangers' photos to a reference (d,)."""
        return self._cosines(reference)[0]

    def _cosines(self, reference: Array) -> tuple[float, float]:
        """Mean and standard deviation of the cosines of strangers' photos to a reference."""
        length = np.linalg.norm(reference)
        if not (np.isfinite(length) and length > 0):
            raise ValueError("a reference without a direction has no threshold")
        unit = np.asarray(reference, np.float64) / length
        inside = (unit @ self.basis) ** 2
        return float(unit @ self.mean), float(np.sqrt(inside @ self.variances + self.rest * max(0, 1 - inside.sum())))

    def save(self, file: Path) -> None:
        """Write it in single precision."""
        save_file({f.name: np.array(getattr(self, f.name), np.float32, order="C") for f in fields(self)}, file)

    @classmethod
    def load(cls, file: Path) -> Cohort:
        """Read what `save` wrote."""
        return cls(**{name: values.astype(np.float64) for name, values in load_file(file).items()})


def thresholds(references: Mapping[str, Array], cohorts: Mapping[str, Cohort], far: float) -> dict[str, float]:
    """Each judge's threshold for a person: the judges share the false-accept rate, so together they keep to it.

    Whatever the judges have in common, at most the sum of their rates is accepted falsely (Boole's inequality).

    Args:
        references: judge -> the person's reference (d,).
        cohorts: judge -> strangers as it sees them.
        far: of all judges together, in (0, 1).
    """
    return {
        judge: cohorts[judge].threshold(reference, far / len(references)) for judge, reference in references.items()
    }


def cohort_file(judge: str) -> Path:
    """Where the cohort of a judge is, by the judge's name."""
    return ZOO / "judges" / f"{judge}-cohort.safetensors"


@cache
def cohort(judge: str) -> Cohort:
    """The shipped cohort as a judge sees it, by the judge's name."""
    return Cohort.load(cohort_file(judge))
