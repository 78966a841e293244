"""Handlers: which classes a run could not call."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tickrail.errors import HandlerError
from tickrail.strategy import Strategy
from tickrail.strategy.handlers import HANDLERS


def define(body: str) -> type[Strategy]:
    space: dict[str, Any] = {"Strategy": Strategy}
    exec(f"class S(Strategy):\n{textwrap.indent(textwrap.dedent(body), '    ')}", space)
    return space["S"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [name for name in HANDLERS if name not in ("on_start", "on_stop")])
def test_the_base_class_defines_no_handler(name: str) -> None:
    assert not hasattr(Strategy, name)


def test_kinds_may_have_their_own_handlers_beside_on_tick() -> None:
    assert define("def on_tick(self, tick): ...\ndef on_quote(self, tick, *, extra=1): ...\ndef on_start(self): ...")


@pytest.mark.parametrize("other", ["on_tick", "on_quote", "on_trade", "on_bar"])
def test_batches_and_single_ticks_do_not_mix(other: str) -> None:
    with pytest.raises(HandlerError, match=f"S defines on_batch together with {other}") as caught:
        define(f"def on_batch(self, batch): ...\ndef {other}(self, tick): ...")
    assert caught.value.handlers == ("on_batch", other)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(("other", "names"), [("on_batch", ("on_batch", "ticks")), ("on_tick", ("ticks", "on_tick"))])
def test_a_generator_does_not_mix_either(other: str, names: tuple[str, ...]) -> None:
    with pytest.raises(HandlerError, match=f"S defines {' together with '.join(names)}") as caught:
        define(f"def ticks(self):\n    while True:\n        tick = yield\ndef {other}(self, it): ...")
    assert caught.value.handlers == names


def test_a_parameter_may_be_called_ticks() -> None:
    assert define("ticks: int = 5\ndef on_tick(self, tick): ...")().ticks == 5  # type: ignore[attr-defined]


def test_a_mixture_over_base_classes_is_found() -> None:
    base = define("def on_tick(self, tick): ...")
    with pytest.raises(HandlerError):
        type("Sub", (base,), {"on_batch": lambda self, batch: None})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("async def on_tick(self, tick): ...", "S.on_tick is 'async def'"),
        ("def on_tick(self, tick):\n    yield", "S.on_tick contains 'yield'"),
        (
            "def on_tick(self): ...",
            r"S.on_tick\(self\) cannot be called as it will be; expected def on_tick\(self, tick\)",
        ),
        ("def on_stop(self, why): ...", r"expected def on_stop\(self\)"),
        ("def on_batch(self, batch, more): ...", r"expected def on_batch\(self, batch\)"),
        ("def on_tik(self, tick): ...", "S.on_tik is called by nothing; did you mean 'on_tick'?"),
        ("def on_order_updates(self, u): ...", "did you mean 'on_order_update'?"),
    ],
)
def test_what_no_run_could_call(body: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said):
        define(body)


def test_methods_of_other_names_are_the_users() -> None:
    assert define("def on_fill(self): ...\ndef on_breakout(self): ...")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def ticks(self):\n    return self._inner()\ndef _inner(self):\n    yield", "S.ticks is not a generator"),
        ("ticks = functools.partial(print)", "S.ticks is not a generator: write 'yield' in it, or give the method"),
        ("def _inner(self):\n    yield\n@functools.wraps(_inner)\ndef ticks(self): return 1", "is not a generator"),
        ("async def ticks(self): ...", "S.ticks is 'async def'"),
        ("async def ticks(self):\n    yield", "S.ticks is 'async def'"),
    ],
)
def test_a_method_called_ticks_that_hands_nothing_on_is_refused(body: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said) as caught:
        define(f"import functools\n{body}")
    assert caught.value.handlers == ("ticks",)


def test_other_members_called_ticks_are_the_users() -> None:
    assert define("ticks = 5\ndef on_tick(self, tick): ...")
    assert define("ticks = property(lambda self: 5)\ndef on_tick(self, tick): ...")
    assert define("def ticks(self):\n    yield from self._inner()\ndef _inner(self):\n    yield")
