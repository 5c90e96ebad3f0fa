"""The countermeasures that come with the project: name -> "module:Class".

A file of its own, which no code version counts: a countermeasure more leaves the others' results as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

BUILTIN: Mapping[str, str] = {
    "none": "countermeasures.none:NoCountermeasure",
    "jpeg": "countermeasures.jpeg:Jpeg",
    "resize": "countermeasures.resize:Resize",
    "blur": "countermeasures.blur:Blur",
    "noise": "countermeasures.noise:GaussianNoise",
    "crop": "countermeasures.crop:Crop",
    "quantise": "countermeasures.quantise:Quantise",
    "tvm": "countermeasures.tvm:TotalVariation",
    "adverse_cleaner": "countermeasures.adverse_cleaner:AdverseCleaner",
    "sd_img2img": "countermeasures.sd_img2img:ImageToImage",
    "grid_pure": "countermeasures.grid_pure:GridPure",
    "impress": "countermeasures.impress:Impress",
    "noisy_upscaling": "countermeasures.noisy_upscaling:NoisyUpscaling",
    "vae_pass": "countermeasures.vae_pass:VaePass",
    "diff_pure": "countermeasures.diff_pure:DiffPure",
    "remover": "countermeasures.remover:Remover",
}
