"""Three pictures of a run: protection against visibility, defense against attack, and the leak over the budget."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from bench.core.errors import BenchError
from bench.report.analysis import RunAnalysis
from bench.results.arms import Arm
from bench.stats.rule import CONTROLS, SCORE

FORMATS = ("svg", "png")


def draw(analysis: RunAnalysis) -> dict[str, bytes]:
    """File name -> content of every plot that a run allows. The same records give the same bytes.

    Raises:
        BenchError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchError("Plots need matplotlib.", "Run: pip install 'cloakbench[plots]'") from error
    known = analysis.by_attack
    files: dict[str, bytes] = {}
    with matplotlib.rc_context({"svg.hashsalt": "cloakbench", "svg.fonttype": "none", "font.size": 9}):
        for name, plot in (("trade-off", _trade_off), ("heat-map", _heat_map), ("budget", _budget)):
            figure = Figure(figsize=(6, 4), layout="constrained")
            if plot(figure.subplots(), known):
                files |= {f"{name}.{kind}": _saved(figure, kind) for kind in FORMATS}
    return files


def _trade_off(axes: Any, known: dict[str, list[Arm]]) -> bool:
    """Every arm at its PSNR and likeness, one colour per attack; down and right is better."""
    drawn = False
    for attack, found in known.items():
        points = [(a.mean("psnr"), a.mean(SCORE), a) for a in found if a.records[0].defense.name != "none"]
        points = [point for point in points if None not in point[:2]]
        if points:
            drawn = True
            axes.scatter([x for x, *_ in points], [y for _, y, _ in points], label=attack)
            for x, y, arm in points:
                axes.annotate(arm.label, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=7)
    axes.set(
        xlabel="PSNR of the cloaked photos, dB (higher: less visible)", ylabel="likeness (lower: better)", ylim=(0, 1)
    )
    if drawn:
        axes.legend()
    return drawn


def _heat_map(axes: Any, known: dict[str, list[Arm]]) -> bool:
    """Mean likeness of every arm against every attack; needs two attacks."""
    tables = {attack: {arm.label: arm.mean(SCORE) for arm in found} for attack, found in known.items()}
    arms = list(dict.fromkeys(arm for table in tables.values() for arm in table))
    values = np.array([[tables[attack].get(arm) for attack in tables] for arm in arms], np.float64)
    if len(tables) < 2 or not np.isfinite(values).any():
        return False
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(tables)), list(tables), rotation=30, ha="right")
    axes.set_yticks(range(len(arms)), arms)
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if not value > 0.6 else "black")
    axes.figure.colorbar(image, label="likeness")
    return True


def _budget(axes: Any, known: dict[str, list[Arm]]) -> bool:
    """Mean likeness over the budget, with intervals; of defenses that were tried at two budgets and more."""
    drawn = False
    for attack, found in known.items():
        curves: dict[str, list[tuple[float, Arm]]] = {}
        for arm in found:
            first = arm.records[0]
            if first.defense.name != "none" and arm.mean(SCORE) is not None:
                name = arm.label.replace(f" {first.defense.budget:g}/255", "")
                curves.setdefault(name, []).append((first.defense.budget, arm))
        for name, points in curves.items():
            if len(points) < 2:
                continue
            drawn = True
            budgets = [budget for budget, _ in points]
            means = np.array([arm.mean(SCORE) for _, arm in points], np.float64)
            style = "--" if name.partition(" ")[0] in CONTROLS else "-"
            (line,) = axes.plot(budgets, means, style, marker="o", label=f"{name}, {attack}")
            intervals = [arm.interval(SCORE) for _, arm in points]
            if None not in intervals:
                low, high = np.array(intervals).T
                axes.fill_between(budgets, low, high, color=line.get_color(), alpha=0.15)
    axes.set(xlabel="budget, grey levels of 255", ylabel="likeness (lower: better)", ylim=(0, 1))
    if drawn:
        axes.legend(fontsize=7)
    return drawn


def _saved(figure: Any, kind: str) -> bytes:
    stream = io.BytesIO()
    # SVG and PNG would otherwise hold the time of day.
    figure.savefig(stream, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return stream.getvalue()
