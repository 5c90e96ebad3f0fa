"""What the trainings see: who is held out, which view shows what, and whose photos are paired."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from bench.core.types import Array
from bench.models.faces.alignment import ALIGNED, TEMPLATE, move, similarity
from bench.models.weights.files import ZOO
from bench.zoo.make_background import main as make_background
from bench.zoo.train.adapter import Partners
from bench.zoo.train.captions import ANY, BARE, NAMED, caption, genders
from bench.zoo.train.image_encoder import ImageEncoder
from bench.zoo.train.photos import Faces
from bench.zoo.train.splits import Described, split_people
from bench.zoo.train.syllables import SYLLABLES, names, with_syllables
from bench.zoo.train.views import Views, _boxes, random_crops, show
from tests.support.training_faces import POINTS, faces


def embedding(direction: int, *, noise: float = 0.05, seed: int = 0) -> Array:
    """(128,) near one axis: two of one axis are one person, those of two axes are strangers."""
    made = np.zeros(128)
    made[direction] = 1
    return np.asarray(made + noise * np.random.default_rng(seed + 1000 * direction).normal(size=128) / 128**0.5)


FaceDetections = tuple[str, str, int, int]
"""Source, person, and the axes on which the two recognisers see the photo."""


def described(rows: list[FaceDetections]) -> Described:
    return Described(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        {
            "dlib": np.stack([embedding(row[2], seed=j) for j, row in enumerate(rows)]),
            "facelet-id-b": np.stack([embedding(row[3], seed=j) for j, row in enumerate(rows)]),
        },
    )


def crowd() -> list[FaceDetections]:
    """People whom nobody takes for another: 400 photos of UTKFace, 60 people of LFW, 30 of CelebA."""
    rows = [("utkface_adults", f"utk{i:03}", 10 + i % 100, 10 + i % 100) for i in range(400)]
    rows += [("lfw", f"lfw{i}", 10 + i, 10 + i) for i in range(60) for _ in range(2)]
    return rows + [("celeba", f"c{i}", 90 + i, 90 + i) for i in range(30) for _ in range(12)]


def splits(rows: list[FaceDetections]) -> dict[str, set[str]]:
    people = described([*rows, ("lfw_eval", "tested", 0, 1), ("celeba_eval", "celeba_eval/1", 2, 3)])
    split = split_people(people, ("lfw_eval", "celeba_eval"))
    return {name: set(split[people.person == name]) for name in people.person}


@pytest.mark.parametrize("axes", [(0, 8), (8, 1), (0, 1)], ids=["dlib", "the other", "both"])
@pytest.mark.parametrize("source", ["lfw", "celeba", "utkface_adults"])
def test_whoever_one_recogniser_finds_in_the_evaluation_is_dropped(source: str, axes: tuple[int, int]) -> None:
    mine = [(source, "known", *axes)] * (1 if source == "utkface_adults" else 12)
    split = splits([*crowd(), *mine, *[("celeba", "other", 5, 5)] * 3])
    assert split["known"] == {"dropped"}
    assert split["other"] == {"train"}


def test_people_of_lfw_who_are_in_celeba_are_dropped_from_lfw() -> None:
    """Both recognisers must say so, since the cost of an error is small."""
    celebrity = [("celeba", "celebrity", 5, 6)] * 4
    split = splits([*crowd(), *celebrity, *[("lfw", "famous", 5, 6)] * 3, *[("lfw", "alike1", 5, 7)] * 3])
    assert split["famous"] == {"dropped"}
    assert split["celebrity"] == split["alike1"] == {"train"}


def test_people_for_tuning_have_many_photos_and_nobody_who_trains_is_like_them() -> None:
    rows = [("celeba", f"c{i}", 10 + i, 10 + i) for i in range(30) for _ in range(12)]
    rows += [("celeba", f"few{i}", 50 + i, 50 + i) for i in range(10) for _ in range(11)]
    split = splits([*rows, *[("utkface_adults", f"utk{i}", 10 + i, 10 + i) for i in range(30)]])
    tuned = {i for i in range(30) if split[f"c{i}"] == {"tune"}}
    assert len(tuned) == 24
    assert {i for i in range(30) if split[f"utk{i}"] == {"dropped"}} == tuned
    assert all(split[f"few{i}"] == {"train"} for i in range(10))


def test_held_out_are_a_quarter_of_lfw_and_every_64th_photo_of_utkface() -> None:
    split = splits(crowd())
    held = {name for name in split if name.startswith("lfw") and split[name] == {"held"}}
    assert 5 < len(held) < 30
    assert all(split[f"lfw{i}"] == {"train"} for i in range(60) if f"lfw{i}" not in held)
    clear = {i for i in range(400) if split[f"utk{i:03}"] != {"dropped"}}
    assert {i for i in clear if split[f"utk{i:03}"] == {"held"}} == set(range(0, 400, 64)) & clear


def views(crop: tuple[float, float, float], flip: bool, side: int = 128) -> Views:
    n, levels = 4, {64: 3, 128: 4}[side]
    return Views(
        vae=SimpleNamespace(config=SimpleNamespace(block_out_channels=[1] * levels)),
        faces=faces(n),
        latents=torch.zeros(n, 4, 16, 16),
        row=torch.arange(n),
        crop=torch.tensor([crop] * n),
        flip=torch.tensor([flip] * n),
        grey=torch.zeros(n).bool(),
    )


def test_a_view_shows_its_crop_and_key_points_move_with_it() -> None:
    whole = views((0.0, 0.0, 1.0), flip=False)
    assert whole.pixels(torch.tensor([0]))[0, 0, 10, 100] == 1
    assert whole.pixels(torch.tensor([0]))[0, 0, 10, 20] == 0
    corner = views((0.5, 0.0, 0.5), flip=False).pixels(torch.tensor([0]))
    assert (corner[0, :, 2:-2, 2:-2] > 0.99).all()  # nothing but the bright quarter
    torch.testing.assert_close(
        views((0.25, 0.25, 0.5), flip=False).points(torch.tensor([0]))[0, 2], torch.tensor([0.5, 0.7])
    )


def test_a_view_has_the_side_of_the_base() -> None:
    small, large = (views((0.25, 0.25, 0.5), flip=False, side=side) for side in (64, 128))
    one = torch.tensor([0])
    assert small.pixels(one).shape == (1, 3, 64, 64)
    wanted = torch.nn.functional.avg_pool2d(large.pixels(one), 2)
    assert (small.pixels(one) - wanted).abs().mean() < 0.01
    assert torch.equal(small.points(one), large.points(one))


def test_a_mirrored_view_swaps_left_and_right() -> None:
    mirrored = views((0.0, 0.0, 1.0), flip=True)
    assert mirrored.pixels(torch.tensor([0]))[0, 0, 10, 20] == 1
    left_eye, right_eye = mirrored.points(torch.tensor([0]))[0, :2]
    assert left_eye[0] < right_eye[0]
    torch.testing.assert_close(left_eye, torch.tensor([0.3, 0.4]))


def test_grey_is_grey() -> None:
    made = show(faces(2), torch.arange(2), torch.tensor([[0.0, 0, 1]] * 2), torch.zeros(2).bool(), torch.ones(2).bool())
    assert torch.equal(made[:, 0], made[:, 1])


def test_partners_are_of_the_same_person_and_usable() -> None:
    usable = torch.tensor([True, True, True, False])
    partners = Partners(views((0.0, 0.0, 1.0), flip=False), usable)
    random = torch.Generator().manual_seed(0)
    drawn = torch.cat([partners.of(torch.tensor([0, 1]), random)[None] for _ in range(40)])
    assert set(drawn[:, 0].tolist()) == {0, 2}
    assert set(drawn[:, 1].tolist()) == {1}


def test_captions_say_what_is_known_and_nothing_else() -> None:
    pick = random.Random(0)
    known = [caption(70, "woman", close=True, grey=False, pick=pick) for _ in range(200)]
    assert any("old woman" in text for text in known)
    assert not any("young" in text or "black and white" in text for text in known)
    assert 5 < known.count("") < 40
    unknown = [caption(-1, "", close=False, grey=True, pick=pick) for _ in range(100)]
    assert not any(word in text for text in unknown for word in ("man", "old", "close-up"))
    assert all("black and white" in text for text in unknown if text)


def test_half_of_the_captions_say_a_name_and_then_no_age() -> None:
    pick = random.Random(0)
    said = [caption(70, "woman", close=True, grey=False, pick=pick, name="ka ri") for _ in range(1000)]
    named = [text for text in said if "ka ri" in text]
    assert len(named) / len([text for text in said if text]) == pytest.approx(NAMED, abs=0.06)
    assert not any("old" in text or "a ka ri" in text for text in named)
    assert {text.partition("ka ri")[2].strip() for text in named} == {"", "person", "face", "woman"}


def test_who_has_several_training_photos_gets_a_name_of_their_own() -> None:
    person = np.array([f"p{i}" for i in range(50)] * 2 + ["single", "held", "held"])
    called = names(person, np.array([True] * 101 + [False] * 2))
    assert set(called) == {f"p{i}" for i in range(50)}
    assert len(set(called.values())) == 50
    assert {len(name.split()) for name in called.values()} == {2}
    many = np.repeat(np.arange(len(SYLLABLES) ** 2 + 1).astype(str), 2)
    with pytest.raises(ValueError, match="names"):
        names(many, np.ones(len(many), bool))


def test_syllables_are_one_token_each_and_nothing_else_changes() -> None:
    folder = ZOO / "facelet-1" / "tokenizer"
    old, new = CLIPTokenizer.from_pretrained(folder), with_syllables(folder)
    assert len(new) == len(old) + len(SYLLABLES)
    for syllable in SYLLABLES:
        assert len(new(syllable, add_special_tokens=False).input_ids) == 1
    words = [token.removesuffix("</w>") for token in old.get_vocab() if len(token) > 6]
    assert new(words).input_ids == old(words).input_ids


def test_frames_are_as_large_as_asked_and_keep_the_face_in_the_middle() -> None:
    """A box of half the photo, in its middle, has room for frames of up to twice the box."""
    some, rows = faces(), torch.arange(4).repeat(50)
    middle = np.array(POINTS).mean(axis=0)
    box = _boxes(torch.tensor([POINTS]).float())[1].item()
    some.points[:] = 0.5 + (np.array(POINTS) - middle) * 0.5 / box
    boxes = _boxes(torch.from_numpy(some.points).float())
    torch.testing.assert_close(boxes[1], torch.full((4,), 0.5))
    crops = random_crops(some, rows, torch.Generator().manual_seed(0), (1.2, 1.8))
    side = crops[:, 2]
    assert 0.6 <= side.min() < 0.62 and 0.88 < side.max() <= 0.9  # noqa: PT018
    assert (crops[:, :2] >= 0).all() and (crops[:, :2] + side[:, None] <= 1 + 1e-6).all()  # noqa: PT018
    off = (crops[:, :2] + side[:, None] / 2 - boxes[0][0]) / side[:, None]
    assert off.abs().max() <= 0.05 + 0.03  # as drawn, or as the edge of the photo makes it
    some.points[0] = np.nan
    whole = random_crops(some, torch.tensor([0]), torch.Generator().manual_seed(0))
    assert whole.tolist() == [[0, 0, 1]]


def test_close_ups_are_told_by_the_face_and_not_by_the_photo() -> None:
    near, far = views((0.0, 0.0, 1.0), flip=False), views((0.0, 0.0, 1.0), flip=False)
    far.faces.points[:] = 0.5 + (np.array(POINTS) - 0.5) * 0.5
    assert [each.facts(0)[2] for each in (near, far)] == [True, False]


def test_some_captions_name_their_subject_without_an_article() -> None:
    pick = random.Random(0)
    told = [text for text in (caption(-1, "", close=False, grey=False, pick=pick) for _ in range(2000)) if text]
    without = [text for text in told if not text.endswith((" a person", " a face"))]
    assert all(text.endswith((" person", " face")) for text in without)
    named = sum("a {}" not in template for template in ANY) / len(ANY)  # templates that have none anyway
    assert abs(len(without) / len(told) - (named + (1 - named) * BARE)) < 0.04


@pytest.mark.parametrize("point", range(5))
def test_the_image_encoder_sees_faces_where_adapters_show_them(monkeypatch: pytest.MonkeyPatch, point: int) -> None:
    """A dot on a key point comes to lie on the template's."""
    known = faces()
    known.pixels[:] = 0
    x, y = (np.array(known.points[0, point]) * 128).round().astype(int)
    known.pixels[:, y, x] = 255
    monkeypatch.setattr(Faces, "load", lambda _: replace(known, split=np.array(["train", "train", "held", "held"])))
    seen = ImageEncoder(Path())._aligned(torch.arange(2), None)
    assert seen.shape == (2, 3, 128, 128)
    found = divmod(int(seen[0, 0].argmax()), 128)
    scale = similarity(torch.tensor(known.points[:1]).float() * 128, TEMPLATE * 128 / ALIGNED)
    wanted = move(torch.tensor([[[float(x), float(y)]]]), scale)[0, 0]
    assert abs(found[1] - wanted[0]) < 1.5
    assert abs(found[0] - wanted[1]) < 1.5
    assert (wanted - TEMPLATE[point] * 128 / ALIGNED).abs().max() < 12  # the face is not quite the template's shape


def test_the_gender_of_others_is_guessed_from_labelled_photos() -> None:
    rng = np.random.default_rng(0)
    side = rng.choice([-1.0, 1.0], 400)
    descriptors = rng.normal(size=(400, 128)) * 0.1
    descriptors[:, 0] += side
    descriptors[399] = np.nan
    labelled = np.where(side > 0, "woman", "man")
    labelled[300:] = ""
    some = Faces(
        **{**vars(faces(2)), "descriptors": descriptors, "gender": labelled, "split": np.array(["train"] * 400)}
    )
    guessed = genders(some)
    assert (guessed[300:399] == np.where(side[300:399] > 0, "woman", "man")).mean() > 0.95
    assert guessed[399] == ""


def test_the_judges_background_is_the_mean_of_what_trainings_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = faces(6)
    rows = np.random.default_rng(0).normal(size=(6, 128))
    rows[1] = np.nan  # no face was found
    split = np.array(["train", "train", "train", "dropped", "held", "held"])
    monkeypatch.setattr(Faces, "load", lambda _: replace(known, descriptors=rows, split=split))
    monkeypatch.setattr("bench.zoo.make_background.BACKGROUND", tmp_path / "judge" / "background.npy")
    assert make_background([]) == 0
    np.testing.assert_allclose(np.load(tmp_path / "judge" / "background.npy"), (rows[0] + rows[2]) / 2)
