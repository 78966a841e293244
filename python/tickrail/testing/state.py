"""A state store that shows what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tickrail.errors import StateError
from tickrail.testing.fakes import Fake

__all__ = ["FakeStateStore"]


class FakeStateStore(Fake):
    """Keeps states in memory, as the text that a file would have."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}

    def load(self, strategy: str) -> Mapping[str, Any]:
        """What was saved last."""
        self._note("load", strategy=strategy)
        loaded: dict[str, Any] = json.loads(self.texts.get(strategy, "{}"))
        return loaded

    def save(self, strategy: str, state: Mapping[str, Any]) -> None:
        """Keep ``state``."""
        self._note("save", strategy=strategy, state=dict(state))
        try:
            text = json.dumps(dict(state), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise StateError(f"the state of strategy {strategy} cannot be kept: {error}") from None
        self.texts[strategy] = text
