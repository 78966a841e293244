"""The native dispatcher against a model of it in plain Python: hypothesis chooses data, strategies and what they do."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest
from dispatcher_actors import FORMS, Actor, Entry, record_of
from dispatcher_model import Action, Model, Record, Spec
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tickrail import _native, errors
from tickrail.domain.ticks import TICK_DTYPE

INSTRUMENTS = ("A.SIM", "B.SIM", "C.SIM")
KINDS = {1: "QUOTE", 2: "TRADE", 3: "BAR"}
#: ``make fuzz`` takes more.
STEPS = int(os.environ.get("MODEL_STEPS", "100_000"))
LENGTHS = (1, 7, 100, 1_000, 3_000, 3_000)
MOST_STRATEGIES = 5

subsets = st.just(INSTRUMENTS) | st.lists(st.sampled_from(INSTRUMENTS), unique=True).map(tuple)
specs = st.builds(
    Spec,
    form=st.sampled_from([*sorted(set(FORMS) - {"pull"}), "on_batch"]),
    instruments=subsets,
    max_ticks=st.sampled_from([1, 2, 3, 7, 64, 4_096]),
    window_ns=st.sampled_from([0, 0, 1, 10, 1_000]),
    keep_every=st.sampled_from([0, 1, 2, 3, 50]),
)
mild = st.builds(
    Action,
    st.sampled_from(["subscribe", "unsubscribe", "probe", "pause", "sleep", "wake", "wake"]),
    st.sampled_from(INSTRUMENTS),
)
fatal = st.builds(Action, st.sampled_from([*["raise", "return"] * 6, "stop", "interrupt"]))
many = st.lists(mild, min_size=1, max_size=20)
several = st.lists(mild, min_size=1, max_size=3)
few = st.lists(mild, max_size=2)
soon = st.sampled_from([0, 1, 5, 30, 300])
who = st.integers(0, MOST_STRATEGIES)


def feeds_of(count: int, two: bool, gap: int, number: int) -> list[np.ndarray[Any, Any]]:
    """``count`` records with many equal times, by a generator seeded with ``number``, in one feed or two."""
    rng = np.random.default_rng(number)
    records = np.zeros(count, TICK_DTYPE)
    records["ts_event"] = records["ts_init"] = 1_000 + np.cumsum(rng.integers(0, gap + 1, count))
    records["kind"] = rng.choice([1, 1, 1, 2, 3], count)
    records["instrument"] = rng.integers(0, len(INSTRUMENTS), count)
    records["sequence"] = np.where(records["kind"] == 3, 0, np.arange(1, count + 1))
    records["value_0"] = records["value_3"] = np.arange(1, count + 1)  # good as a quote, a trade and a bar
    records["value_1"], records["value_2"] = records["value_0"] + 1, 1.0
    if not two or count < 2:
        return [records]
    other = rng.random(count) < 0.5
    other[0], other[-1] = False, True
    return [records[~other], records[other]]


def in_order(feeds: list[np.ndarray[Any, Any]]) -> list[Record]:
    """Merged by (time, feed number, place in the feed)."""
    keys = [(time, feed, place) for feed, rows in enumerate(feeds) for place, time in enumerate(rows["ts_event"])]
    fields = ["ts_event", "sequence", "instrument", "kind", "value_0"]
    rows = [records[fields].tolist() for records in feeds]
    ordered = (rows[feed][place] for _, feed, place in sorted(keys))
    return [Record(ts, number, INSTRUMENTS[index], KINDS[kind], value) for ts, number, index, kind, value in ordered]


class DispatcherMachine(RuleBasedStateMachine):
    """A run beside its model; what has happened is compared after every rule, accounts and errors at the end."""

    steps = 0  # of all runs
    model_class = Model

    @initialize(
        count=st.sampled_from(LENGTHS),
        gap=st.sampled_from([0, 1, 3, 100]),
        two=st.booleans(),
        number=st.integers(0, 2**32),
        specs=st.lists(specs, min_size=1, max_size=MOST_STRATEGIES),
        pull=st.none() | subsets,
        slice_ticks=st.sampled_from([1, 7, 4_096]),
        always_fresh=st.booleans(),
    )
    def begin(
        self,
        count: int,
        gap: int,
        two: bool,
        number: int,
        specs: list[Spec],
        pull: tuple[str, ...] | None,
        slice_ticks: int,
        always_fresh: bool,
    ) -> None:
        feeds = feeds_of(count, two, gap, number)
        self.specs = specs if pull is None else [*specs, Spec("pull", pull, keep_every=3)]
        self.script: dict[tuple[int, int], list[Action]] = {}
        self.model = self.model_class(in_order(feeds), self.specs, self.script)
        self.is_pulled, self.compared = pull is not None, 0
        self.dispatcher = _native.Dispatcher(
            instruments=[{"id": name} for name in INSTRUMENTS], slice_ticks=slice_ticks, always_fresh=always_fresh
        )
        for place, records in enumerate(feeds):
            self.dispatcher.add_feed(f"feed-{place}", _native.TickArray.from_records(records, INSTRUMENTS))
        self.log: list[Entry] = []
        self.actors = [self.register(place, spec) for place, spec in enumerate(self.specs)]

    def register(self, number: int, spec: Spec) -> Actor:
        actor = FORMS[spec.form](number, spec, self.script, self.log, self.dispatcher.request_stop)
        name, instruments = f"s{number}", spec.instruments
        if spec.form == "pull":
            self.dispatcher.register_pull(actor, name, instruments=instruments)
        else:
            edges = {"max_ticks": spec.max_ticks, "window_ns": spec.window_ns}
            self.dispatcher.register(actor, name, instruments=instruments, **edges)
        return actor

    def is_going_on(self) -> bool:
        return self.model.end is None

    # ---- what strategies will do --------------------------------------------------------------------------------

    def plan(self, strategy: int, ahead: int, actions: list[Action]) -> None:
        strategy %= len(self.specs)
        self.script.setdefault((strategy, self.model.calls[strategy] + ahead), []).extend(actions)

    @precondition(is_going_on)
    @rule(strategy=who, ahead=soon, every=st.integers(1, 60), actions=many)
    def plan_many(self, strategy: int, ahead: int, every: int, actions: list[Action]) -> None:
        """One action at a time, each ``every`` calls."""
        for place, action in enumerate(actions):
            self.plan(strategy, ahead + place * every, [action])

    @precondition(is_going_on)
    @rule(strategy=who, ahead=soon, actions=several)
    def plan_several(self, strategy: int, ahead: int, actions: list[Action]) -> None:
        self.plan(strategy, ahead, actions)

    @precondition(is_going_on)
    @rule(strategy=who, ahead=soon, before=few, last=fatal)
    def plan_the_end(self, strategy: int, ahead: int, before: list[Action], last: Action) -> None:
        self.plan(strategy, ahead, [*before, last])

    # ---- what the driver does -----------------------------------------------------------------------------------

    @precondition(lambda self: self.is_pulled)
    @rule(times=st.sampled_from([1, 1, 2, 5, 20, 100]))
    def pull(self, times: int) -> None:
        for _ in range(times):
            expected, tick = next(self.model.pulls, None), self.dispatcher.pull()
            assert (tick is None) == (expected is None)
            if tick is None:
                break
            self.actors[-1].act("pull", (tick,))
            assert self.dispatcher.stats()["steps"] == self.model.position
            assert self.dispatcher.stats()["ticks"] == self.model.inputs
        self.compare()

    @precondition(lambda self: self.is_pulled)
    @rule(
        strategy=who,
        operation=st.sampled_from(["pause", "resume", "resume"]),
        mode=st.sampled_from(["no_new_orders", "no_ticks"]),
    )
    def operate(self, strategy: int, operation: str, mode: str) -> None:
        strategy %= len(self.specs)
        expected = self.model.operate(strategy, operation, mode)
        if expected is None:
            with pytest.raises(errors.IllegalTransition):
                self.dispatcher.operate(strategy, operation, mode)
        else:
            assert self.dispatcher.operate(strategy, operation, mode) == expected
        self.compare()

    @precondition(lambda self: self.is_pulled)
    @rule(strategy=who, asleep=st.sampled_from([1, 5, 20]), awake=st.sampled_from([1, 5, 20]))
    def nap(self, strategy: int, asleep: int, awake: int) -> None:
        """A sleeping strategy cannot wake itself."""
        self.operate(strategy, "pause", "no_ticks")
        self.pull(asleep)
        self.operate(strategy, "resume", "no_new_orders")
        self.pull(awake)

    @precondition(lambda self: self.is_pulled)
    @rule(sure=st.integers(0, 7))
    def break_off(self, sure: int) -> None:
        if sure == 0:
            self.model.break_off()
            self.dispatcher.finish()
            self.compare()

    # ---- what is compared ---------------------------------------------------------------------------------------

    def compare(self) -> None:
        assert self.log[self.compared :] == self.model.log[self.compared :]
        self.compared = len(self.log)

    def teardown(self) -> None:
        if not hasattr(self, "actors"):
            return
        if self.is_pulled:
            self.pull(max(LENGTHS) + 1)
        else:
            list(self.model.pulls)
            self.dispatcher.run()
            self.compare()
        type(self).steps += self.model.inputs
        self.compare_ends()

    def compare_ends(self) -> None:
        run, model = self.dispatcher, self.model
        assert run.end == model.end
        assert (run.interruption() is not None) == model.is_interrupted
        assert (run.stats()["steps"], run.stats()["ticks"]) == (model.position, model.inputs)
        accounts = [
            (row["state"], row["delivered"], row["skipped"], row["filtered"], row["pending"])
            for row in run.strategies()
        ]
        taken = zip(model.states, model.delivered, model.skipped, strict=True)
        assert accounts == [(state, given, left, model.inputs - given - left, 0) for state, given, left in taken]
        probes = run.orders()[["strategy", "made_position", "made_ns"]].tolist()
        assert probes == model.probes
        found = [(int(row["strategy"][1:]), row["handler"], row["position"], row["ts_ns"]) for row in run.errors()]
        assert found == [error[:4] for error in model.errors]
        for row, error in zip(run.errors(), model.errors, strict=True):
            assert (row["type"], row["message"]) == ("Planned", error[1])
            assert error[4] is None if row["tick"] is None else record_of(row["tick"]) == error[4]
        for actor in self.actors:
            assert [record_of(tick) for _, tick in actor.kept] == [kept for kept, _ in actor.kept]


def check(number: int, examples: int, machine: type[DispatcherMachine] = DispatcherMachine) -> int:
    """Runs of one seed, which a failure shows; how many ticks their loops took."""
    machine.steps = 0
    chosen = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        database=None,
        # Explaining a failure traces every line, which takes minutes.
        phases=[Phase.generate, Phase.shrink] if machine is DispatcherMachine else [Phase.generate],
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    print(f"seed {number}")
    run_state_machine_as_test(seed(number)(machine), settings=chosen)
    return machine.steps


@pytest.mark.slow
def test_the_dispatcher_does_what_the_model_says() -> None:
    assert check(1, 30) > 5_000


@pytest.mark.timeout(150 + STEPS // 1_000)
@pytest.mark.slow
def test_it_does_so_for_many_steps() -> None:
    number, steps = 1, 0
    while steps < STEPS:
        number += 1
        steps += check(number, 100)


# ---- each of these models is wrong in one point, which has to show ---------------------------------------------


class WindowsBeginWithTheirFirstTick(Model):
    def collect(self, one: int, tick: Record) -> None:
        begins = not self.batches[one] and self.specs[one].window_ns
        super().collect(one, tick)
        if begins and self.batches[one]:
            self.window_ends[one] = tick.ts_event + self.specs[one].window_ns


class RequestsActAStepLate(Model):
    held: Sequence[tuple[int, Action]] = ()

    def apply(self) -> None:
        self.held, self.requests = self.requests, list(self.held)
        super().apply()


class PausingLosesTheBatch(Model):
    def operate(self, one: int, operation: str, mode: str = "no_new_orders") -> bool | None:
        self.batches[one], self.window_ends[one] = [], math.inf
        return super().operate(one, operation, mode)


class TheFirstStopsFirst(Model):
    def finish(self, end: str) -> None:
        for one in self.each if self.end is None else ():
            self.stop(one)
        super().finish(end)


class FailingKeepsWhatWasAskedFor(Model):
    def leave(self, one: int, handler: str, ticks: tuple[Record, ...], what: str) -> None:
        before = self.requests
        super().leave(one, handler, ticks, what)
        self.requests = before


class TheTickThatFailedCountsNot(Model):
    def leave(self, one: int, handler: str, ticks: tuple[Record, ...], what: str) -> None:
        super().leave(one, handler, ticks, what)
        self.delivered[one] -= len(ticks) if what == "raise" else 0


class PausingForgetsTheGap(Model):
    def gaps(self, tick: Record) -> Generator[Record, None, bool]:
        yield from ()
        return False


class PausedStrategiesOrderFreely(Model):
    def call(self, one: int, handler: str, ticks: tuple[Record, ...]) -> None:
        before = self.states[one]
        self.states[one] = "RUNNING" if before == "PAUSED" else before
        super().call(one, handler, ticks)
        self.states[one] = before if self.states[one] == "RUNNING" else self.states[one]


WRONG = (
    PausingForgetsTheGap,
    PausedStrategiesOrderFreely,
    WindowsBeginWithTheirFirstTick,
    RequestsActAStepLate,
    PausingLosesTheBatch,
    TheFirstStopsFirst,
    FailingKeepsWhatWasAskedFor,
    TheTickThatFailedCountsNot,
)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_a_model_that_is_wrong_in_one_point_shows(wrong: type[Model]) -> None:
    machine = type(wrong.__name__, (DispatcherMachine,), {"model_class": wrong})
    with pytest.raises((AssertionError, errors.IllegalTransition)):
        check(1, 300, machine)
