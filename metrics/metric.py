"""What a metric declares: what it says, which way is better, what it can be, what it needs and how it misleads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bench.core.errors import BenchError, unknown_name

Direction = Literal["lower", "higher"]
Topic = Literal["identity", "visibility", "quality", "distribution"]
Measure = Callable[..., float | None]
"""`(clean, cloaked)` photos of a metric of visibility, or one `(picture)` of quality; all (h, w, 3) uint8."""

SHARE, COSINE, LEVELS = (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        topic: what it is about.
        better: the direction that is better for the person: less of them in the pictures, worse pictures of them, or a
            cloak that is harder to see.
        range: what it can be.
        definition: one line, with the source.
        measure: the function, of a metric of visibility or quality that is one; None if something else measures it:
            pyiqa, another instrument, or records.
        unit: empty for shares and scores without one.
        needs: weights or packages that do not come with the benchmark; empty if it needs none.
        licence: of what it needs.
        pitfalls: how it misleads.
        head: whether reports print it in their main table.
        also: what papers call it, where that is another word.
    """

    topic: Topic
    better: Direction
    range: tuple[float, float]
    definition: str
    measure: Measure | None = None
    unit: str = ""
    needs: str = ""
    licence: str = ""
    pitfalls: str = ""
    head: bool = False
    also: tuple[str, ...] = ()

    @property
    def lower_is_better(self) -> bool:
        """Whether less is better for the person."""
        return self.better == "lower"


def metric(topic: Topic, better: Direction, range: tuple[float, float], **facts: Any) -> Callable[[Measure], Metric]:
    """Decorator that makes a `Metric` of the function that measures it, whose docstring begins with the definition.

    Args:
        topic, better, range: see `Metric`.
        facts: the attributes after `measure`.

    Raises:
        BenchError: no such topic, direction or attribute, an empty range, or no docstring.
    """
    for name, value, allowed in (("topic", topic, get_args(Topic)), ("direction", better, get_args(Direction))):
        if value not in allowed:
            raise unknown_name(name, value, allowed)
    allowed_facts = list(Metric.__dataclass_fields__)[5:]  # the others are given, or the function's
    for name in facts:
        if name not in allowed_facts:
            raise unknown_name("attribute of a metric", name, allowed_facts)
    if not (len(range) == 2 and range[0] < range[1]):
        raise BenchError(f"range={range} is no range.", "Give the lowest and the highest value, as (0.0, 1.0).")

    def declared(measure: Measure) -> Metric:
        definition = " ".join((measure.__doc__ or "").strip().partition("\n\n")[0].split()).removesuffix(".")
        if not definition:
            raise BenchError(f"The metric {measure.__name__} has no docstring.", "Say in a line what it measures.")
        return Metric(topic, better, range, definition, measure, **facts)

    return declared
