"""``ShutdownReport``: how a process ended that was told to, what it abandoned, and where everything stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tickrail.report.result import ORDER_STATUS, STOP_ASKED, Result

__all__ = ["EndStep", "ShutdownReport", "standing_of"]

FINAL = tuple(ORDER_STATUS.index(name) for name in ("FILLED", "CANCELED", "REJECTED", "EXPIRED"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStep:
    """One step of an end.

    Attributes:
        name: ``drain``, ``orders``, ``on_stop``, ``last orders`` (where it made some), ``result`` or ``services``.
        took_s: How long it took.
        deadline_s: How long it might; ``None``: as long as the whole.
        late: Whether its time was over before it was done.
    """

    name: str
    took_s: float
    deadline_s: float | None = None
    late: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, kw_only=True)
class ShutdownReport:
    """How it went.

    Attributes:
        cause: What began it, where that was a failure, or a stop for which a reason was said.
        signals: Numbers of the signals that came.
        deadline_s: How long all of it might take.
        took_s: How long it took, from the first signal or the stop on.
        steps: What was done, in order.
        abandoned: What was not, in words.
        standing: By strategy: ``state``, ``open_orders``, ``positions``.
        commands: Commands that came to nothing, by reason.
    """

    cause: str | None = None
    signals: Sequence[int] = ()
    deadline_s: float = 0.0
    took_s: float = 0.0
    steps: tuple[EndStep, ...] = ()
    abandoned: tuple[str, ...] = ()
    standing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    commands: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Result, **facts: Any) -> Self:
        """From the result of the run that was stopped."""
        ending = result.stats.get("ending", {})
        steps = tuple(EndStep(**step) for step in ending.get("steps", ()))
        abandoned = tuple(ending.get("abandoned", ()))
        is_told = result.status == "failed" or (result.stop_reason or "").startswith(f"{STOP_ASKED}: ")
        cause = result.stop_reason if is_told else None
        return cls(cause=cause, steps=steps, abandoned=abandoned, standing=standing_of(result), **facts)

    @property
    def outcome(self) -> str:
        """``drained`` or ``abandoned``."""
        return "abandoned" if self.abandoned else "drained"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        cause = {} if self.cause is None else {"cause": self.cause}
        return {
            **cause,
            "outcome": self.outcome,
            "signals": list(self.signals),
            "deadline_s": self.deadline_s,
            "took_s": self.took_s,
            "steps": [step.to_dict() for step in self.steps],
            "abandoned": list(self.abandoned),
            "standing": {name: dict(one) for name, one in self.standing.items()},
            "commands": dict(self.commands),
        }

    def lines(self) -> list[str]:
        """For a person."""
        done = ", ".join(f"{step.name} {step.took_s:.2f} s{' (late)' if step.late else ''}" for step in self.steps)
        lines = [] if self.cause is None else [f"cause: {self.cause}"]
        lines += [f"shutdown: {self.outcome} in {self.took_s:.2f} s of {self.deadline_s:g} s ({done})"]
        lines += [f"  abandoned: {what}" for what in self.abandoned]
        for name, one in self.standing.items():
            held = ", ".join(f"{net:g} {instrument}" for instrument, net in one["positions"].items()) or "nothing held"
            lines.append(f"  {name}: {one['state']}, {one['open_orders']} open orders, {held}")
        if self.commands:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.commands.items())
            lines.append(f"  commands that came to nothing: {counts}")
        return lines


def standing_of(result: Result) -> dict[str, dict[str, Any]]:
    """Where each strategy stands."""
    open_orders = [0] * len(result.strategies)
    for strategy, status in zip(result.orders["strategy"].tolist(), result.orders["status"].tolist(), strict=True):
        open_orders[strategy] += status not in FINAL
    return {
        one.name: {
            "state": one.state,
            "open_orders": open_orders[number],
            "positions": {position.instrument: position.net for position in one.positions if position.net},
        }
        for number, one in enumerate(result.strategies)
    }
