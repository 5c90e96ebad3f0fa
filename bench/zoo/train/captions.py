"""Captions of the training photos, from what is known of them: age, gender, and a name that we give the person."""

from __future__ import annotations

import random

import numpy as np

from bench.core.types import Array
from bench.zoo.train.photos import Faces

ANY = (
    "a photo of a {}",
    "a photo of {}",
    "a dslr portrait of a {}",
    "a portrait of a {}",
    "a picture of a {}",
    "an image of a {}",
    "a good photo of a {}",
    "a studio portrait of a {}",
)
CLOSE = (*ANY, "a close-up photo of a {}", "a headshot of a {}")
"""Templates for photos that the face fills."""
EMPTY = 0.1
"""Share of empty captions, for classifier-free guidance."""
BARE = 0.3
"""Share of captions that name their subject without an article, as prompts of personalisation do."""


NAMED = 0.5
"""Share of captions that say the name of a person who has one."""


def caption(age: int, gender: str, close: bool, grey: bool, pick: random.Random, name: str = "") -> str:
    """One random caption.

    Args:
        age: years, -1 for unknown.
        gender: "man", "woman" or "" for unknown.
        close: whether the face fills the photo.
        grey: whether it is black and white.
        pick: source of randomness.
        name: of the person, or "".
    """
    if pick.random() < EMPTY:
        return ""
    who = pick.choice(["person", "face", gender or "person", gender or "person"])
    named = bool(name) and pick.random() < NAMED
    if named:
        who = pick.choice([name, f"{name} {who}"])
    elif age >= 0 and pick.random() < 0.6:
        who = ("young " if age < 32 else "middle-aged " if age < 55 else "old ") + who
    template = pick.choice(CLOSE if close else ANY)
    text = (bare(template) if named or pick.random() < BARE else template).format(who)
    if not grey:
        return text
    return text.replace("a photo", "a black and white photo") if "a photo" in text else f"{text}, black and white"


def bare(template: str) -> str:
    """The template without the article of its subject."""
    return template.replace("a {}", "{}")


def genders(faces: Faces) -> Array:
    """(n,) "man", "woman" or "": the labels of UTKFace, and for all others a guess.

    The guess is a least-squares linear function of dlib's descriptor, fitted on the labels of UTKFace; where it is not
    clear (less than half the distance between the two labels' means), the gender stays unknown.
    """
    seen = ~np.isnan(faces.descriptors[:, 0])
    known = seen & (faces.gender != "") & (faces.split == "train")
    design = np.column_stack([faces.descriptors, np.ones(len(seen))])
    weights, *_ = np.linalg.lstsq(design[known], np.where(faces.gender[known] == "woman", 1.0, -1.0), rcond=None)
    score = np.nan_to_num(design @ weights)
    guess = np.where(score > 0.5, "woman", np.where(score < -0.5, "man", ""))
    return np.where(faces.gender != "", faces.gender, guess)
