"""Metrics: pure functions of arrays, and what each declares.

`METRICS` is the one place where directions are read: by tables, statistics, reports and pages. In records, a name may
carry a qualifier after a dot ("ilr.buffalo_l": by another recogniser than the judge; "psnr.worst": the worst tenth of
the photos), and in tables of scores the attack after a slash ("ilr/dreambooth").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from bench.core.errors import BenchError
from bench.core.registry import Names
from metrics.metric import Metric as Metric
from metrics.metric import metric as metric


class MetricRegistry(Names[Metric]):
    """Metrics by the names that records have. What is built in imports numpy, and nothing heavier."""

    def described(self, plugin: Metric) -> tuple[str, str]:
        return f"{plugin.definition} ({plugin.topic}, {plugin.better} is better)", ""

    def code_of(self, plugin: Metric) -> Any:
        return plugin.measure or type(plugin)

    def check(self, plugin: Any, name: str, whose: str = "") -> None:
        if not isinstance(plugin, Metric):
            raise BenchError(
                f"The {self.kind} {name!r}{whose} is not a Metric.",
                'Put @metric("visibility", "lower", (0.0, 1.0)), say, below the register decorator.',
            )
        if self.is_builtin(name):
            return
        if plugin.topic in ("visibility", "quality") and not plugin.measure:
            raise BenchError(f"The {self.kind} {name!r} has no function.", "Give it one: Metric(..., measure=...).")
        if not re.fullmatch(r"[\w@-]+", name):  # a dot and a slash part it from qualifiers and attacks
            raise BenchError(f"A {self.kind} cannot be called {name!r}.", "Use letters, digits, _, - and @.")
        for builtin in self._builtins:
            if name != builtin and _letters(name) in map(_letters, (builtin, *self.get(builtin).also)):
                raise BenchError(
                    f"The {self.kind} {name!r} would be taken for {builtin!r}, which comes with CloakBench.",
                    "Choose another name for yours.",
                )

    def all(self) -> Mapping[str, Metric]:
        """Every metric by name: built-ins in the order of tables, then plug-ins'. What does not import is left out."""
        return _index(self, tuple(self._registered.items()))[0]

    def of(self, topic: str) -> dict[str, Metric]:
        """The metrics of one topic by name."""
        return {name: metric for name, metric in self.all().items() if metric.topic == topic}

    def find(self, name: str) -> Metric | None:
        """The declaration of a name as records and tables have it, with its qualifiers; None for an unknown one.

        Capitals, hyphens and underscores make no difference, since papers write CLIP-IQA and FDFR.
        """
        return _index(self, tuple(self._registered.items()))[1].get(_letters(plain(name).partition(".")[0]))


def plain(name: str) -> str:
    """A metric's own name, without the attack that tables of scores add: "ilr.buffalo_l" of "ilr.buffalo_l/lora"."""
    return name.partition("/")[0]


@cache
def _index(
    registry: MetricRegistry, registered: tuple[tuple[str, Metric], ...]
) -> tuple[Mapping[str, Metric], Mapping[str, Metric]]:
    """All metrics by name, and by all that they are called; kept, since tables ask for every value that they print."""
    found = {}
    for name in dict.fromkeys((*registry._builtins, *dict(registered), *registry.names())):
        try:
            found[name] = registry.get(name)
        except BenchError:  # an installed package's; `python -m bench.list` says what is wrong
            if registry.is_builtin(name):
                raise
    return found, {_letters(called): m for name, m in found.items() for called in (name, *m.also)}


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


METRICS = MetricRegistry(
    "metric",
    "cloakbench.metrics",
    {
        # identity: how much of the person is in the generated pictures
        "ilr": "metrics.identity:ILR",
        "ilr_matched": "metrics.identity:ILR_MATCHED",
        "likeness": "metrics.identity:LIKENESS",
        "false_leak": "metrics.identity:FALSE_LEAK",
        "photos_recognised": "metrics.identity:PHOTOS_RECOGNISED",
        "ilr_usable": "metrics.identity:ILR_USABLE",
        "any_leak@4": "metrics.identity:ANY_LEAK_4",
        "any_leak@16": "metrics.identity:ANY_LEAK_16",
        "protection": "metrics.identity:PROTECTION",
        "prevented": "metrics.identity:PREVENTED",
        "ism_calibrated": "metrics.identity:ISM_CALIBRATED",
        "ism_zero": "metrics.identity:ISM_ZERO",
        "ism_detected": "metrics.identity:ISM_DETECTED",
        "fdfr": "metrics.identity:FDFR",
        "retention": "metrics.identity:RETENTION",
        # visibility: how visible the cloak is, on the saved 8-bit photos
        "linf": "metrics.visibility:LINF",
        "l1": "metrics.perceptual:L1",
        "psnr": "metrics.visibility:PSNR",
        "ssim": "metrics.visibility:SSIM",
        "ms_ssim": "metrics.perceptual:MS_SSIM",
        "gmsd": "metrics.perceptual:GMSD",
        "ciede2000": "metrics.perceptual:CIEDE2000",
        "lpips": "metrics.by_pyiqa:LPIPS",
        "dists": "metrics.by_pyiqa:DISTS",
        "vif": "metrics.by_pyiqa:VIF",
        # quality of the generated pictures: descriptive, never protection by itself
        "blur": "metrics.quality:BLUR",
        "brisque": "metrics.by_pyiqa:BRISQUE",
        "niqe": "metrics.by_pyiqa:NIQE",
        "clipiqa": "metrics.by_pyiqa:CLIPIQA",
        "liqe_mix": "metrics.by_pyiqa:LIQE_MIX",
        "nima": "metrics.by_pyiqa:NIMA",
        "clip_score": "metrics.quality:CLIP_SCORE",
        "topiq_nr-face": "metrics.by_pyiqa:TOPIQ_NR_FACE",
        # distribution: of all pictures of an arm, never of one person
        "kid": "metrics.distribution:KID",
        "frechet": "metrics.distribution:FRECHET",
    },
)
