"""All metrics of a cell from pictures of which the answer is known, with the judge and with witnesses that are tiny."""

from __future__ import annotations

import builtins
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError
from bench.core.types import Array, Dataset, Pixels
from bench.data.synthetic import Synthetic
from bench.evaluation import detections
from bench.evaluation.auxiliary import PackWitness, seen, witness
from bench.evaluation.image_metrics import Quality
from bench.evaluation.instrument import described
from bench.evaluation.scorer import CellMetrics, KeyedImages, Scorer
from bench.models.faces.panel import Panel
from bench.store import Store
from metrics import METRICS, iqa, perceptual, visibility
from metrics.offline import offline
from metrics.quality import blur
from tests.support import tiny

PROTOCOL = Protocol(prompts=("a photo of {subject}",), images_per_prompt=1, far=0.01)
PANEL = Panel()
ALL = MetricSettings(recognisers=("nobody",), quality=("blur", "brisque"), visibility=("lpips",))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return Synthetic(limit=2).load(64)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def scorer(data: Dataset, store: Store, settings: MetricSettings = ALL) -> Scorer:
    return Scorer(settings, PROTOCOL, data, store, lambda: "cpu")


def shown(name: str, pictures: Sequence[Pixels]) -> KeyedImages:
    return KeyedImages(name, list(pictures))


def noisy(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Of 8 grey levels, and the first of 4."""
    signs = np.random.default_rng(0).choice([-1, 1], pictures[0].shape)
    levels = [4, *[8] * (len(pictures) - 1)]
    return [np.clip(p + level * signs, 0, 255).astype(np.uint8) for p, level in zip(pictures, levels, strict=True)]


@pytest.fixture(scope="module")
def own(data: Dataset, store: Store) -> CellMetrics:
    """The first person's own photos in place of generated pictures, and two without any face."""
    person = data.identities[0]
    clean = [photo.pixels for photo in person.clean]
    pictures = shown("own", [*clean, np.zeros_like(clean[0]) + 90, np.zeros_like(clean[0])])
    views = [PANEL.find(picture) for picture in pictures.pictures]
    faces = {j: detections.FaceDetections(tuple(tuple(view[j]) for view in views)) for j in PANEL.names}
    cloaked = shown("cloaked", noisy([photo.pixels for photo in person.protect]))
    return scorer(data, store).score(person, cloaked, pictures, faces)


def test_the_persons_own_photos_leak(own: CellMetrics) -> None:
    assert own.metrics["fdfr"] == pytest.approx(0.2, abs=0.11)
    assert (own.metrics["ilr"] or 0) >= 0.6
    assert (own.metrics["ilr"] or 0) <= 1 - (own.metrics["fdfr"] or 0)
    assert (own.metrics["any_leak@4"] or 0) > (own.metrics["ilr"] or 0)
    assert 0.5 < (own.metrics["likeness"] or 0) <= 0.9
    assert (own.metrics["ilr_matched"] or 0) <= (own.metrics["ilr"] or 0)
    assert own.metrics["photos_recognised"] == 1
    assert (own.metrics["false_leak"] or 0) < (own.metrics["ilr"] or 0)
    assert 0.5 < (own.metrics["retention"] or 0) < 1


def test_every_metric_is_declared_in_range_and_has_a_value_or_a_reason(own: CellMetrics) -> None:
    for name, value in own.metrics.items():
        metric = METRICS.find(name)
        assert metric is not None, name
        assert value is None or metric.range[0] - 1e-9 <= value <= metric.range[1] + 1e-9, (name, value)
        assert (value is None) == bool(own.unavailable.get(name)), name
    assert own.unavailable.keys() <= own.metrics.keys()
    assert own.metrics["any_leak@16"] is None
    assert "fewer than 16" in own.unavailable["any_leak@16"]
    assert "smaller than 176 px" in own.unavailable["ms_ssim"]


def test_visibility_is_that_of_the_pairs(own: CellMetrics, data: Dataset) -> None:
    clean = [photo.pixels for photo in data.identities[0].protect]
    pairs = list(zip(clean, noisy(clean), strict=True))
    assert own.metrics["linf"] == max(visibility.linf(a, b) for a, b in pairs) == 8
    for name, measure_of in (("psnr", visibility.psnr), ("ssim", visibility.ssim), ("gmsd", perceptual.gmsd)):
        values = [measure_of(a, b) for a, b in pairs]
        assert own.metrics[name] == pytest.approx(np.mean(values))
        assert own.metrics[f"{name}.worst"] == (max(values) if name == "gmsd" else min(values))


def test_quality_is_kept_picture_by_picture(own: CellMetrics, data: Dataset) -> None:
    first = data.identities[0].clean[0].pixels
    assert len(own.pictures) == len(data.identities[0].clean) + 2
    assert own.pictures[0]["blur"] == blur(first)
    assert own.metrics["blur"] == pytest.approx(np.mean([scores["blur"] for scores in own.pictures]))


def test_what_is_not_on_this_machine_says_how_to_get_it(own: CellMetrics) -> None:
    for name in ("ilr.nobody", "fdfr.nobody", "likeness.nobody"):
        assert own.metrics[name] is None
        assert "no recogniser 'nobody'" in own.unavailable[name]
        assert "metric.recognisers" in own.unavailable[name]
    for name in ("brisque", "lpips"):
        assert own.metrics[name] is None
        assert "cloakbench[full]" in own.unavailable[name] or f"create_metric('{name}')" in own.unavailable[name]


def test_an_unknown_metric_is_an_error_before_any_work(data: Dataset, store: Store) -> None:
    with pytest.raises(BenchError, match=r"Unknown quality metric 'brisqe'(.|\n)*'brisque'"):
        scorer(data, store, MetricSettings(quality=("brisqe",)))
    with pytest.raises(BenchError, match="Unknown visibility metric 'brisque'"):
        scorer(data, store, MetricSettings(visibility=("brisque",)))


def test_a_value_that_is_not_finite_is_no_value(data: Dataset, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quality, "describe", lambda self, pictures: {"blur": np.array([np.nan] * len(pictures))})
    made, found = scorer(data, store), CellMetrics()
    made._quality(found, shown("odd", [data.identities[0].clean[0].pixels]))
    assert found.metrics["blur"] is None
    assert "no finite value of 1" in found.unavailable["blur"]
    assert found.pictures == [{}]


# --- features are computed once -------------------------------------------------------------------------------------


class Counting:
    """Describes pictures by their means."""

    calls = 0
    fingerprint = "means"

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        Counting.calls += 1
        return {"means": np.array([p.mean() for p in pictures])}


def test_an_instrument_looks_once(tmp_path: Path) -> None:
    pictures = [np.full((4, 4, 3), level, np.uint8) for level in (3, 7)]
    store = Store(tmp_path)
    for _ in range(2):
        assert described(store, "k", pictures, Counting())["means"].tolist() == [3, 7]
    assert Counting.calls == 1
    described(store, "other", pictures, Counting())
    other = Counting()
    other.fingerprint = "other weights"
    described(store, "k", pictures, other)
    assert Counting.calls == 3


# --- witnesses ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pack(tmp_path_factory.mktemp("packs") / "tiny")


def test_a_witness_sees_what_its_pack_sees(pack: Path) -> None:
    pictures = [np.full((64, 64, 3), level, np.uint8) for level in (200, 0, 120)]
    found = seen(PackWitness(str(pack)).describe(pictures), 3)
    assert [len(faces) for faces in found.faces] == [1, 0, 1]
    (face,) = found.faces[0]
    assert face.box == pytest.approx(np.array(tiny.BOX) / tiny.SIDE)
    assert np.linalg.norm(face.embedding) == pytest.approx(1)
    assert found.embeddings().shape == (2, 512)
    alone = seen(PackWitness(str(pack)).describe(pictures[2:]), 1)
    np.testing.assert_array_equal(alone.faces[0][0].embedding, found.faces[2][0].embedding)
    assert seen(PackWitness(str(pack)).describe(pictures[1:2]), 1).faces == ((),)


def test_a_witness_is_found_where_insightface_keeps_its_packs(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pack, tmp_path / "models" / "mine")
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path))
    assert PackWitness("mine").fingerprint == PackWitness(str(pack)).fingerprint
    assert PackWitness("mine").name == "mine"
    with pytest.raises(BenchError, match="no recogniser 'yours'"):
        _ = PackWitness("yours").fingerprint


def test_a_witness_testifies_with_a_threshold_of_its_own(data: Dataset, store: Store, pack: Path) -> None:
    person = data.identities[0]
    pictures = shown("witnessed", [photo.pixels for photo in person.clean])
    made, found = scorer(data, store, MetricSettings(recognisers=(str(pack),))), CellMetrics()
    made._testify(found, "tiny", made._witnesses["tiny"], person, pictures)
    assert found.metrics.keys() == {"fdfr.tiny", "likeness.tiny", "ilr.tiny"}
    assert found.metrics["fdfr.tiny"] == 0
    assert found.thresholds.keys() == {"ilr.tiny", "pairs.tiny"}
    known = made._witnesses["tiny"]
    threshold = known.pooled_threshold(PROTOCOL.far).value
    assert found.thresholds["ilr.tiny"] == threshold
    similarity = known.look(*pictures).similarity(known.references[person.name])
    assert found.metrics["ilr.tiny"] == np.mean(similarity >= threshold)
    strangers, own = known.impostor_mean(person), known.own(person)
    assert found.metrics["likeness.tiny"] == pytest.approx(
        np.clip((similarity - strangers) / (own - strangers), 0, 1).mean()
    )


# --- pyiqa ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _forgotten() -> Iterator[None]:
    """No metric is remembered, as made or as missing."""
    iqa._made.cache_clear()
    yield
    iqa._made.cache_clear()


@pytest.mark.usefixtures("_forgotten")
def test_without_pyiqa_its_metrics_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pyiqa":
            raise ModuleNotFoundError("No module named 'pyiqa'", name="pyiqa")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(iqa.Unavailable, match=r"pyiqa is not installed\.\nRun: pip install 'cloakbench\[full\]'"):
        iqa.score("brisque", [])


def test_offline_closes_the_network_for_this_thread_alone_and_replaces_nothing() -> None:
    before = dict(vars(socket))
    others: list[object] = []
    with offline():
        assert vars(socket) == before
        for reach in (
            lambda: socket.getaddrinfo("127.0.0.1", 80),
            lambda: socket.gethostbyname("localhost"),
            lambda: urllib.request.urlopen("http://localhost:9/weights.pt"),
            lambda: requests.get("http://localhost:9/weights.pt", timeout=5),
        ):
            with pytest.raises(OSError, match="nothing is downloaded unasked"):
                reach()
        thread = threading.Thread(target=lambda: others.append(socket.getaddrinfo("127.0.0.1", 80)))
        thread.start()
        thread.join()
    assert others
    assert socket.getaddrinfo("127.0.0.1", 80)


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize("name", ["cached", "missing"])
def test_weights_are_loaded_and_never_downloaded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for pyiqa, which downloads what it does not find."""
    asked = []

    def create_metric(name: str, **_: Any) -> str:
        asked.append(name)
        if name == "missing":
            urllib.request.urlopen("http://localhost:9/weights.pt")
        return name

    pyiqa = SimpleNamespace(create_metric=create_metric, list_models=lambda: ["cached", "missing"], __version__="0")
    monkeypatch.setitem(sys.modules, "pyiqa", pyiqa)
    for _ in range(2):
        if name == "cached":
            assert iqa.metric(name) == name
        else:
            with pytest.raises(iqa.Unavailable, match=f"The weights of {name} are not here"):
                iqa.metric(name)
    assert asked == [name], "and it is not tried again"


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize("name", ["brisque", "lpips"])
def test_pyiqa_metrics_without_weights_say_how_to_fetch_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyiqa", reason="needs pip install 'cloakbench[full]'")
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: pytest.fail("a download was attempted"))
    with pytest.raises(iqa.Unavailable, match=f"The weights of {name} are not here(.|\n)*create_metric\\('{name}'\\)"):
        iqa.metric(name)


def test_pyiqa_scores_alone_as_in_a_batch(data: Dataset) -> None:
    pyiqa = pytest.importorskip("pyiqa", reason="needs pip install 'cloakbench[full]'")
    from bench.core.images import to_tensor

    pictures = [photo.pixels for photo in data.identities[0].clean]
    scores = iqa.score("entropy", pictures)
    assert scores == pytest.approx([float(iqa.score("entropy", [p])[0]) for p in pictures], abs=0)
    assert scores == pytest.approx(pyiqa.create_metric("entropy", device="cpu")(to_tensor(pictures)).flatten().numpy())
    distances = iqa.distance("psnr", pictures, noisy(pictures))
    pairs = zip(pictures, noisy(pictures), strict=True)
    assert distances == pytest.approx([visibility.psnr(a, b) for a, b in pairs], abs=1e-3)


def test_scoring_imports_no_optional_package() -> None:
    code = (
        "import sys, bench.evaluation.scorer; "
        "sys.exit(bool({'pyiqa', 'cleanfid', 'matplotlib', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_witness_may_be_dlib(data: Dataset, store: Store) -> None:
    person = data.identities[0]
    pictures = shown("by dlib", [photo.pixels for photo in person.clean[:3]])
    made, found = scorer(data, store, MetricSettings(recognisers=("dlib",))), CellMetrics()
    made._testify(found, "dlib", made._witnesses["dlib"], person, pictures)
    assert found.metrics["ilr.dlib"] == 1
    assert witness("dlib").name == "dlib"


def test_a_witness_threshold_rests_on_the_data_sets_own_pairs_where_they_are_enough(
    data: Dataset, store: Store, pack: Path
) -> None:
    known = scorer(data, store, MetricSettings(recognisers=(str(pack),)))._witnesses["tiny"]
    seen_of = {p.name: len(known.photos(p).embeddings()) for p in data.identities}
    assert known.pooled_threshold(PROTOCOL.far).pairs == sum(seen_of.values()) * (len(seen_of) - 1)
    person, *others = data.identities
    similarities = [known.photos(p).embeddings() @ known.references[person.name] for p in others]
    assert known.impostor_mean(person) == pytest.approx(np.concatenate(similarities).mean())
