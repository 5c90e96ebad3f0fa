"""The defenses that come with the project: name -> "module:Class".

A file of its own, which no code version counts: a defense more leaves the others' results as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

BUILTIN: Mapping[str, str] = {
    "none": "defenses.none:NoDefense",
    "noise": "defenses.noise:Noise",
    "jpeg": "defenses.jpeg:Jpeg",
    "placebo": "defenses.placebo:Placebo",
    "dladiff": "defenses.dladiff:DLADiff",
    "antidreambooth": "defenses.aspl:Aspl",
    "aspl": "defenses.aspl:Aspl",
    "fsmg": "defenses.fsmg:Fsmg",
    "photoguard": "defenses.photoguard:PhotoGuard",
    "mist": "defenses.mist:Mist",
    "advdm": "defenses.advdm:AdvDM",
    "sds": "defenses.sds:Sds",
    "pid": "defenses.pid:Pid",
    "simac": "defenses.simac:SimAC",
    "caat": "defenses.caat:Caat",
    "metacloak": "defenses.metacloak:MetaCloak",
    "disdiff": "defenses.disdiff:DisDiff",
    "antidiffusion": "defenses.antidiffusion:AntiDiffusion",
    "ace": "defenses.ace:Ace",
    "idprotector_pgd": "defenses.idprotector_pgd:IdProtectorPgd",
    "idguardian": "defenses.idguardian:IdGuardian",
    "faceshield": "defenses.faceshield:FaceShield",
    "antipure": "defenses.antipure:AntiPure",
    "adapter_shield": "defenses.adapter_shield:AdapterShield",
    "diffusionguard": "defenses.diffusionguard:DiffusionGuard",
    "decontext": "defenses.decontext:DeContext",
    "precomputed": "defenses.precomputed:Precomputed",
}
