"""Write the site: one folder that opens from disk and asks nobody for anything.

Pages are Jinja2 templates, which escape whatever they are given; data is JSON inside a string of a script, which no
content can leave. The page's own scripts treat every text as text.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import bench
from bench.core.errors import BenchError
from leaderboard.entries.reader import MARK, Problem, Result, open_all
from leaderboard.site import row_page
from leaderboard.site.board import groups
from leaderboard.site.measures import MEASURES
from leaderboard.site.page_data import Layout, page_data, picture_data, picture_file

TEXTS = ("metrics", "protocol", "statistics", "ethics")
"""Pages that need nothing but words."""


def build(results: Path, out: Path, docs: str = "") -> list[Problem]:
    """Make the site of a folder of entries.

    Args:
        results: see `leaderboard.entries.reader`.
        out: folder to write; a site that is there is replaced as a whole, and not before the new one is complete.
        docs: folder below it that the documentation will be in, which pages then link to; empty for none.

    Returns:
        What is wrong with entries that were left out.

    Raises:
        BenchError: there is no such folder, or `out` holds something else than a site.
    """
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f"{out} is no site of ours, so it is not replaced.", "Choose another folder: -o site.")
    out = out.resolve()  # through a link, the folder itself is replaced
    opened, problems = open_all(results)
    found, kept, unreadable = groups(opened)
    layouts = [Layout(group) for group in found]

    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".site-", dir=out.parent))
    try:
        _write(fresh, layouts, kept, docs)
        if out.exists():
            shutil.rmtree(out)
        fresh.chmod(0o755)
        fresh.rename(out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return problems + unreadable


def _write(site: Path, layouts: Sequence[Layout], results: Sequence[Result], docs: str) -> None:
    for folder in ("static", "vendor"):
        with as_file(files("leaderboard.site") / folder) as source:
            shutil.copytree(source, site / folder)
    (site / MARK).write_text(f"cloakbench {bench.__version__}\n")
    data, pictures = page_data(layouts, results), picture_data(layouts, results)
    (site / "data.js").write_text(_script("CLOAKBENCH", data))
    (site / "pictures.js").write_text(_script("CLOAKBENCH_PICTURES", pictures))
    _copy_pictures(site, results, {facts["file"] for facts in pictures.values()})

    pages = _environment()
    common = {"version": bench.__version__, "built": date.today().isoformat(), "measures": MEASURES, "docs": docs}
    (site / "index.html").write_text(pages.get_template("board.html").render(common, root=""))
    for name in TEXTS:
        (site / f"{name}.html").write_text(pages.get_template(f"{name}.html").render(common, root=""))
    (site / "rows").mkdir()
    by_id = {result.entry.id: result for result in results}
    template = pages.get_template("row.html")
    for layout in layouts:
        for row in layout.rows:
            facts = row_page.facts(layout, row, by_id)
            (site / "rows" / f"{layout.group.id}-{row.id}.html").write_text(
                template.render(common, root="../", **facts)
            )


def _script(name: str, value: Any) -> str:
    """A value as a script that sets a global; parsed from a string, which is faster and cannot set prototypes."""
    text = json.dumps(json.dumps(value, separators=(",", ":"), allow_nan=False)).replace("<", "\\u003c")
    return f"window.{name} = JSON.parse({text});\n"


def _copy_pictures(site: Path, results: Sequence[Result], wanted: set[str]) -> None:
    for result in results:
        for cell in result.sprites():
            name = picture_file(result.entry.id, cell)
            if name in wanted:
                (site / name).parent.mkdir(parents=True, exist_ok=True)
                (site / name).write_bytes(result.sprite_bytes(cell))


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
