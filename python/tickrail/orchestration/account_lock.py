"""One live run at a time trades on an account: two would each take the other's positions for its own."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tickrail.config import LoadedConfig
from tickrail.errors import AccountInUse
from tickrail.orchestration.lock_file import Held, LockFile

__all__ = ["accounts_held"]

DEFAULT_FOLDER: Final = Path("~/.local/state/tickrail/accounts")
SIMULATED: Final = "simulated"


@contextmanager
def accounts_held(loaded: LoadedConfig) -> Iterator[tuple[str, ...]]:
    """Hold every account of the configuration's venues, but for simulated ones, which have none; their names.

    Raises:
        AccountInUse: Another run holds one of them; none is held then.
        OSError: The folder cannot be written to.
    """
    venues = loaded.config.venues.items()
    names = [f"{name}.{one.account}" for name, one in venues if one.account is not None and one.adapter != SIMULATED]
    with ExitStack() as held:
        if names:
            folder = (loaded.config.runtime.account_dir or DEFAULT_FOLDER).expanduser()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in sorted(names):  # in one order, so that of two runs with two accounts one gets both
                try:
                    held.enter_context(LockFile(folder / f"{name}.json", _facts(loaded)))
                except Held as found:
                    raise _in_use(name, found.holder) from None
        yield tuple(names)


def _facts(loaded: LoadedConfig) -> dict[str, Any]:
    return {
        "run": f"{loaded.env}-{os.getpid()}",
        "pid": os.getpid(),
        "host": platform.node(),
        "run_dir": str(loaded.config.runtime.run_dir),
    }


def _in_use(name: str, holder: dict[str, Any]) -> AccountInUse:
    run, run_dir = holder.get("run", "ID"), holder.get("run_dir", "RUN_DIR")
    who = f"run {holder.get('run', '?')}, process {holder.get('pid', '?')} on {holder.get('host', '?')}"
    return AccountInUse(
        f"account {name} is traded on by another run ({who})",
        account=name,
        holder=holder,
        hint=f"'tickrail ctl --run-dir {run_dir} --run {run} shutdown' ends it; or trade on another account",
    )
