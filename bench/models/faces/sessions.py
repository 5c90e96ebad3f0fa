"""Networks in ONNX files, run by onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def session(file: Path) -> Any:
    """An `onnxruntime.InferenceSession` of a file."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), session_options(), providers=["CPUExecutionProvider"])


def session_options() -> Any:
    """As many threads as PyTorch has.

    onnxruntime would take every core for every worker, and have them wait for each other in a loop.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return options
