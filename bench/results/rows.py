"""A cell as one line of a table, for loggers that have tables."""

from __future__ import annotations

from bench.results.conditions import columns
from bench.results.labels import cell_label
from bench.results.record import Record

Value = str | float | None


def row(record: Record) -> dict[str, Value]:
    """Column -> value: what names the cell and all that decided it, its status, its metrics, the cost of its stages.

    A metric whose name is another column's is called "metric/<name>".
    """
    facts: dict[str, Value] = {
        "cell": record.cell,
        "title": cell_label(record),
        "status": record.status,
        "reason": record.reason,
        "data": record.data,
        "identity": record.identity,
        "defense": record.defense.name,
        "budget": record.defense.budget,
        "countermeasure": "+".join(c.name for c in record.countermeasure),
        "attack": record.attack.name,
        "base": record.base,
        "surrogates": "+".join(record.surrogates),
        "seed": record.seed,
        "photo_count": record.photo_count,
        "evaluations": record.evaluations,
        **columns(record),
    }
    spent = costs(record)
    metrics = {f"metric/{n}" if n in facts or n in spent else n: value for n, value in record.metrics.items()}
    return facts | metrics | spent


def costs(record: Record) -> dict[str, Value]:
    """Seconds and peak memory in MB of every stage, of the computation that made its output."""
    return {
        f"{stage}/{name}": getattr(f, name) for stage, f in record.stages.items() for name in ("seconds", "peak_mb")
    }
