"""The id of a run, which enters the names of its orders at venues."""

from __future__ import annotations

import hashlib
import time

__all__ = ["run_id_of"]

#: Of a simulation: enough that two runs of one account differ, and short, as venues allow some 36 characters a name.
DIGITS = 10


def run_id_of(config_digest: bytes, seed: int, *, is_live: bool) -> str:
    """What decides a simulation names it, so that it is the same each time; a live run is named by when it was made."""
    if is_live:
        return f"{time.time_ns():x}"
    return hashlib.sha256(config_digest + seed.to_bytes(8, "little")).hexdigest()[:DIGITS]
