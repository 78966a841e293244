"""What the contract of the container is tried with."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, TypeAlias

from tickrail.orchestration.container import Container, Provider

Build: TypeAlias = Callable[..., Container]
WAIT_S = 30.0  # of a test that would else hang


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
