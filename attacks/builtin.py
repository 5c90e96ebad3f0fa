"""The attacks that come with the project: name -> "module:Class".

A file of its own, which no code version counts: an attack more leaves the others' results as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

BUILTIN: Mapping[str, str] = {
    "none": "attacks.none:NoAttack",
    "dreambooth": "attacks.dreambooth:DreamBooth",
    "lora": "attacks.lora:Lora",
    "textual_inversion": "attacks.textual_inversion:TextualInversion",
    "ip_adapter": "attacks.ip_adapter:IpAdapter",
    "photomaker": "attacks.photomaker:PhotoMaker",
    "instantid": "attacks.instantid:InstantId",
    "kontext": "attacks.kontext:Kontext",
}
