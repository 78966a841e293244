"""``OrderLimits``: what the orders of a strategy may not go beyond."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["LIMIT_KEYS", "MAX_PER_S", "OrderLimits"]

UINT32_MAX: Final = 2**32 - 1
INT64_MAX: Final = 2**63 - 1
#: Times of so many orders are kept, to count those of any second.
MAX_PER_S: Final = 1_000_000


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class OrderLimits(BaseModel):
    """Limits that every order passes before it leaves, each strategy by itself; what is ``None`` is not limited.

    >>> OrderLimits(max_order_quantity=5.0, max_orders_per_s=10).values()
    {'max_order_quantity': 5.0, 'max_orders_per_s': 10.0}

    Attributes:
        strategies: Ids of the strategies that it binds, or ``"*"`` for all.
        instruments: Ids of the instruments that it holds for, or ``"*"`` for all.
        max_order_quantity: Largest quantity of one order.
        max_order_notional: Largest price times quantity times multiplier of one order, in the instrument's currency.
        max_position_quantity: Largest position, long or short, counting orders in flight.
        max_open_orders: Most orders open at once.
        max_orders_per_s: Most new orders and amendments within any second; refused ones count.
        price_collar: How far a limit or stop may lie from the last price, as a fraction of it.
        max_tick_age_ns: Oldest last tick of the instrument with which an order may leave, in ns.
        max_repeats: Most orders that are equal to the one before, in a row.
        max_daily_loss: Loss since the UTC day began, in the run's currency, from which on orders may only reduce.
        max_drawdown: Fall from the highest equity, in the run's currency, from which on orders may only reduce.
        max_refused_per_s: Most refused orders within any second; one more, and the strategy is halted.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )

    strategies: Annotated[tuple[str, ...] | Literal["*"], BeforeValidator(_listed)] = "*"
    instruments: Annotated[tuple[str, ...] | Literal["*"], BeforeValidator(_listed)] = "*"
    max_order_quantity: Annotated[float | None, Field(gt=0.0)] = None
    max_order_notional: Annotated[float | None, Field(gt=0.0)] = None
    max_position_quantity: Annotated[float | None, Field(ge=0.0)] = None
    max_open_orders: Annotated[int | None, Field(ge=0, le=UINT32_MAX)] = None
    max_orders_per_s: Annotated[int | None, Field(ge=0, le=MAX_PER_S)] = None
    price_collar: Annotated[float | None, Field(gt=0.0)] = None
    max_tick_age_ns: Annotated[int | None, Field(ge=0, le=INT64_MAX)] = None
    max_repeats: Annotated[int | None, Field(ge=0, le=UINT32_MAX)] = None
    max_daily_loss: Annotated[float | None, Field(gt=0.0)] = None
    max_drawdown: Annotated[float | None, Field(gt=0.0)] = None
    max_refused_per_s: Annotated[int | None, Field(ge=0, le=MAX_PER_S)] = None

    def values(self) -> dict[str, float]:
        """What is limited, by name."""
        return {key: float(value) for key in LIMIT_KEYS if (value := getattr(self, key)) is not None}

    def settings(self) -> dict[str, Any]:
        """What was said, as plain values."""
        return self.model_dump(mode="json", exclude_defaults=True)


LIMIT_KEYS: Final = tuple(name for name in OrderLimits.model_fields if name not in ("strategies", "instruments"))
"""Names of the limits."""
