"""The contract of the container, over every backend: what one has to pass that would replace dishka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import pytest

from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration.container import Container, Named, Provider, Scope

from .container_parts import Adapter, Build, Doubled, Log, Port, Report, Store, keys, wired

# Lifetimes


def test_a_singleton_is_one(build: Build) -> None:
    container = build(wired())
    assert container.get(Store) is container.get(Store)
    with container.enter(Scope.SESSION) as session, session.enter(Scope.STRATEGY) as strategy:
        assert strategy.get(Store) is session.get(Store) is container.get(Store)


def test_a_singleton_first_asked_for_in_a_narrow_scope_outlives_it(build: Build) -> None:
    log = Log()
    container = build(Provider().singleton(Store, log.source("store")))
    with container.enter(Scope.STRATEGY) as strategy:
        made = strategy.get(Store)
    assert log == ["+store"]
    assert container.get(Store) is made


def test_a_factory_makes_a_new_one_at_each_request(build: Build) -> None:
    container = build(Provider().factory(Store))
    assert container.get(Store) is not container.get(Store)


def test_a_scoped_object_is_one_a_scope(build: Build) -> None:
    container = build(wired())
    with container.enter(Scope.STRATEGY) as first, container.enter(Scope.STRATEGY) as second:
        assert first.get(Report) is first.get(Report)
        assert first.get(Report) is not second.get(Report)
        assert first.get(Report).port is second.get(Report).port


def test_a_session_is_shared_by_its_strategies(build: Build) -> None:
    container = build(Provider().scoped(Store, scope=Scope.SESSION))
    session = container.enter(Scope.SESSION)
    with session.enter(Scope.STRATEGY) as first, session.enter(Scope.STRATEGY) as second:
        assert first.get(Store) is second.get(Store) is session.get(Store)


def test_a_factory_of_a_scope_uses_what_lives_there(build: Build) -> None:
    container = build(Provider().scoped(Store).factory(Adapter, scope=Scope.STRATEGY))
    with container.enter(Scope.STRATEGY) as strategy:
        first, second = strategy.get(Adapter), strategy.get(Adapter)
        assert first is not second
        assert first.store is second.store


def test_nothing_is_made_before_it_is_asked_for(build: Build) -> None:
    log = Log()
    a, b = keys(2)
    container = build(Provider().singleton(a, log.source("a")).singleton(b, log.source("b")))
    container.enter(Scope.STRATEGY)
    assert log == []
    container.get(a)
    container.close()
    assert log == ["+a", "-a"]


def test_none_may_be_an_object(build: Build) -> None:
    calls: list[int] = []
    container = build(Provider().singleton(Store, lambda: calls.append(1)))
    assert container.get(Store) is None
    assert container.get(Store) is None
    assert calls == [1]


# Keys


def test_a_protocol_is_bound_to_its_adapter(build: Build) -> None:
    container = build(wired())
    assert container.get(Port) is container.get(Adapter)
    assert container.get(Port).price() == 1.5


def test_arguments_with_a_default_are_filled_only_where_something_is_there(build: Build) -> None:
    assert build(wired()).get(Adapter).capacity == 3
    assert build(wired(), values={int: 7}).get(Adapter).capacity == 7


def test_a_given_value_is_handed_out_and_not_finalised(build: Build) -> None:
    def mine() -> Iterator[int]:
        yield 1

    value = mine()
    container = build(Provider().value(Iterator[int], value), values={Callable[[], Any]: mine})
    assert container.get(Iterator[int]) is value
    assert container.get(Callable[[], Any]) is mine, "what is given is not called"
    container.close()
    assert next(value) == 1


class Router:
    def __init__(self, fast: Annotated[Store, Named("fast")], slow: Annotated[Store, Named("slow")]) -> None:
        self.fast, self.slow = fast, slow


def test_several_of_a_type_are_told_apart_by_name(build: Build) -> None:
    container = build(Provider().singleton(Store, name="fast").singleton(Store, name="slow").singleton(Router))
    router = container.get(Router)
    assert router.fast is container.get(Store, name="fast")
    assert router.slow is container.get(Annotated[Store, Named("slow")])
    assert router.fast is not router.slow
    assert not container.has(Store)
    assert container.has(Store, name="fast")
    with pytest.raises(WiringError, match=r"nothing provides Store 'fats'; did you mean 'Store 'fast''?"):
        container.get(Store, name="fats")


class Checks:
    def __init__(self, all_of_them: tuple[Port, ...], alike: Sequence[Port]) -> None:
        self.all = all_of_them
        self.alike = alike


def test_what_is_collected_comes_in_the_order_of_registration(build: Build) -> None:
    first = Provider().singleton(Store).collect(Port, Adapter)
    second = Provider().collect(Port, lambda: "second").collect(Port, lambda: "third").singleton(Checks)
    container = build(first, second)
    ports = container.get(tuple[Port, ...])
    assert isinstance(ports[0], Adapter)
    assert ports[1:] == ("second", "third")
    assert container.get(tuple[Port, ...]) is ports is container.get(Sequence[Port])
    assert container.get(Checks).all is container.get(Checks).alike is ports


def test_a_collection_lives_as_long_as_its_shortest_member(build: Build) -> None:
    container = build(Provider().collect(Store).collect(Store, scope=Scope.STRATEGY))
    assert not container.has(tuple[Store, ...])
    with container.enter(Scope.STRATEGY) as one, container.enter(Scope.STRATEGY) as other:
        assert one.get(tuple[Store, ...])[0] is other.get(tuple[Store, ...])[0]
        assert one.get(tuple[Store, ...])[1] is not other.get(tuple[Store, ...])[1]


def test_decorators_wrap_in_the_order_of_registration_and_live_as_long(build: Build) -> None:
    log = Log()

    def noted(inner: Port, store: Store) -> Iterator[Port]:
        log.append("+noted")
        yield Doubled(inner)
        log.append("-noted")

    container = build(wired(), Provider().decorate(Port, Doubled).decorate(Port, noted))
    port = container.get(Port)
    assert port.price() == 6.0
    assert port is container.get(Port)
    assert container.get(Adapter).price() == 1.5, "the adapter itself is as it was"
    with container.enter(Scope.STRATEGY) as strategy:
        assert strategy.get(Report).port is port
    container.close()
    assert log == ["+noted", "-noted"]


def test_a_decorated_factory_is_made_at_each_request(build: Build) -> None:
    provider = Provider().singleton(Store).factory(Port, Adapter).decorate(Port, Doubled)
    container = build(provider)
    assert container.get(Port) is not container.get(Port)
    assert container.get(Port).price() == 3.0


# Closed means closed


def test_closed_means_closed(build: Build) -> None:
    container = build(wired())
    child = container.enter(Scope.STRATEGY)
    container.get(Store)
    child.get(Report)
    container.close()
    for closed in (container, child):
        assert closed.closed
        with pytest.raises(ContainerClosed, match="is closed"):
            closed.get(Store)
        with pytest.raises(ContainerClosed):
            closed.resolve_async()
    with pytest.raises(ContainerClosed):
        container.enter(Scope.SESSION)
    with pytest.raises(ContainerClosed), container.override(values={Store: Store()}):
        pass


def test_a_closed_child_leaves_its_parent_open(build: Build) -> None:
    container = build(wired())
    with container.enter(Scope.STRATEGY) as child:
        child.get(Report)
    assert container.get(Store)
    container.close()


def test_a_finaliser_may_not_ask_the_container(build: Build) -> None:
    holder: list[Container] = []
    a, b = keys(2)

    def make() -> Iterator[Store]:
        yield Store()
        holder[0].get(b)

    holder.append(build(Provider().singleton(a, make).singleton(b)))
    holder[0].get(a)
    with pytest.raises(BaseExceptionGroup) as caught:
        holder[0].close()
    assert isinstance(caught.value.exceptions[0], ContainerClosed)


# What is not there


def test_what_is_not_there_is_named(build: Build) -> None:
    container = build(wired())
    with pytest.raises(WiringError, match=r"nothing provides Stores; did you mean 'Store'?"):
        container.get(type("Stores", (), {}))
    with pytest.raises(WiringError, match="Report lives in scope STRATEGY and cannot be had in scope RUNTIME"):
        container.get(Report)
    with pytest.raises(WiringError, match="nothing provides"):
        container.get([1])  # type: ignore[arg-type]
    with pytest.raises(WiringError, match="SESSION is not inside of scope STRATEGY"):
        container.enter(Scope.STRATEGY).enter(Scope.SESSION)


@pytest.mark.parametrize("kind", ["generator", "async generator"])
def test_a_source_that_yields_twice_or_never_is_an_error(build: Build, kind: str) -> None:
    def twice() -> Iterator[Store]:
        yield Store()
        yield Store()

    async def twice_async() -> AsyncIterator[Store]:
        yield Store()
        yield Store()

    def never() -> Iterator[Store]:
        yield from ()

    async def never_async() -> AsyncIterator[Store]:
        for nothing in ():
            yield nothing

    sources = (twice, never) if kind == "generator" else (twice_async, never_async)
    container = build(Provider().singleton(Store, sources[0]))
    container.get(Store)
    with pytest.raises(BaseExceptionGroup) as caught:
        container.close()
    assert "twice" in str(caught.value.exceptions[0])
    errors = (RuntimeError, StopIteration, StopAsyncIteration)
    with build(Provider().singleton(Store, sources[1])) as container, pytest.raises(errors):
        container.get(Store)
