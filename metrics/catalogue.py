"""Every metric that a record may hold: what it says, which way is better, what it can be, and what it needs.

The one place where directions are declared: tables, statistics, reports and pages read them here. Nothing heavy is
imported. In records, a name may carry a qualifier after a dot ("ilr.buffalo_l": by another recogniser than the judge;
"psnr.worst": the worst tenth of the photos), and in tables of scores the attack after a slash ("ilr/dreambooth").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Direction = Literal["lower", "higher"]
Topic = Literal["identity", "visibility", "quality", "distribution"]

PYIQA = "pyiqa (pip install 'cloakbench[full]') and its weights"
NON_COMMERCIAL = "pyiqa: PolyForm Noncommercial 1.0.0"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: as records have it.
        topic: what it is about.
        better: the direction that is better for the person: less of them in the pictures, worse pictures of them, or a
            cloak that is harder to see.
        range: what it can be.
        definition: one line, with the source.
        unit: empty for shares and scores without one.
        needs: weights or packages that do not come with the benchmark; empty if it needs none.
        licence: of what it needs.
        pitfalls: how it misleads.
        head: whether reports print it in their main table.
        also: what papers call it, where that is another word.
    """

    name: str
    topic: Topic
    better: Direction
    range: tuple[float, float]
    definition: str
    unit: str = ""
    needs: str = ""
    licence: str = ""
    pitfalls: str = ""
    head: bool = False
    also: tuple[str, ...] = ()

    @property
    def lower_is_better(self) -> bool:
        """Whether less is better for the person."""
        return self.better == "lower"


SHARE, COSINE, LEVELS = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)

_ALL = (
    # --- identity: how much of the person is in the generated pictures -----------------------------------------------
    Metric(
        "ilr",
        "identity",
        "lower",
        SHARE,
        "identity leak rate: share of all pictures with a face at or above the threshold that the stated share of "
        "strangers reach",
        pitfalls="compare thresholds and impostor pairs before comparing two data sets",
        head=True,
    ),
    Metric(
        "ilr_usable",
        "identity",
        "lower",
        SHARE,
        "share of all pictures that leak and look no worse than the worst twentieth of the clean arm's pictures; "
        "computed from records",
        pitfalls="only as good as the quality score behind it, which reports name",
    ),
    Metric(
        "any_leak@4",
        "identity",
        "lower",
        SHARE,
        "chance that at least one of 4 pictures, drawn from all of a cell's, leaks (hypergeometric)",
    ),
    Metric(
        "any_leak@16",
        "identity",
        "lower",
        SHARE,
        "chance that at least one of 16 pictures, drawn from all of a cell's, leaks (hypergeometric)",
        pitfalls="0 or 1 where a cell has just 16 pictures",
    ),
    Metric(
        "protection",
        "identity",
        "higher",
        (-math.inf, 1.0),
        "1 - ILR(cloaked) / ILR(clean), of people whose clean ILR is at least one half; computed from records",
        pitfalls="leaves out people on whom the attack fails; prevented does not",
    ),
    Metric(
        "prevented",
        "identity",
        "higher",
        COSINE,
        "ILR(clean) - ILR(cloaked), person by person; computed from records",
    ),
    Metric(
        "ism_calibrated",
        "identity",
        "lower",
        SHARE,
        "mean over all pictures of the similarity on a scale from strangers (0) to the person's own photos (1), cut "
        "there; no face counts as 0",
    ),
    Metric(
        "ism_zero",
        "identity",
        "lower",
        COSINE,
        "mean similarity over all pictures, no face counted as 0",
        pitfalls="a stranger's face (cosine below 0) scores below no face at all",
        head=True,
    ),
    Metric(
        "ism_detected",
        "identity",
        "lower",
        COSINE,
        "mean similarity of the pictures with a face (Anti-DreamBooth's ISM)",
        pitfalls="forgets the pictures without a face; never rank by it",
        also=("ISM",),
    ),
    Metric(
        "fdfr",
        "identity",
        "higher",
        SHARE,
        "face detection failure rate: share of all pictures in which no face is found",
        pitfalls="an attack that never worked has a high one, too: compare with the clean arm",
        head=True,
    ),
    Metric(
        "retention",
        "identity",
        "higher",
        COSINE,
        "mean similarity of a cloaked photo to the same photo before (DLADiff's ISM_pro), no face counted as 0",
        pitfalls="of the published photos, not of generated ones: low values mean that friends lose the person, too",
        also=("ISM_pro",),
    ),
    # --- visibility: how visible the cloak is, on the saved 8-bit photos ----------------------------------------------
    Metric(
        "linf",
        "visibility",
        "lower",
        LEVELS,
        "largest change of any value of any photo",
        unit="grey levels",
        pitfalls="what the budget bounds; cloaks of equal Linf differ in how visible they are",
        head=True,
    ),
    Metric("l1", "visibility", "lower", LEVELS, "mean absolute change", unit="grey levels"),
    Metric(
        "psnr",
        "visibility",
        "higher",
        (0.0, 100.0),
        "peak signal-to-noise ratio over all RGB values, peak 255; 100 for identical photos; mean over photos",
        unit="dB",
        head=True,
    ),
    Metric(
        "ssim",
        "visibility",
        "higher",
        COSINE,
        "structural similarity (Wang 2004), Gaussian 11x11 of sigma 1.5, mean of RGB channels; pyiqa's ssimc",
        pitfalls="0.77 where the variant on luma says 0.82",
        head=True,
    ),
    Metric(
        "ms_ssim",
        "visibility",
        "higher",
        SHARE,
        "multi-scale SSIM (Wang 2003), five scales with the published weights, mean of the RGB channels",
        pitfalls="needs photos of 176 px and more",
    ),
    Metric(
        "gmsd",
        "visibility",
        "lower",
        (0.0, math.inf),
        "gradient magnitude similarity deviation (Xue 2014), on luma halved in size",
    ),
    Metric(
        "ciede2000",
        "visibility",
        "lower",
        (0.0, math.inf),
        "mean colour difference of pixels, CIEDE2000 between CIELAB values of sRGB under D65, by scikit-image",
        unit="dE00",
        pitfalls="defined for large patches: overrates fine noise",
    ),
    Metric(
        "lpips",
        "visibility",
        "lower",
        (0.0, math.inf),
        "learned perceptual distance (Zhang 2018), version 0.1, AlexNet, at the photo's own size, by pyiqa",
        needs=PYIQA,
        licence=f"{NON_COMMERCIAL}; LPIPS: BSD-2",
        head=True,
    ),
    Metric(
        "dists",
        "visibility",
        "lower",
        (0.0, math.inf),
        "deep structure and texture distance (Ding 2020), VGG16, by pyiqa",
        needs=PYIQA,
        licence=f"{NON_COMMERCIAL}; DISTS: MIT",
    ),
    Metric(
        "vif",
        "visibility",
        "higher",
        (0.0, math.inf),
        "visual information fidelity (Sheikh 2006), steerable pyramid, by pyiqa",
        needs="pyiqa (pip install 'cloakbench[full]'); no weights",
        licence=NON_COMMERCIAL,
        pitfalls="above 1 for photos with more contrast; needs photos of a few hundred pixels",
    ),
    # --- quality of the generated pictures: descriptive, never protection by itself -----------------------------------
    Metric(
        "blur",
        "quality",
        "higher",
        SHARE,
        "perceptual blur (Crete 2007), 0 for sharp, by scikit-image; mean over all pictures",
        pitfalls="sees no artefacts: noise makes a picture sharper",
    ),
    Metric(
        "brisque",
        "quality",
        "higher",
        (-math.inf, math.inf),
        "deviation from natural scene statistics (Mittal 2012), on luma, 0 for good, by pyiqa",
        needs=PYIQA,
        licence=NON_COMMERCIAL,
        pitfalls="three implementations of three scales are in use; often contradicts CLIP-IQA",
    ),
    Metric(
        "niqe",
        "quality",
        "higher",
        (0.0, math.inf),
        "distance from natural scene statistics (Mittal 2013), by pyiqa",
        needs=PYIQA,
        licence=NON_COMMERCIAL,
        pitfalls="needs pictures of 192 px and more to mean anything",
    ),
    Metric(
        "clipiqa",
        "quality",
        "lower",
        SHARE,
        "CLIP-IQA (Wang 2023): how much nearer to a good photo than to a bad one, CLIP RN50, by pyiqa",
        needs=PYIQA,
        licence=f"{NON_COMMERCIAL}; CLIP: MIT",
    ),
    Metric(
        "liqe_mix",
        "quality",
        "lower",
        (1.0, 5.0),
        "LIQE (Zhang 2023), trained on six data sets, CLIP ViT-B/32, by pyiqa",
        needs=PYIQA,
        licence=f"{NON_COMMERCIAL}; LIQE: MIT",
        pitfalls="needs pictures of 224 px and more",
        also=("LIQE",),
    ),
    Metric(
        "nima",
        "quality",
        "lower",
        (1.0, 10.0),
        "mean of the predicted votes of photographers (Talebi 2018), AVA, by pyiqa",
        needs=PYIQA,
        licence=NON_COMMERCIAL,
        pitfalls="aesthetics, not fidelity",
    ),
    Metric(
        "clip_score",
        "quality",
        "lower",
        (0.0, 100.0),
        "100 times the cosine of picture and prompt to CLIP ViT-L/14, at least 0 (Hessel 2021 without the factor of "
        '2.5), with "a person" for the word that stands for somebody',
        needs="the CLIP model of metric.clip, by default openai/clip-vit-large-patch14",
        licence="CLIP: MIT",
        pitfalls="says whether the model still follows prompts, not whether the person is in the picture",
    ),
    Metric(
        "topiq_nr-face",
        "quality",
        "lower",
        (-math.inf, math.inf),
        "face quality (TOPIQ on CGFIQA, Chen 2024), about 0 to 1, no face counted as 0, by pyiqa",
        needs=PYIQA,
        licence=NON_COMMERCIAL,
    ),
    # --- distribution: of all pictures of an arm, never of one person -------------------------------------------------
    Metric(
        "kid",
        "distribution",
        "higher",
        (-math.inf, math.inf),
        "kernel distance to the clean arm's pictures (Binkowski 2018): unbiased squared MMD with the cubic kernel",
        needs="a feature network, whose name belongs beside the number",
        pitfalls="two extractors give two metrics",
    ),
    Metric(
        "frechet",
        "distribution",
        "higher",
        (0.0, math.inf),
        "Frechet distance to the clean arm's pictures (Heusel 2017), of 2,048 and more on each side",
        needs="a feature network, whose name belongs beside the number",
        pitfalls="biased upwards by small samples; cannot rank cloaks even with 50 people",
        also=("FID",),
    ),
)

METRICS = {metric.name: metric for metric in _ALL}
"""By name."""


def plain(name: str) -> str:
    """A metric's own name, without the attack that tables of scores add: "ilr.buffalo_l" of "ilr.buffalo_l/lora"."""
    return name.partition("/")[0]


def find(name: str) -> Metric | None:
    """The declaration of a name as records and tables have it, with its qualifiers; None for an unknown one.

    Capitals, hyphens and underscores make no difference, since papers write CLIP-IQA and FDFR.
    """
    return _BY_ANY_NAME.get(_letters(plain(name).partition(".")[0]))


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


_BY_ANY_NAME = {_letters(name): metric for metric in _ALL for name in (metric.name, *metric.also)}
