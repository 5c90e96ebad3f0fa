"""Countermeasures: each against an independent oracle or by what it must leave alone, and their place in a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.config.compose import prepare
from bench.config.resolved_method import ResolvedMethod
from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.model_cache import Pool
from bench.models.weights.published import Missing
from bench.runner.pipeline import Pipeline
from bench.runner.plan import cells, load_data
from bench.runner.stages import countermeasure
from bench.store import Store
from countermeasures import COUNTERMEASURES, Countermeasure, Purifier
from countermeasures.adverse_cleaner import bilateral, guided
from countermeasures.grid_pure import tiles
from countermeasures.impress import dssim
from metrics.iqa import Unavailable
from metrics.visibility import ssim
from tests.support import tiny
from tests.support.plans import planned
from tests.support.settings import parsed

PLAIN = [n for n in COUNTERMEASURES.names() if n != "none" and not issubclass(COUNTERMEASURES.get(n), Purifier)]
PURIFIERS = [n for n in COUNTERMEASURES.names() if issubclass(COUNTERMEASURES.get(n), Purifier)]


def photo(side: int = 48, seed: int = 0, grain: float = 0.0) -> Pixels:
    """(side, side, 3): a smooth picture with some edges, and noise of a number of grey levels."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
    smooth[:, side // 2 :] = 255 - smooth[:, side // 2 :]
    return np.asarray((smooth + grain * rng.normal(size=smooth.shape)).round().clip(0, 255).astype(np.uint8))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", autouse=True)
def _networks(tmp_path_factory: pytest.TempPathFactory) -> None:
    SMALL["noisy_upscaling"]["weights"] = str(tiny.upscaler(tmp_path_factory.mktemp("upscaler")))
    SMALL["vae_pass"] = {"weights": str(tiny.vae_folder(tmp_path_factory.mktemp("autoencoder")))}
    network = str(tiny.pixel_network(tmp_path_factory.mktemp("network")))
    SMALL["remover"], SMALL["diff_pure"] = {"weights": network}, {"weights": network, "steps": 4}


SMALL: dict[str, dict[str, Any]] = {
    "grid_pure": {"rounds": 2, "steps": 2},
    "impress": {"steps": 5, "distance": "dssim"},
    "noisy_upscaling": {"steps": 2},
    "tvm": {"weight_at_512": 0.2},
}
"""Settings with which all run here."""


def made(name: str, **settings: Any) -> Countermeasure:
    return COUNTERMEASURES.create(name, SMALL.get(name, {}) | settings)


def side_for(name: str, base: DiffusionModel) -> int:
    """The base's side; 128 for those whose strength is in pixels at 512 px, which would leave a tiny photo alone.

    The upscaler needs none, and attends over four times the side.
    """
    return 128 if name in ("blur", "tvm", "adverse_cleaner") else 16 if name == "noisy_upscaling" else base.side


def apply(each: Countermeasure, photos: list[Pixels], base: DiffusionModel, seed: int = 0) -> list[Pixels]:
    if isinstance(each, Purifier):
        return each.purify(photos, seeded(seed), base)
    return each.apply(photos, seeded(seed))


# all of them


@pytest.mark.parametrize("name", PLAIN + PURIFIERS)
def test_they_keep_shape_and_type_change_the_photo_and_repeat(name: str, base: DiffusionModel) -> None:
    photos = [photo(side_for(name, base), seed, grain=6) for seed in range(2)]
    kept = [p.copy() for p in photos]
    treated, again = (apply(made(name), photos, base) for _ in range(2))
    assert [(p.shape, p.dtype) for p in treated] == [(p.shape, p.dtype) for p in photos]
    assert all((p != old).any() for p, old in zip(treated, photos, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(treated, again, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(photos, kept, strict=True))  # theirs are not touched


@pytest.mark.parametrize("name", ["jpeg", "resize", "blur", "tvm", "adverse_cleaner", "grid_pure", "sd_img2img"])
def test_those_that_smooth_take_noise_away(name: str, base: DiffusionModel) -> None:
    """What they make of a noisy photo is nearer to what they make of the clean one than the photos are."""
    side = side_for(name, base)
    clean, noisy = ([photo(side, 1, grain)] for grain in (0, 10))
    before = np.square(clean[0].astype(float) - noisy[0]).mean()
    after = [apply(made(name), photos, base)[0].astype(float) for photos in (clean, noisy)]
    assert np.square(after[0] - after[1]).mean() < 0.8 * before


@pytest.mark.parametrize("name", ["crop", "noise", "impress", "noisy_upscaling", "diff_pure"])
def test_those_that_draw_lots_differ_with_the_seed_and_from_photo_to_photo(name: str, base: DiffusionModel) -> None:
    twice = [photo(side_for(name, base)), photo(side_for(name, base))]
    one, other = (apply(made(name), twice, base, seed) for seed in (0, 1))
    assert (one[0] != other[0]).any()
    assert (one[0] != one[1]).any()


# one by one


def test_impress_makes_photos_that_the_autoencoder_reproduces(base: DiffusionModel) -> None:
    found = [photo(base.side, 3, grain=10)]
    settings = {"steps": 40, "start": 0.0, "weight": 0.0}

    def error(photos: list[Pixels]) -> float:
        seen = to_tensor(photos)
        with torch.no_grad():
            return float((base.decode(base.encode(seen)) - seen).square().mean())

    cleaned = apply(made("impress", **settings), found, base)
    held = apply(made("impress", **settings | {"weight": 100.0, "slack": 0.0}), found, base)
    assert error(cleaned) < 0.5 * error(found)
    moved, little = (np.square(each[0].astype(float) - found[0]).mean() for each in (cleaned, held))
    assert little < 0.5 * moved


def test_impress_moves_freely_within_the_slack(base: DiffusionModel) -> None:
    found, settings = [photo(base.side, 3, grain=10)], {"steps": 10, "start": 0.0}
    free = apply(made("impress", **settings, weight=0.0), found, base)
    within = apply(made("impress", **settings, weight=100.0, slack=1.0), found, base)  # none is further away than 1
    assert np.array_equal(free[0], within[0])
    assert (apply(made("impress", **settings, weight=100.0, slack=0.0), found, base)[0] != free[0]).any()


def test_impress_has_the_ssim_of_the_visibility_metrics() -> None:
    one, other = photo(seed=4), photo(seed=4, grain=12)
    found = float(dssim(to_tensor([one]).double(), to_tensor([other]).double()))
    assert found == pytest.approx((1 - ssim(one, other)) / 2, abs=1e-6)


def test_impress_without_the_weights_of_lpips_names_the_way_without(
    base: DiffusionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, device: str, differentiable: bool) -> Any:
        assert (name, differentiable) == ("lpips-vgg", True)
        raise Unavailable("The weights of lpips-vgg are not here.", "Get them.")

    monkeypatch.setattr("metrics.iqa.metric", refuse)
    with pytest.raises(BenchError, match="lpips-vgg are not here") as caught:
        apply(made("impress", distance="lpips"), [photo()], base)
    assert "distance=dssim" in caught.value.fix


def test_noisy_upscaling_is_the_stock_pipeline_on_a_noisy_photo(base: DiffusionModel) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionUpscalePipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextModel, CLIPTokenizer

    folder, found = SMALL["noisy_upscaling"]["weights"], photo(32)
    pipeline = StableDiffusionUpscalePipeline(
        vae=AutoencoderKL.from_pretrained(folder, subfolder="vae"),
        text_encoder=CLIPTextModel.from_pretrained(folder, subfolder="text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        unet=UNet.from_pretrained(folder, subfolder="unet"),
        low_res_scheduler=DDPMScheduler.from_pretrained(folder, subfolder="low_res_scheduler"),
        scheduler=DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),
    )
    draw = seeded(7)
    noisy = (to_tensor([found]) + 0.1 * torch.randn(1, 3, 32, 32, generator=draw)).clamp(0, 1)
    large = pipeline("a photo of a person", noisy * 2 - 1, 2, 9.0, noise_level=320, generator=draw).images[0]
    assert large.size == (128, 128)
    wanted = np.asarray(large.resize((32, 32), Image.Resampling.LANCZOS))
    assert np.array_equal(apply(made("noisy_upscaling"), [found], base, seed=7)[0], wanted)


def test_the_upscalers_files_name_the_output_and_are_told_when_missing(tmp_path: Path) -> None:
    import shutil

    def key(folder: str) -> str:
        method = ResolvedMethod.of("noisy_upscaling", made("noisy_upscaling", weights=folder))
        return countermeasure.key("photos", [method], Pool("cpu").fingerprint(parsed().model), 0)

    there = SMALL["noisy_upscaling"]["weights"]
    copy = shutil.copytree(there, tmp_path / "copy")
    assert key(str(copy)) == key(there)
    (copy / "low_res_scheduler" / "scheduler_config.json").write_text("{}")
    assert key(str(copy)) != key(there)
    with pytest.raises(Missing, match="x4-upscaler"):
        COUNTERMEASURES.create("noisy_upscaling", {}).files()


# their published forms


def test_resize_by_one_and_crop_of_all_change_nothing(base: DiffusionModel) -> None:
    for each in (made("resize", factor=1.0), made("crop", scale=1.0)):
        assert np.array_equal(apply(each, [photo()], base)[0], photo())


def test_resize_is_pillows(base: DiffusionModel) -> None:
    picture = Image.fromarray(photo())
    wanted = picture.resize((24, 24), Image.Resampling.BICUBIC).resize((48, 48), Image.Resampling.BICUBIC)
    assert np.array_equal(apply(made("resize"), [photo()], base)[0], np.asarray(wanted))


def test_blur_is_torchvisions_at_full_size() -> None:
    from torchvision.transforms.functional import gaussian_blur

    picture = photo(512, grain=6)
    expected = gaussian_blur(to_tensor([picture]), [7, 7])
    found = made("blur").apply([picture], seeded())[0]
    assert np.abs(found.astype(int) - to_pixels(expected)[0]).max() <= 1


def test_noise_has_its_spread() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    change = made("noise", sigma=0.05).apply([grey], seeded())[0].astype(float) - 128
    assert abs(change.mean()) < 0.5
    assert change.std() == pytest.approx(0.05 * 255, rel=0.03)


@pytest.mark.parametrize("levels", [2, 64, 256])
def test_quantise_leaves_so_many_levels_and_moves_none_further_than_half_a_step(levels: int) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 4, 3))
    found = made("quantise", levels=levels).apply([ramp], seeded())[0]
    assert len(np.unique(found)) == levels
    assert np.abs(found.astype(int) - ramp).max() <= 255 / (levels - 1) / 2 + 0.5
    assert (found[0, 0, 0], found[-1, 0, 0]) == (0, 255)


def test_crop_keeps_a_part() -> None:
    """On a picture that grows from left to right, the crop's two ends lie within."""
    ramp = np.tile(np.arange(100, 200, dtype=np.uint8)[None, :, None], (100, 1, 3))
    found = made("crop", scale=0.8).apply([ramp], seeded())[0]
    assert found.shape == ramp.shape
    assert 78 <= int(found[50, -1, 0]) - int(found[50, 0, 0]) <= 80


def test_bilateral_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    noisy = photo(32, grain=8)
    wanted = cv2.bilateralFilter(noisy.astype(np.float32), 5, 8, 8)
    found = bilateral(to_tensor([noisy]) * 255, 5, 8, 8)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - wanted).max() < 0.05  # OpenCV looks its weights up in a table


def test_the_guided_filter_is_the_mean_of_the_windows_regressions() -> None:
    """He's definition, window by window, with numpy's least squares."""
    rng, radius, epsilon = np.random.default_rng(0), 1, 7.0
    guide, picture = rng.uniform(0, 255, (2, 6, 6, 3))
    sums, counts = np.zeros((6, 6, 3)), np.zeros((6, 6, 1))
    for y in range(radius, 6 - radius):
        for x in range(radius, 6 - radius):
            window = (slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1))
            i, p = guide[window].reshape(-1, 3), picture[window].reshape(-1, 3)
            centred = i - i.mean(axis=0)
            ridge = np.linalg.inv(centred.T @ centred / len(i) + epsilon * np.eye(3))
            slope = ridge @ (centred.T @ (p - p.mean(axis=0)) / len(i))
            sums[window] += (guide[window].reshape(-1, 3) @ slope + p.mean(axis=0) - i.mean(axis=0) @ slope).reshape(
                3, 3, 3
            )
            counts[window] += 1

    def planes(values: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(values).permute(2, 0, 1)[None]

    found = guided(planes(picture), planes(guide), radius, epsilon)[0].permute(1, 2, 0).numpy()
    inner = slice(2, 4)  # whose windows all lie inside: at the border ours mirrors
    assert np.allclose(found[inner, inner], (sums / counts)[inner, inner])


def test_a_flat_photo_stays_flat_under_adverse_cleaner() -> None:
    flat = np.full((20, 24, 3), 77, np.uint8)
    assert np.array_equal(made("adverse_cleaner").apply([flat], seeded())[0], flat)


@pytest.mark.parametrize(("height", "width", "side"), [(16, 16, 16), (40, 64, 16), (17, 16, 16), (33, 50, 32)])
def test_tiles_cover_everything_and_overlap(height: int, width: int, side: int) -> None:
    count = torch.zeros(1, 1, height, width)
    for place in tiles(height, width, side):
        assert count[place].shape[-2:] == (side, side)
        count[place] += 1
    assert count.min() >= 1


def test_grid_pure_of_one_step_is_the_autoencoder_on_a_photo_of_many_tiles(base: DiffusionModel) -> None:
    """Tiles overlap: what several have seen is averaged, not added."""
    large = photo(base.side * 3 // 2, 3)
    restored = to_pixels(base.decode(base.encode(to_tensor([large]))).detach())[0].astype(float)
    found = apply(made("grid_pure", rounds=2, steps=1), [large], base)[0]
    assert np.abs(found - restored).mean() < 3


def test_grid_pure_denoises_every_step_of_every_round(base: DiffusionModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, predict = [], base.predict

    def counted(latents: Tensor, timesteps: Tensor, condition: Any) -> Tensor:
        asked.extend(timesteps.tolist())
        return predict(latents, timesteps, condition)

    monkeypatch.setattr(base, "predict", counted)
    apply(made("grid_pure", rounds=2, steps=3), [photo(base.side)], base)
    assert asked == [2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_img2img_is_the_stock_pipelines(base: DiffusionModel, guidance: float) -> None:
    """Which takes latents for a picture, and so can be given the mean that ours starts from."""
    from diffusers import StableDiffusionImg2ImgPipeline

    start, each = photo(base.side, 2), made("sd_img2img", strength=0.4, steps=10, guidance=guidance)
    wanted = StableDiffusionImg2ImgPipeline(**base.pipeline().components, requires_safety_checker=False)(
        prompt_embeds=base.condition(["a photo of a person"]).hidden,
        negative_prompt_embeds=base.condition([""]).hidden,
        image=base.encode(to_tensor([start])).detach(),
        strength=0.4,
        num_inference_steps=10,
        guidance_scale=guidance,
        generator=seeded(),
        output_type="latent",
    ).images
    found = apply(each, [start], base)[0].astype(int)
    assert np.abs(found - to_pixels(base.decode(wanted).detach())[0]).max() <= 1


def test_img2img_goes_further_with_more_strength(base: DiffusionModel) -> None:
    start = photo(base.side, 2)
    restored = to_pixels(base.decode(base.encode(to_tensor([start]))).detach())[0].astype(float)
    weak, strong = (apply(made("sd_img2img", strength=s), [start], base)[0] for s in (0.1, 0.7))
    assert np.abs(weak - restored).mean() < np.abs(strong - restored).mean()


def test_purifiers_leave_the_base_as_it_was(base: DiffusionModel) -> None:
    before = base.snapshot()
    for name in PURIFIERS:
        apply(made(name), [photo(base.side)], base)
    after = base.snapshot()
    assert all(torch.equal(after[part][key], value) for part in before for key, value in before[part].items())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resize", {"factor": 0.0}, "factor"),
        ("crop", {"scale": 1.5}, "scale"),
        ("blur", {"kernel_at_512": 4}, "odd"),
        ("quantise", {"levels": 1}, "levels"),
        ("sd_img2img", {"strength": 0.001}, "strength"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        made(name, **settings)
    key, value = next(iter(settings.items()))
    assert f"countermeasure.{name}.{key}={value}" in str(caught.value)  # as it is written on the command line


# their place in a run

ONE = "data.limit=1"


def test_a_chain_is_written_as_a_list_and_keeps_its_order() -> None:
    words = ("countermeasure=[resize,jpeg]", "countermeasure.jpeg.quality=50")
    prepare(list(words))
    base, *others = planned(*words, ONE)
    assert [m.name for m in base.countermeasures] == ["none"]  # it sees no photos
    for cell in others:
        assert [(m.name, m.settings) for m in cell.countermeasures] == [
            ("resize", {"factor": 0.5}),
            ("jpeg", {"quality": 50}),
        ]
    backwards = planned("countermeasure=[jpeg,resize]", "countermeasure.jpeg.quality=50", ONE)
    assert {cell.id for cell in backwards} & {cell.id for cell in others} == set()


def test_a_sweep_may_have_single_ones_and_chains() -> None:
    prepare(["-m", "countermeasure=none,jpeg,[resize,jpeg]"])
    with pytest.raises(BenchError, match=r"jpg.*") as caught:
        prepare(["-m", "countermeasure=none,[resize,jpg]"])
    assert "jpeg" in caught.value.fix


def test_a_suite_crosses_countermeasures_with_attacks() -> None:
    chains = "suite.countermeasures=[none,{name: jpeg, quality: 50},[resize,blur]]"
    found = planned("suite.defenses=[none,noise]", "suite.attacks=[dreambooth,lora]", chains, ONE)
    assert len(found) == 1 + 2 * 2 * 3
    assert {tuple(m.name for m in c.countermeasures) for c in found} == {("none",), ("jpeg",), ("resize", "blur")}
    assert len({c.id for c in found}) == len(found)


def test_a_chain_is_each_after_the_other_with_its_own_randomness(tmp_path: Any) -> None:
    from bench.core import numbered

    protected, folder = tmp_path / "protected", tmp_path / "treated"
    protected.mkdir()
    folder.mkdir()
    numbered.save(protected, [photo()])
    chain = [made("noise"), made("noise")]
    countermeasure.counter(folder, protected, chain, lambda: pytest.fail("no base is needed"), 0, "ada")
    (found,) = numbered.load(folder)
    change = found.astype(float) - photo()
    inner = (photo() > 60) & (photo() < 195)
    assert change[inner].std() == pytest.approx(2**0.5 * 0.05 * 255, rel=0.04)  # not one of them twice, or one lost


def test_a_purifiers_key_depends_on_the_base_and_no_others() -> None:
    (first,) = [c for c in planned("countermeasure=grid_pure", "suite.defenses=[none]", ONE) if c.attack.name != "none"]
    half = first.model.model_copy(update={"precision": "bf16"})
    bases = [Pool("cpu").fingerprint(model) for model in (first.model, half)] + ["other"]
    keys = [countermeasure.key("photos", first.countermeasures, base, 0) for base in bases]
    assert len(set(keys)) == 3
    (plain,) = [c for c in planned("countermeasure=jpeg", "suite.defenses=[none]", ONE) if c.attack.name != "none"]
    keys = [countermeasure.key("photos", plain.countermeasures, base, 0) for base in bases]
    assert len(set(keys)) == 1


# --- photos that the attacker has uncloaked --------------------------------------------------------------------------


def test_leaked_photos_take_the_place_of_the_first_and_are_treated_alike(tmp_path: Any) -> None:
    from bench.core import numbered

    (cell,) = [c for c in planned("suite.defenses=[none]", "attack.clean_photos=2", ONE) if c.attack.name != "none"]
    originals = [p.pixels for p in cell.identity.protect]
    assert [p.name for p in cell.leaked] == [p.name for p in cell.identity.protect[:2]]
    protected, folder = tmp_path / "protected", tmp_path / "treated"
    protected.mkdir()
    folder.mkdir()
    numbered.save(protected, [255 - pixels for pixels in originals])
    chain = [made("jpeg", quality=50)]
    countermeasure.counter(folder, protected, chain, lambda: pytest.fail("no base is needed"), 0, "ada", cell.leaked)
    random = torch.Generator()
    expected = chain[0].apply([*originals[:2], *(255 - pixels for pixels in originals[2:])], random)
    for found, wanted in zip(numbered.load(folder), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_keys_know_which_photos_leaked(tmp_path: Path) -> None:
    found = []
    for count in (0, 1, 2):
        settings = parsed("suite.defenses=[none]", f"attack.clean_photos={count}", ONE)
        data, pool = load_data(settings), Pool("cpu")
        cell = cells(settings, data, pool)[-1]
        found.append((cell.id, Pipeline(settings, data, Store(tmp_path), pool).keys(cell)))
    assert len({cell for cell, _ in found}) == 3
    for stage in ("counter", "fit", "generate", "measure"):
        assert len({getattr(keys, stage) for _, keys in found}) == 3
    assert len({keys.protect for _, keys in found}) == 1


def test_no_more_photos_can_leak_than_there_are() -> None:
    with pytest.raises(BenchError, match=r"attack\.clean_photos=5, but nobody has more than 4 photos"):
        planned("suite.defenses=[none]", "attack.clean_photos=5", ONE)
    with pytest.raises(BenchError, match="clean_photos"):
        planned("attack.clean_photos=-1", ONE)


def test_a_person_of_fewer_photos_than_leak_is_a_cell_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "problem", lambda self, person: "")
    monkeypatch.setattr(Pipeline, "_record", lambda self, cell, status, reason: (status, reason))
    pipeline = object.__new__(Pipeline)
    found = [c for c in planned("suite.defenses=[none]", "attack.clean_photos=4", ONE) if c.attack.name != "none"]
    few = dataclasses.replace(found[0].identity, protect=found[0].identity.protect[:3])
    results: list[Any] = [pipeline.run(dataclasses.replace(c, identity=few), lambda stage, share: None) for c in found]
    assert results == [("fit_failed", f"attack.clean_photos=4, but {few.name} has 3 photos")]
