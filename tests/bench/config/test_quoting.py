"""What is printed to type: the shell and Hydra make of it exactly what was meant."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bench.config.quoting import as_names, pieces, quoted, read, rejected, shell_word, spelled
from bench.core.errors import BenchError

LETTERS = "aé张 1'\"\\()[]{}=,;&#!~$%@:/.|<>*?`\t"
TEXTS = st.text(st.sampled_from(LETTERS)) | st.text(st.characters(exclude_categories=["Cs", "Cc"]))
PLACES = [
    *(
        "/photos/José (1)",
        "/p/O'Brien",
        '/p/"big"',
        "C:\\José\\",
        "张伟",
        "~/x",
        "a=b",
        "(x)",
        "f(x)",
        "x)",
        "#1",
        "a;b",
    ),
    *("a&b", "wow!", "{x}", "[x] y", "a'b\"c\\", "smile :(", "<b>", "`date`", "$(id)é", "é$HOME", '\\"', "a\\'b!"),
    *("é, f", ",", "=", "a,b=", " é "),
]


def value_of(typed: str) -> object:
    """What Hydra makes of what is typed in a shell."""
    (word,) = shlex.split(typed)
    override = read(word)
    assert override is not None, word
    return override.value()


def typed_in(error: BenchError) -> str:
    return error.fix.partition("Type: ")[2]


@given(TEXTS)
@example("\\")
@example('\\"')
@example("'\\\\'")
def test_quoted_text_is_read_as_the_same_text(text: str) -> None:
    override = read(f"data.root={quoted(text)}")
    assert override is not None
    assert override.value() == text


@given(TEXTS)
def test_shell_word_is_one_word_and_the_same(text: str) -> None:
    assert shlex.split(shell_word(text)) == [text]


@pytest.mark.parametrize("place", PLACES)
def test_a_posix_shell_reads_the_word_as_python_does(place: str) -> None:
    word = f"data.root={quoted(place)}"
    shown = subprocess.run(["sh", "-c", f"printf %s {shell_word(word)}"], capture_output=True, check=True)
    assert shown.stdout.decode() == word


@given(TEXTS)
def test_text_that_is_rejected_is_accepted_as_it_is_printed(text: str) -> None:
    assume(read(f"data.root={text}") is None)
    error = rejected([f"data.root={text}"], 0, sweep=False, text=True)
    assert value_of(typed_in(error)) == text


@pytest.mark.parametrize("place", PLACES)
def test_places_that_are_rejected_are_accepted_as_they_are_printed(place: str) -> None:
    word = f"data.root={place}"
    assert read(word) is None
    assert value_of(typed_in(rejected([word], 0, sweep=False, text=True))) == place


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[josé,ana]", ["josé", "ana"]),
        ("[ana, O'Brien]", ["ana", "O'Brien"]),
        ("[a (1), 'b,c', 5]", ["a (1)", "b,c", 5]),
        ("[[josé],b]", [["josé"], "b"]),
        ("[{name: lora, prompt: josé & ana}, x]", [{"name": "lora", "prompt": "josé & ana"}, "x"]),
        ("[a photo of {subject}, smiling]", ["a photo of {subject}", "smiling"]),
    ],
)
def test_a_list_stays_a_list(value: str, meant: object) -> None:
    assert read(f"data.identities={value}") is None
    assert value_of(typed_in(rejected([f"data.identities={value}"], 0, sweep=False, text=False))) == meant


def test_values_of_a_sweep_are_quoted_one_by_one() -> None:
    assert spelled("/p/é,/q,/r (1)", sweep=True) == '"/p/é",/q,"/r (1)"'
    assert spelled("/p/é,/q", sweep=False, text=True) == '"/p/é,/q"'


@pytest.mark.parametrize(
    ("words", "index", "typed"),
    [
        (["data.identities=[ada,", "bob]", "out=x"], 0, "'data.identities=[ada, bob]'"),
        (["data.root=/my", "own", "photos (1)", "out=x"], 1, "'data.root=\"/my own photos (1)\"'"),
        (["budget", "=", "8"], 0, "budget=8"),
        (["budget", "=8"], 0, "budget=8"),
        (["'attack=lora'"], 0, "attack=lora"),
    ],
)
def test_what_the_shell_cut_or_left_is_put_together(words: list[str], index: int, typed: str) -> None:
    assert rejected(words, index, sweep=False, text=False).fix.endswith(typed)


def test_a_name_of_a_setting_cannot_be_quoted() -> None:
    assert rejected(["prötocol=3"], 0, sweep=False, text=False).message == "'prötocol' cannot be the name of a setting."


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["007", "1e3", "0x10", "true", "FALSE", "1_000", "104", "-5", "1.50", ".5", "inf", "nan"]
)
def test_a_name_keeps_its_text(name: str) -> None:
    for word, meant in ((f"_={as_names(name, numbers=True)}", name), (f"_={as_names(f'[a,{name}]')}", ["a", name])):
        override = read(word)
        assert override is not None
        value = override.value()
        assert [str(one) for one in value] == meant if isinstance(value, list) else value == meant


def test_nothing_is_nothing_except_in_a_list() -> None:
    assert as_names("null") == "null"
    assert as_names("[null,a]") == "['null',a]"


@pytest.mark.parametrize(
    "value", ["ada", "[ada, bob]", "'1e3'", '["a,b", c]', "[104, 7]", "[]", "a,b", "{rank: 1e-4}", "str(5)"]
)
def test_what_is_a_name_already_is_left_alone(value: str) -> None:
    assert as_names(value) == value


def test_names_of_a_sweep_and_of_lists_in_lists_are_kept() -> None:
    assert as_names("1e3,[true],null") == "'1e3',['true'],null"
    assert as_names("[ada, [1e3, b]]") == "[ada,['1e3',b]]"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a, b", ["a", "b"]),
        ("[a,b],c", ["[a,b]", "c"]),
        ("{a: 'x,y'},\"p,q\"", ["{a: 'x,y'}", '"p,q"']),
        ("O'Brien,D'Arcy", ["O'Brien", "D'Arcy"]),
        (r"a\,b,c", [r"a\,b", "c"]),
        ("f(1,2),c", ["f(1,2)", "c"]),
        ("smile :(,b", ["smile :(", "b"]),
        ("", [""]),
    ],
)
def test_pieces(text: str, parts: list[str]) -> None:
    assert pieces(text) == parts
