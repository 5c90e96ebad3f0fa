"""What comes with the package is what the judges see today, so nobody looks again; other judges do."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.data.synthetic import SIDE, Synthetic
from bench.evaluation import detections, shipped_faces
from bench.evaluation.recognition import Recognition
from bench.evaluation.scorer import Scorer
from bench.evaluation.shipped_faces import MADE_BY, SHIPPED, made_by, shipped
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
    assert stated == made_by(Panel()), "python -m bench.zoo.make_faces, then python -m bench.zoo.make_manifest"


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


def test_nobody_looks_at_the_invented_people_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Panel, "find")
    judgement = scorer(tmp_path).judgement
    assert all(judgement.knows(person.name) for person in DATA.identities)
    assert not (tmp_path / "store" / "faces").exists()


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


def test_a_damaged_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = next(folder.name for folder in SHIPPED.iterdir() if folder.is_dir())
    assert shipped(key, Panel()) == SHIPPED / key
    monkeypatch.setattr(shipped_faces, "SHIPPED", tmp_path)
    (tmp_path / MADE_BY).write_text(json.dumps(made_by(Panel())))
    (tmp_path / key).mkdir()
    with pytest.raises(BenchError, match="missing or empty"):
        shipped(key, Panel())
