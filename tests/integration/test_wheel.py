"""What is installed works without its source: the wheel, in a folder with spaces and an accent in its name.

Run by `make wheel`, which takes two or three minutes: nothing here shares a process with the source tree. The packages
that the wheel needs are those of the environment that runs these tests.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from bench.core.imports import PACKAGES
from tests.support.contexts import ROOT

pytestmark = pytest.mark.wheel

OURS = ("bench", *PACKAGES, "benchmarks", "tests")
LEFT_OUT = (
    "bench/zoo/train/",
    "bench/zoo/parts/",
    "bench/zoo/make_",
    "bench/zoo/tflite.py",
    "bench/papers/README.md",
    "leaderboard/screenshots/",
)
"""For making the zoo, and for who reads the repository."""
TINY = ["defense=noise", "attack=dreambooth", "attack.steps=2", "attack.batch=2", "model.steps=2"]
RUN = [*TINY, "protocol.images_per_prompt=1", "data.limit=1", "logger=none", "workers=1"]
SCRIPT = f"""
import cloakbench

print("begun")
measured = cloakbench.evaluate("noise", "dreambooth", "synthetic", {[*RUN, "workers=2"]}, out="runs/script")
assert {{cell.status for cell in measured.cells}} == {{"ok"}}, measured.report
assert len(measured.summary()) and len(measured.images)
print(cloakbench.export(measured.out, "images du script"), "pictures")
"""
"""Without a guard: a worker that ran it anew would begin again."""
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution, so that this is tested, too."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="session")
def files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Calls a program of an environment that has the wheel, where somebody stands who has no source tree."""
    folder = tmp_path_factory.mktemp("ici") / "Été à Paris"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CLOAKBENCH"))}
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, cwd=folder, env=environment, check=True)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # As a line of a .pth file it is looked at last, and .pth files in it, as of an editable installation, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def call(program: str, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [folder / "venv" / "bin" / program, *words],
            cwd=folder,
            env=environment | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return call


def test_every_file_that_is_not_left_out_is_in_it(files: list[str]) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = [name for name in tracked.split("\0") if name.startswith(tuple(f"{package}/" for package in OURS[:-2]))]
    assert len(wanted) > 500
    assert [name for name in wanted if name not in files and not name.startswith(LEFT_OUT)] == []


def test_nothing_else_is_in_it(files: list[str]) -> None:
    assert {name.partition("/")[0] for name in files if ".dist-info/" not in name} == {*OURS[:-2], "cloakbench.py"}
    assert [name for name in files if name.startswith(LEFT_OUT)] == []
    assert sum("entry_points.txt" in name for name in files) == 1


def test_what_it_imports_of_the_project_is_in_it(wheel: Path, files: list[str]) -> None:
    modules = {str(PurePosixPath(name).with_suffix("")).replace("/", ".") for name in files if name.endswith(".py")}
    modules |= {name.removesuffix(".__init__") for name in modules}
    with zipfile.ZipFile(wheel) as archive:
        for name in (name for name in files if name.endswith(".py")):
            for module in _imported(ast.parse(archive.read(name))):
                if module.partition(".")[0] in OURS:
                    assert module in modules, f"{name} imports {module}"


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_the_source_tree_is_out_of_reach(installed: Call) -> None:
    places = installed("python", "-c", "import bench, conf, leaderboard as l; print(bench.__file__, conf.__file__, l)")
    assert str(ROOT) not in places.stdout
    assert "Été à Paris" in places.stdout
    for name in ("tests", "benchmarks", "bench.zoo.train"):
        installed(
            "python",
            "-c",
            f"from pkgutil import resolve_name as r\ntry: r({name!r})\nexcept (ImportError, AttributeError): exit(7)",
            status=7,
        )


def test_a_plain_script(installed: Call) -> None:
    installed("python", "-c", f"from pathlib import Path; Path('script.py').write_text({SCRIPT!r})")
    told = installed("python", "script.py").stdout
    assert told.count("begun") == 1
    assert "pictures" in told


def test_its_commands_in_turn(installed: Call) -> None:
    """One run, and everything that is done with one."""
    assert "defense" in installed("python", "-m", "bench", "--help").stdout
    assert "dladiff" in installed("python", "-m", "bench.list").stdout
    assert "dry run" in installed("python", "-m", "bench", "dry_run=true").stdout
    assert "arm" in installed("python", "-m", "bench", *RUN, "out=runs/essai").stdout
    assert "arm" in installed("cloakbench", *RUN, "workers=2", "out='runs/à deux'").stdout
    for command in ("report", "status"):
        installed("python", "-m", f"bench.{command}", "runs/essai")
    installed("python", "-m", "bench.stats", "runs/essai/scores.csv")
    installed("python", "-m", "bench.power", "--spread", "0.3")
    installed("python", "-m", "bench.paper", "dladiff", "runs/essai")
    assert "pass" in installed("python", "-m", "bench.check", "noise").stdout
    for command in ("ls", "verify"):
        installed("python", "-m", "bench.store", command)
    assert (
        "buffalo_l" in installed("python", "-m", "bench.fetch", "metric.recognisers=[buffalo_l]", "dry_run=true").stdout
    )
    assert "pictures in" in installed("python", "-m", "bench.export", "runs/essai", "-o", "des images").stdout
    installed("python", "-m", "bench.export", "--crops", "-o", "crops", "data=synthetic", "data.limit=1")
    assert "PSNR" in installed("python", "-m", "bench.cloak", "crops", "-o", "des cloaks", "defense=noise").stdout
    for command in ("data.prepare", "distribution", "train_remover"):
        installed("python", "-m", f"bench.{command}", "--help")
    installed("python", "-m", "bench.zoo.evaluate", "--help", status=2)
    installed("python", "-m", "leaderboard", "submit", "runs/essai", "--images", "--kind", "reference")
    lists = '{"references": ["essai"]}'
    installed("python", "-c", f"from pathlib import Path; Path('results', 'maintained.json').write_text('{lists}')")
    installed("python", "-m", "leaderboard", "validate", "results/essai")
    installed("python", "-m", "leaderboard", "verify", "runs/essai", "--entry", "results/essai")
    installed("python", "-m", "leaderboard", "build", "results", "-o", "le site")
    installed("python", "-c", "from pathlib import Path; assert Path('le site', 'index.html').is_file()")
