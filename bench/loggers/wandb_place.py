"""How wandb is used on this machine: the package, credentials, and one W&B run with its folder."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.paths import expanded

QUIET = {
    "silent": True,
    "console": "off",
    "symlink": False,  # "latest-run" would be fought over by processes that share a run
    "reinit": "create_new",
    "init_timeout": 60,
    "finish_timeout": 60,
    "finish_timeout_raises": True,
}
"""Says nothing, and waits for no server longer than this, in seconds."""
PRIVATE = {
    "host": "",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""The record has what matters of these; host and user are nobody's business, and gathering them takes time."""


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


class Session:
    """One W&B run, open until it is closed. Its former selves, of the same id, are deleted.

    wandb would return the run before if one were open, and merge the two; hence the explicit ids and `create_new`.

    Args:
        root: the folder in which wandb keeps its own.
        mode: "online" or "offline".
        identifier: of the run.
        facts: what else `wandb.init` is told.

    Raises:
        BenchError: another process has a run of this id open.
    """

    def __init__(self, root: Path, mode: str, identifier: str, facts: Mapping[str, Any]) -> None:
        self.package = package()
        self._staged = root / "wandb" / f"staged-{identifier}"
        folder = root / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f".{identifier}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BenchError(f"Another process is logging the same to {folder}.") from None
        try:
            for former in [*folder.glob(f"*run-*-{identifier}"), self._staged]:
                shutil.rmtree(former, ignore_errors=True)
            settings = self.package.Settings(mode=mode, **QUIET, **PRIVATE)
            with self.staged():
                self.run = self.package.init(id=identifier, dir=str(root), settings=settings, **facts)
        except BaseException:
            self._release()
            raise

    @contextlib.contextmanager
    def staged(self) -> Iterator[None]:
        """Whatever makes a table, a picture or an artifact happens in here.

        wandb keeps those that wait for their upload under the home directory, where nobody would look for them; here
        they are put beside the run.
        """
        with contextlib.ExitStack() as stack:
            if "WANDB_DATA_DIR" not in os.environ:
                os.environ["WANDB_DATA_DIR"] = str(self._staged)
                stack.callback(os.environ.pop, "WANDB_DATA_DIR", None)
            yield

    def close(self, ok: bool) -> None:
        """End the run, with an exit code that says whether all was well."""
        try:
            self.run.finish(exit_code=0 if ok else 1)
        finally:
            self._release()

    def _release(self) -> None:
        """Whoever comes later may have the id; a lock's file that is gone is made anew."""
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
