"""Full result records, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from bench.results.record import Record

FULL: dict[str, Any] = {
    "schema_version": 1,
    "cell": "0123456789abcdef" * 4,
    "status": "ok",
    "reason": "",
    "data": "synthetic",
    "identity": "ann",
    "photos_of": "",
    "defense": {"name": "aspl", "budget": 8.0, "config": {"rounds": 20, "prompt": "a photo of sks person"}},
    "countermeasure": [{"name": "jpeg", "config": {"quality": 75}}],
    "attack": {"name": "lora", "config": {"rank": None}},
    "base": "facelet-1",
    "surrogates": ["facelet-1"],
    "model": None,
    "surrogate_models": None,
    "weights": None,
    "data_config": None,
    "photo_count": 4,
    "seed": 0,
    "metrics": {"fdfr": 0.25, "ilr": 1 / 3, "ism_detected": None},
    "unavailable": {"ism_detected": "2 faces found, 5 are needed"},
    "thresholds": {"ilr": 0.123456789012345678},
    "stages": {
        "fit": {
            "seconds": 1.5,
            "peak_mb": 900.0,
            "passes": {"unet": {"weights": 8}},
            "halvings": 0,
            "together": 1,
            "places": 1,
            "key": "ab",
            "cached": False,
        }
    },
    "images": [
        {
            "prompt": 0,
            "image": 1,
            "noise_seed": 2**62 + 1,
            "faces": 1,
            "similarity": -0.1,
            "similarities": {"mobilefacenet": -0.2, "faceres": 0.0},
            "sha256": "cd",
            "quality": {"blur": 0.5},
        },
        {
            "prompt": 1,
            "image": 0,
            "noise_seed": 0,
            "faces": 0,
            "similarity": None,
            "similarities": {"mobilefacenet": None, "faceres": None},
            "sha256": "ef",
            "quality": {},
        },
    ],
    "provenance": {"python": "3.11", "packages": {"torch": "2.6"}},
}


def record(**changes: Any) -> Record:
    return Record.model_validate(FULL | changes)
