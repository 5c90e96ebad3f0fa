"""Paths as people write them, and what the system says of files, in words."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench import status
from bench.config.compose import settings_of
from bench.core.cli import guarded
from bench.core.errors import BenchError, of_system, system_errors
from bench.core.paths import all_expanded, expanded
from bench.core.plugins import import_plugins
from bench.models.weights.published import insightface_home
from bench.report import document
from bench.store import __main__ as keeping
from bench.store import default_root
from leaderboard.__main__ import main as leaderboard
from tests.support.contexts import ROOT


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's home folder; they stand in another one, which is empty."""
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    for name in ("CLOAKBENCH_STORE", "UNSET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


# --- what people write ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("~/st", "{home}/st"),
        ("~", "{home}"),
        ("$HOME/st", "{home}/st"),
        ("${SCRATCH}/$HOME", "{scratch}/{home}"),
        ("a/~/b", "a/~/b"),
        ("runs/x y", "runs/x y"),
        ("5$", "5$"),
    ],
)
def test_paths_are_expanded(given: str, meant: str, home: Path) -> None:
    scratch = home.parent / "scratch"
    assert expanded(given) == Path(meant.format(home=home, scratch=scratch))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("$UNSET/st", "variable $UNSET is not set"),
        ("x/${UNSET}", "variable ${UNSET} is not set"),
        ("~nobody_of_a_test/x", "~nobody_of_a_test has no home folder"),
        ("a\0b", "NUL"),
    ],
)
def test_paths_that_mean_nothing_are_no_folders_of_that_name(given: str, message: str) -> None:
    with pytest.raises(BenchError) as caught:
        expanded(given)
    assert message in caught.value.message
    with pytest.raises(BenchError):
        all_expanded({"data": {"root": given}})


def test_a_file_may_have_a_dollar_in_its_name() -> None:
    Path("$UNSET").mkdir()
    assert expanded("$UNSET") == Path("$UNSET")


def test_every_setting_that_is_a_path_is_expanded(home: Path) -> None:
    words = [
        *("out='~/out'", "store='$SCRATCH/st'", "data=folder", "data.root='~/faces'", "model=diffusers"),
        *("model.name=m", "model.source='~/m'", "attack=ip_adapter", "attack.weights='~/w'"),
        *(
            "defense=precomputed",
            "defense.label=x",
            "defense.root='$SCRATCH/c'",
            "metric.recognisers=['~/p']",
            "metric.clip='~/clip'",
        ),
        "surrogates=[{name: facelet-1, source: '~/s'}]",
    ]
    settings, scratch = settings_of(words), home.parent / "scratch"
    assert (settings.out, settings.store) == (f"{home}/out", f"{scratch}/st")
    assert settings.data.settings["root"] == f"{home}/faces"
    assert (settings.model.source, settings.surrogates[0].source) == (f"{home}/m", f"{home}/s")
    assert settings.attack.settings["weights"] == f"{home}/w"
    assert settings.defense.settings["root"] == f"{scratch}/c"
    assert (settings.metric.recognisers, settings.metric.clip) == ((f"{home}/p",), f"{home}/clip")


def test_texts_that_are_no_paths_stay() -> None:
    texts = {"attack": {"prompt": "for 9$ or $UNSET", "steps": 3, "word": None}, "data": {"names": ["ada", "a~b"]}}
    assert all_expanded(texts) == texts
    prompts = {"protocol": {"prompts": ["$UNSET {subject}"]}}
    assert all_expanded(prompts) == prompts


def test_stores_and_packs_of_the_environment_are_expanded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOAKBENCH_STORE", "~/st")
    assert default_root() == home / "st"
    assert default_root("$SCRATCH") == home.parent / "scratch"
    monkeypatch.setenv("INSIGHTFACE_HOME", "~/packs")
    assert insightface_home() == home / "packs" / "models"


def test_plug_ins_are_expanded(home: Path) -> None:
    (home / "cloak_in_a_home.py").write_text("raise RuntimeError('it is here')\n")
    with pytest.raises(BenchError, match="it is here"):
        import_plugins(["~/cloak_in_a_home.py"])


@pytest.mark.parametrize(
    ("command", "words", "place"),
    [
        (keeping.main, ["ls", "--store", "~/st"], "home/st"),
        (status.main, ["~/run"], "home/run"),
        (document.main, ["$SCRATCH/run"], "scratch/run"),
        (leaderboard, ["submit", "~/run"], "home/run"),
        (leaderboard, ["build", "~/results", "-o", "~/site"], "home/results"),
        (leaderboard, ["compare", "$SCRATCH/results", "mine"], "scratch/results"),
        (leaderboard, ["verify", "~/run", "--store", "~/st"], "home/run"),
    ],
)
def test_commands_name_the_place_that_is_meant(
    command: Callable[[Sequence[str]], int],
    words: list[str],
    place: str,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert guarded(command, words)
    said = capsys.readouterr()
    assert str(home.parent / place) in (said.out + said.err).replace("\n", "")
    assert list(Path().iterdir()) == []


# --- what the system says ---------------------------------------------------------------------------------------------


def ended(action: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that does this."""

    def command(_: Sequence[str]) -> int:
        action()
        return 0

    assert guarded(command, []) == 1
    return capsys.readouterr().err


def test_what_is_in_the_way_is_told_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").touch()
    Path("folder").mkdir()
    Path("nowhere").symlink_to("gone")
    Path("round").symlink_to("round")
    told = {
        "A file is where a folder is meant: file/x": lambda: Path("file/x").mkdir(),
        "There is no such file or folder: gone": lambda: Path("gone").read_bytes(),
        "A folder is where a file is meant: folder": lambda: Path("folder").read_bytes(),
        "already: file": lambda: Path("file").mkdir(exist_ok=True),
        "The link leads to nothing: nowhere": lambda: Path("nowhere").mkdir(exist_ok=True),
        "The link leads back to itself: round": lambda: Path("round").read_bytes(),
        "The name is too long for the file system: xxx": lambda: Path("x" * 300).mkdir(),
    }
    for words, action in told.items():
        assert words in ended(action, capsys)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "no permission"), (errno.EROFS, "cannot be written to"), (errno.ENOSPC, "disk is full")],
)
def test_what_cannot_be_had_is_told_with_its_place(number: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "/srv/out")

    said = ended(fail, capsys)
    assert words in said
    assert "/srv/out" in said
    assert said.count("\n") == 2  # the message, and what to do


def test_an_error_without_a_number_is_not_the_systems() -> None:
    with pytest.raises(OSError, match="server"), system_errors():
        raise OSError("the server said no")
    assert of_system(OSError(errno.EHOSTDOWN, "Host is down")).message == "Host is down."


def test_an_interrupt_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(_: Sequence[str]) -> int:
        raise KeyboardInterrupt

    assert guarded(interrupt, []) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from bench.core.cli import guarded\nguarded(lambda _: [print('x' * 99) for _ in range(9999)] and 0, [])"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
