"""The contract of the container, over every backend: finalisers, threads, async sources."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tickrail.errors import WiringError
from tickrail.orchestration.container import Container, Provider, Scope
from tickrail.orchestration.finalising import FinaliserLate
from tickrail.orchestration.io_thread import IoThread

from .container_parts import WAIT_S, Adapter, Build, Log, Store, keys

# Finalisers


def test_finalisers_run_newest_first_and_children_before_parents(build: Build) -> None:
    log = Log()
    a, b, c, d = keys(4)
    provider = Provider().singleton(a, log.source("a")).singleton(b, log.source("b"))
    provider.scoped(c, log.source("c"), scope=Scope.SESSION).scoped(d, log.source("d"))
    container = build(provider)
    session = container.enter(Scope.SESSION)
    strategy = session.enter(Scope.STRATEGY)
    for key in (c, d):
        strategy.get(key)
    session.get(a)
    container.get(b)  # made after the children were opened, and still closed after them
    container.close()
    assert log[4:] == ["-d", "-c", "-b", "-a"]
    assert session.closed
    assert strategy.closed


def test_what_is_needed_is_finalised_after_what_needs_it(build: Build) -> None:
    log = Log()

    def make(store: Store) -> Iterator[Adapter]:
        yield Adapter(store)
        log.append("-adapter")

    container = build(Provider().singleton(Store, log.source("store")).singleton(Adapter, make))
    container.get(Adapter)
    container.close()
    assert log == ["+store", "-adapter", "-store"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(2), ValueError("x"), ExceptionGroup("g", [ValueError("y")])], ids=repr
)
def test_every_finaliser_runs_whatever_another_raised(build: Build, error: BaseException) -> None:
    log = Log()
    a, b, c, d = keys(4)
    provider = Provider().singleton(a, log.source("a")).singleton(b, log.source("b", error))
    provider.singleton(c, log.source("c", error)).scoped(d, log.source("d", error))
    container = build(provider)
    for key in (a, b, c):
        container.get(key)
    container.enter(Scope.STRATEGY).get(d)
    with pytest.raises(BaseExceptionGroup, match="3 finalisers failed in scope RUNTIME") as caught:
        container.close()
    assert log[4:] == ["-d", "-c", "-b", "-a"]
    assert len(caught.value.exceptions) == 3
    container.close()
    assert len(log) == 8, "once"


def test_a_source_that_raises_leaves_what_was_made_to_be_finalised(build: Build) -> None:
    log = Log()

    def make(store: Store) -> Adapter:
        raise ValueError("no such luck")

    container = build(Provider().singleton(Store, log.source("store")).singleton(Adapter, make))
    for _ in range(2):
        with pytest.raises(ValueError, match="no such luck"):
            container.get(Adapter)
    container.close()
    assert log == ["+store", "-store"]


def test_a_finaliser_past_its_deadline_is_named_and_waited_for(build: Build) -> None:
    told: list[FinaliserLate] = []
    late = threading.Event()

    def note(what: FinaliserLate) -> None:
        told.append(what)
        late.set()

    def make() -> Iterator[Store]:
        yield Store()
        assert late.wait(WAIT_S), "nobody noticed"

    log = Log()
    a, b = keys(2)
    provider = Provider().singleton(a, log.source("a")).singleton(b, make)
    container = build(provider, finaliser_deadline_s=0.01, on_late=note)
    container.get(a)
    container.get(b)
    container.close()
    assert log == ["+a", "-a"], "the others ran all the same"
    (one,) = told
    assert one.place.startswith(__file__)
    assert any(line.startswith(__file__) for line in one.stack), "the stack says where it hangs"
    assert "has been running for 0.01 s at " in str(one)


def test_a_finaliser_in_time_is_not_named(build: Build) -> None:
    told: list[FinaliserLate] = []
    container = build(Provider().singleton(Store, Log().source("a")), finaliser_deadline_s=WAIT_S, on_late=told.append)
    container.get(Store)
    container.close()
    assert told == []


# Threads


@pytest.mark.parametrize("scope", Scope)
def test_eight_threads_get_one_object(build: Build, scope: Scope) -> None:
    made: list[int] = []
    gate = threading.Event()

    def slow() -> Store:
        gate.wait(0.05)
        made.append(1)
        return Store()

    container = build(Provider().scoped(Store, slow, scope=scope))
    where = container if scope is Scope.RUNTIME else container.enter(scope)
    barrier = threading.Barrier(8)
    found: list[object] = []

    def ask() -> None:
        barrier.wait(WAIT_S)
        found.append(where.get(Store))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert made == [1]
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_source_may_ask_the_container(build: Build) -> None:
    holder: list[Container] = []
    first, second = keys(2)
    holder.append(build(Provider().singleton(first).singleton(second, lambda: holder[0].get(first))))
    done = threading.Thread(target=lambda: holder[0].get(second), daemon=True)
    done.start()
    done.join(WAIT_S)
    assert not done.is_alive(), "deadlock"
    assert holder[0].get(second) is holder[0].get(first)


def test_eight_threads_close_once(build: Build) -> None:
    log = Log()
    container = build(Provider().singleton(Store, log.source("store")))
    container.get(Store)
    threads = [threading.Thread(target=container.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert log == ["+store", "-store"]


# Async sources


def test_async_sources_are_made_and_finalised_on_the_io_thread(build: Build) -> None:
    log = Log()
    a, b, c = keys(3)

    def after(store: a) -> Iterator[Store]:  # type: ignore[valid-type]
        log.append("+b")
        yield Store()
        log.append("-b")

    async def plain(store: b) -> Store:  # type: ignore[valid-type]
        log.append(f"+c on {threading.current_thread().name}")
        return Store()

    after.__annotations__["store"], plain.__annotations__["store"] = a, b
    with IoThread(name="io") as io:
        provider = Provider().singleton(a, log.async_source("a")).singleton(b, after).singleton(c, plain)
        container = build(provider, io=io)
        assert log == []
        container.resolve_async([c])
        assert log == ["+a on io", "+b", "+c on io"]
        assert container.get(c) is container.get(c)
        container.close()
        assert log[3:] == ["-b", "-a on io"], "one order, whatever thread"
        assert not io.closed, "it is not the container's own"


def test_only_what_is_needed_is_resolved(build: Build) -> None:
    log = Log()
    a, b, c = keys(3)
    provider = Provider().singleton(a, log.async_source("a")).singleton(b, log.async_source("b"))
    provider.scoped(c, log.async_source("c"))
    with IoThread(name="io") as io, build(provider, io=io) as container:
        container.resolve_async([b])
        assert log == ["+b on io"]
        container.resolve_async()
        assert log == ["+b on io", "+a on io"], "what lives shorter is not made here"
        with container.enter(Scope.STRATEGY) as strategy:
            strategy.resolve_async()
            assert log[2:] == ["+c on io"]


def test_a_container_has_an_io_thread_of_its_own_if_it_needs_one(build: Build) -> None:
    log = Log()

    def running() -> bool:
        return "tickrail-container-io" in {thread.name for thread in threading.enumerate()}

    with build(Provider().singleton(Store, log.async_source("a"))) as container:
        assert not running()
        container.get(Store)
    assert log == ["+a on tickrail-container-io", "-a on tickrail-container-io"]
    assert not running()


def test_an_async_source_that_raises_says_so(build: Build) -> None:
    async def refuse() -> Store:
        raise ConnectionError("nobody there")

    log = Log()
    a, b = keys(2)
    provider = Provider().singleton(a, log.async_source("a", ValueError("late"))).singleton(b, refuse)
    container = build(provider)
    with pytest.raises(ConnectionError, match="nobody there"):
        container.resolve_async()
    with pytest.raises(BaseExceptionGroup) as caught:
        container.close()
    assert [str(error) for error in caught.value.exceptions] == ["late"]


def test_an_async_source_cannot_ask_the_container(build: Build) -> None:
    holder: list[Container] = []
    a, b = keys(2)

    async def ask() -> Store:
        return holder[0].get(b)

    holder.append(build(Provider().singleton(a, ask).singleton(b)))
    with pytest.raises(WiringError, match="cannot be asked by an async source"):
        holder[0].get(a)
    holder[0].close()
