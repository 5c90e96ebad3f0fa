"""Numbers of settings: which values make sense, and in which unit.

A plug-in annotates its fields with these, and any other value is refused before anything is computed:

    @dataclass(frozen=True)
    class MyCloak(Defense):
        steps: Count = 100
        step: StepLevels | None = None
        smoothing: Annotated[float, Range(ge=0, le=20, unit="pixels")] = 1.0
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

WHITE = 255
"""Grey levels from black to white."""
_FRACTION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*")


@dataclass(frozen=True)
class Range:
    """Annotation of an `int` or a `float`: the values it may have. What is not finite never is one.

    Attributes:
        ge: the smallest allowed.
        gt: every allowed value is larger than this.
        le: the largest allowed.
        lt: every allowed value is smaller than this.
        unit: what is counted or measured, for the message.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        """As "of at least 1 and at most 100 (percent)"."""
        bounds = [("of at least", self.ge), ("above", self.gt), ("at most", self.le), ("below", self.lt)]
        span = " and ".join(f"{words} {_plain(bound)}" for words, bound in bounds if bound is not None)
        return f"{span} ({self.unit})" if self.unit else span

    def holds(self, value: float) -> bool:
        """Whether a value is allowed."""
        return (
            math.isfinite(value)
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def read(self, value: Any) -> Any:
        """What is meant by a value as it was written.

        Raises:
            ValueError: it is written in another unit.
        """
        return value

    def doubt(self, value: float) -> str:
        """Why an allowed value is refused all the same, or nothing: it makes sense in another unit only."""
        return ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic import ValidationError
        from pydantic_core import core_schema

        kind = "whole number" if source is int else "number"

        def checked(value: Any, inner: Callable[[Any], Any]) -> Any:
            if isinstance(value, bool):
                raise ValueError(f"give a {kind} {self}")
            try:
                number = inner(self.read(value))
            except ValidationError:
                raise ValueError(f"give a {kind} {self}") from None
            if not self.holds(number):
                raise ValueError(f"give a {kind} {self}")
            if doubt := self.doubt(number):
                raise ValueError(doubt)
            return number

        return core_schema.no_info_wrap_validator_function(checked, handler(source))


def _plain(bound: float) -> str:
    """A number as a person writes it."""
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


@dataclass(frozen=True)
class GreyLevels(Range):
    """Grey levels of 255, which may be written as papers do: `8/255` is 8.

    Attributes:
        least: what lies between 0 and this is taken for a share of the whole range, and refused.
    """

    ge: float | None = 0
    le: float | None = WHITE
    unit: str = "grey levels of 255"
    least: float = 1

    def read(self, value: Any) -> Any:
        """See `Range.read`."""
        if not isinstance(value, str) or (fraction := _FRACTION.fullmatch(value)) is None:
            return value
        levels, of = float(fraction[1]), float(fraction[2])
        if of != WHITE:
            same = f": {value.strip()} of the range is {levels / of * WHITE:g}" if 0 < levels <= of else ""
            raise ValueError(f"grey levels are of 255{same}; give a number {self}, or as 8/255")
        return levels

    def doubt(self, value: float) -> str:
        """See `Range.doubt`."""
        if not 0 < value < self.least:
            return ""
        said = f"grey levels of 255 are meant, and {value:g} of one is next to nothing"
        levels = value * WHITE
        if levels < self.least:
            return f"{said}: give {'0, or ' if self.ge == 0 else ''}at least {self.least:g}"
        near = round(levels)
        if self.least < 1 or levels == near:  # steps are not rounded to whole levels
            return f"{said}. If {value:g} of the whole range is meant, that is {levels:g}: give {levels:g}"
        return (
            f"{said}. If {value:g} of the whole range is meant, that is {levels:g}, about {near}/{WHITE}: "
            f"give {levels:g}, or {near}"
        )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def read_number(text: Any, kind: Any) -> Any:
    """A number from outside the settings, as from a table or a command line.

    Args:
        text: as it is written.
        kind: an annotation with a range, such as `Budgeted`.

    Raises:
        ValueError: what is allowed.
    """
    from pydantic import ValidationError

    try:
        return _adapter(kind).validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


Count = Annotated[int, Range(ge=1)]
"""How many; at least one."""
Several = Annotated[int, Range(ge=0)]
"""How many; none leaves something out, or stands for all: the setting's description says which."""
Share = Annotated[float, Range(ge=0, le=1, unit="a share: 1 is all")]
"""A part of something."""
SomeShare = Annotated[float, Range(gt=0, le=1, unit="a share: 1 is all")]
"""A part of something, more than nothing of it."""
Weight = Annotated[float, Range(ge=0)]
"""Of a term in a sum; 0 leaves it out."""
Rate = Annotated[float, Range(gt=0, le=1, unit="a learning rate")]
"""How far an optimiser goes in a step."""
Decay = Annotated[float, Range(ge=0, le=1, unit="AdamW's weight decay")]
Scale = Annotated[float, Range(ge=0, le=10, unit="a factor: 1 is as trained")]
"""Strength of an adapter; 0 leaves it out."""
Guidance = Annotated[float, Range(ge=0, le=100, unit="a guidance scale: 1 or less is none")]
Sigma = Annotated[float, Range(ge=0, le=1, unit="a standard deviation, of values in [0, 1]")]
Quality = Annotated[int, Range(ge=1, le=100, unit="Pillow's JPEG quality")]
SamplerSteps = Annotated[int, Range(ge=1, le=1000, unit="steps of a sampler, of 1000 timesteps")]
Budgeted = Annotated[float, GreyLevels()]
"""The largest change of a pixel, in grey levels."""
StepLevels = Annotated[float, GreyLevels(ge=None, gt=0, least=0.05)]
"""How far a step moves a pixel, in grey levels; papers take a fifth of one and more."""
