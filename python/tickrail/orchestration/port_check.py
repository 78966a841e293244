"""Whether an object fulfils a port: every member there, callable as the port says, sync where it is sync."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tickrail.domain.near import did_you_mean
from tickrail.domain.orders import CAPABILITIES
from tickrail.ports.execution import AsyncExecutionPort, ExecutionPort

__all__ = ["check_capabilities", "check_port", "port_of_execution"]

KINDS: Final = {
    (False, False): "a plain function",
    (True, False): "a coroutine function ('async def')",
    (False, True): "a generator function",
    (True, True): "an asynchronous generator function",
}


def check_port(adapter: object, port: type) -> list[str]:
    """What ``adapter`` lacks to be a ``port``, one phrase each; empty: nothing.

    >>> from tickrail.ports import StateStorePort
    >>> check_port(object(), StateStorePort)
    ['lacks load(strategy)', 'lacks save(strategy, state)']
    """
    found: list[str] = []
    for name, member in _members(port):
        problem = _check_member(adapter, name, member)
        if problem is not None:
            found.append(problem)
    return found


def port_of_execution(adapter: object) -> type:
    """The port that an execution adapter is held to: the asynchronous one where most of its calls are coroutines."""
    calls = ("submit", "amend", "cancel", "status")
    coroutines = sum(inspect.iscoroutinefunction(getattr(adapter, name, None)) for name in calls)
    return AsyncExecutionPort if coroutines > len(calls) // 2 else ExecutionPort


def check_capabilities(adapter: object, wanted: Mapping[str, Iterable[str]]) -> list[str]:
    """What strategies require (by name) and ``adapter`` cannot do, one phrase each."""
    offered = frozenset(getattr(adapter, "capabilities", frozenset()))
    found = [
        f"has the capability '{one}', which means nothing{did_you_mean(one, CAPABILITIES)}"
        for one in sorted(offered - CAPABILITIES)
    ]
    for strategy, required in wanted.items():
        for one in sorted(frozenset(required) - offered):
            near = did_you_mean(one, CAPABILITIES) if one not in CAPABILITIES else ""
            shown = ", ".join(sorted(offered)) or "nothing"
            found.append(f"cannot do '{one}', which strategy {strategy} requires{near}; it can do {shown}")
    return found


def _members(port: type) -> list[tuple[str, Any]]:
    """The members that the port and its bases declare, those of the bases first."""
    members: dict[str, Any] = {}
    for base in reversed(port.__mro__):
        if getattr(base, "_is_protocol", False) and base.__module__ != "typing":
            members.update({name: value for name, value in vars(base).items() if not name.startswith("_")})
    return list(members.items())


def _check_member(adapter: object, name: str, member: Any) -> str | None:
    is_property = isinstance(member, property)
    shown = name if is_property else f"{name}{_shown(member)}"
    try:
        value = inspect.getattr_static(adapter, name)
    except AttributeError:
        return f"lacks {shown}"
    if is_property:
        return f"{name} is a method; expected a property" if inspect.isroutine(value) else None
    bound = getattr(adapter, name, None)
    if not callable(bound):
        return f"{name} cannot be called; expected {shown}"
    return _check_call(name, bound, member, shown)


def _check_call(name: str, bound: Callable[..., Any], member: Any, shown: str) -> str | None:
    has, wants = _kind(bound), _kind(member)
    if has[0] != wants[0]:
        return f"{name} is {KINDS[has]}; expected {KINDS[wants]}"
    try:
        signature = inspect.signature(bound)
    except (TypeError, ValueError):
        return None  # a native callable that does not tell
    asked = list(inspect.signature(member).parameters.values())[1:]
    positional = [one for one in asked if one.kind is one.POSITIONAL_OR_KEYWORD]
    named = {one.name: None for one in asked if one.kind is one.KEYWORD_ONLY}
    required = [one for one in positional if one.default is one.empty]
    ways: tuple[tuple[list[None], dict[str, None]], ...] = (
        ([None] * len(positional), named),
        ([None] * len(required), {}),
        ([], {one.name: None for one in positional} | named),
    )
    for given, keywords in ways:
        try:
            signature.bind(*given, **keywords)
        except TypeError as error:
            return f"{name}{_outline(signature.parameters.values())} cannot be called as {shown}: {error}"
    return None


def _kind(function: Any) -> tuple[bool, bool]:
    is_async_generator = inspect.isasyncgenfunction(function)
    return inspect.iscoroutinefunction(function) or is_async_generator, is_async_generator


def _shown(member: Any) -> str:
    return _outline(list(inspect.signature(member).parameters.values())[1:])


def _outline(parameters: Iterable[inspect.Parameter]) -> str:
    """Parameters without annotations."""
    shown: list[str] = []
    star = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not star:
            shown.append("*")
        star = star or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        prefix = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        shown.append(prefix + one.name + ("" if one.default is one.empty else f"={one.default!r}"))
    return f"({', '.join(shown)})"
