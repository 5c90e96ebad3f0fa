"""Zero-shot attacks: each is what the stock pipeline does with the official files, and leaves the base as it was."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks import ATTACKS
from attacks.instantid import InstantId
from attacks.ip_adapter import IpAdapter
from attacks.photomaker import PhotoMaker
from attacks.zero_shot import ZeroShot, find_faces, guided
from bench.config.resolved_method import ResolvedMethod
from bench.core.errors import BenchError, FitFailed
from bench.core.images import to_pixels
from bench.models.adapters.clip import clip_pixels
from bench.models.adapters.locate import locate_adapter
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.faces.insightface import FaceAnalyser, locate_pack
from bench.runner.stages import fit
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import GUIDANCE, STEPS, TEMPLATES, call, noise, pictures, plain, second, stock
from tests.support.tiny import person

WRITERS = tiny.IP_ADAPTERS | {
    "photomaker": tiny.photomaker,
    "photomaker-v2": tiny.photomaker_v2,
    "instantid": tiny.instantid,
}
KINDS = tuple(WRITERS)
PATCHES = ("plus", "plus-face", "full-face")
LORA = ("faceid", "faceid-plus", "faceid-plusv2")
ADAPTERS = ("base", *PATCHES, *LORA)
FACES = ("plus-face", "full-face", *LORA, "photomaker-v2", "instantid")
OFF: dict[str, dict[str, Any]] = {
    "photomaker": {"start_merge": 1.0, "lora_scale": 0.0},
    "instantid": {"ip_scale": 0.0, "controlnet_scale": 0.0},
}
OFF |= {"photomaker-v2": OFF["photomaker"]}
OFF |= {kind: {"scale": 0.0} | ({"lora_scale": 0.0} if kind in LORA else {}) for kind in ADAPTERS}
CONTEXT = fit_context()

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero_shot")


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def base(root: Path, family: str) -> DiffusionModel:
    return tiny.tiny_base(root / family / "tiny", xl=family == "sdxl")


@pytest.fixture(scope="module")
def weights(root: Path, family: str, base: DiffusionModel) -> dict[str, str]:
    """Kind -> folder with its files; and the recogniser's."""
    made = {kind: str(write(root / family / kind, base.unet)) for kind, write in WRITERS.items()}
    return made | {"recogniser": str(tiny.pack(root / family / "pack"))}


@pytest.fixture
def make(base: DiffusionModel, weights: dict[str, str], family: str) -> Iterator[Make]:
    made: list[ZeroShot] = []

    def create(kind: str, **settings: Any) -> ZeroShot:
        settings = {"weights": weights[kind]} | settings
        if kind in FACES:
            settings = {"recogniser": weights["recogniser"]} | settings
        if kind in ADAPTERS:
            settings |= {"variant": kind}
        name = "ip_adapter" if kind in ADAPTERS else kind.removesuffix("-v2")
        attack = ATTACKS.create(name, settings).resolved(family)
        assert isinstance(attack, ZeroShot)
        attack.prepare(base)
        made.append(attack)
        return attack

    yield create
    for attack in reversed(made):  # the last one made is the one that may be in the base
        attack.reset()


NOBODY = torch.zeros(2, 3, tiny.SIDE, tiny.SIDE)


# --- what all promise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapter_changes_the_pictures_and_reset_takes_all_of_it_out(
    kind: str, make: Make, base: DiffusionModel
) -> None:
    before, weights = plain(base), {name: value.clone() for name, value in base.unet.state_dict().items()}
    attack = make(kind)
    changed = pictures(attack, attack.fit(person(0), CONTEXT))
    assert float((changed - before).abs().mean()) > 5e-3
    attack.reset()
    after = base.unet.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    assert torch.equal(plain(base), before)


@pytest.mark.parametrize("kind", KINDS)
def test_turned_off_it_is_the_base(kind: str, make: Make, base: DiffusionModel) -> None:
    before = plain(base)
    attack = make(kind, **OFF[kind])
    assert torch.allclose(pictures(attack, attack.fit(person(0), CONTEXT)), before, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_people_do_not_depend_on_who_came_before(kind: str, make: Make) -> None:
    def both(order: tuple[int, int]) -> dict[int, Tensor]:
        attack = make(kind)
        made = {who: pictures(attack, attack.fit(person(who), CONTEXT)) for who in order}
        attack.reset()
        return made

    forth, back = both((1, 2)), both((2, 1))
    assert all(torch.equal(forth[who], back[who]) for who in (1, 2))
    assert not torch.allclose(forth[1], forth[2], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_depend_on_its_batch(kind: str, make: Make) -> None:
    attack = make(kind)
    artifact = attack.fit(person(0), CONTEXT)
    assert torch.allclose(pictures(attack, artifact)[1:], second(attack, artifact), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_artifact_gives_the_same_pictures(kind: str, make: Make, tmp_path: Path) -> None:
    attack = make(kind)
    artifact = attack.fit(person(0), CONTEXT)
    in_memory = pictures(attack, artifact)
    attack.reset()
    save_file(artifact, tmp_path / "artifact.safetensors")
    assert torch.equal(pictures(make(kind), load_file(tmp_path / "artifact.safetensors")), in_memory)


@pytest.mark.parametrize("kind", KINDS)
def test_guidance_can_be_off(kind: str, make: Make, base: DiffusionModel) -> None:
    before = plain(base, guidance=1.0)
    attack = make(kind)
    made = pictures(attack, attack.fit(person(0), CONTEXT), guidance=1.0)
    assert float((made - before).abs().mean()) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_photos_count_at_8_bits_and_up_to_the_limit(kind: str, make: Make) -> None:
    photos = person(0, count=3)
    artifact = make(kind).fit(photos, CONTEXT)
    rough = make(kind).fit(photos + 0.3 / 255, CONTEXT)
    few, first = make(kind, references=1).fit(photos, CONTEXT), make(kind).fit(photos[:1], CONTEXT)
    assert all(torch.equal(artifact[name], rough[name]) for name in artifact)
    assert all(torch.equal(few[name], first[name]) for name in few)
    assert any(not torch.equal(artifact[name], few[name]) for name in few)


@pytest.mark.parametrize("kind", FACES)
def test_photos_without_a_face_are_left_out_and_none_is_a_failed_fit(kind: str, make: Make) -> None:
    attack = make(kind)
    artifact = attack.fit(torch.cat([NOBODY, person(0)]), CONTEXT)
    only = attack.fit(person(0), CONTEXT)
    assert all(torch.equal(artifact[name], only[name]) for name in only)
    with pytest.raises(FitFailed, match="any of the 2 photos"):
        attack.fit(NOBODY, CONTEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_for_another_base_are_an_error_and_leave_nothing_behind(
    kind: str, make: Make, base: DiffusionModel, weights: dict[str, str], tmp_path: Path
) -> None:
    before = plain(base)
    folder = shutil.copytree(weights[kind], tmp_path / kind)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if "to_v_ip" in name or "to_v.lora_B" in name)
    save_file({k: v[:-1].clone() if k == name else v for k, v in tensors.items()}, file)
    artifact = make(kind).fit(person(0), CONTEXT)
    with pytest.raises(BenchError, match="does not fit tiny"):
        pictures(make(kind, weights=str(folder)), artifact)
    assert torch.equal(plain(base), before)


@pytest.mark.parametrize("kind", ["base", "instantid"])
def test_a_file_that_lacks_weights_does_not_load_silently(
    kind: str, make: Make, weights: dict[str, str], tmp_path: Path
) -> None:
    folder = shutil.copytree(weights[kind], tmp_path / kind)
    (file,) = folder.glob("*.safetensors")
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if "norm" not in k}, file)
    artifact = make(kind).fit(person(0), CONTEXT)
    with pytest.raises(BenchError, match="does not fit"):
        pictures(make(kind, weights=str(folder)), artifact)


def test_guided_puts_the_unconditional_half_first() -> None:
    one = torch.ones(3, 4)
    assert guided(one, 1.0).shape == (1, 3, 4)
    assert torch.equal(guided(one, 2.0), torch.stack([torch.zeros(3, 4), one]))


# --- IP-Adapter -----------------------------------------------------------------------------------------------------


Compare = Callable[..., tuple[Tensor, Any, DiffusionModel]]


@pytest.fixture
def compare(make: Make, weights: dict[str, str], tmp_path: Path, family: str) -> Compare:
    """Our pictures, and a stock pipeline around a fresh base with the same adapter and image encoder."""
    from transformers import CLIPImageProcessorPil

    def both(kind: str, **settings: Any) -> tuple[Tensor, Any, DiffusionModel]:
        attack = make(kind, scale=0.6, **settings)
        ours = pictures(attack, attack.fit(person(0), CONTEXT))

        fresh = tiny.tiny_base(tmp_path / "fresh", xl=family == "sdxl")
        pipeline = stock(fresh, feature_extractor=CLIPImageProcessorPil(size=tiny.SIDE, crop_size=tiny.SIDE))
        folder = Path(weights[kind])
        (file,) = folder.glob("*.safetensors")
        encoder = "image_encoder" if (folder / "image_encoder").is_dir() else None
        pipeline.load_ip_adapter(str(folder), subfolder="", weight_name=file.name, image_encoder_folder=encoder)
        pipeline.set_ip_adapter_scale(0.6)
        return ours, pipeline, fresh

    return both


def as_pil(photos: Tensor) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(picture) for picture in to_pixels(photos)]


def faces_of(photos: Tensor, pack: str) -> tuple[Tensor, list[Any]]:
    """By insightface's own functions: unit embeddings (1, n, 512) and aligned faces of 224 px."""
    from insightface.utils.face_align import norm_crop
    from PIL import Image

    analyser = FaceAnalyser(locate_pack(pack))
    found = [(picture, analyser.faces(picture)[0]) for picture in to_pixels(photos)]
    raw = torch.tensor(np.array([face.embedding for _, face in found]), dtype=torch.float32)
    crops = [Image.fromarray(norm_crop(picture, face.points, image_size=224)) for picture, face in found]
    return torch.nn.functional.normalize(raw)[None], crops


@pytest.mark.parametrize("kind", ["base", "plus"])
def test_what_sees_whole_photos_is_the_stock_pipeline(kind: str, compare: Compare) -> None:
    ours, pipeline, fresh = compare(kind)
    assert torch.allclose(ours, call(pipeline, fresh, ip_adapter_image=[as_pil(person(0))]), atol=1e-5)


@pytest.mark.parametrize("kind", ["plus-face", "full-face"])
def test_what_sees_faces_is_the_stock_pipeline_on_aligned_faces(
    kind: str, compare: Compare, weights: dict[str, str]
) -> None:
    """Our faces are not rounded to 8 bits before CLIP sees them, insightface's are."""
    ours, pipeline, fresh = compare(kind)
    _, crops = faces_of(person(0), weights["recogniser"])
    theirs = call(pipeline, fresh, ip_adapter_image=[crops])
    whole = call(pipeline, fresh, ip_adapter_image=[as_pil(person(0))])
    assert float((ours - theirs).abs().max()) < 0.1 * float((ours - whole).abs().max())


def test_faceid_is_the_stock_pipeline_on_embeddings_of_unit_length(compare: Compare, weights: dict[str, str]) -> None:
    ours, pipeline, fresh = compare("faceid")
    embeddings, _ = faces_of(person(0), weights["recogniser"])
    theirs = call(pipeline, fresh, ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeddings), embeddings])])
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("kind", ["faceid-plus", "faceid-plusv2"])
def test_faceid_plus_is_the_stock_pipeline_with_its_state_set_by_hand(
    kind: str, compare: Compare, weights: dict[str, str]
) -> None:
    ours, pipeline, fresh = compare(kind, **({"shortcut_scale": 0.7} if kind == "faceid-plusv2" else {}))
    embeddings, crops = faces_of(person(0), weights["recogniser"])
    layer = fresh.unet.encoder_hid_proj.image_projection_layers[0]
    layer.shortcut, layer.shortcut_scale = kind == "faceid-plusv2", 0.7

    def theirs(shown: list[Any]) -> Tensor:
        (patches,) = pipeline.prepare_ip_adapter_image_embeds([shown], None, "cpu", len(TEMPLATES), True)
        layer.clip_embeds = patches
        return call(pipeline, fresh, ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeddings), embeddings])])

    whole = theirs(as_pil(person(0)))  # shows that the patches matter
    assert float((ours - theirs(crops)).abs().max()) < 0.1 * float((ours - whole).abs().max())


def test_faceid_lora_matters_and_does_not_outlive_the_attack(make: Make, base: DiffusionModel) -> None:
    attack = make("faceid")
    artifact = attack.fit(person(0), CONTEXT)
    both = pictures(attack, artifact)
    assert "faceid_0" in base.unet.peft_config
    attack.reset()
    assert not hasattr(base.unet, "peft_config")
    assert not torch.allclose(both, pictures(make("faceid", lora_scale=0.0), artifact), atol=1e-3)


# --- PhotoMaker -----------------------------------------------------------------------------------------------------


def fused_by_hand(weights: str, base: DiffusionModel, photos: Tensor, prompt: str) -> Tensor:
    """(1, tokens, dim): the class word repeated, each copy fused with one photo's token, from the raw weights."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection

    w: dict[str, Tensor] = load_file(Path(weights) / "photomaker.safetensors")
    w = {name.removeprefix("id_encoder."): value for name, value in w.items() if name.startswith("id_encoder.")}
    tower = CLIPVisionModelWithProjection(CLIPVisionConfig.from_pretrained(weights)).eval()
    tower.load_state_dict({name: w[name] for name in tower.state_dict()})
    processor = CLIPImageProcessorPil(size=tiny.SIDE, crop_size=tiny.SIDE)
    with torch.no_grad():
        pixels = processor(to_pixels(photos), return_tensors="pt").pixel_values
        tokens = tower(pixels).image_embeds
        if "visual_projection_2.weight" in w:
            pooled = tower.vision_model(pixels).pooler_output
            tokens = torch.cat([tokens, pooled @ w["visual_projection_2.weight"].T], dim=-1)

    ids = base.tokenizer(prompt).input_ids
    trigger = ids.index(base.tokenizer.convert_tokens_to_ids("img</w>"))
    ids = [*ids[: trigger - 1], *[ids[trigger - 1]] * len(photos), *ids[trigger + 1 :]]
    ids += [base.tokenizer.pad_token_id] * (base.tokenizer.model_max_length - len(ids))
    with torch.no_grad():
        if len(base.text_encoders) == 1:
            hidden: Tensor = base.text_encoder(torch.tensor([ids]))[0]
        else:
            told = [encoder(torch.tensor([ids]), output_hidden_states=True) for encoder in base.text_encoders]
            hidden = torch.cat([states.hidden_states[-2] for states in told], dim=-1)

    def mlp(name: str, x: Tensor) -> Tensor:
        x = torch.nn.functional.layer_norm(x, x.shape[-1:], w[f"{name}.layernorm.weight"], w[f"{name}.layernorm.bias"])
        x = torch.nn.functional.gelu(x @ w[f"{name}.fc1.weight"].T + w[f"{name}.fc1.bias"])
        return x @ w[f"{name}.fc2.weight"].T + w[f"{name}.fc2.bias"]

    for photo, token in enumerate(tokens):
        text = hidden[0, trigger - 1 + photo]
        x = mlp("fuse_module.mlp1", torch.cat([text, token])) + text
        x = mlp("fuse_module.mlp2", x) + x
        norm = (w["fuse_module.layer_norm.weight"], w["fuse_module.layer_norm.bias"])
        hidden[0, trigger - 1 + photo] = torch.nn.functional.layer_norm(x, x.shape, *norm)
    return hidden


def test_photomaker_fuses_each_photo_into_a_copy_of_the_class_word(
    make: Make, base: DiffusionModel, weights: dict[str, str]
) -> None:
    attack, photos = make("photomaker"), person(0, count=3)
    template = "a photo of {subject} smiling"
    fused = attack.fused(attack.fit(photos, CONTEXT)["tokens"], [template]).hidden
    expected = fused_by_hand(weights["photomaker"], base, photos, template.format(subject=attack.subject))
    assert torch.allclose(fused, expected, atol=1e-5)


def test_photomaker_denoises_plainly_first_and_then_with_the_person(
    make: Make, base: DiffusionModel, weights: dict[str, str]
) -> None:
    """Against a sampler written out: the steps up to the share see the plain prompt, the later ones the fused one."""
    from diffusers import DPMSolverMultistepScheduler

    attack = make("photomaker", start_merge=0.4)
    made = attack.generate(attack.fit(person(0), CONTEXT), TEMPLATES[:1], noise(base, 1), STEPS, GUIDANCE)

    plain_prompt, long = base.condition(["a photo of person"]), base.condition(["a photo of person person"])
    fused = Condition(fused_by_hand(weights["photomaker"], base, person(0), "a photo of person img"), long.pooled)
    nothing = base.unconditional()
    scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler.config)
    scheduler.set_timesteps(STEPS)
    latents = noise(base, 1)
    with torch.no_grad():
        for step, time in enumerate(scheduler.timesteps):
            prompt = plain_prompt if step <= 2 else fused
            without, given = (base.predict(latents, time, states) for states in (nothing, prompt))
            latents = scheduler.step(without + GUIDANCE * (given - without), time, latents).prev_sample
        expected = base.decode(latents)
    assert torch.allclose(made, expected, atol=1e-4)


def test_photomaker_says_when_a_prompt_cannot_carry_the_photos(make: Make) -> None:
    attack = make("photomaker")
    tokens = attack.fit(person(0, count=2), CONTEXT)["tokens"]
    for template in (
        "a photo",
        "{subject} and {subject}",
        "a photo of super{subject}",
        "a photo " * 11 + "of {subject}",
    ):
        with pytest.raises(BenchError, match="cannot put 2 tokens"):
            attack.fused(tokens, [template])


def test_photomaker_weights_of_another_width_are_refused(make: Make, base: DiffusionModel, tmp_path: Path) -> None:
    wide = tiny.photomaker(tmp_path / "wide", base.unet, width=96)
    with pytest.raises(BenchError, match="width 96; this base has 128"):
        make("photomaker", weights=str(wide)).fit(person(0), CONTEXT)


def test_photomakers_second_version_needs_a_recogniser(make: Make) -> None:
    with pytest.raises(BenchError, match="needs a face recogniser"):
        make("photomaker-v2", recogniser=None).fit(person(0), CONTEXT)


def test_photomakers_second_version_has_two_tokens_a_photo_from_raw_embeddings(
    make: Make, weights: dict[str, str]
) -> None:
    attack = make("photomaker-v2")
    tokens = attack.fit(person(0, count=3), CONTEXT)["tokens"]
    assert tokens.shape == (6, tiny.WIDTH)
    alone = [attack.fit(person(0, count=3)[i : i + 1], CONTEXT)["tokens"] for i in range(3)]
    assert torch.allclose(tokens, torch.cat(alone), atol=1e-5)
    faces = find_faces(locate_pack(weights["recogniser"]), person(0, count=3), None).values()
    raw = torch.tensor(np.array([face.embedding for face in faces])).float()
    encoder = attack._encoder
    pixels = clip_pixels(person(0, count=3), tiny.SIDE)
    assert torch.allclose(tokens, encoder.tokens(pixels, raw), atol=1e-5)
    assert not torch.allclose(tokens, encoder.tokens(pixels, torch.nn.functional.normalize(raw)), atol=1e-2)
    assert not torch.allclose(tokens, encoder.tokens(pixels.flip(0), raw), atol=1e-2)  # and it sees the photos


def test_photomakers_perceiver_is_that_of_faceid_plus_with_wider_heads() -> None:
    """An independent module: diffusers' for FaceID-Plus, with the residual of its second version."""
    from diffusers.models.embeddings import IPAdapterFaceIDPlusImageProjection

    from bench.models.adapters.photomaker import HEAD, FacePerceiver

    width, seen = 2 * HEAD, tiny.HIDDEN
    torch.manual_seed(0)
    ours = FacePerceiver(tiny.EMBEDDING, tiny.EMBEDDING, 2, width, seen)
    for weight in ours.parameters():  # fresh norms do nothing
        torch.nn.init.normal_(weight, std=0.1)
    theirs = IPAdapterFaceIDPlusImageProjection(
        width, width, seen, tiny.EMBEDDING, dim_head=HEAD, heads=2, num_tokens=2, ffproj_ratio=1
    )
    renamed: dict[str, Tensor] = {}
    for name, value in ours.state_dict().items():
        name = name.replace("token_proj.0", "proj.net.0.proj").replace("token_proj.2", "proj.net.2")
        name = name.replace("token_norm", "norm").removeprefix("perceiver_resampler.")
        layer, _, rest = name.removeprefix("layers.").partition(".")
        rest = rest.replace("0.norm1", "ln0").replace("0.norm2", "ln1").replace("0.to_out", "attn.to_out.0")
        rest = rest.replace("0.to_q", "attn.to_q").replace("1.0.", "ff.0.")
        rest = rest.replace("1.1.weight", "ff.1.net.0.proj.weight").replace("1.3.weight", "ff.1.net.2.weight")
        if rest == "0.to_kv.weight":
            keys, values = value.chunk(2)
            renamed |= {f"layers.{layer}.attn.to_k.weight": keys, f"layers.{layer}.attn.to_v.weight": values}
        else:
            renamed[f"layers.{layer}.{rest}" if name.startswith("layers.") else name] = value
    theirs.load_state_dict(renamed)
    draw = torch.Generator().manual_seed(1)
    faces = torch.randn(3, tiny.EMBEDDING, generator=draw)
    patches = torch.randn(3, 17, seen, generator=draw)
    theirs.clip_embeds, theirs.shortcut = patches[:, None], True
    with torch.no_grad():
        assert torch.allclose(ours(faces, patches), theirs(faces), atol=1e-5)


# --- InstantID ------------------------------------------------------------------------------------------------------


def test_identity_net_must_see_the_face_and_not_the_text(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import ControlNetModel

    from bench.models.adapters.instantid import IdentityNet

    attack = make("instantid")
    artifact = attack.fit(person(0), CONTEXT)
    right = pictures(attack, artifact)
    monkeypatch.setattr(IdentityNet, "forward", ControlNetModel.forward)
    assert float((pictures(attack, artifact) - right).abs().max()) > 1e-2


def test_identity_net_is_the_stock_controlnet_on_face_tokens(base: DiffusionModel, weights: dict[str, str]) -> None:
    from diffusers import ControlNetModel

    from bench.models.adapters.instantid import IdentityNet

    folder = Path(weights["instantid"]) / "ControlNetModel"
    ours, theirs = IdentityNet.from_pretrained(folder), ControlNetModel.from_pretrained(folder)
    draw = torch.Generator().manual_seed(0)
    ours.face = torch.randn(2, 16, tiny.WIDTH, generator=draw)
    sample = torch.randn(6, *base.latent_shape, generator=draw)
    image = torch.rand(6, 3, tiny.SIDE, tiny.SIDE, generator=draw)
    text = torch.randn(6, 24, tiny.WIDTH, generator=draw)
    added = {"text_embeds": torch.randn(6, tiny.WIDTH // 2, generator=draw), "time_ids": torch.full((6, 6), 32.0)}
    tokens = torch.cat([ours.face[:1]] * 3 + [ours.face[1:]] * 3)  # unconditional half first
    with torch.no_grad():
        more = {"controlnet_cond": image, "added_cond_kwargs": added, "return_dict": False}
        left, right = ours(sample, 7, text, **more), theirs(sample, 7, tokens, **more)
    assert torch.equal(left[1], right[1])


def test_the_picture_of_key_points_is_embedded_once_a_sampler_call(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding

    from bench.models.adapters.instantid import IdentityNet

    rows: list[int] = []
    embed = ControlNetConditioningEmbedding.forward

    def counted(self: Any, picture: Tensor) -> Tensor:
        rows.append(len(picture))
        embedded: Tensor = embed(self, picture)
        return embedded

    monkeypatch.setattr(ControlNetConditioningEmbedding, "forward", counted)
    attack = make("instantid")
    artifact = attack.fit(person(0), CONTEXT)
    once = pictures(attack, artifact)
    assert rows == [1]

    attack.reset()
    monkeypatch.setattr(IdentityNet, "show", lambda self, face: setattr(self, "face", face))
    stock = pictures(attack, artifact)
    assert len(rows) > 2
    assert min(rows[1:]) > 1, "the stock pipeline embeds it for every row, at every step"
    assert torch.allclose(once, stock, atol=3e-6)


def test_instantid_keeps_the_raw_mean_embedding_and_the_first_faces_points(make: Make, weights: dict[str, str]) -> None:
    faces = find_faces(locate_pack(weights["recogniser"]), person(0), None).values()
    artifact = make("instantid").fit(person(0), CONTEXT)
    mean = np.mean([face.embedding for face in faces], axis=0)
    assert artifact["embedding"].numpy() == pytest.approx(mean, rel=1e-5, abs=1e-5)
    assert float(artifact["embedding"].norm()) > 2
    assert artifact["points"].numpy() == pytest.approx(np.array(tiny.POINTS) / tiny.SIDE, abs=1e-6)


def test_the_template_pose_is_the_same_for_everybody(make: Make) -> None:
    attack = make("instantid", pose="template")
    one, two = attack.fit(person(1), CONTEXT), attack.fit(person(2), CONTEXT)
    assert torch.equal(one["points"], two["points"])
    assert not torch.equal(one["embedding"], two["embedding"])
    reference = make("instantid").fit(person(1), CONTEXT)
    turned = pictures(attack, one)
    attack.reset()
    assert not torch.allclose(turned, pictures(make("instantid"), reference), atol=1e-3)


@pytest.mark.parametrize("side", [64, 128, 512])
def test_key_points_are_drawn_in_their_colours(side: int) -> None:
    from bench.models.adapters.instantid import COLOURS, draw_points

    points = np.array(tiny.POINTS) / tiny.SIDE
    drawn = draw_points(points, side)
    assert drawn.shape == (side, side, 3)
    for (x, y), colour in zip(points * side, COLOURS, strict=True):
        mark = drawn[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1].reshape(-1, 3).mean(0)
        assert mark == pytest.approx(colour, abs=90)
    middle = (points[0] + points[2]) / 2 * side  # of the limb from the left eye to the nose: red, darkened
    red, green, blue = drawn[int(middle[1]), int(middle[0])]
    assert 20 < red <= 153
    assert green == blue == 0
    assert not drawn[:2].any()


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprints_of_the_files_an_attack_brings_along(
    kind: str, make: Make, base: DiffusionModel, weights: dict[str, str], tmp_path: Path
) -> None:
    attack = make(kind)
    files = attack.files("tiny")
    assert set(files) == ({"weights", "recogniser"} if kind in FACES else {"weights"})
    copy = dataclasses.replace(attack, weights=str(shutil.copytree(weights[kind], tmp_path / "copy")))
    assert copy.files("tiny") == files
    assert fit_key(copy, base) == fit_key(attack, base)
    other = dataclasses.replace(attack, weights=str(WRITERS[kind](tmp_path / "other", base.unet, seed=1)))
    assert other.files("tiny")["weights"] != files["weights"]
    assert fit_key(other, base) != fit_key(attack, base)


def fit_key(attack: ZeroShot, base: DiffusionModel) -> str:
    return fit.key("photos", ResolvedMethod.of("it", attack), "tiny", base.checkpoint.fingerprint, "ada", 0)


def test_the_embedded_models_bring_their_own_files_and_what_nobody_published_needs_a_path() -> None:
    assert IpAdapter().resolved("facelet") == IpAdapter(weights="zoo")
    assert IpAdapter(variant="faceid").resolved("facelet").recogniser == "facelet-id-a"
    assert InstantId(weights="/mine").resolved("facelet") == InstantId(weights="/mine", recogniser="facelet-id-b")
    assert PhotoMaker().resolved("facelet") == PhotoMaker(weights="zoo", recogniser="facelet-id-a")
    for attack in (IpAdapter(), PhotoMaker(), InstantId()):
        with pytest.raises(BenchError, match="come with the base model sd21, and none are published") as caught:
            attack.resolved("sd").files("sd21")
        assert "attack.weights" in caught.value.fix
        assert ".safetensors" in caught.value.fix


def test_a_face_attack_without_a_recogniser_says_what_to_pass(weights: dict[str, str]) -> None:
    with pytest.raises(BenchError) as caught:
        InstantId(weights=weights["instantid"]).files("tiny")
    assert "attack.recogniser" in caught.value.fix


def test_shipped_adapters_are_found_by_the_name_of_the_base(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.adapters.locate.ZOO", tmp_path)
    shutil.copytree(weights["base"], tmp_path / "adapters" / "facelet-1" / "ip-adapter")
    assert locate_adapter("ip-adapter", "zoo", "facelet-1") == dataclasses.replace(
        locate_adapter("ip-adapter", weights["base"], "tiny"),
        weights=tmp_path / "adapters" / "facelet-1" / "ip-adapter" / "ip-adapter.safetensors",
        image_encoder=tmp_path / "adapters" / "facelet-1" / "ip-adapter" / "image_encoder",
    )
    with pytest.raises(BenchError, match="facelet-2"):
        locate_adapter("ip-adapter", "zoo", "facelet-2")


def test_a_main_file_of_any_name_and_a_pickle_are_read(weights: dict[str, str], tmp_path: Path) -> None:
    folder = shutil.copytree(weights["base"], tmp_path / "models")
    adapter = locate_adapter("ip-adapter", weights["base"], "tiny")
    (folder / "ip-adapter.safetensors").rename(folder / "ip-adapter_sd15.safetensors")
    assert (
        locate_adapter("ip-adapter", str(folder / "ip-adapter_sd15.safetensors"), "tiny").fingerprint
        == adapter.fingerprint
    )
    torch.save(adapter.tensors(), folder / "ip-adapter.bin")
    pickled = locate_adapter("ip-adapter", str(folder), "tiny").tensors()
    assert pickled.keys() == {"image_proj", "ip_adapter"}
    assert all(torch.equal(pickled[g][k], v) for g, group in adapter.tensors().items() for k, v in group.items())


def test_missing_files_are_named_with_where_to_put_them(weights: dict[str, str], tmp_path: Path) -> None:
    folder = shutil.copytree(weights["instantid"], tmp_path / "instantid")
    (folder / "ControlNetModel" / "config.json").unlink()
    with pytest.raises(BenchError, match=r"ControlNetModel.config.json is missing") as caught:
        locate_adapter("instantid", str(folder), "tiny")
    assert str(folder) in caught.value.fix
    with pytest.raises(BenchError, match="no instantid weights") as caught:
        locate_adapter("instantid", str(tmp_path), "tiny")
    assert "ip-adapter.safetensors, ControlNetModel/config.json" in caught.value.fix
    with pytest.raises(BenchError, match="Unknown adapter"):
        locate_adapter("ip-adaptor", "zoo", "tiny")
