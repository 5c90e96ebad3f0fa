"""Published files that a run lacks, and how they are listed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from bench.config.schema import MetricSettings
from bench.models.weights.published import CLIP, PACKS, Published, gigabytes


def table(wanted: Iterable[Published]) -> Table:
    """What is missing, for a terminal; the last line is the sum."""
    wanted = list(wanted)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("what", "from", "size", "licence"):
        made.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
    for item in wanted:
        made.add_row(*map(Text, (item.title, item.place, gigabytes(item.size), item.terms)))
    made.add_section()
    made.add_row("all", "", gigabytes(sum(item.size for item in wanted)), "")
    return made


def of_metrics(metric: MetricSettings) -> list[Published]:
    """What scoring lacks and could be fetched: recognisers, and the model of `clip_score`. pyiqa fetches its own."""
    wanted = [PACKS[name] for name in metric.recognisers if name in PACKS and not Path(name).is_dir()]
    if "clip_score" in metric.quality and not Path(metric.clip).is_dir():
        wanted.append(Published(f"The CLIP model {metric.clip}", metric.clip, CLIP))
    return [item for item in wanted if item.folder() is None]
