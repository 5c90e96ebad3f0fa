"""Write the site: one folder that opens from disk and asks nobody for anything.

Pages are Jinja2 templates, which escape whatever they are given; data is JSON inside a string of a script, which no
content can leave. The page's own scripts treat every text as text.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import bench
from bench.core.errors import BenchError
from bench.core.file_names import inside
from leaderboard.entries.reader import MARK, BadEntry, Problem, Result, open_all
from leaderboard.entries.sprites import reencoded
from leaderboard.entries.strict_json import WHOLE, not_understood
from leaderboard.site import row_page
from leaderboard.site.grouping import groups
from leaderboard.site.measures import MEASURES
from leaderboard.site.page_data import Layout, page_data, picture_data, picture_file

TEXTS = ("metrics", "protocol", "statistics", "ethics")
"""Pages that need nothing but words."""


def build(results: Path, out: Path, docs: str = "", tell: Callable[[str], None] = lambda _: None) -> list[Problem]:
    """Make the site of a folder of entries.

    Args:
        results: see `leaderboard.entries.reader`.
        out: folder to write; a site that is there is replaced as a whole, and not before the new one is complete.
        docs: folder below it that the documentation will be in, which pages then link to; empty for none.
        tell: told how far it has come, a line at a time.

    Returns:
        What is wrong with entries, or pictures of entries, that were left out.

    Raises:
        BenchError: there is no such folder, or `out` holds something else than a site.
    """
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f"{out} is no site of ours, so it is not replaced.", "Choose another folder: -o site.")
    out = out.resolve()  # through a link, the folder itself is replaced
    opened, problems = open_all(results)
    tell(f"Entries found: {len(opened)}. Reading their records ...")
    pages, unusable = _usable(opened, docs)
    rows = sum(name.startswith("rows/") for name in pages.texts)
    tell(f"Rows: {rows}. Writing their pages, and {len(pages.pictures)} strips of pictures ...")

    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".site-", dir=out.parent))
    try:
        damaged = _write(fresh, pages)
        if out.exists():
            shutil.rmtree(out)
        fresh.chmod(0o755)
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return problems + unusable + damaged


@dataclass
class _Pages:
    """A site before it is written: a text of every file, and of whose pictures it needs which."""

    texts: dict[str, str]
    shown: dict[str, Any]
    """Place on the page -> which file shows it; only what can be written is told to the page."""
    pictures: list[tuple[str, Result, str]]
    """File, the entry that has it, and its cell."""


def _usable(opened: Sequence[Result], docs: str) -> tuple[_Pages, list[Problem]]:
    """The pages of all entries of which pages can be made, and what is wrong with the others.

    Of the checks that refuse an entry some are always missing. So where one of the entries breaks the pages of all, it
    is looked for: by adding one after the other, those of the maintainers first.
    """
    try:
        return _pages(opened, docs)
    except Exception:
        usable: list[Result] = []
        problems = []
        for result in sorted(opened, key=lambda result: not result.trusted):
            try:
                _pages([*usable, result], docs)
            except Exception as error:
                problems.append(not_understood(result.pack.file, error))
            else:
                usable.append(result)
        pages, more = _pages(usable, docs)
        return pages, problems + more


def _pages(opened: Sequence[Result], docs: str) -> tuple[_Pages, list[Problem]]:
    found, results, problems = groups(opened)
    layouts = [Layout(group) for group in found]
    data, pictures = page_data(layouts, results), picture_data(layouts, results)
    texts = {"data.js": _script("CLOAKBENCH", data)}
    pages = _environment()
    common = {"version": bench.__version__, "built": date.today().isoformat(), "measures": MEASURES, "docs": docs}
    texts["index.html"] = pages.get_template("board.html").render(common, root="")
    for name in TEXTS:
        texts[f"{name}.html"] = pages.get_template(f"{name}.html").render(common, root="")
    by_id = {result.entry.id: result for result in results}
    template = pages.get_template("row.html")
    for layout in layouts:
        for row in layout.rows:
            facts = row_page.facts(layout, row, by_id, pictures)
            texts[f"rows/{layout.group.id}-{row.id}.html"] = template.render(common, root="../", **facts)
    shown = {facts["file"] for facts in pictures.values()}
    wanted = [(picture_file(r.entry.id, cell), r, cell) for r in results for cell in r.sprites()]
    return _Pages(texts, pictures, [each for each in wanted if each[0] in shown]), problems


def _write(site: Path, pages: _Pages) -> list[Problem]:
    """All files; what is wrong with pictures that are not among them."""
    for folder in ("static", "vendor"):
        with as_file(files("leaderboard.site") / folder) as source:
            shutil.copytree(source, site / folder)
    (site / MARK).write_text(f"cloakbench {bench.__version__}\n")
    (site / "rows").mkdir()
    for name, text in pages.texts.items():
        inside(site, *name.split("/")).write_text(text)
    damaged = [problem for picture in pages.pictures if (problem := _write_picture(site, *picture))]
    there = {place: facts for place, facts in pages.shown.items() if (site / facts["file"]).is_file()}
    (site / "pictures.js").write_text(_script("CLOAKBENCH_PICTURES", there))
    return damaged


def _write_picture(site: Path, name: str, result: Result, cell: str) -> Problem | None:
    """Write a picture, encoded anew; what is wrong with it if that cannot be done."""
    sprite = result.sprites()[cell]
    try:
        data = reencoded(sprite, result.sprite_bytes(cell))
    except BadEntry as error:
        return error.problem
    except ValueError as error:
        return Problem(f"{result.pack.file}/{sprite.file}", WHOLE, str(error))
    file = inside(site, *name.split("/"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return None


def _script(name: str, value: Any) -> str:
    """A value as a script that sets a global; parsed from a string, which is faster and cannot set prototypes."""
    text = json.dumps(json.dumps(value, separators=(",", ":"), allow_nan=False)).replace("<", "\\u003c")
    return f"window.{name} = JSON.parse({text});\n"


@cache
def _environment() -> Environment:
    pages = Environment(
        loader=PackageLoader("leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["number"] = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001
    pages.tests["address"] = lambda text: str(text).startswith(("https://", "http://"))
    return pages
