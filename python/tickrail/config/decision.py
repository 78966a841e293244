"""The part of a configuration that decides results, and its digest."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime, time
from functools import cache
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from tickrail.config.models import DELIVERY_KEYS, RuntimeConfig

__all__ = ["decision_digest", "decision_part"]

SETTINGS_WITHOUT_EFFECT: Final = {
    *("clock", "run_id", "run_dir", "exclusive", "slice_ticks", "always_fresh", "sample_every", "state_dir", "log"),
    *("http", "account_dir"),
    *("checks", "adapter_prefixes", "phase_deadline_ns", "hook_deadline_ns", "spawn_timeout_s"),
    *("slow_handler_ns", "handler_deadline_ns", "drain_deadline_ns", "orders_deadline_ns"),
}
WITH_SECRETS: Final = ("feeds", "venues", "strategies")
#: Keys that always enter; what else such a table may hold enters where it says something: a key that a release adds
#: changes no digest of a configuration that does not use it.
ALWAYS: Final = {
    "venues": {"adapter", "fee_rate", "options"},
    "instruments": {"currency", "price_increment", "negative_prices", "bar_duration_ns"},
    "strategies": {
        *("class", "instruments", "params", "enabled", "after"),
        *("max_ticks", "window_ns", "max_lag_records", "max_lag_ns", "when_lagging"),
    },
}
#: Likewise of the settings.
LATER_SETTINGS: Final = {"modules", "currency", "rates", "equity_every_ns"}


def decision_part(config: RuntimeConfig) -> dict[str, Any]:
    """What can change a result, ready for JSON.

    Feeds and strategies are listed in their order, as it decides merges at equal times and who is called first. Where
    each record enters the digest (mode ``full``) names and order are all of feeds that does, so that a recording gives
    the same from a file and over a socket. Strategies that are switched off, where files lie, and on which thread
    handlers run decide nothing. A secret opens a door and decides nothing either, and a published digest over it would
    let it be guessed.
    """
    table = config.model_dump(mode="python", by_alias=True)
    for section in WITH_SECRETS:
        for values in table[section].values():
            del values["secrets"]
    for venue in table["venues"].values():
        del venue["account"]  # whose money it is
    if not table["limits"]:
        del table["limits"]
    for section, always in ALWAYS.items():
        models = getattr(config, section)
        table[section] = {name: _said(values, models[name], always) for name, values in table[section].items()}
    strategies = [
        [name, {key: value for key, value in values.items() if key not in ("enabled", "lane")}]
        for name, values in table["strategies"].items()
        if values["enabled"]
    ]
    feeds = [
        [name, {key: value for key, value in feed.items() if key != "path" and not _is_unsaid(key, value)}]
        for name, feed in table["feeds"].items()
    ]
    if config.runtime.digest == "full":
        feeds = [[name, {}] for name, _ in feeds]
    runtime = {key: value for key, value in table["runtime"].items() if key not in SETTINGS_WITHOUT_EFFECT}
    runtime = _said(runtime, config.runtime, set(runtime) - LATER_SETTINGS)
    return table | {"runtime": runtime, "feeds": feeds, "strategies": strategies}


def _is_unsaid(key: str, value: object) -> bool:
    """Whether this is a key about live feeds that nobody has set: it came later than the digests of runs without it."""
    return value is None and (key == "speed" or key in DELIVERY_KEYS)


def decision_digest(config: RuntimeConfig) -> bytes:
    """SHA-256 over the canonical JSON of ``decision_part``."""
    text = json.dumps(decision_part(config), sort_keys=True, separators=(",", ":"), allow_nan=False, default=_tagged)
    return hashlib.sha256(text.encode()).digest()


def _said(values: dict[str, Any], model: BaseModel, always: set[str]) -> dict[str, Any]:
    defaults = _defaults(type(model))
    return {key: value for key, value in values.items() if key in always or value != defaults[key]}


@cache
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """By the names that files use. None of them is ever changed: tables are frozen."""
    fields = model.model_fields.items()
    return {field.alias or name: field.get_default(call_default_factory=True) for name, field in fields}


def _tagged(value: object) -> dict[str, str]:
    if isinstance(value, datetime | date | time):
        return {f"${type(value).__name__}": value.isoformat()}
    if isinstance(value, SecretStr):
        return {"$secret": ""}
    if isinstance(value, PurePath):
        return {"$path": str(value)}
    raise TypeError(f"{type(value).__name__} has no canonical form")
