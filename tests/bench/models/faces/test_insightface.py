"""The attackers' face recogniser: what is found, in which convention, and what a bad pack says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.core.images import to_tensor
from bench.core.types import Pixels
from bench.models.faces.insightface import FaceAnalyser, Recogniser, _sides, largest, locate_pack
from bench.runner.worker_count import threads
from tests.support import tiny


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module")
def analyser(pack: Path) -> FaceAnalyser:
    return FaceAnalyser(locate_pack(str(pack)))


def picture(side: int = tiny.SIDE) -> Pixels:
    """Coloured noise, so that swapped channels show."""
    noise = np.random.default_rng(0).integers(0, 120, (side, side, 3))
    return np.asarray(noise + np.array([130, 60, 0]), np.uint8)


def test_the_recogniser_alone_gives_what_the_pack_gives(pack: Path, analyser: FaceAnalyser, tmp_path: Path) -> None:
    """In other words: it takes RGB in [-1, 1], aligned as insightface aligns."""
    shutil.copy(pack / "recogniser.onnx", tmp_path / "rec.onnx")
    (face,) = analyser.faces(picture())
    points = torch.tensor(np.array([tiny.POINTS]), dtype=torch.float32)
    (embedding,) = Recogniser(locate_pack(str(tmp_path))).embed(to_tensor([picture()]), points).numpy()
    apart = np.linalg.norm(embedding - face.embedding) / np.linalg.norm(face.embedding)
    assert apart < 0.02  # OpenCV rounds its coordinates to 1/32 of a pixel


@pytest.mark.parametrize("side", [32, 64])
def test_a_face_has_box_and_points_in_pixels(analyser: FaceAnalyser, side: int) -> None:
    (face,) = analyser.faces(picture(side))
    scale = side / tiny.SIDE
    assert face.box == pytest.approx(np.array(tiny.BOX) * scale)
    assert face.points == pytest.approx(np.array(tiny.POINTS) * scale)
    assert face.score == pytest.approx(0.9)
    assert face.side == side
    assert face.area == pytest.approx(20 * 24 * scale**2)


def test_the_embedding_is_the_networks_own_for_the_aligned_rgb_face(analyser: FaceAnalyser, pack: Path) -> None:
    import onnxruntime
    from insightface.utils.face_align import norm_crop

    (face,) = analyser.faces(picture())
    aligned = norm_crop(picture(), np.array(tiny.POINTS)).astype(np.float32)
    pixels = (aligned.transpose(2, 0, 1)[None] - 127.5) / 127.5
    session = onnxruntime.InferenceSession(str(pack / "recogniser.onnx"), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"input": pixels})[0]
    assert face.embedding == pytest.approx(expected, abs=1e-3)
    assert float(np.linalg.norm(face.embedding)) > 2
    assert float(np.linalg.norm(face.normed)) == pytest.approx(1)
    assert float(face.normed @ face.embedding) == pytest.approx(float(np.linalg.norm(face.embedding)))


def test_a_face_too_large_for_the_detector_is_found_at_a_smaller_size(analyser: FaceAnalyser) -> None:
    (face,) = analyser.faces(picture(128))
    assert face.side == 64
    assert face.box == pytest.approx(np.array(tiny.BOX) * 4)


def test_no_face_is_no_error(analyser: FaceAnalyser) -> None:
    assert analyser.faces(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.parametrize(
    ("longest", "sides"),
    [(20, [32]), (64, [64]), (100, [128, 64]), (512, [512, 256, 128, 64]), (4000, [640, 320, 160, 64])],
)
def test_input_sides_start_at_the_picture_and_are_multiples_of_the_stride(longest: int, sides: list[int]) -> None:
    assert _sides(longest) == sides


def test_the_largest_face_is_the_one_of_largest_area(analyser: FaceAnalyser) -> None:
    """Copies of InstantID's code have a slip that prefers faces far down in the picture."""
    from dataclasses import replace

    (face,) = analyser.faces(picture())
    low = replace(face, box=np.array([0.0, 500, 10, 510]))
    wide = replace(face, box=np.array([0.0, 0, 20, 20]))
    assert largest([low, wide, low]) is wide
    assert largest([]) is None


@pytest.mark.parametrize("count", [1, 2])
def test_networks_have_as_many_threads_as_torch(pack: Path, count: int) -> None:
    with threads(count):
        one = FaceAnalyser(locate_pack(str(pack)))
        (face,) = one.faces(picture())
    for model in one._app.models.values():
        assert model.session.get_session_options().intra_op_num_threads == count
    (other,) = FaceAnalyser(locate_pack(str(pack))).faces(picture())
    assert np.array_equal(face.embedding, other.embedding)


def test_loading_is_silent(pack: Path, capfd: pytest.CaptureFixture[str]) -> None:
    FaceAnalyser(locate_pack(str(pack))).faces(picture())
    assert capfd.readouterr() == ("", "")


# --- packs ----------------------------------------------------------------------------------------------------------


def test_locating_needs_neither_onnxruntime_nor_torch(pack: Path) -> None:
    code = (
        "import sys; from bench.models.faces.insightface import locate_pack; from bench.models import adapters;"
        f"print(locate_pack({str(pack)!r}).fingerprint);"
        "print([m for m in ('torch', 'onnxruntime', 'insightface') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [locate_pack(str(pack)).fingerprint, "[]"]


def test_the_fingerprint_is_of_the_files_and_not_of_the_place(pack: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pack, tmp_path / "copy")
    assert locate_pack(str(copy)).fingerprint == locate_pack(str(pack)).fingerprint
    tiny.pack(copy, seed=1)
    assert locate_pack(str(copy)).fingerprint != locate_pack(str(pack)).fingerprint


def test_a_pack_one_level_down_is_found(pack: Path, tmp_path: Path) -> None:
    shutil.copytree(pack, tmp_path / "antelopev2" / "antelopev2")
    found = locate_pack(str(tmp_path / "antelopev2"))
    assert found.fingerprint == locate_pack(str(pack)).fingerprint
    assert len(FaceAnalyser(found).faces(picture())) == 1


def test_of_several_packs_one_must_be_chosen(pack: Path, tmp_path: Path) -> None:
    for name in ("antelopev2", "buffalo_l"):
        shutil.copytree(pack, tmp_path / name)
    with pytest.raises(BenchError, match="antelopev2, buffalo_l"):
        locate_pack(str(tmp_path))


def test_a_pack_that_comes_with_the_package_goes_by_its_name(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.faces.insightface.ZOO", tmp_path)
    shutil.copytree(pack, tmp_path / "recognisers" / "facelet-id-a")
    assert locate_pack("facelet-id-a").path == tmp_path / "recognisers" / "facelet-id-a"


def test_no_pack_and_no_files_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nowhere") as caught:
        locate_pack("nowhere")
    assert "folder of an insightface pack" in caught.value.fix
    with pytest.raises(BenchError, match="holds no") as caught:
        locate_pack(str(tmp_path))
    assert "w600k_r50.onnx" in caught.value.fix


@pytest.mark.parametrize(("gone", "missing"), [("detector", "detection"), ("recogniser", "recognition")])
def test_half_a_pack_names_the_other_half(pack: Path, tmp_path: Path, gone: str, missing: str) -> None:
    copy = shutil.copytree(pack, tmp_path / "copy")
    (copy / f"{gone}.onnx").unlink()
    with pytest.raises(BenchError, match=f"no {missing} network"):
        FaceAnalyser(locate_pack(str(copy))).faces(picture())


def test_a_damaged_file_is_an_error_with_a_fix(pack: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(pack, tmp_path / "copy")
    (copy / "recogniser.onnx").write_bytes(b"not a network")
    with pytest.raises(BenchError, match="does not load") as caught:
        FaceAnalyser(locate_pack(str(copy))).faces(picture())
    assert caught.value.fix
