"""Which classes are compiled strategies, and which could never run."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tickrail import Strategy
from tickrail.errors import HandlerError
from tickrail.strategy.compiled import ANY_DTYPE, is_compiled, unsafe_address
from tickrail.strategy.compiled.fingerprint import Unknown, fingerprint
from tickrail.strategy.compiled.layouts import layout_text
from tickrail.strategy.compiled.state import new_state
from tickrail.strategy.compiled.wishes import Wish

STATE = np.dtype([("x", "f8")])


def test_the_layouts_are_those_of_the_native_side() -> None:
    from tickrail._native import ABI_LAYOUT

    assert layout_text() == ABI_LAYOUT
    assert ANY_DTYPE.itemsize == 64
    assert [wish.value for wish in Wish] == list(range(1, 14))


def make(**members: Any) -> type[Strategy]:
    return type("Made", (Strategy,), members)


def fine(tick: Any, state: Any, out: Any) -> None:
    state.x = tick.bid


def test_a_state_makes_the_difference() -> None:
    assert is_compiled(make(state_dtype=STATE, on_quote=staticmethod(fine)))
    assert is_compiled(make(state_dtype=STATE, on_quote=fine)), "a plain function is one too"
    assert not is_compiled(make(on_quote=lambda self, tick: None))


async def awaited(tick: Any, state: Any, out: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"state_dtype": STATE}, "Made has a state_dtype, but no handler of ticks; expected on_tick, on_quote"),
        (
            {"state_dtype": np.dtype("f8"), "on_tick": fine},
            "Made.state_dtype is dtype('float64'); expected a structured",
        ),
        ({"state_dtype": np.dtype([("o", "O")]), "on_tick": fine}, "expected a structured dtype of numbers"),
        (
            {"state_dtype": np.dtype([("x", "f8"), ("up", "?", 8)]), "on_tick": fine},
            "Made.state_dtype has 'up', an array of bool, which machine code cannot hold",
        ),
        ({"state_dtype": [("x", "f8")], "on_tick": fine}, "Made.state_dtype is [('x', 'f8')]; expected"),
        (
            {"state_dtype": STATE, "on_tick": lambda self, tick: None},
            "Made.on_tick(self, tick) cannot be compiled; expected a plain function on_tick(tick, state, out)",
        ),
        (
            {"state_dtype": STATE, "on_tick": fine, "on_timer": lambda timer, state: None},
            "Made.on_timer(timer, state) cannot be compiled; expected a plain function on_timer(timer, state, out)",
        ),
        ({"state_dtype": STATE, "on_tick": awaited}, "Made.on_tick(tick, state, out) cannot be compiled"),
        ({"state_dtype": STATE, "on_tick": 5}, "Made.5 cannot be compiled"),
        ({"state_dtype": STATE, "on_tick": fine, "on_batch": fine}, "defines on_batch together with on_tick"),
        ({"state_dtype": STATE, "on_quote": unsafe_address(8, abi_version=2)}, "expected it as on_tick"),
        ({"on_tick": fine}, "on_tick(tick: 'Any', state: 'Any', out: 'Any') -> 'None' cannot be called"),
    ],
)
def test_what_could_never_run_is_refused_where_it_is_written(members: dict[str, Any], message: str) -> None:
    with pytest.raises(HandlerError) as caught:
        make(**members)
    assert message in str(caught.value)


def test_without_a_state_the_way_to_one_is_shown() -> None:
    with pytest.raises(HandlerError, match="hint: a compiled strategy also has a state_dtype"):
        make(on_tick=fine)


def test_the_state_is_aligned_and_filled() -> None:
    storage, state = new_state(np.dtype([("fast", "i8"), ("rest", "u1", (3,))]), {"fast": 5, "slow": 7})
    assert storage.ctypes.data % 64 == 0 and storage.nbytes == 11
    assert state[0]["fast"] == 5 and not state[0]["rest"].any()


FACTOR = 2.0
TABLE = np.array([1.0, 2.0])


def doubled(x: float) -> float:
    return x * FACTOR + TABLE[0]


def calls(x: float) -> float:
    return doubled(x) + abs(np.sqrt(x))


def test_the_fingerprint_sees_all_that_a_function_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> str:
        return fingerprint("source", STATE, calls)

    first = now()
    assert now() == first
    with monkeypatch.context() as change:
        change.setitem(globals(), "FACTOR", 3.0)
        assert now() != first, "a constant of a function that is called"
    with monkeypatch.context() as change:
        change.setitem(globals(), "TABLE", np.array([1.0, 2.5]))
        assert now() != first, "an array"
    with monkeypatch.context() as change:
        change.setitem(globals(), "doubled", lambda x: x * FACTOR)
        assert now() != first, "another function"
    assert now() == first
    assert fingerprint("source", np.dtype([("x", "f4")]), calls) != first


def test_what_it_cannot_see_through_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FACTOR", ModuleType("elsewhere"))
    with pytest.raises(Unknown, match="module elsewhere"):
        fingerprint(calls)
