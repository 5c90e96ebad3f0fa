"""Somebody who reads the built page in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Reader:
    """Somebody at the page, and everything that goes wrong meanwhile."""

    def __init__(self, browser: Any, site: Path, **context: Any) -> None:
        self.page = browser.new_context(**context).new_page()
        self.site = site
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._local(request.url))

    def _local(self, address: str) -> None:
        if not address.startswith(("file:", "data:", "blob:")):
            self.wrong.append(f"asked {address}")

    def open(self, where: str = "index.html") -> Any:
        self.page.goto("about:blank")  # else a change of the hash alone would not load the page
        self.page.goto(f"file://{self.site}/{where}")
        if where.startswith("index.html"):
            self.drawn()
        return self.page

    def drawn(self) -> None:
        self.page.wait_for_selector("body[data-drawn]")

    def sorted_by(self, sort: str) -> list[str]:
        """The rows, as soon as they are sorted so."""
        self.page.wait_for_function("sort => location.hash.includes(sort)", arg=f"sort={sort}")
        return self.rows()

    def rows(self) -> list[str]:
        names = "#table tbody .title > a:first-child"
        found: list[str] = self.page.eval_on_selector_all(names, "all => all.map(a => a.textContent)")
        return found
