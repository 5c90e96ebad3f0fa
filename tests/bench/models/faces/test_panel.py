"""The independent judges: converted networks, the detector, and what the panel says of faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.errors import BenchError
from bench.core.types import Array, Pixels
from bench.models.faces.cutting import cut
from bench.models.faces.faceres import MEAN, FaceRes
from bench.models.faces.independent import FOLDER
from bench.models.faces.mtcnn import Detection, Mtcnn
from bench.models.faces.panel import Panel
from bench.models.faces.sessions import session
from bench.models.weights import files

REFERENCE = Path(__file__).parent / "judges_reference.npz"
"""Two pictures of invented people, and what the published networks say of them: each file's steps done one by one in
torch, in its own layout and precision, by a program that shares nothing with the conversion."""
SHARED = Path(__file__).parents[5] / "shared" / "judges" / "reference.npz"
"""Eight real faces and what TensorFlow Lite says of them: not to be committed."""


@pytest.fixture(scope="module")
def reference() -> Mapping[str, Array]:
    return dict(np.load(REFERENCE))


@pytest.fixture(scope="module")
def panel() -> Panel:
    return Panel()


@pytest.fixture(scope="module")
def photo(reference: Mapping[str, Array]) -> Pixels:
    return np.asarray(reference["pictures"][0])


def run(name: str, pictures: Array) -> list[Array]:
    """What a converted network says of pictures (n, h, w, 3)."""
    given = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)
    return list(session(FOLDER / f"{name}.onnx").run(None, {"pictures": given}))


def resized(pictures: Array, side: int) -> Array:
    sides = (side, side)
    return np.stack([np.asarray(Image.fromarray(p).resize(sides, Image.Resampling.BICUBIC), float) for p in pictures])


def cosines(first: Array, second: Array) -> Array:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.asarray((first * second).sum(axis=1) / lengths)


def pasted(photo: Pixels, side: int, share: float, left: int, top: int) -> tuple[Pixels, float]:
    """A grey picture with the photo, whose face is two thirds of it, at a place; and the photo's scale in it."""
    face = round(side * share * 1.5)
    picture = np.full((side, side, 3), 90, np.uint8)
    small = Image.fromarray(photo).resize((face, face), Image.Resampling.BICUBIC)
    picture[top : top + face, left : left + face] = np.asarray(small)
    return picture, face / photo.shape[0]


def test_recognisers_are_the_published_ones(reference: Mapping[str, Array]) -> None:
    (embeddings,) = run("mobilefacenet", (resized(reference["pictures"], 112) - 127.5) / 128)
    assert np.abs(embeddings - reference["mobilefacenet"]).max() < 0.05  # of 23: weights in fp16
    assert cosines(embeddings, reference["mobilefacenet"]).min() > 0.99999
    (embeddings,) = run("faceres", resized(reference["pictures"], 224)[..., ::-1] - MEAN.ravel())
    assert np.abs(embeddings - reference["faceres"]).max() < 1e-4  # its published weights are fp16


@pytest.mark.parametrize(("letter", "side", "outputs"), [("p", 12, 2), ("r", 24, 2), ("o", 48, 3)])
def test_detector_is_the_published_one(reference: Mapping[str, Array], letter: str, side: int, outputs: int) -> None:
    given = run(f"mtcnn-{letter}", (resized(reference["pictures"], side) - 127.5) / 128)
    assert len(given) == outputs
    for number, values in enumerate(given):
        assert np.abs(values.reshape(2, -1) - reference[f"mtcnn-{letter}_{number}"]).max() < 1e-3


def test_recognisers_agree_with_tensorflow_lite_on_real_faces() -> None:
    if not SHARED.is_file():
        pytest.skip(f"needs {SHARED}, which does not come with the repository")
    with np.load(SHARED) as real:
        (embeddings,) = run("mobilefacenet", (real["aligned_112_rgb"] - 127.5) / 128)
        assert cosines(embeddings, real["mobilefacenet_192"]).min() > 0.99999
        (embeddings,) = run("faceres", real["crop_224_rgb"][..., ::-1] - MEAN.ravel())
        assert np.abs(embeddings - real["faceres_1024"]).max() < 1e-4


def test_detector_says_where_eyes_nose_and_mouth_are(photo: Pixels) -> None:
    (face,) = Mtcnn().find(photo)
    left, top, right, bottom = face.box
    assert face.score > 0.9
    assert -10 < left < 50 < 78 < right < 138
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert top < max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1]) < bottom


@pytest.mark.parametrize(("share", "left", "top"), [(0.6, 20, 30), (0.2, 300, 40), (0.1, 40, 400)])
def test_a_face_is_where_it_was_put_at_any_size(photo: Pixels, share: float, left: int, top: int) -> None:
    (alone,) = Mtcnn().find(photo)
    picture, scale = pasted(photo, 512, share, left, top)
    (face,) = Mtcnn().find(picture)
    assert np.abs((face.points - [left, top]) / scale - alone.points).max() < 5  # of 128


@pytest.mark.parametrize("shape", [(64, 64), (31, 200), (5, 5)])
def test_there_is_no_face_in_noise_or_in_nothing(shape: tuple[int, int], panel: Panel) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for picture in (noise, np.full_like(noise, 128), np.zeros_like(noise)):
        assert panel.find(picture) == {"mobilefacenet": [], "faceres": []}


def test_judges_describe_the_same_faces_by_unit_vectors(photo: Pixels, panel: Panel) -> None:
    picture, _ = pasted(photo, 256, 0.3, 10, 10)
    picture[128:, 128:] = np.asarray(Image.fromarray(photo).resize((128, 128)))
    mobilefacenet, faceres = (panel.find(picture)[name] for name in panel.names)
    assert [face.box for face in mobilefacenet] == [face.box for face in faceres]
    assert len(mobilefacenet) == 2
    for faces, width in ((mobilefacenet, 192), (faceres, 1024)):
        embeddings = np.array([face.embedding for face in faces])
        assert embeddings.shape == (2, width)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1)
        assert embeddings[0] @ embeddings[1] > 0.8  # one photo at two sizes
    assert 0 <= mobilefacenet[0].box[0] < mobilefacenet[0].box[2] <= 1


def test_people_are_told_apart(reference: Mapping[str, Array], panel: Panel) -> None:
    first, second = reference["pictures"]
    mirrored = np.ascontiguousarray(first[:, ::-1])
    for name in panel.names:
        a, b, other = (panel.find(picture)[name][0].embedding for picture in (first, mirrored, second))
        assert a @ b > 0.6 > a @ other + 0.2


def test_a_large_face_is_averaged_before_it_is_cut() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    to_face = torch.tensor([[1.0, 0.0, -3.0], [0.0, 1.0, -5.0]])
    # The centre of small pixel x is at 4 x + 1.5 in the large picture.
    from_large = torch.tensor([[0.25, 0.0, -3.0 - 1.5 / 4], [0.0, 0.25, -5.0 - 1.5 / 4]])
    expected = small[5:25, 3:23].transpose(2, 0, 1)
    np.testing.assert_allclose(cut(small, to_face, 20), expected, atol=1e-2)
    np.testing.assert_allclose(cut(large, from_large, 20), expected, atol=1e-2)


def test_faceres_sees_a_square_around_the_box_moved_up() -> None:
    columns, rows = np.meshgrid(np.arange(200), np.arange(200))
    picture = np.stack([columns, rows, np.full_like(rows, 128)], axis=-1).astype(np.uint8)
    box = np.array([60.0, 60.0, 120.0, 140.0])  # 80 px high: a square of 88 px, centred at (90, 100 - 4.4)
    blue, green, red = FaceRes().crop(picture, Detection(box, np.zeros((5, 2)), 1.0)) + MEAN
    np.testing.assert_allclose(blue, 128, atol=0.01)
    inside = (np.arange(224) + 0.5) * 88 / 224
    np.testing.assert_allclose(red[100], 90 - 44 + inside, atol=0.01)
    np.testing.assert_allclose(green[:, 100], 95.6 - 44 + inside, atol=0.01)


def test_a_damaged_network_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(Panel().fingerprint) == 64
    network = FOLDER / "faceres.onnx"
    listed = {network: "0" * 64}
    monkeypatch.setattr(files, "_published", lambda: listed)
    with pytest.raises(BenchError, match=r"faceres.onnx is damaged"):
        _ = Panel().fingerprint
