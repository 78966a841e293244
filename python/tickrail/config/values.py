"""Types of single configuration values: frozen tables, points in time, instrument lists, class paths, ids."""

import math
import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

__all__ = [
    "AdapterName",
    "Address",
    "ClassPath",
    "FrozenList",
    "FrozenTable",
    "Id",
    "IdList",
    "InstrumentKey",
    "InstrumentList",
    "ModulePath",
    "Options",
    "Params",
    "PathList",
    "PathText",
    "Secrets",
    "Speed",
    "Table",
    "TimeNs",
    "says_secret",
]

PORT: Final = r"(?:6553[0-5]|655[0-2]\d|65[0-4]\d{2}|6[0-4]\d{3}|[1-5]?\d{1,4})"
ADDRESS_PATTERN: Final = re.compile(rf"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):{PORT}")
ID_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLASS_PATTERN: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
ADAPTER_PATTERN: Final = re.compile(f"{ID_PATTERN.pattern}|{CLASS_PATTERN.pattern}")
MODULE_PATTERN: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
INSTRUMENT_PATTERN: Final = re.compile(r"[^\s.][^\s]*\.[^\s.]+")
TIME_PATTERN: Final = re.compile(r"(?P<seconds>[^.,]*?)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|z|[+-]\d{2}:?\d{2})?")
#: Names that say by themselves that their text is a secret. ``token`` alone does so for a feed or a venue; among the
#: parameters of a strategy it may well be a coin.
SECRET_NAME: Final = re.compile(
    r"(?i)(?:.*[_-])?(?:password|passwd|passphrase|secret|credentials?|(?:api|private|secret|access|auth)[_-]?key"
    r"|(?:access|auth|api|bearer|refresh|session)[_-]?token)"
)
TOKEN_NAME: Final = re.compile(r"(?i)(?:.*[_-])?token")
SECOND_NS: Final = 1_000_000_000
INT64_MAX: Final = 2**63 - 1

K = TypeVar("K")
V = TypeVar("V")


class FrozenTable(dict[K, V]):
    """A ``dict`` that refuses every change, so that a loaded configuration stays what its digest says."""

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("a loaded configuration cannot be changed; load it again with overrides")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class FrozenList(list[V]):
    """A ``list`` that refuses every change."""

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("a loaded configuration cannot be changed; load it again with overrides")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)


def says_secret(name: str, *, token: bool) -> bool:
    """Whether text under this name has to be hidden; ``token`` says that a token is a secret there."""
    return SECRET_NAME.fullmatch(name) is not None or (token and TOKEN_NAME.fullmatch(name) is not None)


def _freeze(value: Any, *, token: bool) -> Any:
    if isinstance(value, list):
        return FrozenList(_freeze(item, token=token) for item in value)
    if not isinstance(value, dict):
        return value
    return FrozenTable(
        {
            key: _hide(item) if says_secret(str(key), token=token) else _freeze(item, token=token)
            for key, item in value.items()
        }
    )


def _hide(value: Any) -> Any:
    """Whatever stands under a name that says secret."""
    if isinstance(value, list):
        return FrozenList(map(_hide, value))
    if isinstance(value, dict):
        return FrozenTable({key: _hide(item) for key, item in value.items()})
    return value if isinstance(value, bool | SecretStr) else SecretStr(str(value))


def _freeze_params(value: Any) -> Any:
    return _freeze(value, token=False)


def _freeze_options(value: Any) -> Any:
    return _freeze(value, token=True)


def _fail(expected: str) -> NoReturn:
    raise PydanticCustomError("expected", "{expected}", {"expected": expected})


def _time_ns(value: object) -> object:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if isinstance(value, datetime):
        return _datetime_ns(value)
    return _text_ns(value) if isinstance(value, str) else _fail(TIME_EXPECTED)


TIME_EXPECTED: Final = "a time: 2024-01-31, 2024-01-31T09:30:00Z (UTC where no zone is given) or nanoseconds since 1970"


def _text_ns(text: str) -> int:
    found = TIME_PATTERN.fullmatch(text.strip())
    if found is None:
        _fail(TIME_EXPECTED)
    try:
        whole = datetime.fromisoformat(found["seconds"] + (found["zone"] or ""))
    except ValueError:
        _fail(TIME_EXPECTED)
    return _datetime_ns(whole) + int((found["fraction"] or "").ljust(9, "0"))


def _datetime_ns(value: datetime) -> int:
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * 1_000


def _instruments(value: object) -> object:
    expected = 'a list of instrument ids, as ["EURUSD.SIM"], or "*" for all'
    if value == "*" and isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        _fail(expected)
    for item in value:
        if INSTRUMENT_PATTERN.fullmatch(item) is None:
            _fail("instrument ids of the form SYMBOL.VENUE, as EURUSD.SIM")
    if len(set(value)) != len(value):
        _fail("each instrument once")
    return tuple(value)


def _ids(value: object) -> object:
    if value == "*" and isinstance(value, str):
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and ID_PATTERN.fullmatch(v) for v in value):
        _fail('a list of ids of strategies, as ["ema-eurusd"], or "*" for all')
    if len(set(value)) != len(value):
        _fail("each strategy once")
    return tuple(value)


def _matching(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        return value if pattern.fullmatch(value) else _fail(expected)

    return AfterValidator(check)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _text_schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern.pattern})$"})


def _path(value: object) -> object:
    if isinstance(value, Path):
        return value
    return Path(value) if isinstance(value, str) and value and "\0" not in value else _fail("a path, as text")


def _speed(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return value if value is None or value == "max" or is_number else _fail('a number above zero, or "max"')


Speed = Annotated[
    float | Literal["max"] | None,
    BeforeValidator(_speed),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "max"}]}),
]
"""A pace of recorded ticks: a multiple of real time, or as fast as they are taken."""

TIME_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [{"type": "string"}, {"type": "integer", "minimum": -INT64_MAX, "maximum": INT64_MAX}],
        "description": TIME_EXPECTED,
    }
)
TimeNs = Annotated[int | None, BeforeValidator(_time_ns), Field(ge=-INT64_MAX, le=INT64_MAX), TIME_SCHEMA]
"""A point in time as int ns UTC; TOML dates and times, ISO text and whole nanoseconds are taken."""

InstrumentList: Final = BeforeValidator(_instruments)
"""Marks the list of instruments: a list of ids or ``"*"``."""

ClassPath = Annotated[
    str, _matching(CLASS_PATTERN, 'the strategy\'s class as "module:Class"'), _text_schema(CLASS_PATTERN)
]
Id = Annotated[
    str, _matching(ID_PATTERN, "an id of at most 64 letters, digits, '.', '_' and '-'"), _text_schema(ID_PATTERN)
]
Address = Annotated[
    str, _matching(ADDRESS_PATTERN, "an address as HOST:PORT, such as 127.0.0.1:9464"), _text_schema(ADDRESS_PATTERN)
]
AdapterName = Annotated[
    str,
    _matching(ADAPTER_PATTERN, "the name of an adapter, or module:Class"),
    _text_schema(ADAPTER_PATTERN),
]
ModulePath = Annotated[str, _matching(MODULE_PATTERN, "the name of a package"), _text_schema(MODULE_PATTERN)]
InstrumentKey = Annotated[
    str,
    _matching(INSTRUMENT_PATTERN, "an instrument id of the form SYMBOL.VENUE, as EURUSD.SIM"),
    _text_schema(INSTRUMENT_PATTERN),
]
PathText = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})]
PathList: Final = BeforeValidator(_tuple)
"""Marks a list of ``module:attribute``."""
IdList: Final = BeforeValidator(_ids)
"""Marks a list of ids of strategies: a list or ``"*"``."""
Params = Annotated[dict[str, Any], AfterValidator(_freeze_params)]
Options = Annotated[dict[str, Any], AfterValidator(_freeze_options)]
Secrets = Annotated[dict[str, SecretStr], AfterValidator(FrozenTable)]
"""Text that is shown nowhere, whatever its name."""

Table: Final = AfterValidator(FrozenTable)
"""Marks a table keyed by id: frozen once it is valid."""
