"""IP-Adapter on transformers: what the stock pipelines do with the official files, and nothing left in the base."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks import ATTACKS
from attacks.ip_adapter_flow import FlowIpAdapter
from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.models.adapters.locate import locate_adapter
from bench.models.diffusion.flow import FlowModel
from bench.models.weights.published import Missing
from tests.support import tiny, tiny_flow, tiny_flow_adapters
from tests.support.contexts import fit_context
from tests.support.drawing import check_taken_out, pictures, plain, second
from tests.support.plans import planned
from tests.support.tiny import SIDE, person

BASES = {"sd3": tiny_flow.sd3, "flux": tiny_flow.flux}
Make = Callable[..., FlowIpAdapter]


@pytest.fixture(scope="module", params=list(BASES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("flow") / "tiny"
    BASES[family](made)
    return made


@pytest.fixture(scope="module")
def base(folder: Path) -> FlowModel:
    return tiny_flow.loaded(folder)


@pytest.fixture(scope="module")
def weights(folder: Path, family: str, base: FlowModel) -> Path:
    return tiny_flow_adapters.WRITERS[family](folder.parent / "adapter", base.transformer)


@pytest.fixture
def make(base: FlowModel, family: str, weights: Path) -> Iterator[Make]:
    made: list[FlowIpAdapter] = []

    def create(**settings: Any) -> FlowIpAdapter:
        attack = ATTACKS.create("ip_adapter", {"weights": str(weights)} | settings).resolved(family)
        assert isinstance(attack, FlowIpAdapter)
        attack.prepare(base)
        made.append(attack)
        return attack

    yield create
    for attack in reversed(made):
        attack.reset()


def stock(folder: Path, base: FlowModel, weights: Path, family: str) -> Any:
    """The published pipeline with the adapter and its image encoder, by diffusers alone."""
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil, SiglipVisionModel

    pipeline = tiny_flow.published(folder, base)
    if family == "flux":
        pipeline.load_ip_adapter(
            str(weights),
            weight_name="ip_adapter.safetensors",
            image_encoder_pretrained_model_name_or_path=str(weights / "image_encoder"),
            image_encoder_dtype=torch.float32,
        )
        pipeline.register_modules(feature_extractor=CLIPImageProcessorPil(size=SIDE, crop_size=SIDE))
    else:
        pipeline.register_modules(
            image_encoder=SiglipVisionModel.from_pretrained(weights / "image_encoder"),
            feature_extractor=SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        )
        pipeline.load_ip_adapter(str(weights), weight_name="ip-adapter.safetensors", image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.6)
    return pipeline


def as_pil(photos: Tensor) -> list[Any]:
    return [Image.fromarray(picture) for picture in to_pixels(photos)]


def test_one_photo_gives_the_pictures_of_the_stock_pipeline(
    make: Make, base: FlowModel, family: str, folder: Path, weights: Path
) -> None:
    attack = make(scale=0.6, references=1)
    ours = pictures(attack, attack.fit(person(0), fit_context()))
    pipeline = stock(folder, base, weights, family)
    theirs = tiny_flow.called(pipeline, base, ip_adapter_image=as_pil(person(0))[:1])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_several_photos_stand_side_by_side(
    make: Make, base: FlowModel, family: str, folder: Path, weights: Path
) -> None:
    attack = make(scale=0.6)
    artifact = attack.fit(person(0, 3), fit_context())
    ours = pictures(attack, artifact)
    pipeline = stock(folder, base, weights, family)
    if family == "flux":
        given: dict[str, Any] = {"ip_adapter_image": [as_pil(person(0, 3))]}
    else:
        seen = torch.cat([pipeline.encode_image(photo, base.device) for photo in as_pil(person(0, 3))], dim=1)
        given = {"ip_adapter_image_embeds": torch.cat([torch.zeros_like(seen), seen]).detach()}
    torch.testing.assert_close(ours, tiny_flow.called(pipeline, base, **given), atol=1e-5, rtol=0)
    one = {name: value[:1] for name, value in artifact.items()}
    assert not torch.allclose(ours, pictures(attack, one), atol=1e-3)


def test_reset_takes_all_of_it_out(make: Make, base: FlowModel) -> None:
    kept, processors = base.snapshot(), {n: type(p) for n, p in base.transformer.attn_processors.items()}
    check_taken_out(make(), person(0))
    after = base.snapshot()
    assert kept.keys() == after.keys()
    for part in kept:
        assert kept[part].keys() == after[part].keys()
        assert all(torch.equal(kept[part][name], after[part][name]) for name in kept[part])
    assert {n: type(p) for n, p in base.transformer.attn_processors.items()} == processors


def test_scale_zero_is_the_base(make: Make, base: FlowModel) -> None:
    before = plain(base)
    attack = make(scale=0.0)
    torch.testing.assert_close(pictures(attack, attack.fit(person(0), fit_context())), before, atol=1e-6, rtol=0)


def test_a_picture_does_not_depend_on_its_batch(make: Make) -> None:
    attack = make()
    artifact = attack.fit(person(0), fit_context())
    torch.testing.assert_close(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5, rtol=0)


def test_people_do_not_depend_on_who_came_before(make: Make) -> None:
    attack = make()
    alone = pictures(attack, attack.fit(person(0), fit_context()))
    other = pictures(attack, attack.fit(person(1), fit_context()))
    assert torch.equal(pictures(attack, attack.fit(person(0), fit_context())), alone)
    assert not torch.allclose(alone, other, atol=1e-3)


def test_guidance_can_be_off(make: Make, base: FlowModel) -> None:
    before = plain(base, guidance=1.0)
    attack = make()
    made = pictures(attack, attack.fit(person(0), fit_context()), guidance=1.0)
    assert float((made - before).abs().mean()) > 1e-3


def test_the_saved_artifact_gives_the_same_pictures_and_a_pickle_is_read(
    make: Make, weights: Path, family: str, tmp_path: Path
) -> None:
    attack = make()
    artifact = attack.fit(person(0), fit_context())
    in_memory = pictures(attack, artifact)
    attack.reset()
    save_file(artifact, tmp_path / "artifact.safetensors")
    pickled = shutil.copytree(weights, tmp_path / "pickled")
    (file,) = pickled.glob("*.safetensors")
    if family == "sd3":  # as InstantX published it at first; XLabs' never was a pickle
        torch.save(locate_adapter("ip-adapter-sd3", str(weights), "tiny").tensors(), file.with_suffix(".bin"))
        file.unlink()
    attack = make(weights=str(pickled))
    assert torch.equal(pictures(attack, load_file(tmp_path / "artifact.safetensors")), in_memory)


# --- files that do not fit ------------------------------------------------------------------------------------------


def refused(attack: FlowIpAdapter, embeddings: Tensor) -> str:
    """What is said of the files, and the base is as it was."""
    before = plain(attack.base)
    with pytest.raises(BenchError) as caught:
        pictures(attack, {"embeddings": embeddings})
    assert torch.equal(plain(attack.base), before)
    return caught.value.message


def test_an_adapter_of_a_unet_is_refused_and_leaves_nothing_behind(
    make: Make, base: FlowModel, family: str, tmp_path: Path
) -> None:
    unet = tiny.tiny_base(tmp_path / "unet").unet
    file = tiny.ip_adapter(tmp_path / "adapter", unet) / "ip-adapter.safetensors"
    message = refused(make(weights=str(file)), make().fit(person(0), fit_context())["embeddings"])
    wanted = {"sd3": "Stable Diffusion 3", "flux": "FLUX"}[family]
    assert message.endswith(f"it is for a U-Net, and the base wants one for {wanted}")


def test_an_adapter_of_the_other_transformer_is_refused(make: Make, family: str, tmp_path: Path) -> None:
    other = {"sd3": "flux", "flux": "sd3"}[family]
    foreign = BASES[other](tmp_path / "other")
    (file,) = tiny_flow_adapters.WRITERS[other](tmp_path / "adapter", foreign.transformer).glob("*.safetensors")
    assert "it is for " in refused(make(weights=str(file)), make().fit(person(0), fit_context())["embeddings"])


def test_an_adapter_with_another_number_of_layers_is_refused(
    make: Make, weights: Path, family: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(weights, tmp_path / "adapter")
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    first = {name: value for name, value in tensors.items() if name.startswith(("ip_adapter.0.", "double_blocks.0."))}
    save_file(tensors | {name.replace(".0.", ".9.", 1): value.clone() for name, value in first.items()}, file)
    count = {"sd3": 3, "flux": 1}[family]
    message = refused(make(weights=str(folder)), make().fit(person(0), fit_context())["embeddings"])
    assert message.endswith(f"does not fit tiny: it has {count + 1} layers, and the base {count}")


def test_a_file_that_lacks_weights_does_not_load_silently(make: Make, weights: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(weights, tmp_path / "adapter")
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    lacking = next(name for name in tensors if "v" in name.split(".")[-2])
    save_file({name: value for name, value in tensors.items() if name != lacking}, file)
    assert "does not fit tiny" in refused(make(weights=str(folder)), make().fit(person(0), fit_context())["embeddings"])


def test_an_image_encoder_of_another_kind_is_refused(make: Make, family: str, tmp_path: Path) -> None:
    other = tiny_flow_adapters.siglip_tower(0) if family == "flux" else tiny.vision_tower(32, 0)
    other.save_pretrained(tmp_path / "tower")
    attack = make(image_encoder=str(tmp_path / "tower"))
    with pytest.raises(BenchError, match="this adapter was trained with"):
        attack.fit(person(0), fit_context())


# --- runs -----------------------------------------------------------------------------------------------------------

LARGE = ("model=sd35", "model.source=stabilityai/stable-diffusion-3.5-large", "attack.weights=sd35-large")


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (LARGE, {"InstantX/SD3.5-Large-IP-Adapter", "google/siglip-so400m-patch14-384"}),
        (("model=flux",), {"XLabs-AI/flux-ip-adapter", "openai/clip-vit-large-patch14"}),
    ],
    ids=["sd35-large", "flux"],
)
def test_a_dry_run_names_the_published_files(words: tuple[str, ...], places: set[str]) -> None:
    found = planned(*words, "attack=ip_adapter", "data.limit=1", "dry_run=true")
    (cell,) = (cell for cell in found if cell.attack.name == "ip_adapter" and cell.defense.name == "none")
    fetchable = {item.place: item for item in cell.fetchable}
    assert places < fetchable.keys()
    for place in places:
        assert fetchable[place].size
        assert fetchable[place].facts in cell.skip


def test_none_is_published_for_the_medium_model() -> None:
    attack = ATTACKS.create("ip_adapter", {}).resolved("sd3")
    with pytest.raises(BenchError, match="come with the base model sd35, and none are published") as caught:
        attack.files("sd35")
    assert not isinstance(caught.value, Missing)
    assert caught.value.fix.endswith("or the base whose weights fit: sd35-large.")


def test_its_other_variants_are_those_of_unets() -> None:
    attack = ATTACKS.create("ip_adapter", {"variant": "faceid"}).resolved("flux")
    assert (
        attack.unet_only
        == "attack.variant=faceid is published for U-Nets alone, and of transformers there is only base"
    )
    assert not ATTACKS.create("ip_adapter", {}).resolved("flux").unet_only
