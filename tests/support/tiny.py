"""Tiny models with random weights, written as the official files are: everything real but the size.

Adapters are made for the base they are to fit, and every branch has weights that matter: a dead branch would hide that
an attack forgets to use it.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from bench.models.weights.files import ZOO

WIDTH = 128
"""Width of the text states; that of one attention head of PhotoMaker's second version."""
HIDDEN = 32
"""Width of the vision towers."""
EMBEDDING = 512
SIDE = 32
"""Side of pictures and of what the vision towers see."""
BOX = (6.0, 5.0, 26.0, 29.0)
POINTS = ((11.0, 13.0), (21.0, 13.0), (16.0, 18.0), (12.0, 23.0), (20.0, 23.0))
"""The face that the tiny detector finds, in a 32 px picture."""
UNET: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
"""Two levels, attention in the lower one."""


def tiny_base(folder: Path, xl: bool = False, v: bool = False) -> DiffusionModel:
    """A model of 32 px of the type of Stable Diffusion 1, of SDXL, or of 2.1, which predicts v.

    VAE factor 2, two levels, attention in one.
    """
    from diffusers import DDPMScheduler, UNet2DConditionModel

    torch.manual_seed(0)
    told = {
        "transformer_layers_per_block": (1, 2),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + WIDTH // 2,
    }
    unet = UNet2DConditionModel(**UNET, sample_size=SIDE // 2, use_linear_projection=xl or v, **(told if xl else {}))
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "attn2.to_v" in name or "attn2.to_k" in name:  # a fresh one hardly listens to its prompt
                weight.mul_(4)
    unet.save_pretrained(folder / "unet")
    autoencoder(16, 32).save_pretrained(folder / "vae")
    if xl:
        text_encoder(WIDTH // 2).save_pretrained(folder / "text_encoder")
        text_encoder(WIDTH // 2, projection=WIDTH // 2).save_pretrained(folder / "text_encoder_2")
    else:
        text_encoder(WIDTH).save_pretrained(folder / "text_encoder")
    shipped = ZOO / "facelet-1"
    for part in ("tokenizer", "tokenizer_2") if xl else ("tokenizer",):
        shutil.copytree(shipped / "tokenizer", folder / part)
    shutil.copytree(shipped / "scheduler", folder / "scheduler")
    if v:
        DDPMScheduler.from_pretrained(folder / "scheduler", prediction_type="v_prediction").save_pretrained(
            folder / "scheduler"
        )
    return load_base(locate("tiny", str(folder)))


def upscaler(folder: Path) -> Path:
    """An x4 upscaler's parts: 32 px become 128."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    UNet2DConditionModel(**UNET, sample_size=SIDE, in_channels=7, num_class_embeds=1000).save_pretrained(
        folder / "unet"
    )
    autoencoder(8, 16, 16).save_pretrained(folder / "vae")
    text_encoder(WIDTH).save_pretrained(folder / "text_encoder")
    shutil.copytree(ZOO / "facelet-1" / "tokenizer", folder / "tokenizer")
    for part in ("scheduler", "low_res_scheduler"):
        shutil.copytree(ZOO / "facelet-1" / "scheduler", folder / part)
    return folder


def autoencoder(*channels: int, latents: int = 4) -> Any:
    """A VAE that halves the side once per level, but not at the last; with 16 channels of latents as SD3 has it."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=["DownEncoderBlock2D"] * len(channels),
        up_block_types=["UpDecoderBlock2D"] * len(channels),
        latent_channels=latents,
        norm_num_groups=8,
        **({"shift_factor": 0.0609, "scaling_factor": 1.5305} if latents == 16 else {}),
        **({"use_quant_conv": False, "use_post_quant_conv": False} if latents == 16 else {}),
    )


def vae_folder(folder: Path) -> Path:
    """An autoencoder by itself, for `vae_pass`."""
    torch.manual_seed(0)
    autoencoder(16, 32).save_pretrained(folder)
    return folder


def pixel_network(folder: Path, channels: int = 12) -> Path:
    """A UNet on pixels with random weights and a scheduler beside it, for `remover` and `diff_pure`; 32 px."""
    from diffusers import DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    UNet2DModel(
        sample_size=SIDE // math.isqrt(channels // 3),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
        norm_num_groups=8,
    ).save_pretrained(folder)
    DDPMScheduler().save_pretrained(folder)
    return folder


def text_encoder(width: int, projection: int = 0, positions: int | None = None) -> Any:
    """A CLIP for the shipped tokenizer, whose end of text its configuration gets wrong, as many official ones do.

    It reads as many tokens as the shipped one, or so many.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokens = CLIPTextConfig.from_pretrained(ZOO / "facelet-1" / "text_encoder")
    config = CLIPTextConfig(
        vocab_size=tokens.vocab_size,
        max_position_embeddings=positions or tokens.max_position_embeddings,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=2,
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=projection or width,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


# --- adapters -------------------------------------------------------------------------------------------------------


def ip_adapter(folder: Path, unet: Any, seed: int = 0) -> Path:
    draw = drawer(seed)
    projection = {"proj.weight": (4 * WIDTH, 32), "proj.bias": (4 * WIDTH,)} | _norm("norm")
    write(
        folder / "ip-adapter.safetensors",
        image_proj=random_weights(projection, draw),
        ip_adapter=_attention(unet, draw),
    )
    vision_tower(32, seed).save_pretrained(folder / "image_encoder")
    return folder


def ip_adapter_plus(folder: Path, unet: Any, seed: int = 0, variant: str = "plus") -> Path:
    draw = drawer(seed)
    shapes = {"latents": (1, 16, 64)} | resampler(64, HIDDEN, WIDTH)
    main = folder / f"ip-adapter-{variant}.safetensors"
    write(main, image_proj=random_weights(shapes, draw), ip_adapter=_attention(unet, draw))
    vision_tower(HIDDEN, seed).save_pretrained(folder / "image_encoder")
    return folder


def ip_adapter_plus_face(folder: Path, unet: Any, seed: int = 0) -> Path:
    return ip_adapter_plus(folder, unet, seed, "plus-face")


def ip_adapter_full_face(folder: Path, unet: Any, seed: int = 0) -> Path:
    draw = drawer(seed)
    shapes = {"proj.0.weight": (HIDDEN, HIDDEN), "proj.0.bias": (HIDDEN,)}
    shapes |= {"proj.2.weight": (WIDTH, HIDDEN), "proj.2.bias": (WIDTH,)} | _norm("proj.3")
    main = folder / "ip-adapter-full-face.safetensors"
    write(main, image_proj=random_weights(shapes, draw), ip_adapter=_attention(unet, draw))
    vision_tower(HIDDEN, seed).save_pretrained(folder / "image_encoder")
    return folder


def ip_adapter_faceid(folder: Path, unet: Any, seed: int = 0) -> Path:
    draw = drawer(seed)
    main = folder / "ip-adapter-faceid.safetensors"
    write(main, image_proj=random_weights(_faceid(), draw), ip_adapter=_attention(unet, draw) | _face_lora(unet, draw))
    return folder


def ip_adapter_faceid_plus(folder: Path, unet: Any, seed: int = 0, variant: str = "plus") -> Path:
    draw = drawer(seed)
    projection = _faceid() | resampler(WIDTH, HIDDEN, WIDTH, "perceiver_resampler.")
    main = folder / f"ip-adapter-faceid-{variant}.safetensors"
    write(main, image_proj=random_weights(projection, draw), ip_adapter=_attention(unet, draw) | _face_lora(unet, draw))
    vision_tower(HIDDEN, seed).save_pretrained(folder / "image_encoder")
    return folder


def ip_adapter_faceid_plusv2(folder: Path, unet: Any, seed: int = 0) -> Path:
    return ip_adapter_faceid_plus(folder, unet, seed, "plusv2")


IP_ADAPTERS: dict[str, Callable[..., Path]] = {
    "base": ip_adapter,
    "plus": ip_adapter_plus,
    "plus-face": ip_adapter_plus_face,
    "full-face": ip_adapter_full_face,
    "faceid": ip_adapter_faceid,
    "faceid-plus": ip_adapter_faceid_plus,
    "faceid-plusv2": ip_adapter_faceid_plusv2,
}
"""Variant -> what writes one."""


def _faceid() -> dict[str, tuple[int, ...]]:
    """The projection of a face's embedding to four tokens."""
    shapes = {"proj.0.weight": (2 * EMBEDDING, EMBEDDING), "proj.0.bias": (2 * EMBEDDING,)}
    return shapes | {"proj.2.weight": (4 * WIDTH, 2 * EMBEDDING), "proj.2.bias": (4 * WIDTH,)} | _norm("norm")


def _face_lora(unet: Any, draw: Callable[..., Tensor]) -> dict[str, Tensor]:
    """FaceID's LoRA on all attentions, numbered in their order."""
    lora: dict[str, Tensor] = {}
    for index, name in enumerate(unet.attn_processors):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for part, linear in (("q", layer.to_q), ("k", layer.to_k), ("v", layer.to_v), ("out", layer.to_out[0])):
            down, up = _low_rank(linear, draw)
            lora |= {f"{index}.to_{part}_lora.down.weight": down, f"{index}.to_{part}_lora.up.weight": up}
    return lora


def resampler(width: int, inputs: int, outputs: int, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """The perceiver of several adapters; the loaders take its depth to be 4 and its heads to be 64 wide."""
    shapes = {"proj_in.weight": (width, inputs), "proj_in.bias": (width,)}
    shapes |= {"proj_out.weight": (outputs, width), "proj_out.bias": (outputs,)} | _norm("norm_out", outputs)
    for i in range(4):
        shapes |= _norm(f"layers.{i}.0.norm1", width) | _norm(f"layers.{i}.0.norm2", width)
        shapes |= {f"layers.{i}.0.to_q.weight": (width, width), f"layers.{i}.0.to_kv.weight": (2 * width, width)}
        shapes |= {f"layers.{i}.0.to_out.weight": (width, width)} | _norm(f"layers.{i}.1.0", width)
        shapes |= {f"layers.{i}.1.1.weight": (4 * width, width), f"layers.{i}.1.3.weight": (width, 4 * width)}
    return {prefix + name: shape for name, shape in shapes.items()}


def photomaker(folder: Path, unet: Any, seed: int = 0, width: int = WIDTH, second: bool = False) -> Path:
    """Version 1, or the `second`, with the projections that the UNet's type has."""
    draw = drawer(seed)
    xl = unet.config.addition_embed_type == "text_time"
    tower = vision_tower(width // 2 if xl else width, seed)
    encoder = dict(tower.state_dict())
    if xl:
        encoder["visual_projection_2.weight"] = 10 * draw(width // 2, HIDDEN)
    for name, inputs in (("mlp1", 2 * width), ("mlp2", width)):
        fuse = {"fc1.weight": (width, inputs), "fc1.bias": (width,), "fc2.weight": (width, width), "fc2.bias": (width,)}
        fuse |= _norm("layernorm", inputs)
        encoder |= {f"fuse_module.{name}.{key}": value for key, value in random_weights(fuse, draw).items()}
    encoder |= random_weights(_norm("fuse_module.layer_norm", width), draw)
    if second:
        shapes = {"token_proj.0.weight": (EMBEDDING, EMBEDDING), "token_proj.0.bias": (EMBEDDING,)}
        shapes |= {"token_proj.2.weight": (2 * width, EMBEDDING), "token_proj.2.bias": (2 * width,)}
        shapes |= _norm("token_norm", width) | resampler(width, HIDDEN, width, "perceiver_resampler.")
        encoder |= {f"qformer_perceiver.{key}": value for key, value in random_weights(shapes, draw).items()}
    lora: dict[str, Tensor] = {}
    for name, layer in unet.named_modules():
        if name.endswith(("to_q", "to_v")):
            down, up = _low_rank(layer, draw)
            lora |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    write(folder / "photomaker.safetensors", id_encoder=encoder, lora_weights=lora)
    tower.config.save_pretrained(folder)
    return folder


def photomaker_v2(folder: Path, unet: Any, seed: int = 0) -> Path:
    return photomaker(folder, unet, seed, second=True)


def instantid(folder: Path, unet: Any, seed: int = 0) -> Path:
    from diffusers import ControlNetModel

    draw = drawer(seed)
    shapes = {"latents": (1, 16, 64)} | resampler(64, EMBEDDING, WIDTH)
    write(folder / "ip-adapter.safetensors", image_proj=random_weights(shapes, draw), ip_adapter=_attention(unet, draw))
    torch.manual_seed(seed)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    with torch.no_grad():
        for module in (net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
            for weight in module.parameters():  # fresh ones are zero
                weight.copy_(0.3 * torch.randn(weight.shape))
    net.save_pretrained(folder / "ControlNetModel")
    return folder


def vision_tower(projection: int, seed: int) -> Any:
    """A CLIP that sees colours: freshly initialised ones give all pictures nearly the same embedding."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=37,
        projection_dim=projection,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=SIDE,
        patch_size=8,
    )
    torch.manual_seed(seed)
    tower = CLIPVisionModelWithProjection(config)
    with torch.no_grad():
        tower.vision_model.embeddings.patch_embedding.weight.mul_(10)
        tower.visual_projection.weight.mul_(10)
    return tower


def _attention(unet: Any, draw: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Keys and values for the image tokens: 1, 3, 5, ... in the order of the cross-attentions."""
    made: dict[str, Tensor] = {}
    for index, name in enumerate(n for n in unet.attn_processors if "attn2" in n):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        for part, linear in (("k", layer.to_k), ("v", layer.to_v)):
            made[f"{2 * index + 1}.to_{part}_ip.weight"] = draw(linear.out_features, linear.in_features)
    return made


def _low_rank(linear: Any, draw: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    """A LoRA of rank 4; small, for a strong one makes attention so sharp that rounding errors show in the pictures."""
    return draw(4, linear.in_features), 0.1 * draw(linear.out_features, 4)


def _norm(name: str, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def drawer(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=generator) / shape[-1] ** 0.5 * (2 if len(shape) > 1 else 1)


def random_weights(shapes: dict[str, tuple[int, ...]], draw: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Random weights; those of normalisations are around one."""
    made = {name: draw(*shape) for name, shape in shapes.items()}
    return {k: 1 + v if k.endswith("weight") and v.dim() == 1 else v for k, v in made.items()}


def write(file: Path, **groups: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"{group}.{k}": v.contiguous() for group, values in groups.items() for k, v in values.items()}, file)


# --- recognisers ----------------------------------------------------------------------------------------------------


def person(seed: int, count: int = 2) -> Tensor:
    """(count, 3, 32, 32): noise around one colour, in which the tiny detector finds a face."""
    draw = torch.Generator().manual_seed(seed)
    colour = 0.3 + 0.5 * torch.rand(3, 1, 1, generator=draw)
    return (colour + 0.2 * torch.rand(count, 3, SIDE, SIDE, generator=draw)).mul(255).round().div(255)


def pack(folder: Path, seed: int = 0) -> Path:
    """A detector that finds one fixed face in bright pictures and none in black ones, and a linear recogniser."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_detector(), folder / "detector.onnx")
    onnx.save(_recogniser(seed), folder / "recogniser.onnx")
    return folder


def _detector() -> Any:
    """SCRFD's nine outputs: score, box and key points at strides 8, 16 and 32, two anchors a cell.

    The first anchor, at the origin, has the face, at the same fractions of any input; it is seen in bright pictures and
    in inputs of up to 64 px, as a detector sees no face that is larger than those it was trained on.
    """
    from onnx import TensorProto, helper

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs.split(), [output], **attributes))

    def constant(name: str, value: Any) -> None:
        constants.append(_constant(name, value))

    nodes: list[Any] = []
    constants: list[Any] = []
    outputs: list[Any] = []
    for name, value in {"two": [2], "zero": [0], "zeros": [0, 0], "one": [1], "most": [64]}.items():
        constant(name, np.array(value))
    constant("dark", np.float32(-0.9))
    constant("side", np.float32(SIDE))
    node("Shape", "input", "shape")
    node("Gather", "shape two", "height")
    node("Cast", "height", "pixels", to=TensorProto.FLOAT)
    node("Div", "pixels side", "scale")
    node("ReduceMean", "input", "mean", keepdims=0)
    node("Greater", "mean dark", "bright")
    node("LessOrEqual", "height most", "small")
    node("And", "bright small", "seen")
    node("Cast", "seen", "on", to=TensorProto.FLOAT)
    left, top, right, bottom = BOX
    planted = {"score": [0.9], "box": [-left, -top, right, bottom], "points": [v for point in POINTS for v in point]}
    for kind, values in planted.items():
        for stride in (8, 16, 32):
            name = f"{kind}{stride}"
            row = np.zeros((1, len(values)), np.float32)
            if stride == 8:
                row[0] = np.array(values) if kind == "score" else np.array(values) / stride
            constant(f"{name}_row", row)
            constant(f"{name}_stride", np.array([stride]))
            node("Mul", f"{name}_row {'on' if kind == 'score' else 'scale'}", f"{name}_face")
            node("Div", f"height {name}_stride", f"{name}_cells")
            node("Mul", f"{name}_cells {name}_cells", f"{name}_square")
            node("Mul", f"{name}_square two", f"{name}_rows")
            node("Sub", f"{name}_rows one", f"{name}_others")
            node("Concat", f"zeros {name}_others zero", f"{name}_pads", axis=0)
            node("Pad", f"{name}_face {name}_pads", name)
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", len(values)]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "detector", [picture], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _recogniser(seed: int) -> Any:
    """(n, 3, 112, 112) to (n, 512): the means of 7 x 7 tiles, times a random matrix, far from unit length."""
    from onnx import TensorProto, helper

    matrix = np.random.default_rng(seed).normal(size=(3 * 7 * 7, EMBEDDING)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input"], ["tiles"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["tiles"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 112, 112])
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", EMBEDDING])
    graph = helper.make_graph(nodes, "recogniser", [picture], [embedding], [_constant("matrix", matrix)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def _constant(name: str, value: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value), name)
