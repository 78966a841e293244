"""What every ``StateStorePort`` does."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tickrail.errors import StateError
from tickrail.orchestration.port_check import check_port
from tickrail.ports.state_store import StateStorePort

__all__ = ["StateStoreSuite"]


class StateStoreSuite:
    """Derive, and say how a store is made."""

    def make(self) -> StateStorePort:
        """A new, empty store."""
        raise NotImplementedError

    def test_it_has_every_member(self) -> None:
        """Of the port, callable as it says."""
        assert check_port(self.make(), StateStorePort) == []

    def test_nothing_was_saved(self) -> None:
        """Then the state is empty."""
        assert dict(self.make().load("nobody")) == {}

    def test_what_was_saved_last_is_loaded(self) -> None:
        """Equal, of the types that JSON has, and each strategy its own."""
        store = self.make()
        state: dict[str, Any] = {"n": 1, "x": 0.1, "text": "ä\n", "none": None, "list": [1, 2], "table": {"deep": True}}
        store.save("one", {"old": 1})
        store.save("one", state)
        store.save("two", {"n": 2})
        assert dict(store.load("one")) == state
        assert dict(store.load("two")) == {"n": 2}

    def test_an_empty_state_forgets(self) -> None:
        """What was there."""
        store = self.make()
        store.save("one", {"n": 1})
        store.save("one", {})
        assert dict(store.load("one")) == {}

    def test_what_is_kept_does_not_change_with_its_source(self) -> None:
        """Neither by the dict that was saved nor by the one that was loaded."""
        store = self.make()
        state: dict[str, Any] = {"list": [1]}
        store.save("one", state)
        state["list"].append(2)
        loaded = dict(store.load("one"))
        loaded["list"].append(3)
        assert dict(store.load("one")) == {"list": [1]}

    def test_what_cannot_be_kept_is_refused_and_the_old_state_stays(self) -> None:
        """Objects and NaN are nothing that JSON knows."""
        store = self.make()
        store.save("one", {"n": 1})
        for value in (object(), float("nan"), {1, 2}):
            with pytest.raises(StateError):
                store.save("one", {"n": value})
        assert dict(store.load("one")) == {"n": 1}

    @pytest.mark.parametrize("name", ["a/b", "..", "", "a" * 300, "ünïcode", "a\0b", "CON"])
    def test_any_name_is_a_name(self, name: str) -> None:
        """Two names are never the same state, whatever they look like."""
        store = self.make()
        store.save(name, {"mine": name})
        store.save(f"{name}x", {"mine": "other"})
        assert dict(store.load(name)) == {"mine": name}

    def test_threads(self) -> None:
        """Each save is whole."""
        store = self.make()

        def save(number: int) -> None:
            for _ in range(20):
                store.save("shared", {"numbers": [number] * 50})
                store.save(f"own-{number}", {"n": number})

        threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        numbers = store.load("shared")["numbers"]
        assert len(set(numbers)) == 1
        assert len(numbers) == 50
        assert [dict(store.load(f"own-{number}")) for number in range(4)] == [{"n": number} for number in range(4)]
