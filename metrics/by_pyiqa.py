"""Metrics that pyiqa computes (`metrics.iqa`), declared: here they have its names, and are not computed."""

from __future__ import annotations

import math

from metrics.metric import SHARE, Metric

PYIQA = "pyiqa (pip install 'cloakbench[full]') and its weights"
NON_COMMERCIAL = "pyiqa: PolyForm Noncommercial 1.0.0"

LPIPS = Metric(
    "visibility",
    "lower",
    (0.0, math.inf),
    "learned perceptual distance (Zhang 2018), version 0.1, AlexNet, at the photo's own size, by pyiqa",
    needs=PYIQA,
    licence=f"{NON_COMMERCIAL}; LPIPS: BSD-2",
    head=True,
)
DISTS = Metric(
    "visibility",
    "lower",
    (0.0, math.inf),
    "deep structure and texture distance (Ding 2020), VGG16, by pyiqa",
    needs=PYIQA,
    licence=f"{NON_COMMERCIAL}; DISTS: MIT",
)
VIF = Metric(
    "visibility",
    "higher",
    (0.0, math.inf),
    "visual information fidelity (Sheikh 2006), steerable pyramid, by pyiqa",
    needs="pyiqa (pip install 'cloakbench[full]'); no weights",
    licence=NON_COMMERCIAL,
    pitfalls="above 1 for photos with more contrast; needs photos of a few hundred pixels",
)
BRISQUE = Metric(
    "quality",
    "higher",
    (-math.inf, math.inf),
    "deviation from natural scene statistics (Mittal 2012), on luma, 0 for good, by pyiqa",
    needs=PYIQA,
    licence=NON_COMMERCIAL,
    pitfalls="three implementations of three scales are in use; often contradicts CLIP-IQA",
)
NIQE = Metric(
    "quality",
    "higher",
    (0.0, math.inf),
    "distance from natural scene statistics (Mittal 2013), by pyiqa",
    needs=PYIQA,
    licence=NON_COMMERCIAL,
    pitfalls="needs pictures of 192 px and more to mean anything",
)
CLIPIQA = Metric(
    "quality",
    "lower",
    SHARE,
    "CLIP-IQA (Wang 2023): how much nearer to a good photo than to a bad one, CLIP RN50, by pyiqa",
    needs=PYIQA,
    licence=f"{NON_COMMERCIAL}; CLIP: MIT",
)
LIQE_MIX = Metric(
    "quality",
    "lower",
    (1.0, 5.0),
    "LIQE (Zhang 2023), trained on six data sets, CLIP ViT-B/32, by pyiqa",
    needs=PYIQA,
    licence=f"{NON_COMMERCIAL}; LIQE: MIT",
    pitfalls="needs pictures of 224 px and more",
    also=("LIQE",),
)
NIMA = Metric(
    "quality",
    "lower",
    (1.0, 10.0),
    "mean of the predicted votes of photographers (Talebi 2018), AVA, by pyiqa",
    needs=PYIQA,
    licence=NON_COMMERCIAL,
    pitfalls="aesthetics, not fidelity",
)
TOPIQ_NR_FACE = Metric(
    "quality",
    "lower",
    (-math.inf, math.inf),
    "face quality (TOPIQ on CGFIQA, Chen 2024), about 0 to 1, no face counted as 0, by pyiqa",
    needs=PYIQA,
    licence=NON_COMMERCIAL,
)
