"""Where a method was published, from the words of its card: "ICLR 2025, arXiv 2310.04687"."""

from __future__ import annotations

import re

from leaderboard.entries.entry import MethodCard
from leaderboard.site.papers import paper_of

YEAR = re.compile(r"\b(?:19|20)\d\d\b")
ARXIV = re.compile(r"\barXiv[ :]+(\d{4}\.\d{4,5})\b", re.IGNORECASE)


def citation(card: MethodCard) -> dict[str, str]:
    """Name as the method's authors write it, words of the card, and authors, title, year and arXiv's number.

    What neither the card nor `papers` says is "". An address is only ever made of a number: whatever else somebody
    writes into a card leads nowhere.
    """
    number = ARXIV.search(card.paper)
    year = YEAR.search(ARXIV.sub("", card.paper))
    name = card.description.partition(":")[0] if ":" in card.description[:80] else ""
    paper = paper_of(name, card.paper, year[0] if year else "", number[1] if number else "")
    return {
        "name": name,
        "authors": paper.authors if paper else "",
        "title": paper.title if paper else "",
        "where": card.paper,
        "year": year[0] if year else paper.year if paper else "",
        "arxiv": number[1] if number else paper.arxiv if paper else "",
    }
