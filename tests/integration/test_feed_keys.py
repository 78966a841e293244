"""Keys of ``[feeds.ID]`` about live delivery, and recorded ticks at their own pace, from configuration files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_runs import in_thread

from tickrail import RuntimeBootstrapper, errors
from tickrail._native import TickFileWriter

MS = 1_000_000
STRATEGY = """
import os
from pathlib import Path

from tickrail import Strategy


class Noter(Strategy):
    def on_start(self):
        self.seen, self.events = [], []

    def on_tick(self, tick):
        self.seen.append((tick.ts_event, self.now_ns))
        self.log()

    def log(self):
        if mark := os.environ.get("FEED_KEYS_MARK"):
            Path(mark).touch()

    def on_event(self, event):
        self.events.append(event.kind)


class Spawner(Strategy):
    def on_start(self):
        import asyncio

        self.spawn(asyncio.sleep(60))
"""
BASE = """
[instruments."A.SIM"]
currency = "USD"
[feeds.main]
path = "main.ticks"
[venues.SIM]
[strategies.noter]
class = "feed_keys_noter:Noter"
instruments = ["A.SIM"]
"""
STEP_NS = 5 * MS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two environments over the same feed: a backtest, and paper, where it comes at its own pace."""
    for env, text in {"base": BASE, "backtest": "", "paper": "[feeds.main]\nspeed = 1.0\n"}.items():
        (tmp_path / "config" / env).mkdir(parents=True)
        (tmp_path / "config" / env / "runtime.toml").write_text(text)
    (tmp_path / "feed_keys_noter.py").write_text(textwrap.dedent(STRATEGY))
    write_ticks(tmp_path / "main.ticks", 40)
    return tmp_path


def write_ticks(path: Path, count: int) -> None:
    from tickrail.domain.ticks import QUOTE_DTYPE

    records = np.zeros(count, QUOTE_DTYPE)
    records["kind"], records["ts_event"] = 1, 1_700_000_000_000_000_000 + np.arange(count) * STEP_NS
    records["ts_init"], records["sequence"] = records["ts_event"], np.arange(count)
    for field in ("bid", "ask", "bid_size", "ask_size"):
        records[field] = 1.0
    path.unlink(missing_ok=True)
    with TickFileWriter(path) as writer:
        writer.append_records(records, instruments=[{"id": "A.SIM", "currency": "USD"}])
        writer.commit()


def bootstrapped(project: Path, *overrides: str, env: str = "paper", environ: dict[str, str] | None = None) -> Any:
    bootstrapper = RuntimeBootstrapper(env, root=project / "config", overrides=overrides, environ=environ or {})
    return bootstrapper.bootstrap()


def problems(project: Path, *overrides: str, env: str = "paper") -> str:
    with pytest.raises(errors.ConfigError) as caught:
        bootstrapped(project, *overrides, env=env)
    return str(caught.value)


def test_recorded_ticks_come_at_their_pace_in_paper_and_the_run_ends_with_them(project: Path) -> None:
    began = time.monotonic()
    with bootstrapped(project) as runtime:
        noter = runtime.dispatcher.strategies["noter"]
        result = runtime.run()
    assert (result.status, result.ticks) == ("complete", 40)
    times = [ts for ts, _ in noter.seen]
    assert times == sorted(times)
    assert len(times) == 40
    assert time.monotonic() - began >= 39 * STEP_NS / 1e9, "not early"
    assert noter.seen[0][1] > times[0], "the clock is that of now, the ticks are of then"


@pytest.mark.parametrize("said", ["speed=100", "speed=max"])
def test_faster_is_faster_and_still_all_of_it(project: Path, said: str) -> None:
    write_ticks(project / "main.ticks", 5_000)  # 25 s at their own pace
    began = time.monotonic()
    with bootstrapped(project, f"feeds.main.{said}") as runtime:
        result = runtime.run()
    assert (result.status, result.ticks) == ("complete", 5_000)
    assert time.monotonic() - began < 20


def test_a_backtest_takes_the_same_feed_when_it_is_ready(project: Path) -> None:
    said = ("feeds.main.policy=drop_newest", "feeds.main.capacity=2", "feeds.main.high_watermark=1")
    with bootstrapped(project, *said, env="backtest") as runtime:
        assert runtime.run().ticks == 40, "keys about live feeds are none of its business"


def test_a_run_with_other_feeds_does_not_end_with_the_recorded_one(project: Path) -> None:
    (project / "config" / "paper" / "more.toml").write_text(
        '[feeds.mine]\nadapter = "published"\noptions = { instruments = ["A.SIM"] }\n'
    )
    with bootstrapped(project, "feeds.main.speed=max") as runtime:
        mine = runtime.feed("mine")

        def produce() -> None:
            with mine.publisher() as publisher:
                while runtime.stats().ticks < 40:
                    time.sleep(0.01)
                publisher.publish_quote("A.SIM", 1.0, 1.1)
            runtime.seal()

        joined = in_thread(produce)
        result = runtime.run()
        joined()
    assert (result.status, result.ticks) == ("complete", 41)


@pytest.mark.slow
def test_watermarks_are_told_and_the_rate_is_held(project: Path) -> None:
    write_ticks(project / "main.ticks", 2_000)
    marks = ("feeds.main.speed=max", "feeds.main.capacity=2048")
    with bootstrapped(project, *marks, "feeds.main.high_watermark=600", "feeds.main.low_watermark=1") as runtime:
        noter = runtime.dispatcher.strategies["noter"]
        noter.log = lambda: time.sleep(0.0002)
        runtime.run()
    assert noter.events[:2] == ["high_watermark", "low_watermark"]

    with bootstrapped(project, *marks, "feeds.main.rate_limit=1000") as runtime:
        runtime.run()
        account = runtime.dispatcher.accounts().feeds["main"]
    assert account.rate_limited > 0
    assert account.taken + account.rate_limited == 2_000

    began = time.monotonic()
    with bootstrapped(project, *marks, "feeds.main.rate_limit=4000", "feeds.main.rate_policy=wait") as runtime:
        assert runtime.run().ticks == 2_000
    assert time.monotonic() - began >= 0.3, "2,000 less a burst of 400, at 4,000 a second"


def test_tables_go_before_what_an_adapter_says_and_variables_before_tables(project: Path) -> None:
    (project / "config" / "base" / "runtime.toml").write_text(BASE.replace('path = "main.ticks"\n', ""))
    (project / "config" / "paper" / "runtime.toml").write_text(
        '[feeds.main]\nadapter = "published"\ncapacity = 64\noptions = { instruments = ["A.SIM"], policy = "reject" }\n'
    )
    environ = {"TICKRAIL_FEEDS__MAIN__CAPACITY": "128", "TICKRAIL_FEEDS__MAIN__HIGH_WATERMARK": "100"}
    with bootstrapped(project, environ=environ) as runtime:
        feed = runtime.feed("main")
        assert (feed.policy, feed.capacity) == ("reject", 128)
        assert str(runtime.loaded.origin("feeds.main.high_watermark")) == "env TICKRAIL_FEEDS__MAIN__HIGH_WATERMARK"


@pytest.mark.parametrize(
    ("said", "place", "message"),
    [
        ("speed=0", "feeds.main.speed", 'a number above zero, or "max"'),
        ("speed=fast", "feeds.main.speed", 'a number above zero, or "max"'),
        ("speed=true", "feeds.main.speed", 'a number above zero, or "max"'),
        ("high_watermark=9000", "feeds.main.high_watermark", "never wait in a ring of 8192"),
        ("capacity=100", "feeds.main.capacity", "100 is no power of two"),
        ("low_watermark=5", "feeds.main.low_watermark", "low_watermark 5 is not below high_watermark 0"),
        ("policy=hope", "feeds.main.policy", "'block', 'reject', 'drop_newest', 'drop_oldest' or 'conflate'"),
        ("rate_limit=-1", "feeds.main.rate_limit", "at least 0"),
        ("rate_policy=hope", "feeds.main.rate_policy", "'reject' or 'wait'"),
        ("high_watermak=5", "feeds.main.high_watermak", "high_watermark"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(project: Path, said: str, place: str, message: str) -> None:
    text = problems(project, f"feeds.main.{said}")
    assert place in text
    assert message in text


def test_what_contradicts_itself_is_said_at_once(project: Path) -> None:
    (project / "config" / "base" / "runtime.toml").write_text(BASE.replace('path = "main.ticks"\n', ""))
    (project / "config" / "paper" / "runtime.toml").write_text(
        '[feeds.main]\nadapter = "published"\nspeed = 2\npolicy = "block"\nhigh_watermark = 5\nlow_watermark = 5\n'
        'options = { instruments = ["A.SIM"], policy = "reject" }\n'
    )
    text = problems(project)
    for line, said in {
        "3: feeds.main.speed": "publishes at a pace of its own",
        "4: feeds.main.policy": "is said in options.policy too",
        "6: feeds.main.low_watermark": "low_watermark 5 is not below high_watermark 5",
    }.items():
        assert f"config/paper/runtime.toml:{line}: " in text
        assert said in text


def test_recorded_and_paced_feeds_do_not_mix(project: Path) -> None:
    (project / "config" / "paper" / "more.toml").write_text('[feeds.other]\npath = "main.ticks"\n')
    assert "is recorded, while other feeds are live" in problems(project)


def test_how_long_a_simulation_waits_for_a_coroutine_is_a_setting(project: Path) -> None:
    said = ("runtime.spawn_timeout_s=0.05", "strategies.noter.class=feed_keys_noter:Spawner")
    with bootstrapped(project, *said, env="backtest") as runtime:
        result = runtime.run()
    assert "did not end within 0.05 s" in result.errors[0].message
    assert "runtime.spawn_timeout_s" in problems(project, "runtime.spawn_timeout_s=0")
    assert "runtime.spawn_timeout_s" in problems(project, "runtime.spawn_timeout_s=100000")


def command(project: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tickrail", *arguments, "--config-root", str(project / "config")]


def test_the_command_replays_in_paper_and_ends(project: Path) -> None:
    done = subprocess.run(
        [*command(project, "run", "--env", "paper"), "--json"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["status"], said["ticks"]) == ("complete", 40)


def test_a_stop_ends_a_replay_whose_next_tick_is_hours_away(project: Path) -> None:
    mark = project / "has_begun"
    environ = {**os.environ, "TICKRAIL_FEEDS__MAIN__SPEED": "0.000001", "FEED_KEYS_MARK": str(mark)}
    process = subprocess.Popen(
        command(project, "run", "--env", "paper"),
        cwd=project,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert time.monotonic() - began < 20
    assert "1 tick" in out


def test_keys_about_live_feeds_that_nobody_sets_leave_digests_as_they_were(project: Path) -> None:
    from tickrail.config import load_config

    def digest(*overrides: str) -> bytes:
        return load_config("backtest", root=project / "config", environ={}, overrides=overrides).digest

    assert digest("runtime.spawn_timeout_s=5.0") == digest()
    assert len({digest(), digest("feeds.main.policy=block"), digest("feeds.main.speed=1.0")}) == 3


def published(project: Path, options: str = "", more: str = "") -> None:
    """The feed is one that the program publishes into."""
    (project / "config" / "base" / "runtime.toml").write_text(BASE.replace('path = "main.ticks"\n', ""))
    (project / "config" / "paper" / "runtime.toml").write_text(
        f'[feeds.main]\nadapter = "published"\noptions = {{ instruments = ["A.SIM"]{options} }}\n{more}'
    )


def test_an_option_of_another_type_is_left_to_who_opens_the_feed(project: Path) -> None:
    published(project, ', capacity = "many"')
    text = problems(project, "feeds.main.high_watermark=5")
    assert "feeds.main.options" in text
    assert "many" in text or "capacity" in text


def test_a_clock_by_records_wants_one_feed_of_recordings(project: Path) -> None:
    published(project, more='[feeds.other]\nadapter = "published"\noptions = { instruments = ["B.SIM"] }\n')
    text = problems(project, "runtime.clock=sim")
    for said in (
        "runtime.clock: is 'sim', while 2 feeds are live; expected one of them: its times are the clock",
        "feeds.main.adapter: does not bring the times at which its records were received",
        "feeds.other.adapter: does not bring the times at which its records were received",
        "runtime.order_by: is 'ts_event', while runtime.clock is 'sim'; expected 'ts_init'",
        "runtime.digest: is 'events', while runtime.clock is 'sim'; expected 'full'",
    ):
        assert said in text


def test_a_replay_that_is_given_up_says_how_far_it_came(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It waits no longer for a strategy than its feed allows: the run ends with what was taken until then."""
    write_ticks(project / "main.ticks", 5_000)
    said = ("feeds.main.speed=max", "feeds.main.capacity=2", "feeds.main.timeout_s=0.001")
    with bootstrapped(project, *said) as runtime:
        runtime.dispatcher.strategies["noter"].log = lambda: time.sleep(0.05)
        result = runtime.run()
    assert 0 < result.ticks < 5_000
    (told,) = [one.getMessage() for one in caplog.records if "its replay ended after" in one.getMessage()]
    assert told.startswith("feed 'main': its replay ended after ")


def test_a_replay_that_never_began_is_closed_without_a_word(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with bootstrapped(project):
        pass
    assert [one for one in caplog.records if "replay" in one.getMessage()] == []
