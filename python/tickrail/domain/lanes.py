"""``Lane``: a compiled strategy on a thread of its own, in paper and live."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

__all__ = ["Lane"]


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise PydanticCustomError("expected", "{expected}", {"expected": "a power of two"})
    return value


class Lane(BaseModel):
    """A thread of its own for a compiled strategy, where ticks come from live feeds; a backtest takes no notice.

    ``open_live(strategies, ..., lanes={"name": Lane(policy="lossy")})``; in files ``lane = { policy = "lossy" }`` in
    the table of the strategy. See docs/concepts/lanes.md.

    Attributes:
        policy: Where the lane is slower than the loop, the loop waits for it (``gating``), or it loses the oldest
            records and counts them (``lossy``).
        capacity: Records that wait for it at most, a power of two.
        processor: The processor that its thread is kept on; ``None`` leaves that to the system.
        timeout_s: How long the loop waits for it, for room and before hooks of the strategy; then that is FAILED.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, defer_build=True
    )

    policy: Literal["gating", "lossy"] = "gating"
    capacity: Annotated[int, Field(ge=2, le=2**24), AfterValidator(_power_of_two)] = 8_192
    processor: Annotated[int | None, Field(ge=0, le=2**16)] = None
    timeout_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 5.0
