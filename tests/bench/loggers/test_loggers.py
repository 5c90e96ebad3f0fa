"""Loggers: what W&B is told, as wandb itself reads it back; the CSV; and that none of them can harm a run."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from bench.config.compose import settings_of
from bench.config.schema import Method
from bench.core.errors import BenchError
from bench.core.images import read_png
from bench.core.types import Dataset
from bench.data import Source
from bench.loggers import LOGGERS, Logger, Run
from bench.loggers.csv_file import FILE
from bench.loggers.guard import Guard
from bench.loggers.wandb_content import run_outcome, run_tables
from bench.loggers.wandb_place import logged_in
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST
from bench.results import manifest
from bench.results.labels import cell_label
from bench.results.manifest import Planned, RunManifest
from bench.results.record import Record, load_all
from bench.runner.run import default_out, run
from tests.support.contexts import ROOT
from tests.support.plain_records import defense
from tests.support.records import FULL, record
from tests.support.runs import SMALL, places, small_run
from tests.support.settings import composed, parsed
from tests.support.two_attacks import LEAKS, PEOPLE
from tests.support.two_attacks import run as standing_records

PICTURES = [np.full((8, 8, 3), level, np.uint8) for level in (10, 200)]
OK = record(cell="a" * 64)
FAILED = record(cell="b" * 64, identity="bob", status="failed", reason="no memory", metrics={}, images=[], stages={})


def facts(out: Path, invented: bool = True) -> Run:
    return Run(out, "synthetic", invented, "aspl", lambda record: PICTURES)


def wandb_logger(**settings: Any) -> Logger:
    return LOGGERS.create("wandb", settings)


def plan_of(*records: Record) -> RunManifest:
    """The manifest of a run of some cells."""
    cells = tuple(Planned(cell=r.cell, identity=r.identity, label="", keys={}) for r in records)
    settings = {"budget": 8.0, "protocol": {"prompts": ["a photo of {subject}"]}}
    return RunManifest(overrides=("budget=8",), settings=settings, store="", started=0.0, cells=cells)


def reported(logger: Logger, run: Run, records: Sequence[Record], *done: Record) -> None:
    """A whole command: it begins, does some cells, and concludes from all records of its folder."""
    logger.begin(run, plan_of(*records))
    for each in done:
        logger.log(run, each)
    logger.finish(run, RunAnalysis(list(records)))
    logger.close(run)


def read_back(folder: Path) -> dict[str, dict[str, Any]]:
    """W&B run id -> what wandb's own reader finds in its log."""
    end_service()  # which may still be writing the end of a log when the run has ended for us
    return {log.stem.removeprefix("run-"): _records(log) for log in folder.glob("wandb/*run-*/run-*.wandb")}


def end_service() -> None:
    """Have wandb's service, if this process has started it, write what it has, and wait for its end."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()


def _records(log: Path) -> dict[str, Any]:
    from wandb.util import get_core_path

    command = [get_core_path(), "leet", "inspect", "--no-observability", "--json", "-run-file", str(log), log.parent]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = {"summary": {}, "history": [], "artifacts": [], "exit_code": None, "folder": log.parent}
    for line in map(json.loads, text.splitlines()):
        if line["type"] == "run":
            found |= line["run"]
        elif line["type"] == "summary":
            found["summary"] |= line["summary"]["update"]
        elif line["type"] == "history":
            found["history"].append(line["history"]["item"])
        elif "artifact" in line:
            found["artifacts"].append(line["artifact"])
        elif line["type"] == "exit":
            found["exit_code"] = line["exit"].get("exit_code", 0)
    return found


def table(found: dict[str, Any], name: str) -> tuple[list[str], list[list[Any]]]:
    made = json.loads((found["folder"] / "files" / found["summary"][f"{name}.path"]).read_text())
    return made["columns"], made["data"]


def artifact_files(found: dict[str, Any]) -> set[str]:
    """The files of a run's only artifact that says it is a report."""
    (artifact,) = [each for each in found["artifacts"] if each["type"] == "report"]
    return {entry["path"] for entry in artifact["manifest"]["contents"]}


def by_name(folder: Path) -> dict[str, dict[str, Any]]:
    return {found["display_name"]: found for found in read_back(folder).values()}


def be_nobody(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nobody is logged in, and nothing of a developer's own W&B is read or written."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        patch.delenv(name)
    patch.setenv("NETRC", str(folder / "no-netrc"))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR"):
        patch.setenv(name, str(folder / name))


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    be_nobody(monkeypatch, tmp_path)


@pytest.fixture(scope="module", autouse=True)
def _service() -> Iterator[None]:
    """wandb's service ends with the last test that may have started it."""
    yield
    end_service()


# --- W&B, as wandb reads it back ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run named "my run" of two cells, with its conclusion, logged twice."""
    out = tmp_path_factory.mktemp("told") / "my run"
    with pytest.MonkeyPatch.context() as patch:
        be_nobody(patch, out.parent)
        patch.setenv("WANDB_RUN_ID", "merged")  # what an agent or a user may have set must not merge the cells
        for name, text in (("report.md", "# Report"), ("scores.csv", "method"), ("other.txt", "theirs")):
            out.mkdir(exist_ok=True)
            (out / name).write_text(text)
        Image.new("RGB", (8, 8)).save(out / "sheet.png")
        logger = wandb_logger(tags=["mine"], cells=True)
        for _ in range(2):
            reported(logger, facts(out), standing_records(), OK, FAILED)
        assert "WANDB_DATA_DIR" not in os.environ
    return out


def test_every_cell_is_a_run_of_the_group_and_repeating_replaces_it(told: Path) -> None:
    found = read_back(told)
    assert len(found) == 3
    assert len(list((told / "wandb").glob("*run-*"))) == 3
    assert len(list((told / "wandb").glob("staged-*"))) == 2  # a failed cell has no table
    assert {f["run_group"] for f in found.values()} == {"my run"}
    assert {f["project"] for f in found.values()} == {"cloakbench"}
    assert {f["run_id"] for f in found.values()} == set(found)
    assert {f["display_name"]: f["job_type"] for f in found.values()} == {
        "ann, aspl 8/255, jpeg, lora": "lora",
        "bob, aspl 8/255, jpeg, lora": "lora",
        "my run": "run",
    }


def test_ids_depend_on_group_and_cell_alone(told: Path, tmp_path: Path) -> None:
    wandb_logger(group="my run", tags=["another"], cells=True).log(facts(tmp_path / "elsewhere"), OK)
    assert set(read_back(tmp_path / "elsewhere")) < set(read_back(told))
    wandb_logger(group="another", cells=True).log(facts(tmp_path / "third"), OK)
    assert not set(read_back(tmp_path / "third")) & set(read_back(told))


def test_the_exit_code_is_that_of_the_cell(told: Path) -> None:
    codes = {name.partition(",")[0]: found["exit_code"] for name, found in by_name(told).items()}
    assert codes == {"ann": 0, "bob": 1, "my run": 0}


def test_the_configuration_is_the_record_without_results(told: Path) -> None:
    update = by_name(told)[cell_label(OK)]["config"]["update"]
    results = {"metrics", "stages", "images"}
    plain = {key: value for key, value in FULL.items() if key not in results} | {"cell": OK.cell}
    found = {key: value for key, value in update.items() if key != "_wandb"}
    assert found == plain | {"provenance": {"python": "3.11"}}
    assert found["unavailable"] == {"ism_detected": "2 faces found, 5 are needed"}
    assert by_name(told)[cell_label(FAILED)]["config"]["update"]["reason"] == "no memory"


def test_the_summary_has_the_metrics_that_exist_and_the_costs(told: Path) -> None:
    summary = by_name(told)[cell_label(OK)]["summary"]
    plain = {key: value for key, value in summary.items() if not key.startswith(("_", "images."))}
    assert plain == {"status": "ok", "fdfr": 0.25, "ilr": 1 / 3, "fit/seconds": 1.5, "fit/peak_mb": 900}
    failed = by_name(told)[cell_label(FAILED)]["summary"]
    assert {key: value for key, value in failed.items() if not key.startswith("_")} == {"status": "failed"}


def test_tags(told: Path) -> None:
    assert set(by_name(told)[cell_label(OK)]["tags"]) == {"synthetic", "aspl", "facelet-1", "ok", "mine"}


def test_a_table_has_a_row_per_picture_and_exact_seeds(told: Path) -> None:
    columns, rows = table(by_name(told)[cell_label(OK)], "images")
    assert columns == ["prompt", "image", "noise_seed", "faces", "similarity"]
    assert rows == [["0", 1, str(2**62 + 1), 1, -0.1], ["1", 0, "0", 0, None]]


def test_prompts_are_told_as_text(tmp_path: Path) -> None:
    known = record(provenance={"protocol": {"prompts": ["a photo", "a portrait"]}})
    wandb_logger(cells=True).log(facts(tmp_path), known)
    (found,) = read_back(tmp_path).values()
    assert [row[0] for row in table(found, "images")[1]] == ["a photo", "a portrait"]


def test_the_run_as_a_whole_has_means_tiers_and_scores(told: Path) -> None:
    found = by_name(told)["my run"]
    records = standing_records()
    for name, value in run_outcome(RunAnalysis(records), "aspl").items():
        assert found["summary"][name] == value
    columns, rows = table(found, "scores")
    assert columns == ["method", "identity", "budget", "metric", "value"]
    assert {tuple(row[3:]) for row in rows} >= {(f"ilr/{r.attack.name}", r.metrics["ilr"]) for r in records}
    assert {(row[0], row[3]) for row in rows} >= {("clean", "ilr/lora"), ("aspl 8/255", "ilr/dreambooth")}
    columns, rows = table(found, "tiers_worst_attack")
    assert columns[:3] == ["method", "tier", "group"]
    assert "to" in rows[0][columns.index("95 %")]
    assert {row[0] for row in rows} == {"clean", "noise 8/255", "aspl 8/255"}
    columns, rows = table(found, "cells")
    assert [row[columns.index("identity")] for row in rows] == [r.identity for r in records]


def test_nothing_tells_who_and_where(told: Path) -> None:
    host = socket.gethostname().encode()
    for log in told.glob("wandb/*/*.wandb"):
        assert f'"{host.decode()}"'.encode() not in log.read_bytes()
    assert all("host" not in found for found in read_back(told).values())
    assert {f.name for f in told.glob("wandb/*/files/*")} == {"media"}  # no requirements, metadata or code


def test_the_own_defense_has_the_same_name_in_every_run() -> None:
    records = standing_records()
    found = run_outcome(RunAnalysis(records), "aspl")
    own = [r.metrics["ilr"] for r in records if r.defense.name == "aspl"]
    assert found["ilr"] == pytest.approx(np.mean(np.array(own, float)))
    assert found["ilr/clean + lora"] == pytest.approx(LEAKS["lora"]["none"], abs=0.05)
    assert found["cells/ok"] == len(PEOPLE) * 6
    assert "ilr" not in run_outcome(RunAnalysis(records), "mist")
    assert run_outcome(RunAnalysis([FAILED]), "aspl") == {"cells/failed": 1}
    base = record(attack={"name": "none", "config": {}}, defense=defense("none", 0.0))
    assert "ilr" not in run_outcome(RunAnalysis([base]), "none"), "the base is nobody's defense"


def test_one_of_the_cells_failed_and_so_did_the_run(tmp_path: Path) -> None:
    reported(wandb_logger(), facts(tmp_path), [OK, FAILED])
    (found,) = read_back(tmp_path).values()
    assert found["exit_code"] == 1


def test_a_run_that_is_open_is_left_alone(tmp_path: Path) -> None:
    import wandb

    quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    with wandb.init(mode="offline", dir=str(tmp_path), id="open", settings=quiet) as mine:
        reported(wandb_logger(cells=True), facts(tmp_path), [OK], OK, FAILED)
        mine.log({"x": 1})
    found = read_back(tmp_path)
    assert len(found) == 4
    assert [step["x"] for step in found["open"]["history"]] == [1]
    assert "ilr" not in found["open"]["summary"]


def test_an_interrupt_closes_the_run_as_failed_and_goes_on(tmp_path: Path) -> None:
    def interrupted(record: Record) -> list[Any]:
        raise KeyboardInterrupt

    run = Run(tmp_path, "synthetic", True, "aspl", interrupted)
    guard = Guard(wandb_logger(images=True, cells=True), "wandb", run, Console(file=StringIO()))
    guard.begin(plan_of(OK))
    with pytest.raises(KeyboardInterrupt), closing(guard):
        guard.log(OK)
    found = read_back(tmp_path).values()
    assert [each["exit_code"] for each in found] == [1], "the command's own, which was open"


def test_wandb_dir_and_project_of_the_environment_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "theirs"))
    monkeypatch.setenv("WANDB_PROJECT", "faces")
    wandb_logger(cells=True).log(facts(tmp_path / "out"), OK)
    assert not (tmp_path / "out").exists()
    (found,) = read_back(tmp_path / "theirs").values()
    assert found["project"] == "faces"
    wandb_logger(project="mine", cells=True).log(facts(tmp_path / "out"), OK)
    (found,) = read_back(tmp_path / "theirs").values()
    assert found["project"] == "mine"


def test_the_report_is_an_artifact_and_the_contact_sheet_only_where_nobody_is_real(told: Path, tmp_path: Path) -> None:
    """Of real people words and numbers are sent, whatever lies in the folder."""
    (found,) = [each for name, each in by_name(told).items() if name == "my run"]
    assert artifact_files(found) == {"report.md", "scores.csv", "sheet.png"}
    for own, logger in (("kept", wandb_logger()), ("asked", wandb_logger(images_of_real_people=True))):
        shutil.copytree(told, tmp_path / own, ignore=shutil.ignore_patterns("wandb"))
        reported(logger, facts(tmp_path / own, invented=False), [OK], OK)
        (found,) = read_back(tmp_path / own).values()
        assert artifact_files(found) == {"report.md", "scores.csv"} | ({"sheet.png"} if own == "asked" else set())


def test_jobs_of_a_sweep_are_runs_of_one_group_and_one_command_is_logged_once(tmp_path: Path) -> None:
    """Jobs share a folder; each has cells of its own. Who logs the same at the same time does not wait."""
    first, second, same = (wandb_logger() for _ in range(3))
    first.begin(facts(tmp_path), plan_of(OK))
    second.begin(facts(tmp_path), plan_of(FAILED))
    with pytest.raises(BenchError, match="Another process is logging the same"):
        same.begin(facts(tmp_path), plan_of(OK))
    first.log(facts(tmp_path), OK)
    second.log(facts(tmp_path), FAILED)
    first.finish(facts(tmp_path), RunAnalysis([OK]))
    second.finish(facts(tmp_path), RunAnalysis([FAILED]))
    found = read_back(tmp_path)
    assert sorted(each["exit_code"] for each in found.values()) == [0, 1]
    assert {each["run_group"] for each in found.values()} == {tmp_path.name}
    assert {step["cell/title"] for each in found.values() for step in each["history"] if "cell/title" in step} == {
        cell_label(OK),
        cell_label(FAILED),
    }
    assert not list((tmp_path / "wandb").glob("*.lock"))


# --- pictures -------------------------------------------------------------------------------------------------------


def test_pictures_are_sent_only_if_asked_for(told: Path, tmp_path: Path) -> None:
    assert not list(told.glob("wandb/*/files/**/*.png"))
    for cells, runs in ((False, 1), (True, 2)):
        logger, out = wandb_logger(images=True, cells=cells), tmp_path / str(cells)
        logger.check(facts(out))
        reported(logger, facts(out), [OK, FAILED], OK, FAILED)
        sent = sorted(int(read_png(f)[0, 0, 0]) for f in out.rglob("*.png"))
        assert sent == sorted([10, 200] * runs)


def test_pictures_of_people_who_may_be_real_are_refused() -> None:
    real = facts(Path("out"), invented=False)
    wandb_logger().check(real)
    wandb_logger(images_of_real_people=True).check(real)
    wandb_logger(images=True, images_of_real_people=True).check(real)
    with pytest.raises(BenchError, match="may be real"):
        wandb_logger(images=True).check(real)


def test_a_run_refuses_them_before_any_work(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    words = ["data=folder", f"data.root={tmp_path}", "data.limit=0", "logger=wandb", "logger.images=true"]
    with pytest.raises(BenchError, match=r"(?s)people of folder to W&B.*images_of_real_people"):
        run(settings_of([*SMALL, *places(tmp_path), *words]), Console(file=StringIO()))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_pictures_of_invented_people_are_welcome(tmp_path: Path) -> None:
    assert small_run(tmp_path, "logger=wandb", "logger.images=true", "dry_run=true")[0] == 0


def test_people_are_real_unless_a_data_set_says_otherwise() -> None:
    class Theirs(Source):
        def load(self, resolution: int) -> Dataset:
            raise NotImplementedError

    assert not Theirs.invented
    assert not Source.invented


# --- whether to go online -------------------------------------------------------------------------------------------


class Fake:
    """A stand-in for wandb that keeps the modes of its runs, and raises when `broken` is called."""

    def __init__(self, broken: str = "", mode: str = "online", api_key: str | None = None) -> None:
        self.broken = broken
        self.settings = SimpleNamespace(
            mode=mode, api_key=api_key, identity_token_file=None, base_url="https://api.wandb.ai"
        )
        self.modes: list[str] = []
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name == self.broken:
                raise RuntimeError(f"{name} is\n[broken]")
            if name == "Settings":
                self.modes.append(kwargs["mode"])
            return self

        return called

    @property
    def summary(self) -> Fake:
        return self


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`fake(...)` puts a `Fake` in the place of wandb."""

    def put(**settings: Any) -> Fake:
        made = Fake(**settings)
        monkeypatch.setitem(sys.modules, "wandb", made)
        return made

    return put


@pytest.mark.parametrize(
    ("invented", "online", "key", "environment", "expected"),
    [
        (True, None, None, "online", "offline"),
        (True, None, "secret", "online", "online"),
        (True, None, "secret", "offline", "offline"),
        (True, False, "secret", "online", "offline"),
        (True, True, "secret", "offline", "online"),
        (False, None, "secret", "online", "offline"),
        (False, False, "secret", "online", "offline"),
        (False, True, "secret", "online", "online"),
    ],
)
def test_online_only_if_logged_in_and_of_real_people_only_if_asked(
    invented: bool, online: bool | None, key: str | None, environment: str, expected: str, fake: Any, tmp_path: Path
) -> None:
    made, logger, run = fake(mode=environment, api_key=key), wandb_logger(online=online), facts(tmp_path, invented)
    logger.begin(run, plan_of(OK))
    assert made.modes == [expected]
    assert expected in logger.destination(run), "the run says so before it begins"


@pytest.mark.parametrize("online", [None, False])
def test_disabled_logs_nothing(online: bool | None, fake: Any, tmp_path: Path) -> None:
    made = fake(mode="disabled")
    reported(wandb_logger(online=online, cells=True), facts(tmp_path), [OK], OK)
    assert made.modes == []
    assert not list(tmp_path.iterdir())


def test_online_without_a_key_is_a_mistake_and_never_a_question(fake: Any) -> None:
    fake()
    with pytest.raises(BenchError, match="needs a W&B API key"):
        wandb_logger(online=True).check(facts(Path("out")))
    fake(api_key="secret")
    wandb_logger(online=True).check(facts(Path("out")))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("machine api.wandb.ai login user password secret", True),
        ("machine example.org login user password secret", False),
        ("machine api.wandb.ai what is this", False),
    ],
)
def test_netrc_counts(text: str, known: bool, fake: Any, tmp_path: Path) -> None:
    fake()
    assert not logged_in()
    (tmp_path / "no-netrc").write_text(text)
    assert logged_in() == known


def test_wandb_reads_the_key_of_the_environment() -> None:
    """In a process of its own: wandb reads the environment once."""
    code = "from bench.loggers.wandb_place import logged_in; print(logged_in())"
    for key, expected in [("", "False"), ("k" * 40, "True")]:
        environment = {**os.environ, **({"WANDB_API_KEY": key} if key else {})}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [expected]


AGENT = """
from pathlib import Path
import sys
from tests.bench.loggers.test_loggers import OK, facts, reported, wandb_logger
from tests.support.two_attacks import run as standing_records
reported(wandb_logger(online=False, cells=True), facts(Path(sys.argv[1])), standing_records(), OK)
print("done")
"""


def test_wandb_does_not_report_on_itself(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would even when offline; but whoever has decided about it has decided."""
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "")
    monkeypatch.delenv("WANDB_ERROR_REPORTING")
    fake()
    wandb_logger().begin(facts(tmp_path), plan_of(OK))
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    wandb_logger().begin(facts(tmp_path / "another"), plan_of(OK))
    assert os.environ["WANDB_ERROR_REPORTING"] == "true"


def test_under_an_agent_there_is_one_run_and_the_network_is_never_used(tmp_path: Path) -> None:
    """An agent sets the id, and would have all cells in one run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        agent = {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "trial", "WANDB_BASE_URL": address, "HTTPS_PROXY": address}
        done = subprocess.run(
            [sys.executable, "-c", AGENT, str(tmp_path / "out")],
            cwd=ROOT,
            env={**os.environ, **agent},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (done.stdout, done.stderr) == ("done\n", "")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    found = read_back(tmp_path / "out")
    assert set(found) == {"trial"}
    assert found["trial"]["summary"]["ilr"] == run_outcome(RunAnalysis(standing_records()), "aspl")["ilr"]


def test_the_sweep_definition_is_a_command_line_that_composes() -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    from bench.config.compose import prepare

    sweep: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "wandb_sweep.yaml"))
    assert sweep["command"][2:] == ["-m", "bench", "${args_no_hyphens}"]
    assert sweep["metric"] == {"name": "ilr", "goal": "minimize"}
    values = {name: p.get("values", [p.get("value")]) for name, p in sweep["parameters"].items()}
    for turn in range(max(map(len, values.values()))):  # every value once, not every combination
        chosen = {name: {"value": found[turn % len(found)]} for name, found in values.items()}
        words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
        prepare(words)
        assert parsed(*words).budget == chosen["budget"]["value"]


def test_arms_are_not_compared_again(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake()
    analysis = RunAnalysis(standing_records())
    assert [each.attack for each in analysis.comparisons] == ["dreambooth", "lora", WORST]
    monkeypatch.setattr("bench.report.comparisons.judge", None)
    assert "tiers_lora" in run_tables(analysis)
    guard = Guard(wandb_logger(), "wandb", facts(tmp_path), Console(file=(text := StringIO())))
    guard.begin(plan_of(*standing_records()))
    guard.finish(analysis)
    assert text.getvalue() == ""


# --- a logger never fails a run -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["setup", "Settings", "init", "update", "Table", "Image", "log", "finish"])
def test_failure_is_told_once_in_one_line_and_the_logger_is_left_alone(call: str, fake: Any, tmp_path: Path) -> None:
    made = fake(broken=call)
    text = StringIO()
    guard = Guard(wandb_logger(images=True, cells=True), "wandb", facts(tmp_path), Console(file=text, width=60))
    guard.check()
    guard.begin(plan_of(OK, FAILED))
    guard.log(OK)
    count = len(made.calls)
    guard.log(FAILED)
    guard.finish(RunAnalysis([OK, FAILED]))
    assert len(made.calls) == count
    guard.close()
    assert len(text.getvalue().splitlines()) == 1
    assert "logger=wandb failed" in text.getvalue()
    assert f"RuntimeError: {call} is [broken]" in text.getvalue()


@pytest.mark.parametrize(("call", "given"), [("check", []), ("begin", [plan_of(OK)]), ("log", [OK])])
def test_failure_of_a_missing_package_is_told_too(
    call: str, given: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    text = StringIO()
    guard = Guard(wandb_logger(online=True, cells=True), "wandb", facts(tmp_path), Console(file=text))
    getattr(guard, call)(*given)
    assert "wandb" in text.getvalue()
    assert len(text.getvalue().splitlines()) == 1


def test_a_mistake_in_the_settings_stops_the_run(tmp_path: Path) -> None:
    guard = Guard(wandb_logger(images=True), "wandb", facts(tmp_path, invented=False), Console(file=StringIO()))
    with pytest.raises(BenchError, match="may be real"):
        guard.check()


# --- CSV ------------------------------------------------------------------------------------------------------------


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / FILE).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_csv_has_a_row_per_cell(tmp_path: Path) -> None:
    logger = LOGGERS.create("csv", {})
    odd = record(cell="c" * 64, identity='Zoë, "z"\n', defense=defense("mist", 4.5))
    for each in (FAILED, OK, odd):
        logger.log(facts(tmp_path), each)
    logger.finish(facts(tmp_path), RunAnalysis([FAILED, OK, odd]))
    failed, ok, strange = rows_of(tmp_path)
    assert (failed["status"], failed["reason"], failed["ilr"]) == ("failed", "no memory", "")
    assert (ok["cell"], ok["identity"], ok["title"]) == (OK.cell, "ann", "ann, aspl 8/255, jpeg, lora")
    assert (ok["countermeasure"], ok["surrogates"], ok["attack"]) == ("jpeg", "facelet-1", "lora")
    sly = record(cell="d" * 64, identity="=1+1", metrics={"ilr": -0.5})
    for each in (sly, OK):  # which reads the file and writes it again
        logger.log(facts(tmp_path), each)
    (line,) = [row for row in rows_of(tmp_path) if row["cell"] == sly.cell]
    assert (line["identity"], line["title"][:2], line["ilr"]) == ("'=1+1", "'=", "-0.5")
    assert (ok["fdfr"], float(ok["ilr"]), ok["ism_detected"]) == ("0.25", 1 / 3, "")
    assert (ok["fit/seconds"], ok["fit/peak_mb"]) == ("1.5", "900.0")
    assert (strange["identity"], strange["budget"]) == ('Zoë, "z"\n', "4.5")


def test_csv_replaces_the_row_of_a_cell_that_is_done_again(tmp_path: Path) -> None:
    logger = LOGGERS.create("csv", {})
    for each in (OK, FAILED, OK.model_copy(update={"status": "skipped"})):
        logger.log(facts(tmp_path), each)
    assert [(row["cell"], row["status"]) for row in rows_of(tmp_path)] == [
        (FAILED.cell, "failed"),
        (OK.cell, "skipped"),
    ]


def test_csv_keeps_what_it_has_if_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = LOGGERS.create("csv", {})
    logger.log(facts(tmp_path), OK)
    monkeypatch.setattr(Path, "replace", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        logger.log(facts(tmp_path), FAILED)
    monkeypatch.undo()
    assert [row["cell"] for row in rows_of(tmp_path)] == [OK.cell]
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == [f".{FILE}.lock", FILE]


def test_csv_takes_rows_of_several_writers(tmp_path: Path) -> None:
    logger = LOGGERS.create("csv", {})
    cells = [record(cell=f"{i:064d}") for i in range(12)]
    threads = [threading.Thread(target=logger.log, args=(facts(tmp_path), cell)) for cell in cells]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["cell"] for row in rows_of(tmp_path)} == {cell.cell for cell in cells}


# --- settings -------------------------------------------------------------------------------------------------------


def test_wandb_is_the_default() -> None:
    assert parsed().logger == Method(
        name="wandb", settings={k: v for k, v in composed()["logger"].items() if k != "name"}
    )
    assert parsed("logger=csv").logger == Method(name="csv")


def test_the_logger_does_not_decide_where_a_run_is() -> None:
    assert default_out(parsed()) == default_out(parsed("logger=none")) == default_out(parsed("logger.group=x"))


@pytest.mark.parametrize(
    ("name", "settings", "message", "fix"),
    [
        ("wandb", {"projct": "x"}, "Unknown setting 'logger.projct'.", "Did you mean 'logger.project'?"),
        ("wandb", {"online": "onlin"}, "Bad setting logger.online='onlin'.", "boolean"),
        ("wandb", {"images": "some"}, "Bad setting logger.images='some'.", "boolean"),
        ("wandbb", {}, "Unknown logger 'wandbb'.", "Did you mean 'wandb'?"),
    ],
)
def test_mistake_is_explained(name: str, settings: dict[str, Any], message: str, fix: str) -> None:
    with pytest.raises(BenchError) as caught:
        LOGGERS.create(name, settings)
    assert caught.value.message == message
    assert fix in caught.value.fix


THEIRS = """
from dataclasses import dataclass
from bench.loggers import LOGGERS, Logger

@LOGGERS.register("theirs_of_a_test")
@dataclass(frozen=True)
class Theirs(Logger):
    "Somebody's own."
    path: str

    def log(self, run, record):
        with open(self.path, "a") as stream:
            print(record.status, file=stream)

    def finish(self, run, analysis):
        with open(self.path, "a") as stream:
            print(run.name, len(analysis.records), file=stream)
"""


# --- whole runs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """`python -m bench` with the default logger: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("default")
    words = [word for word in SMALL if not word.startswith("logger")]
    with pytest.MonkeyPatch.context() as patch:
        be_nobody(patch, tmp_path_factory.mktemp("home"))
        done = subprocess.run(
            [sys.executable, "-m", "bench", *words, *places(folder)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout + done.stderr


def test_a_run_logs_to_wandb_by_default_and_nobody_hears_of_it(default_run: tuple[Path, str]) -> None:
    folder, text = default_run
    said = [line for line in text.lower().splitlines() if "wandb" in line]
    assert [line.split()[0] for line in said] == ["logged"], "where it is and how to send it, and nothing of its own"
    assert sorted(f.name for f in folder.iterdir()) == ["out", "store"]
    records = load_all(folder / "out")
    (made,) = by_name(folder / "out").values()
    assert (made["display_name"], made["exit_code"]) == ("out", 0)
    assert made["summary"]["cells/ok"] == 4
    plan = manifest.load(folder / "out")
    assert plan is not None
    configured = made["config"]["update"]
    assert configured["budget"] == plan.settings["budget"] == 8
    assert configured["attack"] == plan.settings["attack"]
    assert configured["cells"] == 4
    assert made["notes"].startswith("python -m bench defense=aspl attack=dreambooth")
    steps = [step for step in made["history"] if "cells/done" in step]
    assert [step["cells/done"] for step in steps] == [1, 2, 3, 4]
    assert {step["cell/title"]: step["cell/ilr"] for step in steps} == {
        cell_label(r): r.metrics["ilr"] for r in records
    }
    columns, rows = table(made, "cells")
    assert {row[columns.index("cell")]: row[columns.index("ilr")] for row in rows} == {
        r.cell: r.metrics["ilr"] for r in records
    }


def test_cells_may_have_runs_of_their_own(default_run: tuple[Path, str], tmp_path: Path) -> None:
    _, records, _ = again(default_run[0], tmp_path / "out", "logger=wandb", "logger.cells=true")
    found = by_name(tmp_path / "out")
    assert set(found) == {"out", *map(cell_label, records)}
    for each in records:
        made = found[cell_label(each)]
        assert made["exit_code"] == 0
        assert made["summary"]["ilr"] == each.metrics["ilr"]
        assert made["summary"]["measure/seconds"] == each.stages["measure"].seconds
        assert made["config"]["update"]["cell"] == each.cell
        assert [row[0] for row in table(made, "images")[1]] == each.provenance["protocol"]["prompts"]


def again(folder: Path, out: Path, *words: str) -> tuple[int, list[Record], str]:
    """The same run with everything in the store."""
    status, _, text = small_run(folder, f"out={out}", *words)
    return status, load_all(out), text


def test_a_run_with_a_broken_logger_is_whole(default_run: tuple[Path, str], fake: Any, tmp_path: Path) -> None:
    made = fake(broken="init")
    status, records, text = again(default_run[0], tmp_path, "logger=wandb")
    assert status == 0
    assert [r.metrics for r in records] == [r.metrics for r in load_all(default_run[0] / "out")]
    assert (tmp_path / "report.md").is_file()
    assert text.count("failed and is off") == 1
    assert made.calls.count("init") == 1


def test_a_run_writes_csv_if_asked(default_run: tuple[Path, str], tmp_path: Path) -> None:
    status, records, _ = again(default_run[0], tmp_path, "logger=csv")
    assert status == 0
    assert {row["cell"]: float(row["ilr"]) for row in rows_of(tmp_path)} == {r.cell: r.metrics["ilr"] for r in records}
    assert not (tmp_path / "wandb").exists()


def test_a_run_takes_a_logger_of_a_plugin(default_run: tuple[Path, str], tmp_path: Path) -> None:
    plugin, told = tmp_path / "theirs.py", tmp_path / "told.txt"
    plugin.write_text(THEIRS)
    words = [*SMALL[:-1], "out=out", f"store={default_run[0] / 'store'}", f"plugins=[{plugin}]"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, "logger=theirs_of_a_test", f"logger.path={told}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert told.read_text().splitlines() == ["ok"] * 4 + ["out 4"]


def test_wandb_is_imported_only_when_used() -> None:
    code = "import sys, bench.runner.run, bench.loggers.wandb_runs, bench.list; print('wandb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_logger_of_the_project_has_a_name(tmp_path: Path) -> None:
    assert LOGGERS.names() == ["csv", "none", "wandb"]
    LOGGERS.create("none", {}).log(facts(tmp_path), OK)
    LOGGERS.create("none", {}).finish(facts(tmp_path), RunAnalysis([]))
    assert not list(tmp_path.iterdir())
