"""The registry of metrics: complete, consistent, read by those who need directions, and open to plug-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.core.plugins import import_plugins
from bench.evaluation.image_metrics import Comparison, Quality, measured
from bench.evaluation.scorer import WITNESSED
from bench.results.relative import GATES
from bench.stats.table import read
from metrics import METRICS, Metric, metric
from tests.support.contexts import ROOT


def test_every_instrument_is_declared() -> None:
    assert METRICS.of("identity").keys() >= {*WITNESSED}
    assert METRICS.of("quality").keys() >= {*GATES}
    assert measured("visibility") == ("linf", "l1", "psnr", "ssim", "ms_ssim", "gmsd", "ciede2000")
    assert measured("quality") == ("blur",)


def test_declarations_say_something() -> None:
    for declared in METRICS.all().values():
        assert declared.range[0] < declared.range[1]
        assert declared.definition
        assert not declared.needs or declared.licence or declared.topic == "distribution"


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
    metric = METRICS.find(name)
    assert metric is not None
    assert metric.better == better


def test_unknown_names_have_no_declaration() -> None:
    assert METRICS.find("ilrr") is None
    assert METRICS.find("/") is None


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
    assert METRICS.find(written) is METRICS.get(name)


def test_no_two_metrics_go_by_one_name() -> None:
    names = [name for name, metric in METRICS.all().items() for name in (name, *metric.also)]
    assert len({name.lower().replace("_", "").replace("-", "") for name in names}) == len(names)


def test_declarations_import_nothing_heavy() -> None:
    heavy = "{'torch', 'pyiqa', 'skimage', 'scipy', 'pydantic'}"
    code = f"import sys, metrics; metrics.METRICS.find('FID'); sys.exit(bool({heavy} & sys.modules.keys()))"
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


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(METRICS, "_registered", {})


@pytest.fixture
def example(registry: None, tmp_path: Path) -> str:
    """The documentation's plug-in, imported."""
    file = tmp_path / "my_metric.py"
    file.write_text((ROOT / "docs/examples/my_metric.py").read_text())
    import_plugins([str(file)])
    return str(file)


PHOTO = np.zeros((4, 6, 3), np.uint8)


def test_a_file_adds_metrics_with_declaration_and_function(example: str) -> None:
    cloaked = PHOTO.copy()
    cloaked[0, 0] = 8  # 3 of 72 values
    assert Comparison(("changed",), (PHOTO,)).describe([cloaked])["changed"] == pytest.approx([1 / 24])
    assert Quality("darkness").describe([PHOTO, PHOTO + 255])["darkness"] == pytest.approx([255, 0])
    declared = METRICS.find("changed.worst/lora")
    assert declared is METRICS.get("changed")
    assert (declared.topic, declared.better, declared.range) == ("visibility", "lower", (0.0, 1.0))
    assert declared.definition == "Share of the values of a photo that the cloak changes"
    (entry,) = (entry for entry in METRICS.entries() if entry.name == "changed")
    assert entry.origin == example
    assert entry.description.startswith("Share of the values")


def test_what_a_metric_computes_is_part_of_its_key(registry: None, tmp_path: Path) -> None:
    keys = []
    for number, body in enumerate(("clean - cloaked", "cloaked - clean")):
        file = tmp_path / f"mine_{number}.py"
        text = f"""
from metrics import METRICS, metric

@METRICS.register("mine_{number}")
@metric("visibility", "lower", (0, 255))
def mine(clean, cloaked):
    "A difference."
    return ({body}).max()
"""
        file.write_text(text)
        import_plugins([str(file)])
        keys.append(Comparison((f"mine_{number}",), (PHOTO,)).fingerprint)
    assert keys[0] != keys[1]


def broken(picture: object) -> float:
    """Divides by zero."""
    return 1 / 0


def large(picture: object) -> float:
    """More than it declares."""
    return 2


@pytest.mark.parametrize(
    ("measure", "message"), [(broken, "ZeroDivisionError.*test_registry.py"), (large, r"is 2.*in \[0, 1\]")]
)
def test_a_metric_that_fails_says_so(measure: Any, message: str, registry: None) -> None:
    METRICS.register("mine")(metric("quality", "lower", (0, 1))(measure))
    with pytest.raises(BenchError, match=f"(?s){message}"):
        Quality("mine").describe([PHOTO])


def test_a_rounding_error_beyond_the_range_is_cut(registry: None) -> None:
    METRICS.register("mine")(Metric("quality", "lower", (0, 1), "nearly 1", lambda picture: 1 + 1e-9))
    assert Quality("mine").describe([PHOTO])["mine"] == [1]


def test_none_is_no_value() -> None:
    def nothing(picture: object) -> None:
        """Knows nothing."""

    declared = Metric("quality", "lower", (0, 1), "nothing", nothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(METRICS, "_registered", {"mine": declared})
        assert np.isnan(Quality("mine").describe([PHOTO])["mine"]).all()


@pytest.mark.parametrize(
    ("name", "plugin", "message"),
    [
        ("psnr", metric("visibility", "lower", (0, 1))(large), "exists already: it comes with CloakBench"),
        ("PSNR", metric("visibility", "lower", (0, 1))(large), "would be taken for 'psnr'"),
        ("a/b", metric("visibility", "lower", (0, 1))(large), "cannot be called"),
        ("mine", large, "is not a Metric"),
        ("mine", Metric("quality", "lower", (0, 1), "nothing"), "has no function"),
    ],
)
def test_what_cannot_be_registered_is_told(name: str, plugin: Any, message: str, registry: None) -> None:
    with pytest.raises(BenchError, match=message):
        METRICS.register(name)(plugin)


@pytest.mark.parametrize(
    ("words", "facts", "message"),
    [
        (("visibilty", "lower", (0, 1)), {}, "visibility"),
        (("quality", "less", (0, 1)), {}, "lower"),
        (("quality", "lower", (1, 0)), {}, "no range"),
        (("quality", "lower", (0, 1)), {"pitfall": "x"}, "pitfalls"),
    ],
)
def test_a_wrong_declaration_is_told(words: Any, facts: Any, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        metric(*words, **facts)
