"""What the words of a card say of where a method was published."""

from __future__ import annotations

import pytest

from leaderboard.entries.entry import MethodCard
from leaderboard.site.citation import citation


@pytest.mark.parametrize(
    ("paper", "year", "arxiv"),
    [
        ("ICML 2023, arXiv 2302.04578", "2023", "2302.04578"),
        ("2025, arXiv 2511.19910", "2025", "2511.19910"),
        ("CVPR 2026", "2026", ""),
        ("arXiv:2003.12345", "", "2003.12345"),
        ("arXiv 2302.04578/../../evil", "", "2302.04578"),
        ("javascript:alert(1)", "", ""),
        ("", "", ""),
    ],
)
def test_year_and_number_are_read_from_a_card(paper: str, year: str, arxiv: str) -> None:
    found = citation(MethodCard(description="AdvDM: signed ascent on the loss.", paper=paper))
    assert (found["year"], found["arxiv"], found["where"]) == (year, arxiv, paper)
    assert found["name"] == "AdvDM"


def test_a_description_without_a_name_has_none() -> None:
    assert citation(MethodCard(description="Random noise.", paper=""))["name"] == ""
