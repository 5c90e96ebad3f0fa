"""Where imports come from: the project's packages from beside this one, whatever lies where the user stands.

`python -m` looks first in the folder where the user stands. A file `metrics.py`, a folder `attacks/` or a `random.py`
there would take the place of the project's, or of the standard library's. So this module is imported before any other,
and imports nothing itself that is not part of the interpreter.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PACKAGES = ("attacks", "conf", "countermeasures", "defenses", "leaderboard", "metrics")
"""Top-level packages of the project besides this one."""
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
"""The folder that all of them are in."""


class Beside:
    """Finds the project's packages beside this one."""

    @classmethod
    def find_spec(
        cls,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,  # noqa: ARG003
    ) -> ModuleSpec | None:
        """Of a package of the project; None leaves a name to the usual search."""
        return PathFinder.find_spec(fullname, [HOME]) if path is None and fullname in PACKAGES else None


def settle() -> None:
    """Make sure of the project's packages; under `python -m`, look last where the user stands.

    Raises:
        ImportError: something else was imported by one of their names.
    """
    # What sys.argv is while `-m` still looks for its module.
    if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109
        sys.path.append(sys.path.pop(0))
    for name in PACKAGES:
        place = _place(sys.modules.get(name))
        if place and not place.startswith(HOME + os.sep):
            raise ImportError(f"{place} was imported as {name!r}, which is a package of CloakBench. Rename it.")
    if Beside not in sys.meta_path:
        sys.meta_path.insert(0, Beside)


def _place(module: ModuleType | None) -> str:
    """Where a module's code is; empty if there is none."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return next((os.path.abspath(place) for place in places if place), "")  # noqa: PTH100
