"""What lies where the user stands does not take the place of the program; nor does a script need a guard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.contexts import ROOT
from tests.support.runs import SMALL, places

SHADOWS = (
    "attacks",
    "defenses",
    "metrics",
    "random",
    "socket",
    "pickle",
    "typing",
    "tempfile",
    "torch",
    "hydra",
    "rich",
)


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command where somebody stands, of this source tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files and folders of the program's names, and of others that it imports."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("raise AssertionError('shadowed')\n")
    for name in ("conf", "countermeasures"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('shadowed')\n")
    for name in ("bench", "leaderboard", "data"):  # no packages
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "words", [["bench.list", "defenses"], ["bench", "--help"], ["leaderboard", "--help"], ["bench.power", "--help"]]
)
def test_commands_are_those_of_the_program(folder: Path, words: list[str]) -> None:
    done = call(folder, "-m", *words)
    assert done.returncode == 0, done.stderr
    assert "shadowed" not in done.stdout + done.stderr


def test_a_run_with_workers_is_that_of_the_program(folder: Path) -> None:
    """Workers start Python anew, and would look around first."""
    done = call(folder, "-m", "bench", *SMALL, *places(folder / "places"), "suite.defenses=[none]", "workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shadowed" not in done.stdout + done.stderr


def test_a_module_of_the_same_name_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.py").write_text("")
    done = call(tmp_path, "-c", "import metrics, bench.core.errors")
    assert f"ImportError: {tmp_path / 'metrics.py'} was imported as 'metrics'" in done.stderr
    assert call(tmp_path, "-c", "import bench, metrics").returncode == 0


def test_where_the_user_stands_is_still_looked_at_last(tmp_path: Path) -> None:
    (tmp_path / "cloak_of_mine.py").write_text("raise RuntimeError('it is here')\n")
    assert "RuntimeError: it is here" in call(tmp_path, "-m", "bench.list", "cloak_of_mine").stderr


SCRIPT = """
import sys
from dataclasses import dataclass

from rich.console import Console

from bench.config.compose import settings_of
from bench.runner.run import run
from defenses import DEFENSES, Defense
from helper_of_a_script import same


@DEFENSES.register("idle")
@dataclass(frozen=True)
class Idle(Defense):
    "Leaves photos as they are."

    def protect(self, photos, context):
        return same(photos)


print("begun")
settings = settings_of([word for word in sys.argv[1:] if not word.startswith("defense")] + ["defense=idle"])
sys.exit(run(settings, Console(width=200)))
"""


def test_a_script_needs_no_guard_and_can_define_methods(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper_of_a_script.py").write_text("def same(photos):\n    return photos\n")
    done = call(tmp_path, "script.py", *SMALL, *places(tmp_path), "workers=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("begun") == 1
    assert "idle 8/255" in done.stdout


def test_workers_that_cannot_begin_end_the_run_with_what_to_do(tmp_path: Path) -> None:
    plugin = tmp_path / "unwilling.py"
    plugin.write_text("import multiprocessing as m\nif m.parent_process(): raise RuntimeError('not here')\n")
    done = call(tmp_path, "-m", "bench", *SMALL, *places(tmp_path), "workers=2", f"plugins=[{plugin}]")
    assert done.returncode == 1
    assert "end before they can begin" in done.stderr
    assert "RuntimeError: not here" in done.stderr
    assert "workers=1" in done.stderr
    assert "Traceback" not in done.stderr
