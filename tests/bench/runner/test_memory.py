"""Freed memory stays with the process that asked for it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

KEEPS = """
import resource
import sys
from bench.runner.memory import keep_freed

def used():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

if sys.argv[1] == "keep":
    keep_freed()
before = used()
block = bytearray(b"x") * 2**28
del block
print((used() - before) / 2**28)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.parametrize(("word", "share"), [("keep", 1.0), ("give back", 0.0)])
def test_freed_memory_is_kept(word: str, share: float) -> None:
    done = subprocess.run([sys.executable, "-c", KEEPS, word], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(share, abs=0.1)
