"""Hydra's parser under a check of help texts such as Python 3.14 makes."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from typing import Any

import pytest
from hydra._internal.utils import get_args_parser

from bench.core import lazy_help


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is looked into when an option is added, as of Python 3.14."""

    def check(parser: ArgumentParser, action: Action) -> None:
        if action.help and "%" in action.help:
            action.help % {"prog": parser.prog}

    add = ArgumentParser.add_argument

    def add_checked(parser: Any, *names: str, **settings: Any) -> Action:
        action = add(parser, *names, **settings)
        parser._check_help(action)
        return action

    monkeypatch.setattr(ArgumentParser, "_check_help", check, raising=False)
    monkeypatch.setattr(ArgumentParser, "add_argument", add_checked)


def test_hydra_ends_there_by_itself() -> None:
    with pytest.raises(TypeError, match="LazyCompletionHelp"):
        get_args_parser()


def test_help_that_is_no_text_yet_is_not_looked_into() -> None:
    lazy_help.allow()
    assert get_args_parser().parse_args(["seed=1"]).overrides == ["seed=1"]


def test_help_that_is_text_is() -> None:
    lazy_help.allow()
    with pytest.raises(KeyError):
        ArgumentParser().add_argument("--mine", help="%(yours)s")
