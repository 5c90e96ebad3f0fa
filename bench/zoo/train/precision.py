"""Where trainings run, and what is fast there: half precision, and the kind of attention.

On CPUs with tile units bf16 is about twice as fast as fp32, on others half as fast. Every random draw is made on the
CPU, so a training sees the same photos and noise everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor, IPAdapterAttnProcessor
from torch.nn.attention import SDPBackend, sdpa_kernel


@cache
def device() -> torch.device:
    """The GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def autocast() -> Iterator[None]:
    """bf16 on a GPU, or on a CPU that has AMX; else nothing.

    On a CPU, fused attention's backward pass is slow in bf16, so attention is computed in plain operations there: the
    image encoder's step takes 0.43 instead of 0.94 seconds of CPU, the text encoder's 0.05 instead of 0.13,
    facelet-3's 1.2 instead of 1.7. In fp32 there is no such difference. On a CPU with AVX-512 alone bf16 is the slower
    one: 126 faces/s, 182 in fp32.
    """
    if device().type == "cuda":
        with torch.autocast("cuda", torch.bfloat16):
            yield
    elif torch.cpu._is_amx_tile_supported():
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # on CPUs too: else plain attention is in fp32
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        yield


def plain_attention(unet: Any) -> None:
    """On a CPU, give a UNet plain attention by diffusers' own processors, a twentieth faster yet; weights are kept."""
    if device().type != "cpu":
        return
    processors = {}
    for name, old in unet.attn_processors.items():
        if not hasattr(old, "to_k_ip"):
            processors[name] = AttnProcessor()
            continue
        new = IPAdapterAttnProcessor(old.hidden_size, old.cross_attention_dim, old.num_tokens, old.scale)
        new.to_k_ip, new.to_v_ip = old.to_k_ip, old.to_v_ip
        processors[name] = new
    unet.set_attn_processor(processors)
