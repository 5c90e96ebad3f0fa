"""Whole runs, made small: the same numbers again, after a kill, in two processes; bad input loses nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import cached_property
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from rich.console import Console

from bench.config.compose import settings_of
from bench.config.schema import Protocol
from bench.core.errors import Unwritable
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import AttackComparison
from bench.results.leaks import leaks
from bench.results.record import PROTOCOL, Record, load_all
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.run import run
from bench.runner.stages.generate import noise_seeds
from defenses import DEFENSES
from tests.support.contexts import ROOT
from tests.support.plugins import forget_plugins
from tests.support.runs import BROKEN, SMALL, finished, flaky, places, results, small_run

__all__ = ["finished"]  # a fixture

ARMS = ["base", "clean", "noise", "aspl"]
JUDGES = ("mobilefacenet", "faceres")


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "bench", *SMALL, *places(folder), *words]


def test_a_run_has_its_arms_and_files(finished: tuple[Path, list[Record]]) -> None:
    folder, records = finished
    assert len(records) == 4
    assert {(r.defense.name, r.attack.name) for r in records} == {
        ("none", "none"),
        ("none", "dreambooth"),
        ("noise", "dreambooth"),
        ("aspl", "dreambooth"),
    }
    for r in records:
        assert r.status == "ok"
        assert r.metrics["linf"] == (0 if r.defense.name == "none" else 8)
        assert 0 <= (r.metrics["ilr"] or 0) <= 1
        assert set(r.stages) == {"protect", "counter", "fit", "generate", "measure"}
        assert r.provenance["seeds"]
        assert (r.protocol, r.provenance["protocol"]["judges"]) == (PROTOCOL, list(JUDGES))
        assert all(image.similarities.keys() == set(JUDGES) for image in r.images)
    table = pq.read_table(folder / "out" / "images.parquet")
    assert table.num_rows == 4 * 2
    assert table["leaks"].to_pylist() == [bool(leaking) for r in records for leaking in leaks(r)]
    assert Image.open(folder / "out" / "sheet.png").width > 500
    report = (folder / "out" / "report.md").read_text()
    assert all(arm in report for arm in ARMS)


def test_a_record_states_what_its_cloak_computed_a_photo(finished: tuple[Path, list[Record]]) -> None:
    """As much as the defense says of itself, of four photos."""
    settings = {"rounds": 1, "surrogate_steps": 1, "pgd_steps": 2, "step": 9}
    effort = DEFENSES.create("aspl", settings).resolved("facelet").evaluations(1)
    (aspl,) = [r for r in finished[1] if r.defense.name == "aspl"]
    assert (aspl.photo_count, aspl.evaluations) == (4, effort)
    assert {r.evaluations for r in finished[1] if r.defense.name == "noise"} == {0}


def test_all_arms_share_the_generation_noise(finished: tuple[Path, list[Record]]) -> None:
    seeds = [[image.noise_seed for image in r.images] for r in finished[1]]
    assert all(s == seeds[0] for s in seeds)
    assert len(set(seeds[0])) == len(seeds[0])


def test_noise_depends_on_seed_person_prompt_and_image_and_on_nothing_else() -> None:
    def seeds(prompts: int, images: int, seed: int = 0, person: str = "ann") -> list[int]:
        asked = (*(f"{n} {{subject}}" for n in range(prompts)),)
        return noise_seeds(Protocol(prompts=asked, images_per_prompt=images, far=0.01), person, seed)

    assert len(set(seeds(3, 4))) == 12
    assert seeds(3, 4)[:4] == seeds(1, 4)  # further prompts change nothing for the first
    assert seeds(1, 4)[:2] == seeds(1, 2)  # nor do further images
    assert not set(seeds(3, 4)) & set(seeds(3, 4, seed=1))
    assert not set(seeds(3, 4)) & set(seeds(3, 4, person="bob"))


def test_personalised_weights_are_deleted(finished: tuple[Path, list[Record]]) -> None:
    assert not list((finished[0] / "store").rglob("artifact.safetensors"))


def test_again_does_no_work_and_gives_the_same_numbers(finished: tuple[Path, list[Record]]) -> None:
    folder, records = finished
    before = {f: f.stat().st_mtime_ns for f in (folder / "store").rglob("meta.json")}
    status, again, text = small_run(folder)
    assert status == 0
    assert results(again) == results(records)
    assert all(stage.cached for r in again for stage in r.stages.values())
    assert {f: f.stat().st_mtime_ns for f in (folder / "store").rglob("meta.json")} == before
    assert text.count("in the store") == 4


def test_from_scratch_gives_the_same_numbers_bit_for_bit(finished: tuple[Path, list[Record]], tmp_path: Path) -> None:
    assert results(small_run(tmp_path)[1]) == results(finished[1])


KILLER = """
import importlib, os, signal
module, _, name = os.environ["KILL_AT"].partition(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
def dying(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, last, dying)
"""

PLACES = {
    "record": "bench.results.record:save",
    "protect": "defenses.pgd:project",
    "counter": "countermeasures.none:NoCountermeasure.apply",
    "fit": "bench.models.diffusion.base:DiffusionModel.errors_at",
    "generate": "bench.models.diffusion.latents:LatentModel.decode",
    "measure": "bench.evaluation.detections:measure",
}
"""What a run dies in, as soon as it comes there."""


def test_a_run_killed_in_one_stage_after_the_other_ends_with_the_same_numbers(
    finished: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    killer, store = tmp_path / "killer.py", tmp_path / "store"
    killer.write_text(KILLER)
    words = command(tmp_path, f"plugins=[{killer}]")
    for stage, place in PLACES.items():
        environment = {**os.environ, "KILL_AT": place}
        dead = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert dead.returncode == -signal.SIGKILL, (stage, dead.stderr)
        assert {path.relative_to(store).parts[0] for path in store.rglob("*.partial")} == {stage} - {"record"}
    status, records, _ = small_run(tmp_path)
    assert status == 0
    assert results(records) == results(finished[1])
    assert not list(store.rglob("*.partial"))


def test_arms_are_compared_once_and_a_command_speaks_of_its_own_cells(
    finished: tuple[Path, list[Record]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    class Counted(RunAnalysis):
        @cached_property
        def comparisons(self) -> list[AttackComparison]:
            compared.append(len(self.records))
            return []

    monkeypatch.setattr("bench.runner.run.RunAnalysis", Counted)
    shutil.copytree(finished[0] / "store", tmp_path / "store")
    small_run(tmp_path)
    assert compared == [4]
    small_run(tmp_path, "suite.defenses=[none]")
    assert compared == [4, 4, 2], "report.md is of everything in the folder"


def test_two_processes_with_one_command_share_the_work(finished: tuple[Path, list[Record]], tmp_path: Path) -> None:
    both = [
        subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert results(load_all(tmp_path / "out")) == results(finished[1])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder with the photos of two invented people."""
    root = tmp_path / "people"
    for name in sorted(f.name for f in SYNTHETIC.iterdir() if f.is_dir())[:2]:
        shutil.copytree(SYNTHETIC / name, root / name)
    return root


def folder_words(root: Path) -> list[str]:
    return ["data=folder", f"data.root={root}", "data.crop=centre", "data.limit=0"]


def test_a_photo_without_a_face_fails_that_person_and_no_other(people: Path, tmp_path: Path) -> None:
    victim, other = sorted(f.name for f in people.iterdir())
    meadow = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    Image.fromarray(meadow).save(people / victim / "set_B" / "meadow.png")
    (people / other / "notes.txt").write_text("no photo")
    status, records, text = small_run(tmp_path, *folder_words(people))
    assert status == 1
    assert {r.status for r in records if r.identity == victim} == {"fit_failed"}
    assert all("meadow.png" not in r.reason and not r.metrics for r in records if r.identity == victim)
    assert {r.status for r in records if r.identity == other} == {"ok"}
    assert "meadow.png" in text
    assert f"Skipped: {other}/notes.txt is not a photo" in text
    told = {r.identity: r.provenance["data"].get("skipped") for r in records}
    assert told == {victim: None, other: ["files that are no photos: 1"]}


LEAKY = """
from dataclasses import dataclass
from defenses import DEFENSES, Defense

@DEFENSES.register("leaky")
@dataclass(frozen=True)
class Leaky(Defense):
    "Says all it has in an error, as libraries do."
    weights: str = ""

    def protect(self, photos, context):
        raise RuntimeError(f"{self.weights}/Ada Lovelace/{context.names[0]} of Ada Lovelace is bad")
"""


def test_what_a_run_of_real_people_leaves_names_nobody_and_no_folder_of_the_machine(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_plugins(monkeypatch)
    monkeypatch.chdir(tmp_path)  # paths below are relative to where one stands; above, they are nobody's secret
    names = ["Ada Lovelace", "Grace Hopper"]
    for old, new in zip(sorted(f.name for f in people.iterdir()), names, strict=True):
        (people / old).rename(people / new)
    (people / names[0] / "Ada's letters.txt").write_text("no photo")
    photo = min((people / names[0] / "set_B").iterdir())
    photo.rename(photo.with_name("0 ada at home.png"))
    plugin = tmp_path / "leaky.py"
    plugin.write_text(LEAKY)
    own = [f"plugins=[{plugin}]", "defense=leaky", f"defense.weights={tmp_path}", "controls=[none]", "attack=lora"]
    words = [word for word in SMALL if not word.startswith(("defense", "attack", "logger"))]
    chosen = [*folder_words(people), "data.identities=['Ada Lovelace']", "logger=csv", "attack.steps=1"]
    text, places_ = StringIO(), places(tmp_path)
    command = [*words, *own, *chosen, *places_]
    run(settings_of(command), Console(file=text, width=500), command)
    records = load_all(tmp_path / "out")
    (code,) = {r.identity for r in records}
    assert "Ada Lovelace is " + code in text.getvalue(), "who runs it is told"
    assert "Ada Lovelace/Ada's letters.txt is not a photo" in text.getvalue()
    assert [r.reason for r in records if r.status == "failed"] == [
        next(r.reason for r in records if r.status == "failed" and code in r.reason)
    ]
    for file in (f for f in (tmp_path / "out").rglob("*") if f.is_file()):
        for secret in (b"Ada", b"Lovelace", b"Hopper", b"ada at home", str(tmp_path).encode()):
            assert secret not in file.read_bytes(), f"{file} has {secret.decode()}"
    again = settings_of([*words, *own, *chosen, *places_, f"data.identities=[{code}]", "dry_run=true"])
    assert run(again, Console(file=StringIO())) == 0, "a report's pseudonym chooses the person, too"


def test_a_broken_defense_is_a_failure_and_never_protection(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    reasons = {"over": "exceeds its budget", "holes": "finite", "bug": "a bug"}
    words = [w for w in SMALL if not w.startswith("defense")]
    broken = ",".join(f"{{name: broken, how: {how}}}" for how in reasons)
    asked = [f"plugins=[{plugin}]", f"suite.defenses=[none,{broken}]"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, *places(tmp_path), *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    records = {r.defense.config.get("how"): r for r in load_all(tmp_path / "out") if r.attack.name != "none"}
    assert records.keys() == {None, *reasons}
    assert records[None].status == "ok"
    for how, reason in reasons.items():
        assert records[how].status == "failed"
        assert reason in records[how].reason
        assert not records[how].metrics
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "message", "fix"),
    [
        (["defense=aspel"], "aspel", "aspl"),
        (["defense.epz=3"], "defense.epz", "Allowed"),
        (["data=folder", "data.root=/nowhere"], "/nowhere", "one folder per person"),
        (["data=folder"], "data.root", "data.root="),
        (["budget=300"], "budget", "255"),
        (["defense=aspl", "defense.rounds=many"], "rounds", "whole number"),
    ],
)
def test_a_mistake_is_one_short_message_with_a_fix(words: list[str], message: str, fix: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, *places(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert fix in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 12
    assert not (tmp_path / "out").exists()


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    status, _, text = small_run(tmp_path, "dry_run=true")
    assert status == 0
    assert "4 cells, 0 skipped" in text
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_pictures_take_on_the_disk(finished: tuple[Path, list[Record]], tmp_path: Path) -> None:
    stages = ("protect", "counter", "generate")
    used = sum(file.stat().st_size for stage in stages for file in (finished[0] / "store" / stage).rglob("*.png"))
    told = re.search(r"Pictures take about ([\d.]+) (kB|MB) more", small_run(tmp_path, "dry_run=true")[2])
    assert told is not None
    assert 0.7 < float(told[1]) * {"kB": 1e3, "MB": 1e6}[told[2]] / used < 3
    assert "Pictures take about 0 bytes more" in small_run(finished[0], "dry_run=true")[2]


def test_a_dry_run_of_what_is_done_has_nothing_left_to_do(finished: tuple[Path, list[Record]]) -> None:
    _, _, text = small_run(finished[0], "dry_run=true")
    (line,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["all"]]
    assert line[2:] == ["0", "-"]
    assert int(line[1]) > 10


def test_a_failed_cell_is_tried_again_and_only_as_often_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = flaky(monkeypatch, {"noise": 2, "aspl": 9})
    status, records, _ = small_run(tmp_path, "retries=2")
    assert tried == ["none", "none", "noise", "noise", "noise", "aspl", "aspl", "aspl"]
    assert status == 1
    assert {r.defense.name: r.status for r in records} == {"none": "ok", "noise": "ok", "aspl": "failed"}


def test_what_cannot_be_fitted_is_a_result_and_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = flaky(monkeypatch, {"noise": 1}, "fit_failed")
    assert small_run(tmp_path, "retries=2", "fail_fast=true")[0] == 1
    assert tried == ["none", "none", "noise", "aspl"]


def test_a_run_goes_on_after_a_failure_unless_asked_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = flaky(monkeypatch, {"noise": 9})
    assert small_run(tmp_path / "on")[0] == 1
    assert tried == ["none", "none", "noise", "aspl"]
    tried.clear()
    status, records, text = small_run(tmp_path / "stop", "fail_fast=true")
    assert status == 1
    assert tried == ["none", "none", "noise"]
    assert len(records) == 3
    assert "Cells not tried: 1." in text


@pytest.mark.slow
def test_the_attack_leaks_on_clean_photos_and_the_base_does_not(tmp_path: Path) -> None:
    """The default recipe at full size: without this, no cloak can be judged."""
    words = ["attack=dreambooth", "defense=none", "controls=[none]", "logger=none"]
    run(settings_of([*words, *places(tmp_path)]), Console(file=StringIO()))
    records = load_all(tmp_path / "out")
    leaks = {
        attack: [r.metrics["ilr"] or 0 for r in records if r.attack.name == attack] for attack in ("none", "dreambooth")
    }
    assert np.mean(leaks["dreambooth"]) >= 0.5
    assert np.mean(leaks["none"]) <= 0.1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), r"full \(a\.png\)"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "full"),  # as safetensors says it
        (
            OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
            "full",
        ),  # pyarrow
    ],
)
def test_a_full_disk_ends_the_run_and_loses_nothing(
    error: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def cell(self: Pipeline, cell: Cell, progress: object) -> Record:
        tried.append(cell.label)
        if len(tried) == 2:
            raise error
        return self._record(cell, "ok", metrics={"ilr": 0.5})

    monkeypatch.setattr(Pipeline, "_run", cell)
    with pytest.raises(Unwritable, match=message):
        small_run(tmp_path, "retries=3")
    assert len(tried) == 2
    assert [r.status for r in load_all(tmp_path / "out")] == ["ok"]


def test_a_disk_that_is_full_before_the_first_stage_ends_the_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos are described before anything is done to them."""

    def full(self: Pipeline, identity: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Pipeline, "problem", full)
    with pytest.raises(Unwritable, match="full"):
        small_run(tmp_path)
    assert load_all(tmp_path / "out") == []


def test_another_error_of_the_system_is_the_cells_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cell(self: Pipeline, cell: Cell, progress: object) -> Record:
        raise PermissionError(errno.EACCES, "Permission denied", "my_cloak.txt")

    monkeypatch.setattr(Pipeline, "_run", cell)
    status, records, _ = small_run(tmp_path)
    assert status == 1
    assert {r.status for r in records} == {"failed"}
    assert len(records) == 4


def test_too_little_memory_is_a_failed_cell_that_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cell(self: Pipeline, cell: Cell, progress: object) -> Record:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Pipeline, "_run", cell)
    status, records, _ = small_run(tmp_path)
    assert status == 1
    assert {r.status for r in records} == {"failed"}
    assert all("out of memory" in r.reason and "attack.batch=1" in r.reason for r in records)
