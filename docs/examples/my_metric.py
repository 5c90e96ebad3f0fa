"""Two metrics: how much of a photo a cloak changes, and how dark a picture is."""

from bench.core.types import Pixels
from metrics import METRICS, metric


@METRICS.register("changed")
@metric("visibility", "lower", (0.0, 1.0), pitfalls="counts a change of one grey level like one of eight")
def changed(clean: Pixels, cloaked: Pixels) -> float:
    """Share of the values of a photo that the cloak changes."""
    return float((clean != cloaked).mean())


@METRICS.register("darkness")
@metric("quality", "higher", (0.0, 255.0), unit="grey levels")
def darkness(picture: Pixels) -> float:
    """Mean distance of all values from white."""
    return float(255 - picture.mean())
