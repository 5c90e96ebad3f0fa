"""Hydra's command line on Python 3.14, whose argparse looks into help texts when options are added.

Hydra (up to 1.3.6, issue 3121) gives one of its options an object that only later becomes text, and every program of
its ends there. Help that is no text yet is not looked into.
"""

from __future__ import annotations

from argparse import Action, ArgumentParser


def allow() -> None:
    """Do so from now on; Python before 3.14 has nothing to change."""
    check = getattr(ArgumentParser, "_check_help", None)
    if check is None or check.__module__ == __name__:
        return

    def check_text(parser: ArgumentParser, action: Action) -> None:
        if action.help is None or isinstance(action.help, str):
            check(parser, action)

    ArgumentParser._check_help = check_text  # type: ignore[attr-defined]
