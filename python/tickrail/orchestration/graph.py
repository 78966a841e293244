"""The graph of registrations, checked before anything is made: every problem of it, not only the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from tickrail.domain.near import did_you_mean
from tickrail.errors import WiringError
from tickrail.orchestration.provider import Provider, Registration, Scope, key_name

__all__ = ["Graph", "check", "collect"]

Graph: TypeAlias = dict[Any, Registration]


def collect(providers: Iterable[Provider], overrides: Iterable[Provider]) -> Graph:
    """One registration a key; ``overrides`` replace what is there, and must find something to replace.

    Raises:
        WiringError: A key is registered twice, or an override replaces nothing.
    """
    graph: Graph = {}
    problems: list[str] = []
    for registration in _all(providers):
        if (first := graph.setdefault(registration.key, registration)) is not registration:
            problems.append(f"{key_name(registration.key)} is registered twice: {first.place} and {registration.place}")
    for registration in _all(overrides):
        if registration.key not in graph:
            problems.append(f"{registration.place}: overrides {key_name(registration.key)}, which nothing registers")
        graph[registration.key] = registration
    _refuse(problems)
    return graph


def check(graph: Graph) -> Graph:
    """The graph with unprovided optional arguments left out, and with the scopes that bindings inherit.

    Raises:
        WiringError: Something is missing, lives shorter than what uses it, or needs itself.
    """
    pruned = {key: _without_absent(item, graph) for key, item in graph.items()}
    problems = [problem for item in pruned.values() for problem in _missing(item, pruned)]
    cycles = _cycles(pruned)
    problems += cycles
    scoped = pruned if cycles else _inherit_scopes(pruned)
    problems += [problem for item in scoped.values() for problem in _captives(item, scoped)]
    _refuse(problems)
    return scoped


def _all(providers: Iterable[Provider]) -> Iterable[Registration]:
    return (registration for provider in providers for registration in provider.registrations)


def _refuse(problems: list[str]) -> None:
    if problems:
        count = f"{len(problems)} problems in the container\n" if len(problems) > 1 else ""
        raise WiringError(count + "\n".join(problems), problems=problems)


def _without_absent(item: Registration, graph: Graph) -> Registration:
    kept = {name: key for name, key in item.needs.items() if name not in item.optional or key in graph}
    return replace(item, needs=kept)


def _missing(item: Registration, graph: Graph) -> Iterable[str]:
    names = [key_name(key) for key in graph]
    for name, key in item.needs.items():
        if key not in graph:
            wanted = f"{key_name(item.key)} needs {key_name(key)} ({name}), which nothing provides"
            yield f"{item.place}: {wanted}{did_you_mean(key_name(key), names)}"


def _captives(item: Registration, graph: Graph) -> Iterable[str]:
    for name, key in item.needs.items():
        used = graph.get(key)
        if used is not None and used.scope > item.scope:
            yield (
                f"{item.place}: {key_name(item.key)} lives as long as its {item.scope.name} and cannot hold "
                f"{key_name(key)} ({name}), which lives as long as its {used.scope.name}"
            )


def _inherit_scopes(graph: Graph) -> Graph:
    """A port lives as long as the adapter that it is bound to."""

    def scope_of(item: Registration) -> Scope:
        if not _is_binding(item):
            return item.scope
        target = graph.get(item.needs["it"])
        return item.scope if target is None else scope_of(target)

    return {key: replace(item, scope=scope_of(item)) for key, item in graph.items()}


def _is_binding(item: Registration) -> bool:
    return (
        getattr(item.source, "__module__", "") == Provider.__module__
        and getattr(item.source, "__name__", "") == "_identity"
    )


def _cycles(graph: Mapping[Any, Registration]) -> list[str]:
    """Each circle once, by depth first search with three colours."""
    found: list[str] = []
    done: set[Any] = set()
    path: dict[Any, None] = {}

    def visit(key: Any) -> None:
        if key in path:
            ring = [*list(path)[list(path).index(key) :], key]
            found.append(f"{graph[key].place}: needs itself: {' > '.join(map(key_name, ring))}")
            return
        if key in done or key not in graph:
            return
        path[key] = None
        for need in graph[key].needs.values():
            visit(need)
        del path[key]
        done.add(key)

    for key in graph:
        visit(key)
    return found
