"""Pairs of photos come from a run's records and its store."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.remover.pairs import read_pairs
from tests.bench.remover.conftest import CLOAKS, PEOPLE
from tests.support.entries import invented


def test_every_cloak_of_everybody_is_paired_with_the_clean_photo(run: Path) -> None:
    pairs, photos = read_pairs([run]), len(invented())
    assert Counter((pair.person, pair.cloak) for pair in pairs) == {
        (person, cloak): photos for person in PEOPLE for cloak in ("none", *CLOAKS)
    }
    for pair in pairs:
        assert np.abs(pair.cloaked.astype(int) - pair.clean).max() == (0 if pair.cloak == "none" else 16)
    ada = [pair.clean for pair in pairs if (pair.person, pair.cloak) == ("ada", "mist")]
    assert all(np.array_equal(one, other) for one, other in zip(ada, invented("p01"), strict=True))


def test_what_is_left_out_is_not_there(run: Path) -> None:
    assert {pair.cloak for pair in read_pairs([run], ["aspl"])} == {"none", "mist"}


def test_a_cloak_that_nobody_used_cannot_be_left_out(run: Path) -> None:
    with pytest.raises(BenchError, match="'asp'") as caught:
        read_pairs([run], ["asp"])
    assert "aspl" in caught.value.fix


def test_nothing_to_learn_is_said(run: Path) -> None:
    with pytest.raises(BenchError, match="nothing to learn"):
        read_pairs([run], CLOAKS)
    with pytest.raises(BenchError, match="no finished cells"):
        read_pairs([run / "cells"])


def test_clean_photos_are_needed(run: Path) -> None:
    for file in (run / "cells").iterdir():
        if "adanone" in file.read_text():
            file.unlink()
    with pytest.raises(BenchError, match="no clean photos of ada") as caught:
        read_pairs([run])
    assert "defense=none" in caught.value.fix


def test_a_store_that_lost_photos_is_said(run: Path) -> None:
    shutil.rmtree(run.parent / "store" / "protect")
    with pytest.raises(BenchError, match="no longer has the photos"):
        read_pairs([run])
