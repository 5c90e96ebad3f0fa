"""A record beside one's own of the same cell: settings that name files lie elsewhere on every machine."""

from __future__ import annotations

from typing import Any

import pytest

from bench.results.record import Record
from leaderboard.review.stated import differing
from tests.support.boards import record


def of_file(folder: str) -> Record:
    whole: dict[str, Any] = record("mine", "person-00", 0.5).model_dump()
    whole["defense"]["config"] = {**whole["defense"]["config"], "folder": folder}
    return Record.model_validate(whole)


@pytest.mark.parametrize("ours", [".../cloaks.bin", "/home/bo/cloaks.bin", "~/cloaks.bin"])
@pytest.mark.parametrize("theirs", [".../cloaks.bin", "/home/ada/cloaks.bin"])
def test_the_same_file_elsewhere_is_the_same_setting(theirs: str, ours: str) -> None:
    """An entry of before names were shortened says where its file lay; a run of today says its name alone."""
    assert differing(of_file(theirs), of_file(ours)) == {}


def test_another_file_is_another_setting() -> None:
    pair = {"defense.config.folder": ("/home/ada/others.bin", ".../cloaks.bin")}
    assert differing(of_file("/home/ada/others.bin"), of_file(".../cloaks.bin")) == pair
