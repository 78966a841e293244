"""Where machine code is kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

__all__ = ["cache_folder", "write_whole"]

_OWN: Final = "TICKRAIL_CACHE_DIR"


def cache_folder() -> Path | None:
    """Where machine code is kept; ``None`` where nothing can be written."""
    home = os.environ.get("XDG_CACHE_HOME")
    own = os.environ.get(_OWN)
    base = Path(own) if own else (Path(home) if home else Path.home() / ".cache") / "tickrail"
    folder = base / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def write_whole(path: Path, text: str) -> Path:
    """The file appears whole, also where two processes compile at once; an equal one stays, for its time counts."""
    if path.exists() and path.read_text() == text:
        return path
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.stem, delete=False) as file:
        file.write(text)
    return Path(file.name).replace(path)
