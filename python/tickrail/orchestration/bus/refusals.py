"""What the bus says where a command comes to nothing."""

from __future__ import annotations

from tickrail.errors import (
    CommandExpired,
    CommandInvalid,
    CommandTimeout,
    LaneFull,
    NotRunning,
    ShuttingDown,
    WouldDeadlock,
)
from tickrail.orchestration.bus.routes import Route

__all__ = [
    "blocks",
    "called_back",
    "check_same",
    "expired",
    "full",
    "late",
    "left",
    "no_run",
    "over",
    "over_before_answer",
    "unanswered",
    "waits_for_coroutine",
    "waits_for_step",
]


def blocks(what: str) -> WouldDeadlock:
    """The caller is on the I/O thread."""
    return WouldDeadlock(f"the I/O thread must not wait for {what}", hint="await bus.execute_async(...)")


def check_same(known: Route, known_payload: bytes, route: Route, payload: bytes, key: str) -> None:
    """Refuse another command with a ``key`` that is known; it is told by what was sent, which nobody can change.

    Raises:
        CommandInvalid: It is another.
    """
    if known_payload == payload:
        return
    first = known.decode(known_payload)
    if first != route.decode(payload):  # a dict may have its keys in another order
        raise CommandInvalid(
            f"key {key!r} was used for another command: {first!r}",
            command=route.name,
            hint="a key names one command and its repetitions",
        )


def late(route: Route, timeout_s: float, *, is_begun: bool) -> CommandTimeout:
    """Nobody has answered in time."""
    what = "its handler is at work and goes on" if is_begun else "it was taken back before it was done"
    return CommandTimeout(
        f"{route.name}: no answer within {timeout_s:g} s; {what}",
        timeout_s=timeout_s,
        begun=is_begun,
        hint="a command with a key=... may be sent again: its handler is called once" if is_begun else None,
    )


def called_back(route: Route) -> WouldDeadlock:
    """A callback runs where the command would be handled, and is no part of the run that it could be handled in."""
    return WouldDeadlock(
        f"a done callback of another thread cannot wait for {route.name}: it runs on the dispatch thread",
        command=route.name,
        hint="submit(...) or post(...), which takes a lane and is recorded",
    )


def expired(route: Route) -> CommandExpired:
    """Its turn has come too late."""
    return CommandExpired(f"{route.name} had its turn after it had expired", command=route.name)


def full(route: Route, wait_s: float) -> LaneFull:
    """There was no room in the lane."""
    waited = f" for {wait_s:g} s" if wait_s else ""
    return LaneFull(
        f"{route.name}: its lane has had no room{waited}", command=route.name, hint="wait_s=... waits for room"
    )


def left(route: Route) -> ShuttingDown:
    """The handler goes on beyond the run."""
    return ShuttingDown(
        f"{route.name}: its handler {route.shown} did not end with the run and was left behind",
        command=route.name,
        hint="a coroutine ends at CancelledError, and never blocks its thread",
    )


def unanswered(route: Route) -> ShuttingDown:
    """What the handler answered with, a Future, was still open when the run ended."""
    said = f"{route.name}: the run ended before its handler {route.shown} had its answer"
    return ShuttingDown(said, command=route.name)


def over(route: Route, *, reruns: bool = False) -> ShuttingDown:
    """The run has ended, or is ending; or, ``reruns``, it has its commands from elsewhere."""
    why = "a rerun takes the commands of its recording alone" if reruns else "the run takes no more commands"
    return ShuttingDown(f"{route.name}: {why}", command=route.name)


def over_before_answer(name: str) -> ShuttingDown:
    """The run ended between what was asked for and what came of it."""
    return ShuttingDown(f"{name}: the run has ended before the orders of its step were judged", command=name)


def waits_for_coroutine(name: str) -> WouldDeadlock:
    """The dispatch thread does not wait for the I/O thread, which may wait for it."""
    return WouldDeadlock(
        f"{name} has an async handler, which the dispatch thread must not wait for",
        hint="submit(...) and add_done_callback, or self.spawn a coroutine that awaits execute_async",
    )


def waits_for_step() -> WouldDeadlock:
    """A handler does not wait for what comes after its step."""
    return WouldDeadlock(
        "a handler cannot wait for what happens after its step", hint="add_done_callback(...), or look at it later"
    )


def no_run(name: str) -> NotRunning:
    """Nobody would ever answer."""
    return NotRunning(f"no run goes on that could handle {name}", hint="submit(...) waits for the run to begin")
