"""A sweep ends as its worst job did, whichever launcher ran it and wherever."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bench.runner.sweep_status import ABOUT, KILLED, VARIABLE, End, ends, gathered, noted, under_way
from tests.support.contexts import ROOT

DEAD = 2**22 + 1
"""No process has so high a number."""
JOB = "import os, sys; from bench.runner.sweep_status import noted\nwith noted(sys.argv[1:]): os._exit(0)"


def test_every_job_is_noted_with_its_end(tmp_path: Path) -> None:
    with gathered(tmp_path / "shared") as folder:
        with noted(["a=1", "b=2"]) as end:
            end.status = 0
        with noted(["a=2"]) as end:
            end.reason = "no such folder"
        with pytest.raises(RuntimeError), noted(["a=3"]):
            raise RuntimeError
        assert ends(folder) == [End("a=1 b=2", 0), End("a=2", 1, "no such folder"), End("a=3", 1)]
    assert not list((tmp_path / "shared").iterdir())
    assert VARIABLE not in os.environ


def test_a_job_that_never_ended_was_killed() -> None:
    with gathered(None) as folder:
        subprocess.run([sys.executable, "-c", JOB, "a=1"], cwd=ROOT, check=True)
        assert ends(folder) == [End("a=1", KILLED, "killed")]


def test_a_warning_is_told_by_the_first_job_alone_and_kept_of_all(tmp_path: Path) -> None:
    with gathered(None) as folder:
        with noted(["a=1"]) as job:
            assert job.begin(tmp_path / "one", ["dark", "small"]) == ["dark", "small"]
        with noted(["a=2"]) as job:
            assert job.begin(tmp_path / "two", ["small", "blurred"]) == ["blurred"]
        found = ends(folder)
        assert [end.warnings for end in found] == [("dark", "small"), ("small", "blurred")]
        assert [end.out for end in found] == [str(tmp_path / "one"), str(tmp_path / "two")]


def test_a_sweep_under_way_says_which_job_it_is_at(tmp_path: Path) -> None:
    assert under_way(tmp_path) is None
    with gathered(tmp_path, 4):
        sweep = under_way(tmp_path)
        assert sweep is not None
        assert (sweep.place(), sweep.last) == ("job 0 of 4", None)
        with noted(["b=2", "a=1"]) as job:
            job.status = 0
        with noted(["a=2"]) as job:
            job.begin(tmp_path / "out", [])
            assert sweep.place() == "job 2 of 4: a=2"
            assert sweep.last is not None
            assert (sweep.last.out, sweep.last.status) == (str(tmp_path / "out"), KILLED)
    assert under_way(tmp_path) is None


def test_a_sweep_that_was_killed_is_not_under_way(tmp_path: Path) -> None:
    (tmp_path / "statuses-old").mkdir()
    (tmp_path / "statuses-old" / ABOUT).write_text(f'["{platform.node()}", {DEAD}, 4]')
    assert under_way(tmp_path) is None
    (tmp_path / "statuses-old" / ABOUT).write_text(f'["another machine", {DEAD}, 4]')
    assert under_way(tmp_path) is not None


def test_sweeps_within_a_job_keep_their_own_notes() -> None:
    with gathered(None) as outer:
        with gathered(None) as inner, noted(["inner"]) as end:
            end.status = 0
        with noted(["outer"]) as end:
            end.status = 0
        assert [end.overrides for end in ends(outer)] == ["outer"]
        assert not inner.exists()


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_launchers_see_the_true_exit_status(launcher: str, tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher", reason="needs its launcher")
    words = ["-m", f"hydra/launcher={launcher}", "data=folder", f"data.root={tmp_path}/a,{tmp_path}/b", "logger=none"]
    environment = {**os.environ, "CLOAKBENCH_SWEEPS": str(tmp_path / "sweeps")}
    command = [sys.executable, "-m", "bench", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "2 of 2 jobs failed" in done.stderr
    for name in "ab":
        assert f"data.root={tmp_path}/{name}: there is no such folder." in done.stderr
    assert "Traceback" not in done.stderr


PLUGIN = """
from dataclasses import dataclass
from defenses import DEFENSES, Defense

@DEFENSES.register("plain_cloak")
@dataclass(frozen=True)
class PlainCloak(Defense):
    def protect(self, photos, context):
        return photos
"""


def test_workers_know_the_plugins(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs its launcher")
    (tmp_path / "plain.py").write_text(PLUGIN)
    words = ["-m", "hydra/launcher=joblib", f"plugins=[{tmp_path / 'plain.py'}]", "defense=plain_cloak", "budget=4,8"]
    places = [f"out={tmp_path}/out", f"store={tmp_path}/store", "logger=none", "data.limit=1", "dry_run=true"]
    environment = {**os.environ, "CLOAKBENCH_SWEEPS": str(tmp_path / "sweeps")}
    command = [sys.executable, "-m", "bench", *words, *places]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "plain_cloak 4/255" in done.stdout
    assert "plain_cloak 8/255" in done.stdout
