"""Prompts and captions: what is wrong with one is said before anything is computed."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import CLIPTokenizer

import bench.runner.prompt_lengths
from attacks import ATTACKS, Attack
from bench.config.compose import prepare
from bench.config.prompts import captions
from bench.core.errors import BenchError
from bench.models.diffusion.model_cache import Pool
from bench.models.weights.files import ZOO
from bench.runner.plan import cells, load_data
from bench.runner.prompt_lengths import check_texts
from defenses import DEFENSES
from tests.support.settings import parsed

FOLDER = ZOO / "facelet-1" / "tokenizer"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("a photo of a man img", "has no {subject}"),
        ("a photo of {{subject}}", "has no {subject}"),
        ("a photo of {subject}, {mood}", "has {mood}, and only {subject} is replaced"),
        ("a photo of {}", "has {}, and only {subject} is replaced"),
        ("a photo of {0}", "has {0}, and only {subject} is replaced"),
        ("a photo of { subject }", "has { subject }, and only {subject} is replaced"),
        ("a photo of {subject.name}", "has {subject.name}, and only {subject} is replaced"),
        ("a photo of {subject", "has a brace without its other half"),
        ("a photo of {subject}}", "has a brace without its other half"),
        ("a photo of {subject!r:>10}", "has more than {subject} in its braces"),
        ("a photo of {subject:>10}", "has more than {subject} in its braces"),
        ("a photo of {subject:}", "has more than {subject} in its braces"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_said(prompt: str, said: str) -> None:
    with pytest.raises(BenchError) as caught:
        parsed(f'protocol.prompts=["{prompt}"]')
    assert caught.value.message == f"Bad setting protocol.prompts.0={prompt!r}."
    assert said in caught.value.fix
    assert "a photo of {subject}" in caught.value.fix


@pytest.mark.parametrize(
    "prompts",
    [("a photo of {subject}",), ("{subject} and {subject}", "{{art}} of {subject}"), ("ein Foto von {subject}, öl",)],
)
def test_right_prompts_are_left_as_they_are(prompts: tuple[str, ...]) -> None:
    words = ",".join(f'"{prompt}"' for prompt in prompts)
    assert parsed(f"protocol.prompts=[{words}]").protocol.prompts == prompts


def test_a_prompt_is_asked_for_once() -> None:
    """A tokenizer sees neither capitals nor the number of spaces."""
    with pytest.raises(BenchError) as caught:
        parsed('protocol.prompts=["a photo of {subject}","A  photo of {subject} "]')
    assert "is there twice; protocol.images_per_prompt asks for more" in caught.value.fix


def test_a_dollar_before_the_placeholder_is_explained() -> None:
    with pytest.raises(BenchError, match=r"protocol\.prompts\[0\]: Interpolation key 'subject' not found") as caught:
        prepare(["protocol.prompts=['a photo of ${subject}']"])
    assert "no dollar sign: {subject}" in caught.value.fix


@pytest.mark.parametrize("setting", ["prompt", "class_prompt"])
@pytest.mark.parametrize("text", ["a photo of {subject}", "a {", "}"])
def test_captions_have_no_braces(setting: str, text: str) -> None:
    with pytest.raises(BenchError, match=f"Bad setting defense.{setting}") as caught:
        DEFENSES.create("aspl", {setting: text})
    assert "nothing is put in their place" in caught.value.fix


def test_captions_of_a_method_are_known() -> None:
    assert captions(DEFENSES.create("aspl", {})) == {
        "prompt": "a photo of sks person",
        "class_prompt": "a photo of person",
    }
    assert captions(DEFENSES.create("noise", {})) == {}
    for name in DEFENSES.names():
        made = DEFENSES.get(name)
        assert ("prompt" in made.__dataclass_fields__) == ("prompt" in captions_of_type(name)), name


def captions_of_type(name: str) -> dict[str, str]:
    needed = {"label": "x", "root": "x"} if name == "precomputed" else {}
    return captions(DEFENSES.create(name, needed))


# --- what an attack cannot use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "prompt", "said"),
    [
        ("none", "a photo of sks {subject}", "has 'sks', which {subject} stands for already"),
        ("dreambooth", "SKS, a photo of {subject}", "has 'sks,', which {subject} stands for already"),
        ("textual_inversion", "a photo of <cloak> {subject}", "has '<cloak>', which {subject} stands for already"),
        ("photomaker", "a photo of {subject} img, smiling", "has 'img,', which {subject} stands for already"),
        ("photomaker", "{subject} and {subject}", "PhotoMaker cannot use"),
        ("photomaker", "a photo of super{subject}", "PhotoMaker cannot use"),
        ("photomaker", "a photo of {subject}s", "PhotoMaker cannot use"),
    ],
)
def test_an_attack_says_which_prompt_it_cannot_use(attack: str, prompt: str, said: str) -> None:
    with pytest.raises(BenchError) as caught:
        made(attack).check_prompt(prompt)
    assert said in caught.value.message


@pytest.mark.parametrize("attack", ATTACKS.names())
def test_attacks_take_the_default_prompts(attack: str) -> None:
    for prompt in parsed().protocol.prompts:
        made(attack).check_prompt(prompt)


def made(attack: str) -> Attack:
    return ATTACKS.create(attack, {}).resolved("facelet")


# --- what would be cut off ------------------------------------------------------------------------------------------


def check(*words: str) -> None:
    settings = parsed("data.limit=1", *words)
    pool = Pool("cpu")
    check_texts(cells(settings, load_data(settings), pool), pool)


LONG = "a dslr portrait of {subject} with a hat " + "and a hat " * 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"protocol.prompts=['{LONG}']"], [f"The prompt {LONG!r}, as none puts it, has 26 tokens", "reads 24", "hat"]),
        (["attack=textual_inversion", "attack.vectors=20"], ["as textual_inversion puts it, has 25 tokens"]),
        (["defense=aspl", f"defense.prompt='{'hat ' * 23}'"], ["defense.prompt=", "has 25 tokens"]),
        (["countermeasure=sd_img2img", f"countermeasure.sd_img2img.prompt='{'hat ' * 30}'"], ["sd_img2img.prompt="]),
    ],
    ids=["prompt", "vectors", "caption", "countermeasure"],
)
def test_what_is_longer_than_the_text_encoder_reads_is_said(words: list[str], said: list[str]) -> None:
    with pytest.raises(BenchError) as caught:
        check("attack=lora", "defense=noise", *words)
    for part in said:
        assert part in caught.value.message


@pytest.mark.parametrize("attack", [name for name in ATTACKS.names() if not ATTACKS.get(name).families])
def test_defaults_are_read_to_their_end(attack: str) -> None:
    check(f"attack={attack}", "defense=aspl")


def test_a_person_of_many_photos_fills_photomakers_prompt() -> None:
    attack = made("photomaker")
    assert attack.longest("a photo of {subject}", 3) == "a photo of person person person"
    assert ATTACKS.create("photomaker", {"references": 2}).longest("{subject}", 3) == "person person"
    assert ATTACKS.create("photomaker", {"weights": "sdxl-v2"}).longest("{subject}", 1) == "person person"


def test_short_texts_need_no_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.runner.prompt_lengths, "_tokenizer", None)
    bench.runner.prompt_lengths._check_length("a photo of sks person", "", "facelet-1", FOLDER)


@pytest.mark.parametrize("text", ["a " * 22, "!" * 22, "supercalifragilistic", "a photo of sks person"])
def test_no_short_text_has_more_tokens_than_bytes(text: str) -> None:
    assert len(CLIPTokenizer.from_pretrained(Path(FOLDER))(text).input_ids) <= len("".join(text.split())) + 2
