"""What READMEs, comments and messages name is there: files, modules, commands, settings and methods."""

from __future__ import annotations

import ast
import io
import re
import shlex
import tokenize
from collections.abc import Iterator
from pathlib import Path

from bench.config.compose import settings_of
from defenses import DEFENSES
from tests.support.contexts import ROOT

PACKAGES = ("attacks", "bench", "benchmarks", "countermeasures", "defenses", "leaderboard", "metrics", "tests")
TOP = "|".join((*PACKAGES, "conf", "docs"))
FILE = re.compile(rf"(?<![\w/.>~-])((?:{TOP})/[\w./-]*\w\.(?:py|md|ya?ml|json|html|js|css|npz|safetensors|png|webp))\b")
OTHERS = re.compile(r"Anti-DreamBooth's|SimAC's|results/mine")
"""Who names a file of somebody else's repository says whose it is."""
MODULE = re.compile(r"python3? -m ([a-z_]+(?:\.\w+)*)(?!\.\$)")
NAME = re.compile(rf"(?<![\w/.:-])((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)(?![/\w])")
DOCUMENTS = [
    file
    for file in (*ROOT.glob("*.md"), *(f for p in (*PACKAGES, "docs") for f in (ROOT / p).rglob("*.md")))
    if not re.search("docs/_build|CHANGELOG", str(file))
]


def lines() -> Iterator[tuple[str, str]]:
    """Place and text of all lines in which people are told something: documents, strings and comments."""
    for file in DOCUMENTS:
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            yield f"{file.relative_to(ROOT)}:{number}", line
    for file in (f for p in (*PACKAGES, "conf") for f in (ROOT / p).rglob("*.py") if f != Path(__file__)):
        source, name = file.read_text(), file.relative_to(ROOT)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield from ((f"{name}:{node.lineno}", line) for line in node.value.splitlines())
        if "#" in source:
            for token in tokenize.generate_tokens(io.StringIO(source).readline):
                if token.type == tokenize.COMMENT:
                    yield f"{name}:{token.start[0]}", token.string
    for file in (*(ROOT / "conf").rglob("*.yaml"), ROOT / "Makefile", ROOT / "pyproject.toml"):
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            yield f"{file.relative_to(ROOT)}:{number}", line


def module(name: str) -> Path | None:
    """The file of a module."""
    place = ROOT / name.replace(".", "/")
    options = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in options if file.is_file()), None)


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something that its module has."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if file := module(".".join(parts[:count])):
            rest = parts[count:]
            return (
                not rest
                or rest[0].startswith("__")
                or (file.parent / rest[0]).is_dir()
                or bool(re.search(rf"\b{rest[0]}\b", file.read_text()))
            )
    return False


def test_files_modules_and_names_that_are_named_are_there() -> None:
    wrong = []
    for place, line in lines():
        named = [] if OTHERS.search(line) else FILE.findall(line)
        beside = (ROOT / place).parent
        wrong += [f"{place}: file {f}" for f in named if not ((ROOT / f).is_file() or (beside / f).is_file())]
        for name in MODULE.findall(line):
            runs = module(f"{name}.__main__") or ((file := module(name)) and "__main__" in file.read_text())
            if name.partition(".")[0] in PACKAGES and not runs:
                wrong.append(f"{place}: python -m {name}")
        found = (name for name in NAME.findall(line) if not re.search(r"\.(md|json|ya?ml|py|csv|js)$", name))
        wrong += [f"{place}: name {name}" for name in found if not is_there(name)]
    assert wrong == []


def commands() -> Iterator[tuple[str, list[str]]]:
    """Module and words of commands in READMEs that `test_commands` leaves out; of a sweep its first choice."""
    for file in DOCUMENTS:
        if file.parent == ROOT or "docs" in file.parts:
            continue
        text = file.read_text().replace("\\\n", " ")
        shown = re.findall(r"^(?: {4,})?(python -m [a-z_.]+ .*)$", text, re.MULTILINE)
        for line in shown + re.findall(r"`(python -m [a-z_.]+ [^`\n]*)`", text):
            plain = re.sub(r"<([^<>]*)>", lambda gap: re.sub(r"\W", "_", gap[1]), line.partition(" #")[0])
            words = shlex.split(re.sub(r"\s+\.\.\..*", "", plain.partition("  ")[0]))
            yield words[2], words[3:]


def test_settings_and_options_of_commands_exist() -> None:
    runs, options = set(), 0
    for name, words in commands():
        if name == "bench":
            runs.add(tuple(re.sub(r"=([^\[{'\"]*?),.*", r"=\1", word) for word in words if word != "-m"))
            continue
        file = module(f"{name}.__main__") or module(name)
        assert file is not None, name
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option == "--config-name" or option[2:] in file.read_text(), (name, option)
            options += 1
    for one in runs:
        settings_of(one)  # or it raises, and says what is wrong
    assert runs
    assert options


def test_the_readme_counts_the_published_defenses() -> None:
    """`aspl` and `antidreambooth` are one."""
    published = {
        DEFENSES.get(name) for name in set(DEFENSES.names()) - {"none", "noise", "jpeg", "placebo", "precomputed"}
    }
    assert f"and {len(published) - 1} other published" in " ".join((ROOT / "README.md").read_text().split())
