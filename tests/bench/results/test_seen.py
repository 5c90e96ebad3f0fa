"""What of an attack a cloak was made against."""

from __future__ import annotations

from typing import Any

import pytest

from bench.models.weights.published import ADAPTERS
from bench.results.record import Record
from bench.results.seen import TOWERS, seen, seen_text
from tests.support.plain_records import defense, record

FACEID = {"name": "ip_adapter", "config": {"variant": "faceid", "weights": "zoo", "recogniser": "facelet-id-a"}}
BASE: dict[str, Any] = {"name": "ip_adapter", "config": {"variant": "base", "weights": "zoo", "recogniser": None}}
PLUS = {"name": "ip_adapter", "config": {"variant": "faceid-plus", "weights": "sd15", "recogniser": "buffalo_l"}}
INSTANTID = {"name": "instantid", "config": {"weights": "zoo", "recogniser": "facelet-id-b"}}
PHOTOMAKER = {"name": "photomaker", "config": {"weights": "zoo", "recogniser": "facelet-id-a"}}
DREAMBOOTH = {"name": "dreambooth", "config": {"steps": 100}}


def cell(attack: dict[str, Any], surrogates: list[str], name: str = "dladiff", **config: Any) -> Record:
    return record(attack=attack, surrogates=surrogates, defense=defense(name, **config))


@pytest.mark.parametrize(
    ("attack", "recognisers", "expected"),
    [
        (FACEID, ["facelet-id-a"], {"base": True, "recogniser": True}),
        (FACEID, ["facelet-id-b"], {"base": True, "recogniser": False}),
        (INSTANTID, ["facelet-id-b"], {"base": True, "recogniser": True}),
        (INSTANTID, ["facelet-id-a"], {"base": True, "recogniser": False}),
        (INSTANTID, ["facelet-id-a", "facelet-id-b"], {"base": True, "recogniser": True}),
        (PHOTOMAKER, ["facelet-id-a"], {"base": True, "recogniser": True, "image encoder": False}),
        (BASE, ["facelet-id-a"], {"base": True, "image encoder": False}),
        (DREAMBOOTH, [], {"base": True}),
    ],
)
def test_dladiff_has_seen_the_recognisers_that_it_was_given(
    attack: dict[str, Any], recognisers: list[str], expected: dict[str, bool]
) -> None:
    assert seen(cell(attack, ["facelet-1"], layers=[1, 2], recognisers=recognisers)) == expected


@pytest.mark.parametrize("odd", [True, 1, 0.5, {}, "facelet-id-a"])
def test_settings_of_another_type_are_no_encoders(odd: Any) -> None:
    """A stranger's record may state anything."""
    faceid = {**FACEID, "config": {**FACEID["config"], "variant": odd}}  # type: ignore[dict-item]
    assert seen(cell(faceid, ["facelet-1"], recognisers=odd, image_encoders=odd))["base"]
    assert seen(cell(INSTANTID, ["facelet-1"], recognisers=odd)) == {"base": True, "recogniser": False}


def test_another_base_was_not_seen_and_without_its_first_layer_dladiff_sees_none() -> None:
    assert seen(cell(DREAMBOOTH, ["facelet-2"])) == {"base": False}
    assert seen(cell(DREAMBOOTH, ["facelet-2", "facelet-1"])) == {"base": True}
    assert seen(cell(DREAMBOOTH, ["facelet-1"], layers=[2])) == {"base": False}
    assert seen(cell(DREAMBOOTH, [], "idprotector_pgd")) == {"base": False}


def test_image_encoders_are_those_of_the_adapters() -> None:
    zoo, published, sdxl = ({"adapter": name, "recognisers": ["buffalo_l"]} for name in ("zoo", "sd15", "sdxl"))
    assert seen(cell(BASE, ["facelet-1"], "faceshield", **zoo))["image encoder"]
    assert not seen(cell(BASE, ["facelet-1"], "faceshield", **published))["image encoder"]
    assert seen(cell(PLUS, ["sd15"], "idguardian", **published)) == {
        "base": False,
        "recogniser": True,
        "image encoder": True,
    }
    assert not seen(cell(PLUS, ["sd15"], "idguardian", **sdxl))["image encoder"]
    assert seen(cell(PLUS, ["sd15"], "idguardian", **sdxl, plus_face=True))["image encoder"]
    own = {"name": "ip_adapter", "config": BASE["config"] | {"image_encoder": "/models/clip"}}
    assert seen(cell(own, [], "idprotector_pgd", image_encoders=["zoo", "/models/clip"]))["image encoder"]
    assert not seen(cell(own, [], "idprotector_pgd", image_encoders=["zoo"]))["image encoder"]
    assert seen(cell(PLUS, [], "idprotector_pgd", image_encoders=["sd15"]))["image encoder"]
    assert not seen(cell(PLUS, [], "idprotector_pgd", image_encoders=["sdxl"]))["image encoder"]
    photomaker = {"name": "photomaker", "config": {"weights": "sdxl", "recogniser": None}}
    assert seen(cell(photomaker, [], "idprotector_pgd", photomaker="sdxl"))["image encoder"]
    assert not seen(cell(photomaker, [], "idprotector_pgd", photomaker="none"))["image encoder"]


def test_published_image_encoders_are_those_that_the_weights_come_with() -> None:
    for (adapter, base), published in ADAPTERS.items():
        if published.encoder:
            variant = adapter.removeprefix("ip-adapter").removeprefix("-") or "base"
            assert TOWERS.get(f"{base} {variant}", TOWERS[base]) in published.encoder.title


def test_words() -> None:
    both = cell(PHOTOMAKER, ["facelet-1"], recognisers=["facelet-id-a"])
    other = cell(PHOTOMAKER, ["facelet-2"], recognisers=["facelet-id-a"])
    assert seen_text([both]) == "base, recogniser; not image encoder"
    assert seen_text([both, other]) == "recogniser; not base, image encoder"
    assert seen_text([cell(DREAMBOOTH, ["facelet-1"])]) == "base"
    assert seen_text([cell(DREAMBOOTH, [], "idprotector_pgd")]) == "not base"
    assert seen_text([cell(PHOTOMAKER, [], "precomputed", label="glaze")]) == "not known"
