"""CloakBench: does a cloak stop others from personalising a diffusion model on a person?

From Python: `bench.cloak`, `bench.evaluate` and `bench.export`; see `bench.api`.
"""

import sys

from bench.core.imports import settle

__version__ = "0.1.0"

_API = ("Evaluation", "cloak", "evaluate", "export")

settle()

if sys.version_info >= (3, 14):
    from bench.core import lazy_help

    lazy_help.allow()


def __getattr__(name: str) -> object:
    """The interface for Python, imported when it is asked for: commands need none of it."""
    if name not in _API:
        raise AttributeError(f"module 'bench' has no attribute {name!r}; there are {', '.join(_API)}")
    from bench import api

    return getattr(api, name)
