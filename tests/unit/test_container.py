"""The container: scopes, finalisers, threads, and the traps that its facade closes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration.container import Container, Provider, Scope


class Store:
    pass


class Port(Protocol):
    def price(self) -> float: ...


class Adapter:
    def __init__(self, store: Store, capacity: int = 3) -> None:
        self.store = store
        self.capacity = capacity

    def price(self) -> float:
        return 1.5


class Report:
    def __init__(self, port: Port) -> None:
        self.port = port


def wired() -> Container:
    return Container.build(Provider().singleton(Store).singleton(Adapter).bind(Port, Adapter).scoped(Report))


def noting(log: list[str], name: str, error: BaseException | None = None) -> Callable[[], Iterator[Store]]:
    def make() -> Iterator[Store]:
        log.append(f"+{name}")
        yield Store()
        log.append(f"-{name}")
        if error is not None:
            raise error

    return make


def keys(count: int) -> list[type[Store]]:
    return [type(f"Store{number}", (Store,), {}) for number in range(count)]


def test_singletons_factories_scopes_and_bindings() -> None:
    with wired() as container:
        assert container.get(Store) is container.get(Store)
        adapter = container.get(Port)
        assert adapter is container.get(Adapter)
        assert adapter.price() == 1.5
        assert container.get(Adapter).capacity == 3
        with container.enter(Scope.STRATEGY) as first, container.enter(Scope.STRATEGY) as second:
            assert first.get(Report) is first.get(Report)
            assert first.get(Report) is not second.get(Report)
            assert first.get(Report).port is adapter


def test_a_factory_makes_a_new_one_each_time() -> None:
    container = Container.build(Provider().factory(Store))
    assert container.get(Store) is not container.get(Store)


def test_nothing_is_made_before_it_is_asked_for() -> None:
    log: list[str] = []
    container = Container.build(Provider().singleton(Store, noting(log, "store")))
    assert log == []
    container.get(Store)
    container.close()
    assert log == ["+store", "-store"]


def test_values_and_overrides() -> None:
    mine, fake = Store(), Store()
    provider = Provider().singleton(Adapter)
    assert Container.build(provider, values={Store: mine}).get(Adapter).store is mine
    replaced = Container.build(provider, Provider().singleton(Store), overrides=[Provider().value(Store, fake)])
    assert replaced.get(Adapter).store is fake
    with pytest.raises(WiringError, match=r"overrides Report, which nothing registers"):
        Container.build(provider, values={Store: mine}, overrides=[Provider().scoped(Report)])


def test_eight_threads_make_one_singleton_and_one_scoped_object() -> None:
    made: list[str] = []

    def slow(name: str) -> Callable[[], Store]:
        def make() -> Store:
            time.sleep(0.02)
            made.append(name)
            return Store()

        return make

    single, scoped = keys(2)
    container = Container.build(Provider().singleton(single, slow("single")).scoped(scoped, slow("scoped")))
    child = container.enter(Scope.STRATEGY)
    barrier = threading.Barrier(8)
    found: list[object] = []

    def ask() -> None:
        barrier.wait()
        found.append((child.get(scoped), child.get(single)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(made) == ["scoped", "single"]
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_factory_may_ask_the_container() -> None:
    holder: list[Container] = []
    first, second = keys(2)

    def make() -> Store:
        return holder[0].get(first)

    holder.append(Container.build(Provider().singleton(first).singleton(second, make)))
    done = threading.Thread(target=lambda: holder[0].get(second), daemon=True)
    done.start()
    done.join(timeout=60)
    assert not done.is_alive(), "deadlock"
    assert holder[0].get(second) is holder[0].get(first)


def test_children_close_before_their_parent_and_newest_first() -> None:
    log: list[str] = []
    a, b, c, d = keys(4)
    provider = Provider().singleton(a, noting(log, "a")).singleton(b, noting(log, "b"))
    provider.scoped(c, noting(log, "c"), scope=Scope.SESSION).scoped(d, noting(log, "d"))
    container = Container.build(provider)
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


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(2), ValueError("x"), ExceptionGroup("g", [ValueError("y")])]
)
def test_every_finaliser_runs_whatever_another_raised(error: BaseException) -> None:
    log: list[str] = []
    a, b, c, d = keys(4)
    provider = (
        Provider()
        .singleton(a, noting(log, "a"))
        .singleton(b, noting(log, "b", error))
        .singleton(c, noting(log, "c", error))
    )
    container = Container.build(provider.scoped(d, noting(log, "d", error)))
    for key in (a, b, c):
        container.get(key)
    container.enter(Scope.STRATEGY).get(d)
    with pytest.raises(BaseExceptionGroup) as caught:
        container.close()
    assert log[4:] == ["-d", "-c", "-b", "-a"]
    assert len(caught.value.exceptions) == 3
    container.close()
    assert len(log) == 8


def test_closed_means_closed() -> None:
    container = wired()
    child = container.enter(Scope.STRATEGY)
    container.get(Store)
    container.close()
    for closed in (container, child):
        with pytest.raises(ContainerClosed, match="is closed"):
            closed.get(Store)
    with pytest.raises(ContainerClosed):
        container.enter(Scope.SESSION)


def test_a_closed_child_leaves_its_parent_open() -> None:
    container = wired()
    with container.enter(Scope.STRATEGY):
        pass
    assert container.get(Store)
    container.close()


class Lost:
    def __init__(self, stroe: Report, absent: bytes) -> None:
        pass


class Egg:
    def __init__(self, hen: Hen) -> None:
        pass


class Hen:
    def __init__(self, egg: Egg) -> None:
        pass


class Captor:
    def __init__(self, report: Report) -> None:
        pass


def test_all_problems_of_a_graph_at_once() -> None:
    provider = Provider().singleton(Lost).singleton(Egg).singleton(Hen).singleton(Captor)
    provider.scoped(Report).singleton(Adapter).bind(Port, Adapter)
    with pytest.raises(WiringError) as caught:
        Container.build(provider)
    said = [problem.split(": ", 1)[1] for problem in caught.value.problems]
    assert said == [
        "Lost needs bytes (absent), which nothing provides",
        "Adapter needs Store (store), which nothing provides",
        "needs itself: Egg > Hen > Egg",
        "Lost lives as long as its RUNTIME and cannot hold Report (stroe), which lives as long as its STRATEGY",
        "Captor lives as long as its RUNTIME and cannot hold Report (report), which lives as long as its STRATEGY",
    ]
    assert all(problem.startswith(f"{__file__}:") for problem in caught.value.problems)
    assert "5 problems in the container" in str(caught.value)


def test_mistakes_of_single_registrations() -> None:
    with pytest.raises(WiringError, match=r"Store is registered twice: .*test_container.py"):
        Container.build(Provider().singleton(Store), Provider().factory(Store))
    with pytest.raises(WiringError, match=r"argument x of .* has no annotation"):
        Provider().singleton(Store, lambda x: Store())

    async def connect() -> Store:
        return Store()

    with pytest.raises(WiringError, match=r"made by an async function"):
        Provider().singleton(Store, connect)
    with pytest.raises(WiringError, match="Port cannot be made, it is abstract"):
        Provider().singleton(Port)


def test_what_is_not_there() -> None:
    container = wired()
    with pytest.raises(WiringError, match=r"nothing provides Stores; did you mean 'Store'?"):
        container.get(type("Stores", (), {}))
    with pytest.raises(WiringError, match=r"Report lives in scope STRATEGY and cannot be had in scope RUNTIME"):
        container.get(Report)
    with pytest.raises(WiringError, match=r"SESSION is not inside of scope STRATEGY"):
        container.enter(Scope.STRATEGY).enter(Scope.SESSION)
    assert container.has(Port)
    assert not container.has(Report)


def test_a_port_bound_to_a_scoped_adapter_lives_as_long() -> None:
    container = Container.build(Provider().singleton(Store).scoped(Adapter).bind(Port, Adapter))
    assert not container.has(Port)
    child = container.enter(Scope.STRATEGY)
    assert child.get(Port) is child.get(Adapter)


def test_importing_the_container_does_not_load_dishka() -> None:
    code = "import sys, tickrail.orchestration.container; sys.exit('dishka' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
