"""The graph of registrations, checked before anything is made: every problem of it, not only the first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import GenericAlias
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from tickrail.domain.near import did_you_mean
from tickrail.errors import WiringError
from tickrail.orchestration.provider import Kind, Mark, Provider, Registration, Scope, identity, key_name, with_mark

__all__ = ["Graph", "affected_by", "check", "collect", "replace_in"]

Graph: TypeAlias = dict[Any, Registration]

MOST_DRAWN: Final = 12  # links of a drawn path; what lies further up says no more


class _Member(Mark, frozen=True):
    """One of a collection."""

    number: int

    def __str__(self) -> str:
        return f"#{self.number}"


class _Inner(Mark, frozen=True):
    """What a decorator wraps."""

    depth: int

    def __str__(self) -> str:
        return "undecorated" if self.depth == 0 else f"decorated {self.depth} times"


def collect(providers: Iterable[Provider], overrides: Iterable[Provider]) -> Graph:
    """One registration a key; ``overrides`` replace what is there, and must find something to replace.

    Raises:
        WiringError: A key is registered twice, a decorator has nothing to wrap, or an override replaces nothing.
    """
    graph: Graph = {}
    problems: list[str] = []
    given = list(_all(providers))
    for registration in given:
        if registration.kind not in (Kind.MEMBER, Kind.DECORATOR):
            _place_in(graph, registration, problems)
    _add_collections(graph, [one for one in given if one.kind is Kind.MEMBER], problems)
    for registration in given:
        if registration.kind is Kind.DECORATOR:
            problems += _wrap(graph, registration)
    problems += _replace(graph, _all(overrides))
    _refuse(problems)
    return graph


def replace_in(graph: Graph, overrides: Iterable[Provider]) -> Graph:
    """A graph in which ``overrides`` stand in place of what they are for.

    Raises:
        WiringError: One of them replaces nothing.
    """
    changed = dict(graph)
    _refuse(_replace(changed, _all(overrides)))
    return changed


def affected_by(changed: Collection[Any], graph: Graph) -> set[Any]:
    """``changed`` and all that needs one of them, however far."""
    users: dict[Any, list[Any]] = {}
    for key, item in graph.items():
        for need in item.needs.values():
            users.setdefault(need, []).append(key)
    found, waiting = set(changed), list(changed)
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                waiting.append(user)
    return found


def check(graph: Graph) -> Graph:
    """The graph with unprovided optional arguments left out, and with the scopes that bindings inherit.

    Raises:
        WiringError: Something is missing, lives shorter than what uses it, or needs itself.
    """
    pruned = {key: _without_absent(item, graph) for key, item in graph.items()}
    problems = _missing(pruned)
    cycles = _cycles(pruned)
    problems += cycles
    scoped = pruned if cycles else _inherit(pruned)
    problems += [problem for item in scoped.values() for problem in _captives(item, scoped)]
    _refuse(problems)
    return scoped


def _all(providers: Iterable[Provider]) -> Iterable[Registration]:
    return (registration for provider in providers for registration in provider.registrations)


def _refuse(problems: list[str]) -> None:
    if problems:
        count = f"{len(problems)} problems in the container\n" if len(problems) > 1 else ""
        raise WiringError(count + "\n".join(problems), problems=problems)


def _place_in(graph: Graph, registration: Registration, problems: list[str]) -> None:
    if (first := graph.setdefault(registration.key, registration)) is not registration:
        problems.append(f"{key_name(registration.key)} is registered twice: {first.place} and {registration.place}")


def _add_collections(graph: Graph, members: Sequence[Registration], problems: list[str]) -> None:
    for key in dict.fromkeys(member.key for member in members):
        needs = {}
        mine = [member for member in members if member.key == key]
        for number, member in enumerate(mine, start=1):
            own = with_mark(key, _Member(number))
            graph[own] = replace(member, key=own)
            needs[f"m{number}"] = own
        several = GenericAlias(tuple, (key, ...))
        place = mine[0].place
        whole = Registration(several, _gather, Scope.RUNTIME, True, needs, place=place, kind=Kind.COLLECTION)
        _place_in(graph, whole, problems)
        alias = GenericAlias(Sequence, (key,))
        same = Registration(alias, identity, Scope.RUNTIME, True, {"it": several}, place=place, kind=Kind.BINDING)
        _place_in(graph, same, problems)


def _wrap(graph: Graph, decorator: Registration) -> Iterable[str]:
    key = decorator.key
    if key not in graph:
        near = did_you_mean(key_name(key), map(key_name, graph))
        yield f"{decorator.place}: decorates {key_name(key)}, which nothing registers{near}"
        return
    given = decorator.needs.items()
    takes = [name for name, need in given if need == key] or [name for name, need in given if need == _unmarked(key)]
    if not takes:
        source = key_name(decorator.source)
        yield f"{decorator.place}: {source} decorates {key_name(key)} and has no argument that takes one"
        return
    inner = with_mark(key, _Inner(_depth(graph, key)))
    graph[inner] = replace(graph[key], key=inner)
    needs = {name: inner if name in takes else need for name, need in decorator.needs.items()}
    graph[key] = replace(decorator, needs=needs)


def _unmarked(key: Any) -> Any:
    """The type of a named key: a decorator need not say the name again."""
    return getattr(key, "__origin__", key) if _marks(key) else key


def _depth(graph: Graph, key: Any) -> int:
    depth = 0
    while with_mark(key, _Inner(depth)) in graph:
        depth += 1
    return depth


def _replace(graph: Graph, overrides: Iterable[Registration]) -> list[str]:
    problems = []
    for registration in overrides:
        if registration.kind in (Kind.MEMBER, Kind.DECORATOR):
            problems.append(f"{registration.place}: an override replaces, it neither collects nor decorates")
        elif registration.key not in graph:
            problems.append(f"{registration.place}: overrides {key_name(registration.key)}, which nothing registers")
        graph[registration.key] = registration
    return problems


def _without_absent(item: Registration, graph: Graph) -> Registration:
    kept = {name: key for name, key in item.needs.items() if name not in item.optional or key in graph}
    return item if len(kept) == len(item.needs) else replace(item, needs=kept)


def _missing(graph: Graph) -> list[str]:
    found = [(item, name, key) for item in graph.values() for name, key in item.needs.items() if key not in graph]
    if not found:
        return []
    names, users = [key_name(key) for key in graph], _users(graph)
    problems = []
    for item, name, key in found:
        wanted = f"{key_name(item.key)} needs {key_name(key)} ({name}), which nothing provides"
        path = _drawn([*_path_to(item.key, users), key])
        problems.append(f"{item.place}: {wanted}{path}{did_you_mean(key_name(key), names)}")
    return problems


def _users(graph: Graph) -> dict[Any, Any]:
    """Key -> the first that needs it."""
    users: dict[Any, Any] = {}
    for key, item in graph.items():
        for need in item.needs.values():
            users.setdefault(need, key)
    return users


def _path_to(key: Any, users: Mapping[Any, Any]) -> list[Any]:
    """From something that nobody needs down to ``key``."""
    path = [key]
    while (user := users.get(path[-1])) is not None and user not in path:
        path.append(user)
    return path[::-1]


def _drawn(path: Sequence[Any]) -> str:
    """`` (A > B > C)``, where the path says more than its ends."""
    if len(path) < 3:
        return ""
    start = "... > " if len(path) > MOST_DRAWN else ""
    return f" ({start}{' > '.join(map(key_name, path[-MOST_DRAWN:]))})"


def _captives(item: Registration, graph: Graph) -> Iterable[str]:
    for name, key in item.needs.items():
        used = graph.get(key)
        if used is None or used.scope <= item.scope:
            continue
        path = [item.key, key]
        while used is not None and used.kind in (Kind.BINDING, Kind.DECORATOR, Kind.COLLECTION):
            path.append(_why(used, graph))
            used = graph.get(path[-1])
        scope = graph[key].scope
        yield (
            f"{item.place}: {key_name(item.key)} lives as long as its {item.scope.name} and cannot hold "
            f"{key_name(key)} ({name}), which lives as long as its {scope.name}{_drawn(path)}"
        )


def _why(item: Registration, graph: Graph) -> Any:
    """What ``item`` has its scope from."""
    return next((need for need in item.needs.values() if need in graph and graph[need].scope == item.scope), None)


def _inherit(graph: Graph) -> Graph:
    """Bindings, decorators and collections live as long as what they stand for, wrap or hold."""
    known: dict[Any, tuple[Scope, bool]] = {}

    def of(key: Any) -> tuple[Scope, bool]:
        if key not in known:
            item = graph[key]
            known[key] = item.scope, item.cached
            if item.kind in (Kind.BINDING, Kind.DECORATOR, Kind.COLLECTION):
                known[key] = _inherited(item, [of(need) for need in _sources(item, graph)])
        return known[key]

    return {
        key: item if of(key) == (item.scope, item.cached) else replace(item, scope=of(key)[0], cached=of(key)[1])
        for key, item in graph.items()
    }


def _sources(item: Registration, graph: Graph) -> list[Any]:
    if item.kind is Kind.DECORATOR:
        marked = [need for need in item.needs.values() if any(isinstance(m, _Inner) for m in _marks(need))]
        return marked[:1]
    return [need for need in item.needs.values() if need in graph]


def _marks(key: Any) -> tuple[Any, ...]:
    return getattr(key, "__metadata__", ())


def _inherited(item: Registration, of: Sequence[tuple[Scope, bool]]) -> tuple[Scope, bool]:
    if not of:
        return item.scope, item.cached
    scope = max(scope for scope, _ in of)
    return scope, item.kind is Kind.COLLECTION or all(cached for _, cached in of)


def _cycles(graph: Mapping[Any, Registration]) -> list[str]:
    """Each circle once, by depth first search with three colours; a stack of its own, as chains may be long."""
    found: list[str] = []
    done: set[Any] = set()
    for start in graph:
        path: dict[Any, Any] = {}
        if start not in done:
            path[start] = iter(graph[start].needs.values())
        while path:
            key = next(reversed(path))
            need = next((need for need in path[key] if need in graph and need not in done), None)
            if need is None:
                del path[key]
                done.add(key)
            elif need in path:
                order = list(path)
                ring = [*order[order.index(need) :], need]
                found.append(f"{graph[need].place}: needs itself: {' > '.join(map(key_name, ring))}")
            else:
                path[need] = iter(graph[need].needs.values())
    return found


def _gather(**members: Any) -> tuple[Any, ...]:
    return tuple(members.values())
