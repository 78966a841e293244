"""What an adapter lacks to be what its port says: all of it, in words."""

from __future__ import annotations

from typing import Any

import pytest

from tickrail import testing
from tickrail.errors import WiringError
from tickrail.orchestration.adapters import make_adapter
from tickrail.orchestration.port_check import check_capabilities, check_port, port_of_execution
from tickrail.orchestration.start_order import Circle, start_order
from tickrail.ports import AsyncExecutionPort, ExecutionPort, FeedPort, StateStorePort


class Half:
    """Everything wrong at once."""

    capabilities = frozenset({"market"})

    def submit(self) -> None: ...
    async def cancel(self, client_id: str) -> None: ...
    def status(self, client_id: str, extra: int) -> None: ...

    amend = 3


def test_all_that_is_wrong_with_an_adapter_is_said_at_once() -> None:
    assert check_port(Half(), ExecutionPort) == [
        "submit() cannot be called as submit(order): too many positional arguments",
        "amend cannot be called; expected amend(client_id, *, quantity=None, limit=None, stop=None)",
        "cancel is a coroutine function ('async def'); expected a plain function",
        "status(client_id, extra) cannot be called as status(client_id): missing a required argument: 'extra'",
        "lacks subscribe(listener)",
        "lacks close()",
    ]


def test_fakes_are_what_they_say() -> None:
    assert check_port(testing.FakeExecution(), ExecutionPort) == []
    assert check_port(testing.FakeAsyncExecution(), AsyncExecutionPort) == []
    assert port_of_execution(testing.FakeAsyncExecution()) is AsyncExecutionPort
    assert port_of_execution(testing.FakeExecution()) is ExecutionPort
    assert port_of_execution(Half()) is ExecutionPort


def test_names_count_as_much_as_places() -> None:
    class Renamed:
        def load(self, name: str) -> dict[str, Any]: ...  # type: ignore[empty-body]
        def save(self, *args: Any, **kwargs: Any) -> None: ...

    (problem,) = check_port(Renamed(), StateStorePort)
    assert problem.startswith("load(name) cannot be called as load(strategy)")


def test_capabilities_that_a_strategy_requires() -> None:
    venue = testing.FakeExecution(capabilities=frozenset({"market", "cancel"}))
    assert check_capabilities(venue, {"one": {"market"}, "two": {"stop", "limitt"}}) == [
        "cannot do 'limitt', which strategy two requires; did you mean 'limit'?; it can do cancel, market",
        "cannot do 'stop', which strategy two requires; it can do cancel, market",
    ]


def test_an_adapter_from_elsewhere_is_refused_before_it_is_imported() -> None:
    with pytest.raises(
        WiringError, match=r"module 'no_such_place' is not on the list .* \(there: mine, ours\)"
    ) as caught:
        make_adapter("feed", "no_such_place:Feed", name="x", settings={}, prefixes=("mine", "ours"))
    assert caught.value.hint == "add its package to runtime.adapter_prefixes"
    for near in ("tickrailx", "mine_too"):
        with pytest.raises(WiringError, match="not on the list"):
            make_adapter("feed", f"{near}:Feed", name="x", settings={}, prefixes=("mine",))


def test_an_adapter_that_is_none() -> None:
    with pytest.raises(WiringError, match=r"adapter '.*' is no FeedPort: lacks open\(\)") as caught:
        make_adapter("feed", "tickrail.testing.execution:FakeVenue", name="x", settings={})
    assert caught.value.problems == ("lacks open()",)


def test_start_order_keeps_what_is_declared_and_moves_what_waits() -> None:
    assert start_order({"a": [], "b": [], "c": []}) == ("a", "b", "c")
    assert start_order({"a": ["c"], "b": ["gone"], "c": ["b"]}) == ("b", "c", "a")
    with pytest.raises(Circle, match="a -> b -> a"):
        start_order({"a": ["b"], "b": ["a"]})


def test_a_feed_is_a_feed() -> None:
    made = make_adapter("feed", "tickrail.testing.market_data:FakeMarketData", name="x", settings={"count": 3})
    assert check_port(made, FeedPort) == []
