"""The contract of the container, over every backend: what one has to pass that would replace dishka."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any, Protocol

import pytest

from tickrail.errors import ContainerClosed, WiringError
from tickrail.orchestration import dishka_backend
from tickrail.orchestration.backend import Assemble
from tickrail.orchestration.container import Container, Named, Provider, Scope
from tickrail.orchestration.finalising import FinaliserLate
from tickrail.orchestration.io_thread import IoThread

from . import plain_backend

WAIT_S = 30.0  # of a test that would else hang
Build = Callable[..., Container]


@pytest.fixture(params=[dishka_backend.assemble, plain_backend.assemble], ids=["dishka", "plain"])
def build(request: pytest.FixtureRequest) -> Build:
    backend: Assemble = request.param

    def build(*providers: Provider, **options: Any) -> Container:
        return Container.build(*providers, backend=backend, **options)

    return build


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


class Doubled:
    def __init__(self, inner: Port) -> None:
        self.inner = inner

    def price(self) -> float:
        return 2 * self.inner.price()


class Log(list[str]):
    def source(
        self, name: str, error: BaseException | None = None, made: Callable[[], Any] = Store
    ) -> Callable[[], Iterator[Any]]:
        def make() -> Iterator[Any]:
            self.append(f"+{name}")
            yield made()
            self.append(f"-{name}")
            if error is not None:
                raise error

        return make

    def async_source(self, name: str, error: BaseException | None = None) -> Callable[[], AsyncIterator[Store]]:
        async def make() -> AsyncIterator[Store]:
            self.append(f"+{name} on {threading.current_thread().name}")
            yield Store()
            self.append(f"-{name} on {threading.current_thread().name}")
            if error is not None:
                raise error

        return make


def keys(count: int) -> list[type[Store]]:
    return [type(f"Store{number}", (Store,), {}) for number in range(count)]


def wired() -> Provider:
    return Provider().singleton(Store).singleton(Adapter).bind(Port, Adapter).scoped(Report)


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
