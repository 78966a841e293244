"""The container: scopes, finalisers, threads, and the traps that its facade closes."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Protocol

import pytest

from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration.container import Container, Named, Provider, Scope
from tickrail.orchestration.io_thread import IoThread
from tickrail.orchestration.provider import key_name, normal_key


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
        thread.join(timeout=10)
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
    done.join(timeout=5)
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
        "Adapter needs Store (store), which nothing provides (Lost > Report > Port > Adapter > Store)",
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

    with pytest.raises(WiringError, match=r"made by an async function, and at each request"):
        Provider().factory(Store, connect)
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


def said(*providers: Provider, **options: object) -> list[str]:
    with pytest.raises(WiringError) as caught:
        Container.build(*providers, **options)  # type: ignore[arg-type]
    return [problem.partition(": ")[2] for problem in caught.value.problems]


class Wrapped:
    def __init__(self, inner: Port, missing: bytes) -> None:
        pass


def test_wrong_decorators_are_named() -> None:
    wired = Provider().singleton(Store).singleton(Adapter).bind(Port, Adapter)
    assert said(wired, Provider().decorate(Report, lambda: 1).decorate(Port, Adapter)) == [
        "decorates Report, which nothing registers; did you mean 'Port'?",
        "Adapter decorates Port and has no argument that takes one",
    ]
    assert said(wired, Provider().decorate(Port, Wrapped)) == ["Port needs bytes (missing), which nothing provides"]


class HoldsAll:
    def __init__(self, reports: tuple[Report, ...], port: Port) -> None:
        pass


def test_a_captive_is_drawn_down_to_what_lives_shorter() -> None:
    provider = Provider().singleton(Store).scoped(Adapter).bind(Port, Adapter).singleton(HoldsAll)
    provider.collect(Report, lambda: Report).collect(Report, scope=Scope.SESSION)
    assert said(provider) == [
        "HoldsAll lives as long as its RUNTIME and cannot hold tuple[Report, ...] (reports), which lives as long as its"
        " SESSION (HoldsAll > tuple[Report, ...] > Report #2)",
        "HoldsAll lives as long as its RUNTIME and cannot hold Port (port), which lives as long as its STRATEGY"
        " (HoldsAll > Port > Adapter)",
        "Report #2 lives as long as its SESSION and cannot hold Port (port), which lives as long as its STRATEGY"
        " (Report #2 > Port > Adapter)",
    ]


def test_a_long_path_is_drawn_by_its_end() -> None:
    chain = keys(40)
    provider = Provider()
    for this, that in zip(chain, [*chain[1:], bytes], strict=True):

        def make(it: object) -> Store:
            return Store()

        make.__annotations__ = {"it": that, "return": this}
        provider.singleton(this, make)
    (problem,) = said(provider)
    assert problem.startswith("Store39 needs bytes (it), which nothing provides (... > Store29 > Store30 > ")
    assert problem.endswith(" > Store39 > bytes)")


def test_long_chains_and_diamonds_are_checked_in_no_time() -> None:
    """A walk over every path would take 2**100 steps, one by recursion a thousand frames."""
    chain = keys(1_200)
    provider = Provider().singleton(chain[0])
    for this, that in zip(chain[1:], chain, strict=False):

        def make(it: object, again: object) -> Store:
            return Store()

        make.__annotations__ = {"it": that, "again": that, "return": this}
        provider.singleton(this, make)
    container = Container.build(provider)
    container.resolve_async()
    assert container.has(chain[-1])
    assert isinstance(container.get(chain[100]), Store)


def test_two_circles_are_both_drawn() -> None:
    class A: ...

    class B: ...

    def a(it: B) -> A: ...  # type: ignore[empty-body]

    def b(it: A) -> B: ...  # type: ignore[empty-body]

    a.__annotations__.update({"it": B, "return": A})
    b.__annotations__.update({"it": A, "return": B})
    provider = Provider().singleton(A, a).singleton(B, b).singleton(Egg).singleton(Hen)
    assert said(provider) == ["needs itself: A > B > A", "needs itself: Egg > Hen > Egg"]


def test_overrides_replace_and_do_nothing_else() -> None:
    assert said(Provider().singleton(Store), overrides=[Provider().collect(Store).scoped(Report)]) == [
        "an override replaces, it neither collects nor decorates",
        "overrides Report, which nothing registers",
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Store, "Store"),
        (Annotated[Store, "a note"], "Store"),
        (Annotated[Store, Named("fast")], "Store 'fast'"),
        (Annotated[Annotated[Store, "a note"], Named("fast")], "Store 'fast'"),
        (typing.Sequence[Store], "Sequence[Store]"),
        (typing.Tuple[Store, ...], "tuple[Store, ...]"),  # noqa: UP006
        (dict[str, list[Store]], "dict[str, list[Store]]"),
        (typing.Any, "Any"),
    ],
    ids=str,
)
def test_a_key_is_written_as_one_would_write_it(key: object, name: str) -> None:
    assert key_name(normal_key(key)) == name


def test_equal_keys_are_equal_however_they_are_written() -> None:
    assert normal_key(typing.Sequence[Store]) == Sequence[Store]
    assert normal_key(typing.Tuple[Store, ...]) == tuple[Store, ...]  # noqa: UP006
    assert normal_key(tuple) is tuple
    assert hash(normal_key(Annotated[Store, Named("a")])) == hash(normal_key(Annotated[Store, "x", Named("a")]))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (3, "cannot be made"),
        (min, "cannot be read|positional only"),
        (divmod, "argument x, y of divmod is positional only"),
    ],
)
def test_sources_that_cannot_be_called_by_name(source: Any, said: str) -> None:
    with pytest.raises(WiringError, match=said):
        Provider().singleton(Store, source)


def test_annotations_that_cannot_be_resolved() -> None:
    def make(it: object) -> Store:
        return Store()

    make.__annotations__["it"] = "Nowhere"
    with pytest.raises(WiringError, match="the annotations of make cannot be resolved: name 'Nowhere' is not defined"):
        Provider().singleton(Store, make)


def test_objects_that_are_called_are_sources_too() -> None:
    class Maker:
        def __call__(self, store: Store) -> Adapter:
            return Adapter(store)

    container = Container.build(Provider().singleton(Store).singleton(Adapter, Maker()))
    assert container.get(Adapter).store is container.get(Store)


def test_a_late_finaliser_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()

    def make() -> Iterator[Store]:
        yield Store()
        deadline = time.monotonic() + 30
        while not caplog.records and time.monotonic() < deadline:
            gate.wait(0.01)

    container = Container.build(Provider().singleton(Store, make), finaliser_deadline_s=0.01)
    container.get(Store)
    container.close()
    assert re.search(r"the finaliser of Store \(.*test_container.py:\d+\) has been running for 0.01 s at ", caplog.text)


def test_the_io_thread_asks_in_its_turn() -> None:
    """asyncio code may ask the container, as long as the container does not wait for it."""
    with IoThread() as io, Container.build(Provider().singleton(Store), io=io) as container:

        async def ask() -> Store:
            return container.get(Store)

        assert io.call(ask(), 30) is container.get(Store)
        gate, asking = threading.Event(), threading.Event()

        async def ask_while_held() -> bool:
            asking.set()
            return container.enter(Scope.STRATEGY).closed

        def hold() -> None:
            with container._lock:
                future = io.run(ask_while_held())
                assert asking.wait(30)
                gate.wait(0.1)
            assert future.result(30) is False

        holder = threading.Thread(target=hold)
        holder.start()
        holder.join(30)
        assert not holder.is_alive()
