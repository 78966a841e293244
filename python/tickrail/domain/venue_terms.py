"""``VenueTerms``: how a simulated venue behaves, for a backtest from a notebook and for one from files alike."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import index
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

__all__ = ["InstrumentTerms", "VenueTerms", "said_of"]

INT64_MAX: Final = 2**63 - 1
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SESSION: Final = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d\d):(\d\d)(?::(\d\d))?-(\d\d):(\d\d)(?::(\d\d))?")
_NS_PER_S: Final = 1_000_000_000

Latency: TypeAlias = int | tuple[int, ...] | tuple[tuple[int, int], ...]


def _latency(value: object) -> Latency:
    """Refuses here, with its place, what the native side would refuse later."""
    if not isinstance(value, list | tuple):
        return _ns(value)
    if value and all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        series = tuple((_whole(time_ns), _ns(ns)) for time_ns, ns in value)
        return series if _rises([time_ns for time_ns, _ in series]) else _fail("pairs (time, ns) in the order of time")
    quantiles = tuple(map(_ns, value))
    if len(quantiles) < 2:
        _fail("at least two quantiles, or pairs (time, ns)")
    return quantiles if _rises(quantiles) else _fail("quantiles that do not fall")


def _ns(value: Any) -> int:
    ns = _whole(value)
    return ns if ns >= 0 else _fail(f"at least 0 ns, and not {ns}")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or abs(found := index(value)) > INT64_MAX:
        _fail("ns as a whole number, a list of such quantiles, or of pairs (time, ns)")
    return found


def _rises(values: Sequence[int]) -> bool:
    return all(before <= after for before, after in pairwise(values))


OUTAGES_SCHEMA: Final = {
    "type": "array",
    "items": {"type": "array", "items": {"type": ["integer", "string"]}, "minItems": 2, "maxItems": 2},
}


def _outages(value: object) -> tuple[tuple[int, int], ...]:
    from tickrail.domain.time import parse_ns  # late: it loads numpy, which a configuration seldom needs

    expected = "pairs of times, the second later than the first"
    if not isinstance(value, list | tuple):
        _fail(expected)
    outages = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            _fail(expected)
        try:
            begin, end = map(parse_ns, pair)
        except (TypeError, ValueError) as error:
            _fail(f"{expected}: {error}")
        if end <= begin:
            _fail(f"{expected}: an outage from {pair[0]} to {pair[1]} has no length")
        outages.append((begin, end))
    return tuple(outages)


def _sessions(sessions: tuple[str, ...]) -> tuple[str, ...]:
    for session in sessions:
        _session(session)
    return sessions


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _fail(expected: str) -> NoReturn:
    raise ValueError(f"expected {expected}")


class _Terms(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )


class VenueTerms(_Terms):
    """What a simulated venue does with orders; ``docs/reference/simulated-venue.md`` says what fills when.

    >>> VenueTerms(fill_model="size", order_latency_ns=200_000, sessions=["mon-fri 09:00-17:30"]).fill_model
    'size'

    Attributes:
        fill_model: Orders that wait fill once the market touches their price (``touch``), has gone through it
            (``through``), or touches it, and then at most the size on offer (``size``).
        bar_path: Which extreme of a bar comes first: ``nearest`` to the open, ``high_first`` or ``low_first``.
        order_latency_ns: From the strategy to the venue, ns: a number; at least two, the quantiles of a distribution at
            even steps; or pairs (time, latency) as they were measured.
        report_latency_ns: From the venue to the strategy, likewise.
        reject_rate: Share of orders that are rejected for no reason, by the run's seed.
        outages: Pairs of times (int ns UTC, ISO text, datetime) between which the venue cannot be reached.
        sessions: When it trades, UTC: ``"09:00-17:30"``, ``"mon-fri 09:00-17:30"``; none: always.
        maker_fee_rate: Fraction of the notional where the order waited; below zero is a rebate. ``None``: ``fee_rate``.
        taker_fee_rate: Fraction of the notional where it matched at once. ``None``: ``fee_rate``.
        fee_rate: Both, where they are the same.
        fee_per_unit: In the currency of the price.
        fee_minimum: Of an order, in the currency of the price.
        slippage_fraction: How much worse than what it saw a taker fares, of the price.
        slippage_amount: The same in units of the price.
    """

    fill_model: Literal["touch", "through", "size"] = "touch"
    bar_path: Literal["nearest", "high_first", "low_first"] = "nearest"
    order_latency_ns: Annotated[Latency, BeforeValidator(_latency)] = 0
    report_latency_ns: Annotated[Latency, BeforeValidator(_latency)] = 0
    reject_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    outages: Annotated[tuple[tuple[int, int], ...], BeforeValidator(_outages), WithJsonSchema(OUTAGES_SCHEMA)] = ()
    sessions: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_sessions)] = ()
    fee_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    maker_fee_rate: Annotated[float, Field(gt=-1.0, lt=1.0)] | None = None
    taker_fee_rate: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    fee_per_unit: Annotated[float, Field(ge=0.0)] = 0.0
    fee_minimum: Annotated[float, Field(ge=0.0)] = 0.0
    slippage_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    slippage_amount: Annotated[float, Field(ge=0.0)] = 0.0

    def native(self) -> dict[str, Any]:
        """The table that the native loop reads."""
        names = ("fill_model", "bar_path", "order_latency_ns", "report_latency_ns", "reject_rate")
        table = {name: getattr(self, name) for name in names}
        return {**table, "outages": list(self.outages), "sessions": [_session(text) for text in self.sessions]}

    def instrument_row(self) -> dict[str, float]:
        """What trading an instrument there costs, as columns of the run's instrument table."""
        maker, taker = (self.fee_rate if rate is None else rate for rate in (self.maker_fee_rate, self.taker_fee_rate))
        names = ("fee_rate", "fee_per_unit", "fee_minimum", "slippage_fraction", "slippage_amount")
        return {**{name: getattr(self, name) for name in names}, "maker_fee_rate": maker, "taker_fee_rate": taker}


def said_of(model: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    """What was said of an instrument, as columns of the run's instrument table; ``fee_rate`` is that of both sides."""
    row = {name: value for name in names if (value := getattr(model, name)) is not None}
    if "fee_rate" in row:
        row = {"maker_fee_rate": row["fee_rate"], "taker_fee_rate": row["fee_rate"], **row}
    return row


class InstrumentTerms(_Terms):
    """What orders of an instrument are held to, and what trading it costs where that is not what its venue says.

    >>> InstrumentTerms(multiplier=50.0, fee_per_unit=0.85).row()
    {'multiplier': 50.0, 'fee_per_unit': 0.85}

    Attributes:
        price_increment: Smallest price step; 0.0 leaves it to the data.
        size_increment: Smallest step of a quantity; 0.0 is any.
        min_quantity: Smallest quantity of an order; 0.0 is any.
        max_quantity: Largest quantity of an order; ``None`` is any.
        multiplier: What one unit at a price of 1 is worth, in the currency of the price.
        currency: Currency of the price; ``None`` leaves it to the data.
        negative_prices: Whether prices below zero are good prices; ``None`` leaves it to the data.
        bar_duration_ns: How long its bars are; ``None`` leaves it to the data.
        fee_rate: Of both sides; this and what follows as in ``VenueTerms``, ``None`` is as the venue says.
        maker_fee_rate: Fraction of the notional where the order waited.
        taker_fee_rate: Fraction of the notional where it matched at once.
        fee_per_unit: In the currency of the price.
        fee_minimum: Of an order, in the currency of the price.
        slippage_fraction: How much worse than what it saw a taker fares, of the price.
        slippage_amount: The same in units of the price.
    """

    price_increment: Annotated[float, Field(ge=0.0)] = 0.0
    size_increment: Annotated[float, Field(ge=0.0)] = 0.0
    min_quantity: Annotated[float, Field(ge=0.0)] = 0.0
    max_quantity: Annotated[float, Field(gt=0.0)] | None = None
    multiplier: Annotated[float, Field(gt=0.0)] = 1.0
    currency: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}$")] | None = None
    negative_prices: bool | None = None
    bar_duration_ns: Annotated[int, Field(ge=0, le=INT64_MAX)] | None = None
    fee_rate: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    maker_fee_rate: Annotated[float, Field(gt=-1.0, lt=1.0)] | None = None
    taker_fee_rate: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    fee_per_unit: Annotated[float, Field(ge=0.0)] | None = None
    fee_minimum: Annotated[float, Field(ge=0.0)] | None = None
    slippage_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    slippage_amount: Annotated[float, Field(ge=0.0)] | None = None

    def row(self) -> dict[str, Any]:
        """What was said, as columns of the run's instrument table."""
        return said_of(self, sorted(self.model_fields_set, key=list(type(self).model_fields).index))


def _session(text: str) -> tuple[int, int, int]:
    """Open and close, ns since midnight UTC, and the days as bits."""
    found = _SESSION.fullmatch(text)
    if found is None:
        msg = f"session '{text}': expected such as '09:00-17:30' or 'mon-fri 09:00-17:30'"
        raise ValueError(msg)
    first, last, *clock = found.groups()
    open_ns, close_ns = _clock_ns(clock[:3]), _clock_ns(clock[3:])
    if not 0 <= open_ns < close_ns <= 24 * 3_600 * _NS_PER_S:
        msg = f"session '{text}': it has to end after it begins, within one day; over midnight it is two sessions"
        raise ValueError(msg)
    return open_ns, close_ns, _weekdays(text, first, last)


def _clock_ns(parts: Sequence[str | None]) -> int:
    hours, minutes, seconds = (int(part or 0) for part in parts)
    return ((hours * 60 + minutes) * 60 + seconds) * _NS_PER_S


def _weekdays(text: str, first: str | None, last: str | None) -> int:
    if first is None:
        return 0b111_1111
    named = (first, last or first)
    if any(day not in DAYS for day in named):
        msg = f"session '{text}': expected days such as 'mon' or 'mon-fri'"
        raise ValueError(msg)
    begin, end = (DAYS.index(day) for day in named)
    days = range(begin, end + 1) if begin <= end else (*range(begin, 7), *range(end + 1))
    return sum(1 << day for day in days)
