"""What the words of a card say of where a method was published."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any

import pytest

from attacks import ATTACKS
from defenses import DEFENSES
from leaderboard.entries.entry import MethodCard
from leaderboard.site.citation import citation
from leaderboard.site.papers import PAPERS


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
    found = citation(MethodCard(description="MyCloak: signed ascent on the loss.", paper=paper))
    assert (found["year"], found["arxiv"], found["where"]) == (year, arxiv, paper)
    assert found["name"] == "MyCloak"


def test_a_description_without_a_name_has_none() -> None:
    assert citation(MethodCard(description="Random noise.", paper=""))["name"] == ""


CONTROLS = {"none", "noise", "jpeg", "placebo", "precomputed"}
METHODS = [
    *((DEFENSES, name) for name in DEFENSES.names() if DEFENSES.is_builtin(name) and name not in CONTROLS),
    *((ATTACKS, name) for name in ATTACKS.names() if ATTACKS.is_builtin(name) and name != "none"),
]


@pytest.mark.parametrize(("registry", "name"), METHODS, ids=[name for _, name in METHODS])
def test_every_method_of_the_project_is_cited_as_its_file_says(registry: Any, name: str) -> None:
    """The file begins with the authors and, most of them, with the title."""
    cls = registry.get(name)
    file = " ".join((sys.modules[cls.__module__].__doc__ or "").split()).partition("Idea:")[0]
    card = MethodCard(description=(inspect.getdoc(cls) or "").partition("\n")[0], paper=getattr(cls, "paper", ""))
    found = citation(card)
    surname = re.split(",| and ", found["authors"])[0]
    assert surname
    assert re.search(rf"\b{surname}\b", file)
    stated = re.search('"([^"]+)"', file)
    if stated and registry is DEFENSES:
        assert found["title"] == stated[1]
    assert found["title"]
    paper = next(paper for paper in PAPERS.values() if found["name"] in paper.names)
    assert (found["year"], found["arxiv"]) == (paper.year, paper.arxiv)
    assert found["year"] in file or registry is DEFENSES


def test_another_paper_of_the_same_name_is_not_credited_to_those_of_the_first() -> None:
    for where in ("2027, arXiv 2701.00001", "CVPR 2027", "my blog"):
        found = citation(MethodCard(description="Mist: something else.", paper=where))
        assert (found["authors"], found["title"]) == ("", "")
    mist = citation(MethodCard(description="Mist: pull the latents.", paper=""))
    assert (mist["authors"], mist["year"], mist["arxiv"]) == ("Liang and Wu", "2023", "2305.12683")
