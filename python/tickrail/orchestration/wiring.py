"""What a runtime is put together from, and in which order: for people (``tickrail graph``) and as a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from tickrail.config import LoadedConfig
from tickrail.orchestration.assembly import Parts
from tickrail.orchestration.provider import Kind, Registration, Scope, key_name, normal_key
from tickrail.strategy.strategy import schema

__all__ = ["Part", "Wiring", "wiring_of"]


class Part(msgspec.Struct, frozen=True):
    """One part of a runtime.

    Attributes:
        kind: ``feed``, ``venue``, ``service`` or ``strategy``.
        name: Its id, or the key of a service.
        what: The adapter, the class, or what makes the service.
        scope: How long a service lives: ``RUNTIME``, ``SESSION``, ``STRATEGY``; a strategy lives in ``STRATEGY``.
        place: ``file:line`` where a service was registered.
        needs: Names of the services that it is given.
    """

    kind: str
    name: str
    what: str
    scope: str = "RUNTIME"
    place: str = ""
    needs: tuple[str, ...] = ()


class Wiring(msgspec.Struct, frozen=True):
    """All parts of a runtime in the order in which they are made and started; they are stopped in reverse.

    Attributes:
        env: The environment.
        configuration_digest: Of the configuration, in hexadecimal.
        parts: Feeds, venues, services that some strategy needs (what is needed first), strategies.
    """

    env: str
    configuration_digest: str
    parts: tuple[Part, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the parts and their order; the same in every process, wherever the project lies."""
        parts = [{**asdict(part), "place": ""} for part in self.parts]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        parts = [asdict(part) | {"needs": list(part.needs)} for part in self.parts]
        return {
            "env": self.env,
            "configuration_digest": self.configuration_digest,
            "graph_digest": self.digest,
            "parts": parts,
        }


def wiring_of(loaded: LoadedConfig, parts: Parts) -> Wiring:
    """The wiring of parts that were checked; nothing of it is made for that."""
    config = loaded.config
    found = [
        *(Part("feed", name, feed.adapter) for name, feed in config.feeds.items()),
        *(Part("venue", name, venue.adapter) for name, venue in config.venues.items()),
        *(_service(item, loaded.project) for item in _services(parts)),
        *_strategies(loaded, parts),
    ]
    return Wiring(loaded.env, loaded.digest.hex(), tuple(found))


def _services(parts: Parts) -> Iterable[Registration]:
    wanted = [key for strategy in parts.strategies.values() for key in schema(type(strategy)).services.values()]
    needed = parts.container.needed_by(wanted)
    return (parts.container.graph[key] for key in needed)


def _service(item: Registration, project: Path) -> Part:
    needs = tuple(key_name(need) for need in item.needs.values())
    return Part("service", key_name(item.key), _source(item), item.scope.name, _short(item.place, project), needs)


def _strategies(loaded: LoadedConfig, parts: Parts) -> Iterable[Part]:
    for name, strategy in parts.strategies.items():
        services: Mapping[str, Any] = schema(type(strategy)).services
        needs = tuple(key_name(normal_key(key)) for key in services.values())
        yield Part("strategy", name, loaded.config.strategies[name].class_, Scope.STRATEGY.name, "", needs)


def _source(item: Registration) -> str:
    if item.kind is Kind.VALUE:
        return f"given {type(item.source).__name__}"
    if item.kind in (Kind.BINDING, Kind.COLLECTION):
        return str(item.kind.value)
    made: str = key_name(item.source)
    return made if item.cached else f"{made}, each time"


def _short(place: str, project: Path) -> str:
    """The place within the project, or with its last two folders."""
    file, _, line = place.rpartition(":")
    path = Path(file)
    shown = path.relative_to(project) if path.is_relative_to(project) else Path(*path.parts[-3:])
    return f"{shown}:{line}"
