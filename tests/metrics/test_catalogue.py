"""The declarations of metrics: complete, consistent, and read by those who need directions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.evaluation.image_metrics import QUALITY, VISIBILITY
from bench.evaluation.scorer import WITNESSED
from bench.results.relative import GATES
from bench.stats.table import read
from metrics.catalogue import METRICS, find


def test_every_instrument_is_declared() -> None:
    assert METRICS.keys() >= {*VISIBILITY, *QUALITY, *WITNESSED, *GATES}
    assert {METRICS[name].topic for name in VISIBILITY} == {"visibility"}
    assert {METRICS[name].topic for name in (*QUALITY, *GATES)} == {"quality"}


def test_declarations_say_something() -> None:
    for metric in METRICS.values():
        assert metric.range[0] < metric.range[1]
        assert metric.definition
        assert not metric.needs or metric.licence or metric.topic == "distribution"


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("ilr", "lower"),
        ("fdfr", "higher"),
        ("ilr.buffalo_l/dreambooth", "lower"),
        ("psnr.worst", "higher"),
        ("any_leak@4/lora", "lower"),
        ("lpips", "lower"),
        ("protection", "higher"),
    ],
)
def test_directions_of_names_as_tables_have_them(name: str, better: str) -> None:
    metric = find(name)
    assert metric is not None
    assert metric.better == better


def test_unknown_names_have_no_declaration() -> None:
    assert find("ilrr") is None
    assert find("/") is None


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("FDFR", "fdfr"),
        ("ISM", "ism_detected"),
        ("CLIP-IQA", "clipiqa"),
        ("CLIPIQA/dreambooth", "clipiqa"),
        ("Any-leak@16", "any_leak@16"),
        ("FID", "frechet"),
        ("LIQE", "liqe_mix"),
        ("MS-SSIM", "ms_ssim"),
    ],
)
def test_papers_write_names_in_their_own_ways(written: str, name: str) -> None:
    assert find(written) is METRICS[name]


def test_no_two_metrics_go_by_one_name() -> None:
    names = [name for metric in METRICS.values() for name in (metric.name, *metric.also)]
    assert len({name.lower().replace("_", "").replace("-", "") for name in names}) == len(names)


def test_the_catalogue_imports_nothing_heavy() -> None:
    code = "import sys, metrics.catalogue; sys.exit(bool({'numpy', 'torch', 'pyiqa', 'skimage'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def table(folder: Path, metric: str, values: tuple[float, float]) -> Path:
    file = folder / f"{metric.replace('/', '-')}.csv"
    rows = [f"m{i},p,8,{metric},{value}" for i, value in enumerate(values)]
    file.write_text("\n".join(["method,identity,budget,metric,value", *rows]))
    return file


def test_tables_of_scores_take_directions_and_ranges_from_it(tmp_path: Path) -> None:
    (fdfr,) = read(table(tmp_path, "fdfr/lora", (0.2, 0.4))).values()
    assert (fdfr.lower_is_better, fdfr.bounds) == (False, (0.0, 1.0))
    (ilr,) = read(table(tmp_path, "ilr", (0.2, 0.4))).values()
    assert (ilr.lower_is_better, ilr.bounds) == (True, (0.0, 1.0))
    (percent,) = read(table(tmp_path, "ilr", (20, 40))).values()
    assert (percent.lower_is_better, percent.bounds) == (True, (-np.inf, np.inf))
    (unknown,) = read(table(tmp_path, "charm", (20, 40))).values()
    assert unknown.lower_is_better
    (asked,) = read(table(tmp_path, "charm", (20, 40)), higher=["charm"]).values()
    assert not asked.lower_is_better
