"""The generator of people, and who of them may enter the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.types import Array
from bench.models.diffusion.base import DiffusionModel
from bench.zoo import make_identities
from bench.zoo.make_identities import (
    BASE_PASSES,
    KNOWN,
    PHOTOS,
    SCOUTS,
    TRIES,
    Entry,
    Shot,
    centre,
    choose,
    invent,
    near_the_mean,
)
from bench.zoo.train.person import WIDTH, People, Portrait, Sampler
from bench.zoo.train.photos import Faces
from tests.support.training_views import PHOTOS as TRAINING_PHOTOS
from tests.support.training_views import faces as training_faces
from tests.support.training_views import prepare, rng


def faces() -> Faces:
    """Those of other trainings, with random descriptors; dlib saw no face on the third."""
    descriptors = np.random.default_rng(0).normal(size=(TRAINING_PHOTOS, WIDTH))
    descriptors[2] = np.nan
    return replace(training_faces(), descriptors=descriptors)


# the generator


@pytest.fixture
def portrait(base: DiffusionModel, tmp_path: Path) -> Iterator[Portrait]:
    folder = prepare(base, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Faces, "load", lambda _: faces())
        yield Portrait(base=str(folder), photos="", latents=str(tmp_path / "latents.pt"))


def answer(portrait: Portrait, base: DiffusionModel, who: Tensor) -> Tensor:
    noised = torch.randn(2, *base.latent_shape, generator=rng())
    hidden = torch.randn(2, 24, base.unet.config.cross_attention_dim, generator=rng())
    with torch.no_grad():
        return portrait._answer(noised, torch.tensor([10, 500]), hidden, who)


def test_it_starts_as_the_base_whoever_is_shown(portrait: Portrait, base: DiffusionModel) -> None:
    noised = torch.randn(2, *base.latent_shape, generator=rng())
    hidden = torch.randn(2, 24, base.unet.config.cross_attention_dim, generator=rng())
    with torch.no_grad():
        wanted = base.unet(noised, torch.tensor([10, 500]), hidden).sample
    torch.testing.assert_close(answer(portrait, base, torch.randn(2, WIDTH)), wanted, atol=1e-4, rtol=1e-3)


def test_steps_and_sampling_train_the_whole_unet_and_nothing_else(portrait: Portrait) -> None:
    rows = torch.tensor([0, 1, 3])
    errors, _ = portrait._errors(portrait._step(rows, rng()))
    for loss in (errors.mean(), portrait._glimpse(rows, rng()).square().mean()):
        portrait.module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        moved = {
            name for name, w in portrait.module.named_parameters() if w.grad is not None and w.grad.abs().max() > 0
        }
        assert {"unet.conv_in.weight", "unet.class_embedding.linear_2.weight"} <= moved
        assert all(name.startswith("unet.") for name in moved)


def test_photos_without_a_descriptor_are_left_out(portrait: Portrait) -> None:
    assert 2 not in portrait._train.tolist()
    assert {0, 1, 3} <= set(portrait._train.tolist())


def test_a_sampler_reads_what_was_exported_and_shows_whom_it_is_asked_for(
    portrait: Portrait, base: DiffusionModel, tmp_path: Path
) -> None:
    with torch.no_grad():
        portrait._unet.class_embedding.linear_2.weight.normal_(generator=rng())
    portrait.export(tmp_path / "final")
    sampler = Sampler(tmp_path / "final")
    ada, bob = np.eye(WIDTH)[0], np.eye(WIDTH)[1]
    first, again, other = (sampler.draw(["a photo of a person"] * 2, who, rng()) for who in (ada, ada, bob))
    assert first.shape == (2, 3, base.side, base.side)
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 1e-3


def test_it_goes_on_from_what_it_exported(portrait: Portrait, base: DiffusionModel, tmp_path: Path) -> None:
    with torch.no_grad():
        portrait._unet.class_embedding.linear_2.weight.normal_(generator=rng())
    portrait.export(tmp_path / "final")
    again = Portrait(base=str(tmp_path / "final"), photos="", latents=str(tmp_path / "latents.pt"))
    who = torch.randn(2, WIDTH, generator=rng())
    torch.testing.assert_close(answer(again, base, who), answer(portrait, base, who), atol=1e-3, rtol=1e-2)
    assert all(weight.requires_grad for weight in again._unet.parameters())


def test_an_example_of_nobody_has_no_descriptor(portrait: Portrait, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def spy(noised: Tensor, timesteps: Tensor, hidden: Tensor, who: Tensor) -> Tensor:
        seen.append(who)
        return noised

    monkeypatch.setattr(portrait, "_present", lambda *_: torch.tensor([1.0, 0.0, 1.0]))
    monkeypatch.setattr(portrait, "_answer", spy)
    portrait._step(torch.tensor([0, 1, 3]), rng())
    assert (seen[0].abs().amax(dim=1) > 0).tolist() == [True, False, True]


# the training people


def people(source: Sequence[str], person: Sequence[str], split: Sequence[str], descriptors: Array) -> People:
    fields: dict[str, Any] = {"source": np.array(source), "person": np.array(person), "split": np.array(split)}
    known = People(replace(training_faces(), **fields, descriptors=descriptors))
    known._unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)  # as if the mean face were 0
    return known


def angle(degrees: float) -> Array:
    unit = np.zeros(WIDTH)
    unit[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return unit


def test_how_near_real_people_come_to_others() -> None:
    """Ann's photos are 10 degrees apart, Ben's 20; the nearest photos of others are 35 and 60 away from their means."""
    at = [-5, 5, 85, 105, 35, 155, 180, 181, 1]
    person = ["ann", "ann", "ben", "ben", "cy", "di", "eve", "eve", "photo 1"]  # the last might be Ann
    source = ["lfw"] * 6 + ["celeba"] * 2 + ["utkface_adults"]
    split = ["held"] * 4 + ["train", "train", "held", "held", "train"]
    known = people(source, person, split, np.array([angle(a) for a in at]))
    assert known.usual(0.0, photos=2) == pytest.approx(np.cos(np.radians(60)))
    assert known.usual(1.0, photos=2) == pytest.approx(np.cos(np.radians(35)))  # Ann to Cy; not to her own photos


def test_nearest_and_the_share_above() -> None:
    known = people(["lfw"] * 4, list("abcd"), ["train"] * 4, np.array([angle(a) for a in (0, 10, 50, 90)]))
    assert known.nearest(angle(20)) == pytest.approx(np.cos(np.radians(10)))
    assert known.share_above(angle(20), np.cos(np.radians(25))) == 0.5


def test_the_centre_of_shots_is_a_unit_vector() -> None:
    np.testing.assert_allclose(centre([shot(0), shot(60)]), angle(30), atol=1e-12)


# who may enter


def entry(base: Array, nearest: float = 0.0) -> Entry:
    known: Any = SimpleNamespace(nearest=lambda _: nearest)
    return Entry(known, base, copy=0.6, alike=0.5, passes=0.9)


def test_a_copy_of_a_training_photo_may_not_enter() -> None:
    far = np.stack([angle(180)] * 4)
    assert entry(far, nearest=0.59).open_to(angle(0), [])
    assert not entry(far, nearest=0.6).open_to(angle(0), [])


def test_a_twin_of_another_may_not_enter() -> None:
    far = np.stack([angle(180)] * 4)
    assert entry(far).open_to(angle(0), [angle(61)])
    assert not entry(far).open_to(angle(0), [angle(61), angle(59)])


def test_whom_the_base_draws_anyway_may_not_enter() -> None:
    pictures = int(1 / BASE_PASSES)
    one, two = (np.stack([angle(0)] * n + [angle(180)] * (pictures - n)) for n in (1, 2))
    assert entry(one).open_to(angle(10), [])
    assert not entry(two).open_to(angle(10), [])


def shot(degrees: float) -> Shot:
    return Shot(np.zeros((128, 128, 3), np.uint8), angle(degrees), 0, "")


def test_photos_near_the_mean_show_the_person() -> None:
    shots = [shot(a) for a in (0, 30, -30, 80)]  # their mean is at 19
    assert [shots.index(s) for s in near_the_mean(shots)] == [0, 1]
    assert near_the_mean([]) == []


def test_the_chosen_are_distinct_and_in_order() -> None:
    shots = [shot(a) for a in (0, 1, 30, -30, 29)]
    assert [shots.index(s) for s in choose(shots)] == [0, 2, 3]


def test_no_more_photos_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_identities, "TWIN", 1.1)
    assert len(choose([shot(a / 10) for a in range(PHOTOS + 5)])) == PHOTOS


class Studio:
    """Draws grey pictures, and sees faces in a share of them, in five directions so many degrees apart."""

    def __init__(self, seen: float = 1.0, apart: float = 20, faces: int = 1) -> None:
        self.asked: list[int] = []
        self._seen, self._apart, self._faces, self._judged = seen, apart, faces, 0

    def draw(self, prompts: Sequence[str], *_: object) -> Tensor:
        self.asked.append(len(prompts))
        return torch.full((len(prompts), 3, 128, 128), 0.5)

    def find(self, _: object) -> list[SimpleNamespace]:
        self._judged += 1
        if (self._judged % 100) / 100 > self._seen:
            return []
        return [SimpleNamespace(embedding=angle(self._apart * (self._judged % 5 - 2)))] * self._faces


def invented(studio: Any, may_enter: Any = lambda _: True) -> list[Shot]:
    known: Any = SimpleNamespace(draw=lambda *_: angle(0))
    return invent(studio, studio, known, 0, may_enter)


def test_a_person_is_drawn_in_two_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_identities, "TWIN", 1.1)
    studio = Studio()
    assert len(invented(studio)) == PHOTOS
    assert studio.asked == [SCOUTS, TRIES - SCOUTS]


def test_who_may_not_enter_costs_one_look() -> None:
    studio = Studio()
    assert invented(studio, lambda _: False) == []
    assert studio.asked == [SCOUTS]


def test_a_face_that_is_hard_to_draw_is_nobody() -> None:
    assert invented(Studio(seen=KNOWN / 20)) == []


def test_pictures_of_two_faces_show_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_identities, "TWIN", 1.1)
    assert invented(Studio(faces=2, apart=0)) == []


def test_the_chosen_photos_are_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_identities, "TWIN", 1.1)
    answers = iter([True, True, False])
    assert invented(Studio(), lambda _: next(answers)) == []
    assert next(answers, None) is None


def test_a_face_that_changes_from_picture_to_picture_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_identities, "TWIN", 1.1)
    studio = Studio(apart=60)
    assert invented(studio) == []
    assert studio.asked == [SCOUTS]


def test_too_few_different_photos_are_nobody() -> None:
    assert invented(Studio()) == []  # five directions, and twins do not count
