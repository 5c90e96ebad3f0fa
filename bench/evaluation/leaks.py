"""What several judges say of a picture together: it leaks if any of them recognises the person."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bench.core.types import Array
from bench.evaluation.cohort import Cohort


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


def leaks(similarities: Mapping[str, Array], limits: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """(n,) which pictures show the person by at least one judge.

    Args:
        similarities: judge -> (n,) cosine of each picture to the person's reference; NaN where there is no face.
        limits: judge -> threshold.
    """
    shown: npt.NDArray[np.bool_] = np.any([values >= limits[judge] for judge, values in similarities.items()], axis=0)
    return shown
