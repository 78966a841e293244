"""A venue for rehearsals: keeps orders in a file, fills them at the price that it is told, and misbehaves at will.

    with LoopbackVenue("orders.jsonl") as venue:
        adapter = LoopbackExecution(name="LOOP", address=venue.address)

As a process that may be killed at any moment: ``python -m tickrail.testing.loopback_venue orders.jsonl --port 7001``.
Whatever it has acknowledged or filled is in the file before anybody is told, and is there when it starts again.

Orders fill at once where the price allows it, in ``parts``; what waits fills when the price comes to it (``set``).
A stop wakes its order when the price is there, or beyond.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

__all__ = ["LoopbackVenue"]

START_S: Final = 10.0
LINE_BYTES: Final = 4 * 1024 * 1024
FINAL: Final = ("FILLED", "CANCELED", "REJECTED")


class _Refused(Exception):
    def __init__(self, kind: str, reason: str, retry_after_ns: int = 0) -> None:
        super().__init__(reason)
        self.said = {"kind": kind, "reason": reason, "retry_after_ns": retry_after_ns}


class Books:
    """Orders, fills and positions of all accounts, in a file of lines that is only added to.

    Args:
        path: The file; what it holds is read first. A last line that was cut off is left out.
    """

    def __init__(self, path: Path) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.positions: dict[str, dict[str, list[float]]] = {}
        if path.exists():
            whole, _, rest = path.read_bytes().rpartition(b"\n")
            for line in whole.splitlines():
                self._enter(json.loads(line))
            if rest:
                path.write_bytes(whole + b"\n" if whole else b"")
        self._file = path.open("ab", buffering=0)

    def write(self, entry: dict[str, Any]) -> None:
        """Keep an entry, then let it count."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._enter(entry)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _enter(self, entry: dict[str, Any]) -> None:
        """An order as it stands after a change, and the fill that the change is."""
        order = {**self.orders.get(entry["client_id"], {}), **entry}
        fill = order.pop("fill", None)
        self.orders[order["client_id"]] = order
        if fill is not None:
            signed = fill[0] if order["side"] == "BUY" else -fill[0]
            held = self.positions.setdefault(order["account"], {}).setdefault(order["instrument"], [0.0, 0.0])
            _book(held, signed, fill[1])
        self.reports.setdefault(order["account"], []).append(report_of(order))


def _book(held: list[float], signed: float, price: float) -> None:
    net, average = held
    after = round(net + signed, 9)
    if net == 0.0 or (net > 0) == (signed > 0):
        held[1] = (average * abs(net) + price * abs(signed)) / abs(after) if after else 0.0
    elif after == 0.0:
        held[1] = 0.0
    elif (after > 0) != (net > 0):
        held[1] = price
    held[0] = after


def report_of(order: dict[str, Any]) -> dict[str, Any]:
    """Where an order stands, as it is told."""
    names = ("client_id", "state", "filled", "price", "fee", "ts_ns", "reason", "venue_id")
    return {name: order[name] for name in names}


class LoopbackVenue:
    """Serves accounts over a loopback socket; a context manager, on a thread of its own.

    Args:
        path: Where orders are kept.
        port: Where to listen; 0 is a free one.
        price: Of every instrument, until ``set`` says another.
        fee_rate: Fraction of the notional.
        ack_delay_s: How late answers to orders are; the orders count from the first moment on.
        parts: In how many fills an order is done.

    Attributes:
        address: ``host:port``.

    Thread safety: any thread.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        port: int = 0,
        price: float = 1.0,
        fee_rate: float = 0.0,
        ack_delay_s: float = 0.0,
        parts: int = 1,
    ) -> None:
        self.books = Books(Path(path))
        self.address = ""
        self.prices: dict[str, float] = {}
        self.sessions: dict[str, _Session] = {}
        self.all: set[_Session] = set()
        self.behaviour: dict[str, Any] = {
            "price": price,
            "fee_rate": fee_rate,
            "ack_delay_s": ack_delay_s,
            "parts": parts,
            "lose_answers": 0,
            "lose_requests": 0,
            "reject": 0,
            "throttle": 0,
        }
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="tickrail-loopback-venue", daemon=True)

    # ---- for the test ------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; ``address`` is known then."""
        self._thread.start()
        if not self._listening.wait(START_S):
            raise TimeoutError("the venue did not come up")
        return self

    def close(self) -> None:
        """End it; orders stay in their file. Idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None and self._ended is not None:
            loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(START_S)
            self.books.close()

    def set(self, **behaviour: Any) -> None:
        """Behave so from now on.

        ``price`` moves the market, and what waits fills; ``ack_delay_s``, ``fee_rate`` and ``parts`` are as in the
        constructor; ``lose_answers=n`` cuts the connection in the place of the next ``n`` answers to orders,
        ``lose_requests=n`` before the next ``n`` are read; ``reject=n`` and ``throttle=n`` refuse the next ``n``.
        """
        self._do(lambda: self.behave(behaviour))

    def drop(self) -> None:
        """Cut every connection."""
        self._do(self._drop)

    def statement(self, account: str = "default") -> dict[str, float]:
        """Units held, by instrument."""
        return {one: held[0] for one, held in dict(self.books.positions.get(account, {})).items()}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _do(self, act: Callable[[], object]) -> None:
        loop, done = self._loop, threading.Event()
        if loop is None:
            raise RuntimeError("the venue does not run")

        def do() -> None:
            try:
                act()
            finally:
                done.set()

        loop.call_soon_threadsafe(do)
        done.wait(START_S)

    # ---- on its thread -----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._meet, "127.0.0.1", self._port, limit=LINE_BYTES)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._listening.set()
        try:
            await self._ended.wait()
        finally:
            server.close()
            self._drop()

    def _drop(self) -> None:
        for session in list(self.all):
            session.end()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, reader, writer)
        self.all.add(session)
        try:
            await session.serve()
        except (OSError, ValueError, asyncio.CancelledError):
            pass
        finally:
            self.all.discard(session)
            session.end()

    def behave(self, behaviour: dict[str, Any]) -> None:
        """Take new settings; a price lets what waits fill."""
        unknown = set(behaviour) - set(self.behaviour)
        if unknown:
            raise KeyError(f"no such behaviour: {', '.join(sorted(unknown))}")
        self.behaviour.update(behaviour)
        if "price" in behaviour:
            for order in list(self.books.orders.values()):
                self.match(order)

    def told(self, account: str) -> None:
        """Tell the account's session what is new."""
        session = self.sessions.get(account)
        if session is not None:
            session.tell()

    def match(self, order: dict[str, Any]) -> None:
        """Fill what the price allows."""
        price, limit, is_buy = self.behaviour["price"], order["limit"], order["side"] == "BUY"
        fits = limit is None or (price <= limit if is_buy else price >= limit)
        if order["state"] != "ACCEPTED" or not self._is_awake(order) or not fits:
            return
        parts = max(1, int(self.behaviour["parts"]))
        done, spent, fee = order["filled"], (order["price"] or 0.0) * order["filled"], order["fee"]
        share = round((order["quantity"] - done) / parts, 9)
        for part in range(1, parts + 1):
            size = share if part < parts else round(order["quantity"] - done, 9)
            done, spent = round(done + size, 9), spent + size * price
            fee += size * price * self.behaviour["fee_rate"]
            self.books.write(
                {
                    "client_id": order["client_id"],
                    "state": "FILLED" if part == parts else "ACCEPTED",
                    "filled": order["quantity"] if part == parts else done,
                    "price": spent / done,
                    "fee": fee,
                    "ts_ns": time.time_ns(),
                    "fill": [size, price],
                }
            )
        self.told(order["account"])

    def _is_awake(self, order: dict[str, Any]) -> bool:
        """Whether its stop lets an order match; once woken it stays awake."""
        stop, price = order.get("stop"), self.behaviour["price"]
        if stop is None or order.get("is_woken", False):
            return True
        if price >= stop if order["side"] == "BUY" else price <= stop:
            self.books.write({"client_id": order["client_id"], "is_woken": True, "ts_ns": time.time_ns()})
            return True
        return False


class _Session:
    """One connection."""

    def __init__(self, venue: LoopbackVenue, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.venue, self.reader, self.writer = venue, reader, writer
        self.account = ""
        self.is_over = False
        self.told_to = 0
        self._late = 0

    def end(self) -> None:
        """Nothing that it still sends counts."""
        if not self.is_over:
            self.is_over = True
            self.writer.transport.abort()
            if self.venue.sessions.get(self.account) is self:
                del self.venue.sessions[self.account]

    async def serve(self) -> None:
        """Requests one after the other, each done with before the next is looked at."""
        while not self.is_over and (line := await self.reader.readline()):
            if self.is_over:
                return
            self.take(json.loads(line))

    def take(self, asked: dict[str, Any]) -> None:
        """Do what is asked, and answer."""
        behaviour, what = self.venue.behaviour, asked["do"]
        is_order = what in ("submit", "amend", "cancel")
        if is_order and behaviour["lose_requests"] > 0:
            behaviour["lose_requests"] -= 1
            return self.end()
        try:
            answer = {"id": asked["id"], "ok": getattr(self, f"do_{what}")(asked)}
        except _Refused as refused:
            answer = {"id": asked["id"], "error": refused.said}
        if is_order and behaviour["lose_answers"] > 0:
            behaviour["lose_answers"] -= 1
            return self.end()
        delay_s = behaviour["ack_delay_s"] if is_order else 0.0
        if delay_s > 0 or self._late:
            self._late += 1
            asyncio.get_running_loop().call_later(delay_s, self._answer_late, answer)
        else:
            self.say(answer)
            self.tell()
        return None

    def _answer_late(self, answer: dict[str, Any]) -> None:
        self._late -= 1
        self.say(answer)
        self.tell()

    def tell(self) -> None:
        """What happened to the account's orders; not before the answers that are late."""
        reports = self.venue.books.reports.get(self.account, [])
        while self.told_to < len(reports) and self._late == 0 and not self.is_over and self.account:
            self.say({"report": reports[self.told_to], "number": self.told_to})
            self.told_to += 1

    def say(self, said: dict[str, Any]) -> None:
        """Send a line."""
        if not self.is_over:
            self.writer.write(json.dumps(said).encode() + b"\n")

    # ---- requests ----------------------------------------------------------------------------------------------

    def do_login(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Reports after number ``after`` are told; an older session of the account ends, whatever it has sent."""
        before = self.venue.sessions.get(asked["account"])
        if before is not None:
            before.end()
        self.account = asked["account"]
        self.venue.sessions[self.account] = self
        last = len(self.venue.books.reports.get(self.account, [])) - 1
        self.told_to = (last if asked["after"] is None else asked["after"]) + 1
        return {"last": last}

    def do_submit(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take an order; one of a known name is the same order."""
        books, name = self.venue.books, asked["client_id"]
        if name not in books.orders:
            self._refuse()
            order = {key: value for key, value in asked.items() if key not in ("id", "do")}
            self._check(order)
            blank = {"state": "ACCEPTED", "filled": 0.0, "price": None, "fee": 0.0, "reason": ""}
            number = f"V{len(books.orders) + 1}"
            books.write({**order, **blank, "account": self.account, "venue_id": number, "ts_ns": time.time_ns()})
            self.venue.match(books.orders[name])
            waits = order.get("stop") is not None and "is_woken" not in books.orders[name]
            if asked["time_in_force"] in ("IOC", "FOK") and not waits and books.orders[name]["state"] == "ACCEPTED":
                self._cancel(name, "it could not match at once")
        # What became of it since is told by reports: the answer says that it is there.
        return {"client_id": name, "state": "ACCEPTED", "venue_id": books.orders[name]["venue_id"]}

    def _refuse(self) -> None:
        behaviour = self.venue.behaviour
        if behaviour["throttle"] > 0:
            behaviour["throttle"] -= 1
            raise _Refused("throttled", "too many requests", retry_after_ns=10_000_000)
        if behaviour["reject"] > 0:
            behaviour["reject"] -= 1
            raise _Refused("rejected", "the venue does not want it")

    def _check(self, order: dict[str, Any]) -> None:
        if not order["quantity"] > 0:
            raise _Refused("rejected", f"quantity {order['quantity']}")
        held = self.venue.books.positions.get(self.account, {}).get(order["instrument"], [0.0, 0.0])[0]
        signed = order["quantity"] if order["side"] == "BUY" else -order["quantity"]
        if order["reduce_only"] and (held * signed >= 0 or abs(signed) > abs(held)):
            raise _Refused("rejected", "it would not reduce the position")
        price, limit = self.venue.behaviour["price"], order["limit"]
        if (
            order["post_only"]
            and limit is not None
            and order.get("stop") is None
            and (price <= limit if signed > 0 else price >= limit)
        ):
            raise _Refused("rejected", "it would match at once")

    def _known(self, asked: dict[str, Any]) -> dict[str, Any]:
        order = self.venue.books.orders.get(asked["client_id"])
        if order is None or order["account"] != self.account:
            raise _Refused("rejected", "unknown order")
        return order

    def _acknowledged(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"client_id": order["client_id"], "state": "ACCEPTED", "venue_id": order["venue_id"]}

    def do_cancel(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take an order back; one that is done stays as it is."""
        order = self._known(asked)
        if order["state"] not in FINAL:
            self._cancel(order["client_id"], "asked for")
        return self._acknowledged(order)

    def _cancel(self, name: str, reason: str) -> None:
        self.venue.books.write({"client_id": name, "state": "CANCELED", "reason": reason, "ts_ns": time.time_ns()})

    def do_amend(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Let an order stand on other terms."""
        order = self._known(asked)
        if order["state"] in FINAL:
            raise _Refused("rejected", f"the order is {order['state']}")
        if asked["quantity"] is not None and asked["quantity"] <= order["filled"]:
            raise _Refused("rejected", "as much is filled already")
        if asked.get("stop") is not None and (order.get("stop") is None or "is_woken" in order):
            raise _Refused("rejected", "no stop is waited for")
        change = {key: asked[key] for key in ("quantity", "limit", "stop") if asked.get(key) is not None}
        self.venue.books.write({"client_id": order["client_id"], **change, "ts_ns": time.time_ns()})
        self.venue.match(self.venue.books.orders[order["client_id"]])
        return self._acknowledged(order)

    def do_status(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Where an order stands."""
        return report_of(self._known(asked))

    def do_statement(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002  (as the others)
        """What the account holds, and which of its orders are open."""
        orders = [one for one in self.venue.books.orders.values() if one["account"] == self.account]
        return {
            "positions": self.venue.books.positions.get(self.account, {}),
            "open_orders": [report_of(one) for one in orders if one["state"] not in FINAL],
        }

    def do_set(self, asked: dict[str, Any]) -> dict[str, Any]:
        """New behaviour, for a test that has no other way to the process."""
        self.venue.behave({key: value for key, value in asked.items() if key not in ("id", "do")})
        return {}

    def do_drop(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """Cut every other connection."""
        for session in list(self.venue.all):
            if session is not self:
                session.end()
        return {}


def main(arguments: list[str] | None = None) -> int:
    """Serve until standard input ends, or until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m tickrail.testing.loopback_venue", description=main.__doc__)
    parser.add_argument("file", type=Path, help="where orders are kept")
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: a free port)")
    parser.add_argument("--price", type=float, default=1.0, help="of every instrument (default: 1)")
    parser.add_argument("--ack-delay-s", type=float, default=0.0, help="how late answers to orders are")
    parser.add_argument("--parts", type=int, default=1, help="in how many fills an order is done")
    given = parser.parse_args(arguments)
    settings = {"port": given.port, "price": given.price, "ack_delay_s": given.ack_delay_s, "parts": given.parts}
    with LoopbackVenue(given.file, **settings) as venue, suppress(KeyboardInterrupt):
        sys.stdout.write(venue.address + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
