"""What comes with the package is what judges and witnesses see today, so nobody looks again; others do."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.types import Pixels
from bench.data.synthetic import SIDE, Synthetic
from bench.evaluation import detections, shipped_faces
from bench.evaluation.auxiliary import PackWitness
from bench.evaluation.recognition import Recognition
from bench.evaluation.scorer import Scorer
from bench.evaluation.shipped_faces import JUDGES, MADE_BY, SHIPPED, made_by, shipped, shipped_description
from bench.models.faces.face import Face
from bench.models.faces.panel import Panel
from bench.store import Store
from bench.zoo import make_faces

DATA = Synthetic(limit=0).load(SIDE)
PROTOCOL = Protocol(prompts=("a photo of {subject}",), images_per_prompt=1)
PHOTOS = len(DATA.identities[0].clean + DATA.identities[0].protect)


def scorer(tmp_path: Path) -> Scorer:
    return Scorer(MetricSettings(), PROTOCOL, DATA, Store(tmp_path / "store"), lambda: "cpu")


def test_it_was_made_by_this_code_and_these_judges() -> None:
    stated = json.loads((SHIPPED / MADE_BY).read_text())
    today = {JUDGES: made_by(Panel()), **{name: made_by(PackWitness(name)) for name in make_faces.WITNESSES}}
    assert stated == today, "python -m bench.zoo.make_faces, then python -m bench.zoo.make_manifest"


def test_every_witness_of_a_run_is_among_them() -> None:
    assert set(MetricSettings().recognisers) == set(make_faces.WITNESSES)


def test_the_judges_see_the_same_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_faces, "SHIPPED", tmp_path)
    panel = Panel()
    recognition = Recognition(partial(make_faces.look, panel), DATA)
    for person in (DATA.identities[0], DATA.identities[-1]):
        recognition.photos(person)
    anew = [folder.name for folder in tmp_path.iterdir()]
    assert len(anew) == 2
    for key, judge in itertools.product(anew, panel.names):
        stored, seen = (detections.load(place / key, PHOTOS)[judge].faces for place in (SHIPPED, tmp_path))
        assert [len(faces) for faces in stored] == [len(faces) for faces in seen]
        for before, after in zip(itertools.chain(*stored), itertools.chain(*seen), strict=True):
            np.testing.assert_allclose([*before.box, before.score], [*after.box, after.score], atol=1e-4)
            assert before.embedding @ after.embedding > 1 - 1e-5


@pytest.mark.parametrize("name", make_faces.WITNESSES)
def test_a_witness_sees_the_same_today(name: str) -> None:
    looking, person = PackWitness(name), DATA.identities[-1]
    photos = [*person.clean, *person.protect]
    stored = shipped_description(hash_of([photo.sha256 for photo in photos]), looking)
    anew = looking.describe([photo.pixels for photo in photos])
    assert stored is not None
    assert stored.keys() == anew.keys()
    for column, values in anew.items():
        assert stored[column].dtype == values.dtype
        np.testing.assert_allclose(stored[column], values, atol=1e-4)


def test_nobody_looks_at_the_invented_people_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Panel, "find")
    monkeypatch.delattr(PackWitness, "describe")
    asked = scorer(tmp_path)
    assert all(asked.judgement.knows(person.name) for person in DATA.identities)
    everybody = {person.name for person in DATA.identities}
    assert all(set(witness.references) == everybody for witness in asked._witnesses.values())
    assert not list((tmp_path / "store").rglob("*.*"))


@pytest.mark.parametrize("change", ["judge", "code", "photos"])
def test_what_is_not_what_was_seen_is_looked_at(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = scorer(tmp_path)
    person = Synthetic(limit=1).load(64 if change == "photos" else SIDE).identities[0]
    if change == "judge":
        asked.panel.fingerprint = "another"
    if change == "code":
        monkeypatch.setattr(shipped_faces, "source_version", lambda name: "another")
    looked: list[Pixels] = []

    def find(self: Panel, picture: Pixels) -> dict[str, list[Face]]:
        looked.append(picture)
        return {judge: [] for judge in self.names}

    monkeypatch.setattr(Panel, "find", find)
    asked.judgement.recognitions["faceres"].photos(person)
    assert len(looked) == PHOTOS
    assert len(list((tmp_path / "store" / "faces").glob("*/*/faces.parquet"))) == 1


@pytest.mark.parametrize("change", ["weights", "code", "photos"])
def test_nor_is_a_witness_spared_then(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = PackWitness("facelet-id-a")
    person = Synthetic(limit=1).load(64 if change == "photos" else SIDE).identities[0]
    key = hash_of([photo.sha256 for photo in (*person.clean, *person.protect)])
    assert (shipped_description(key, looking) is None) == (change == "photos")
    if change == "weights":
        monkeypatch.setattr(PackWitness, "fingerprint", "another")
    if change == "code":
        monkeypatch.setattr(shipped_faces, "source_version", lambda name: "another")
    assert shipped_description(key, looking) is None


def test_a_damaged_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = next(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())
    assert shipped(key, Panel()) == SHIPPED / key
    monkeypatch.setattr(shipped_faces, "SHIPPED", tmp_path)
    (tmp_path / MADE_BY).write_text(json.dumps({JUDGES: made_by(Panel())}))
    (tmp_path / key).mkdir()
    with pytest.raises(BenchError, match="missing or empty"):
        shipped(key, Panel())
