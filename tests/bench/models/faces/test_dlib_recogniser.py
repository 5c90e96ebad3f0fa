"""dlib's recogniser: real faces, real people, and no face where there is none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.images import resize
from bench.core.types import Array, Pixels
from bench.data.photo_reader import read_image
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.models.faces.dlib_recogniser import DlibRecogniser, find_boxes
from bench.models.faces.dlib_resnet import DlibNetwork
from bench.models.faces.dlib_weights import weights

SIDE = 256


@pytest.fixture(scope="module")
def dlib() -> DlibRecogniser:
    return DlibRecogniser()


@pytest.fixture(scope="module")
def photos(shared_data: Callable[[str], Path]) -> dict[str, list[Pixels]]:
    """Two people of three photos each."""
    root = shared_data("celebahq_mini")
    people = sorted(folder for folder in root.iterdir() if folder.is_dir())[:2]
    return {p.name: [resize(read_image(f), SIDE) for f in sorted((p / "set_A").glob("*.jpg"))[:3]] for p in people}


@pytest.fixture(scope="module")
def embeddings(dlib: DlibRecogniser, photos: dict[str, list[Pixels]]) -> dict[str, list[Array]]:
    return {name: [dlib.find(photo)[0].embedding for photo in sets] for name, sets in photos.items()}


def no_face(kind: str) -> Pixels:
    if kind == "noise":
        return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    if kind == "gradient":
        ramp = np.linspace(0, 255, 64).astype(np.uint8)
        return np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90, np.uint8)], -1)
    return np.full((64, 64, 3), {"black": 0, "grey": 128, "white": 255}[kind], np.uint8)


def test_photo_has_one_face_in_its_middle(dlib: DlibRecogniser, photos: dict[str, list[Pixels]]) -> None:
    for photo in (photo for sets in photos.values() for photo in sets):
        (face,) = dlib.find(photo)
        left, top, right, bottom = face.box
        assert left < 0.5 < right
        assert top < 0.6 < bottom
        assert 0.05 < face.area < 1
        assert face.score > 0
        assert dlib.has_face(photo)


def test_descriptors_are_dlibs_own(photos: dict[str, list[Pixels]]) -> None:
    import dlib

    recogniser = str(weights("dlib_face_recognition_resnet_model_v1.dat"))
    oracle, network = dlib.face_recognition_model_v1(recogniser), DlibNetwork(Path(recogniser))
    landmarks = dlib.shape_predictor(str(weights("shape_predictor_5_face_landmarks.dat")))
    for photo in (photo for sets in photos.values() for photo in sets):
        # Boxes off the face too: what is described then is not a face, but the network's answer must be the same.
        found = [landmarks(photo, dlib.rectangle(*box)) for box in ((60, 60, 190, 190), (0, 0, 120, 120))]
        expected = [oracle.compute_face_descriptor(photo, points) for points in found]
        assert np.abs(network.describe(photo, found) - np.asarray(expected)).max() < 1e-5


def test_other_files_are_not_taken_for_dlibs_network(tmp_path: Path) -> None:
    whole = weights("dlib_face_recognition_resnet_model_v1.dat").read_bytes()
    for name, content in {"empty": b"", "text": b"con_4 affine_ fc_2", "cut": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BenchError, match="is not dlib's face recognition network"):
            DlibNetwork(tmp_path / name)


def test_embeddings_have_unit_norm(embeddings: dict[str, list[Array]]) -> None:
    vectors = np.stack([vector for sets in embeddings.values() for vector in sets])
    assert vectors.shape == (6, 128)
    assert vectors.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9)


def test_one_person_resembles_themself_more_than_another(embeddings: dict[str, list[Array]]) -> None:
    one, other = embeddings.values()
    genuine = [a @ b for person in (one, other) for a, b in combinations(person, 2)]
    impostors = [a @ b for a in one for b in other]
    assert min(genuine) > max(impostors)
    assert abs(float(np.mean(impostors))) < 0.4, "without the background mean, strangers have a cosine of 0.84"


def test_search_is_deterministic(dlib: DlibRecogniser, photos: dict[str, list[Pixels]]) -> None:
    photo = next(iter(photos.values()))[0]
    first, again, fresh = dlib.find(photo)[0], dlib.find(photo)[0], DlibRecogniser().find(photo)[0]
    for other in (again, fresh):
        assert (other.box, other.score) == (first.box, first.score)
        np.testing.assert_array_equal(other.embedding, first.embedding)


def test_box_follows_the_face_and_not_the_size_of_the_photo(
    dlib: DlibRecogniser, photos: dict[str, list[Pixels]]
) -> None:
    photo = next(iter(photos.values()))[0]
    (box,) = find_boxes(Image.fromarray(photo))
    assert box == dlib.find(photo)[0].box
    (larger,) = find_boxes(Image.fromarray(photo).resize((2 * SIDE, 2 * SIDE), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(larger, box, atol=0.05)
    wide = np.concatenate([np.full_like(photo, 128), photo], axis=1)  # the face is in the right half now
    (left, top, right, bottom), *_ = find_boxes(Image.fromarray(wide))
    np.testing.assert_allclose(
        ((left + right) / 2, (top + bottom) / 2), (0.5 + (box[0] + box[2]) / 4, (box[1] + box[3]) / 2), atol=0.05
    )


def test_every_face_of_a_picture_is_found_best_first(dlib: DlibRecogniser, photos: dict[str, list[Pixels]]) -> None:
    one, other = (sets[0] for sets in photos.values())
    faces = dlib.find(np.concatenate([one, other], axis=1))
    assert len(faces) == 2
    assert faces[0].score >= faces[1].score


@pytest.mark.parametrize("kind", ["noise", "gradient", "black", "grey", "white"])
def test_picture_without_a_face_has_none(dlib: DlibRecogniser, kind: str) -> None:
    assert dlib.find(no_face(kind)) == []
    assert not dlib.has_face(no_face(kind))
    assert find_boxes(Image.fromarray(no_face(kind))) == []


def test_fingerprint_is_stable() -> None:
    """It is part of every measurement's key: an unstable one would never find what is stored."""
    assert DlibRecogniser().fingerprint == DlibRecogniser().fingerprint
    assert len(DlibRecogniser().fingerprint) == 64


def test_fingerprint_follows_the_background_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = DlibRecogniser().fingerprint
    np.save(tmp_path / "background.npy", np.zeros(128))
    monkeypatch.setattr("bench.models.faces.dlib_recogniser.BACKGROUND", tmp_path / "background.npy")
    assert DlibRecogniser().fingerprint != before


def test_synthetic_people_have_a_face_each(dlib: DlibRecogniser) -> None:
    """Their photos come with the package; a protected photo without a face would be a free success."""
    files = sorted(SYNTHETIC.glob("*/set_B/*.png"))[:4]
    if not files:
        pytest.skip(f"needs {SYNTHETIC}, which is made by bench.zoo.make_identities")
    for file in files:
        assert dlib.has_face(np.asarray(read_image(file))), file
