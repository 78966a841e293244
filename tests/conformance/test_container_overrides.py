"""The contract of the container, over every backend: overrides in place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tickrail.errors import WiringError
from tickrail.orchestration.container import Provider, Scope

from .container_parts import Adapter, Build, Doubled, Log, Port, Report, Store, keys, wired

# Overrides in place


def test_an_override_holds_until_the_end_of_its_block(build: Build) -> None:
    container = build(wired())
    store, adapter = container.get(Store), container.get(Adapter)
    fake = Adapter(Store())
    with container.override(values={Adapter: fake}):
        assert container.get(Port) is container.get(Adapter) is fake
        assert container.get(Store) is store, "what is not touched is what it was"
        with container.enter(Scope.STRATEGY) as strategy:
            assert strategy.get(Report).port is fake
    assert container.get(Port) is adapter
    with container.enter(Scope.STRATEGY) as strategy:
        assert strategy.get(Report).port is adapter


def test_what_needs_the_overridden_is_made_anew_and_finalised(build: Build) -> None:
    log = Log()

    def make(store: Store) -> Iterator[Adapter]:
        log.append("+adapter")
        yield Adapter(store)
        log.append("-adapter")

    container = build(Provider().singleton(Store, log.source("store")).singleton(Adapter, make))
    before = container.get(Adapter)
    mine = Store()
    with container.override(Provider().value(Store, mine)):
        assert container.get(Adapter).store is mine
        assert container.get(Adapter) is not before
    assert log == ["+store", "+adapter", "+adapter", "-adapter"]
    assert container.get(Adapter) is before
    container.close()
    assert log[4:] == ["-adapter", "-store"]


def test_overrides_may_be_nested_and_survive_an_error(build: Build) -> None:
    container = build(wired())
    one, two = Store(), Store()
    with pytest.raises(KeyError), container.override(values={Store: one}):
        assert container.get(Adapter).store is one
        with container.override(values={Store: two}):
            assert container.get(Adapter).store is two
        assert container.get(Adapter).store is one
        raise KeyError
    assert container.get(Adapter).store not in (one, two)


def test_what_is_first_made_inside_of_an_override_and_not_touched_by_it_stays(build: Build) -> None:
    (other,) = keys(1)
    container = build(wired().singleton(other))
    with container.override(values={Store: Store()}):
        made = container.get(other)
    assert container.get(other) is made


def test_wrong_overrides_are_named_and_change_nothing(build: Build) -> None:
    container = build(wired())
    adapter = container.get(Adapter)
    for wrong, said in (
        (Provider().value(bytes, b""), "overrides bytes, which nothing registers"),
        (Provider().scoped(Store), "cannot hold Store"),
        (Provider().decorate(Port, Doubled), "neither collects nor decorates"),
    ):
        with pytest.raises(WiringError, match=said), container.override(wrong):
            pass
    assert container.get(Adapter) is adapter
    strategy = container.enter(Scope.STRATEGY)
    with pytest.raises(WiringError, match="overrides are for scope RUNTIME"), strategy.override():
        pass


def test_a_container_closed_inside_of_an_override_is_closed(build: Build) -> None:
    log = Log()
    container = build(Provider().singleton(Store, log.source("store")))
    container.get(Store)
    with container.override(Provider().singleton(Store, log.source("fake"))):
        container.get(Store)
        container.close()
    assert log == ["+store", "+fake", "-fake", "-store"]


def test_an_override_whose_finaliser_fails_says_so_and_ends(build: Build) -> None:
    container = build(Provider().singleton(Store))
    before = container.get(Store)
    fake = Provider().singleton(Store, Log().source("fake", ValueError("x")))
    with pytest.raises(BaseExceptionGroup, match="1 finalisers failed after"), container.override(fake):
        container.get(Store)
    assert container.get(Store) is before


def test_what_needs_the_overridden_by_two_ways_is_made_once(build: Build) -> None:
    class Left:
        def __init__(self, store: Store) -> None:
            self.store = store

    class Right:
        def __init__(self, store: Store) -> None:
            self.store = store

    class Both:
        def __init__(self, left: Left, right: Right) -> None:
            self.left, self.right = left, right

    for cls, needs in ((Left, {"store": Store}), (Right, {"store": Store}), (Both, {"left": Left, "right": Right})):
        cls.__init__.__annotations__.update(needs)
    container = build(Provider().singleton(Store).singleton(Left).singleton(Right).singleton(Both))
    before, mine = container.get(Both), Store()
    with container.override(values={Store: mine}):
        both = container.get(Both)
        assert both is container.get(Both)
        assert both.left.store is both.right.store is mine
        assert both.left is container.get(Left)
    assert container.get(Both) is before
