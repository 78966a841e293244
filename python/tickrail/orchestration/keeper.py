"""What survives a strategy object: its state, and the way to make another one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tickrail._native import CompiledCode
from tickrail.errors import StateError
from tickrail.ports.state_store import StateStorePort
from tickrail.strategy.compiled.form import is_compiled
from tickrail.strategy.strategy import Strategy, check_ready, update_parameters, updated_parameters

__all__ = ["VERSION", "Keeper"]

logger = logging.getLogger("tickrail.strategies")

VERSION = "state_version"
"""Key under which the version of a saved state stands beside the state itself."""


class Keeper:
    """Called by the native loop: ``load`` before ``on_start``, ``save`` after ``on_stop``, ``renew`` for a restart.

    What it cannot do it is not asked for: it costs a call for each strategy of each run.

    Holds the run's table of strategies, never the dispatcher: that one holds the keeper.
    """

    def __init__(
        self,
        name: str,
        strategies: dict[str, Strategy],
        make: Callable[[], Strategy] | None,
        store: StateStorePort | None,
        compile_one: Callable[[str, Strategy], CompiledCode],
        *,
        renewed: Callable[[str], object],
    ) -> None:
        self.name = name
        self._strategies = strategies
        self._make = make
        self._store = store
        self._compile_one = compile_one
        self._renewed = renewed
        self._was_saved = False

    @property
    def renewable(self) -> bool:
        """Whether another object can be made."""
        return self._make is not None

    @property
    def stores(self) -> bool:
        """Whether there is somewhere to keep a state."""
        return self._store is not None

    def load(self) -> None:
        """Hand the strategy what was saved, if anything was."""
        assert self._store is not None, "the loop asks where there is one"
        saved = dict(self._store.load(self.name))
        version = saved.pop(VERSION, 1)
        self._was_saved = bool(saved)
        if not saved:
            return
        strategy = self._strategies[self.name]
        if version != type(strategy).state_version:
            saved = self._migrated(strategy, saved, version)
        strategy.load_state(saved)

    def save(self) -> None:
        """Keep the strategy's state; one that has none leaves nothing behind."""
        assert self._store is not None, "the loop asks where there is one"
        strategy = self._strategies[self.name]
        state = dict(strategy.save_state())
        if state or self._was_saved:
            self._store.save(self.name, {**state, VERSION: type(strategy).state_version} if state else {})
            self._was_saved = bool(state)

    def renew(self) -> tuple[Strategy, CompiledCode | None]:
        """Another object of the class, in the place of the one that is over, with what was changed of its values."""
        assert self._make is not None, "the loop asks where there is one"
        changed = updated_parameters(self._strategies[self.name])
        strategy = self._make()
        if changed:
            update_parameters(strategy, changed)
            names = ", ".join(sorted(changed))
            logger.info("strategy %s starts again with parameters that were changed in this run: %s", self.name, names)
        check_ready(strategy)
        self._strategies[self.name] = strategy
        self._renewed(self.name)
        return strategy, self._compile_one(self.name, strategy) if is_compiled(type(strategy)) else None

    def _migrated(self, strategy: Strategy, saved: dict[str, Any], version: object) -> dict[str, Any]:
        migrate = getattr(strategy, "migrate_state", None)
        if migrate is None:
            raise StateError(
                f"strategy {self.name}: the saved state has version {version},"
                f" but {type(strategy).__name__} has version {type(strategy).state_version}",
                hint="define migrate_state(self, state, version), or remove the saved state",
            )
        return dict(migrate(saved, version))
