"""How wandb is used on this machine: the package, credentials, and a folder for one W&B run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from bench.core.paths import expanded


def package() -> Any:
    """wandb, without the reports on its own use that it sends even when it is offline."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb


def logged_in() -> bool:
    """Whether wandb would find credentials, and so not ask for them: in the environment, its settings, or netrc."""
    settings = package().setup().settings
    if settings.api_key or settings.identity_token_file:
        return True
    named = os.environ.get("NETRC")
    for file in [expanded(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with contextlib.suppress(OSError, NetrcParseError):
            if netrc(file).authenticators(urlsplit(settings.base_url).netloc):
                return True
    return False


@contextlib.contextmanager
def place(folder: Path, identifier: str) -> Iterator[None]:
    """A folder for the W&B run of an id, free of its former selves, one process at a time.

    wandb keeps tables that wait for their upload under the home directory, where nobody would look for them; here they
    are put beside the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".cloakbench.lock"), contextlib.ExitStack() as stack:
        for former in [*folder.glob(f"*run-*-{identifier}"), folder / f"staged-{identifier}"]:
            shutil.rmtree(former, ignore_errors=True)
        if "WANDB_DATA_DIR" not in os.environ:
            os.environ["WANDB_DATA_DIR"] = str(folder / f"staged-{identifier}")
            stack.callback(os.environ.pop, "WANDB_DATA_DIR", None)
        yield
