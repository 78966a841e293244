"""``Inject[T]``: a field that the container fills."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, TypeVar

from tickrail.errors import NotInjected

__all__ = ["Inject", "InjectMarker", "InjectedField", "injected"]

T = TypeVar("T")


class InjectMarker:
    """What ``Inject`` leaves in the annotation; carries nothing."""

    def __repr__(self) -> str:
        return "Inject"


MARKER: Final = InjectMarker()

Inject: TypeAlias = Annotated[T, MARKER]
"""Marks a field as a service of the container; ``Inject[T]`` is ``T`` to mypy and pyright (PEP 593)."""


def injected() -> Any:
    """Default of an ``Inject`` field for type checkers: the constructor may be called without it.

    ``prices: Inject[PriceStore] = injected()`` behaves as the bare annotation does at run time; without it a checker
    asks for the keyword wherever the class is called by hand.
    """
    return MARKER


class InjectedField:
    """Stands on the class in the place of an ``Inject`` field, and answers until the service is there.

    No ``__set__``: the value in the instance's dict hides it, so that access to an injected service costs no call.
    """

    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise NotInjected(
            f"{self.owner}.{self.name} was read before a service was injected",
            strategy=self.owner,
            field=self.name,
            hint=f"in a unit test, {self.owner}({self.name}=...); in a run, give the bootstrapper a provider of it",
        )
