"""Adapters that an installed package announces by entry points: a real distribution, found by its metadata."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tickrail.errors import WiringError
from tickrail.orchestration.adapters import GROUP, adapter_names, make_adapter
from tickrail.testing import boot

MODULE = """
    from tickrail.testing.execution import FakeVenue
    from tickrail.testing.market_data import FakeMarketData

    IMPORTED = True

    class ShopFeed(FakeMarketData):
        def __init__(self, *, name, count=7):
            super().__init__(name=name, count=count)

    class ShopVenue(FakeVenue): ...
"""
ENTRY_POINTS = f"""\
[{GROUP}]
feed.shop = shop_feeds:ShopFeed
feed.gone = shop_feeds_gone:Feed
feed.nothing = shop_feeds:Nothing
feed.ticks = shop_feeds:ShopFeed
venue.shop = shop_feeds:ShopVenue
"""
STRATEGY = "from tickrail import Strategy\n\n\nclass Idle(Strategy):\n    def on_tick(self, tick): ...\n"
TABLES = {
    "feeds": {"x": {"adapter": "shop", "options": {"count": 5}}},
    "venues": {"SIM": {"adapter": "shop"}},
    "strategies": {"one": {"class": "idle_here:Idle"}},
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What pip leaves behind: a module and its metadata."""
    site = tmp_path / "site"
    info = site / "shop_feeds-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-feeds\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (info / "INSTALLER").write_text("pip\n")
    (info / "RECORD").write_text("shop_feeds.py,,\n")
    (site / "shop_feeds.py").write_text(dedent(MODULE))
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "shop_feeds", raising=False)
    importlib.invalidate_caches()
    return site


def test_what_is_announced_is_known_by_its_kind_and_not_imported(installed: Path) -> None:
    assert {"gone", "nothing", "published", "shop", "ticks"} <= set(adapter_names("feed"))
    assert "shop" in adapter_names("venue")
    assert "gone" not in adapter_names("venue")
    assert "shop_feeds" not in sys.modules, "nothing is imported before a configuration names it"


def test_nothing_is_known_without_it() -> None:
    assert "shop" not in adapter_names("feed")
    with pytest.raises(WiringError, match="no adapter 'shop' in this installation"):
        make_adapter("feed", "shop", name="x", settings={})


def test_it_is_made_with_its_settings_and_held_to_its_port(installed: Path) -> None:
    made = make_adapter("feed", "shop", name="x", settings={"count": 3})
    assert (type(made).__module__, type(made).__name__, made.name) == ("shop_feeds", "ShopFeed", "x")
    assert len(made.open()) == 3
    with pytest.raises(WiringError, match="adapter 'shop' takes no 'cuont'; did you mean 'count'"):
        make_adapter("feed", "shop", name="x", settings={"cuont": 3})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", r"adapter 'gone' \(shop_feeds_gone:Feed\) cannot be imported: ModuleNotFoundError"),
        ("nothing", "adapter 'nothing': module 'shop_feeds' has no 'Nothing'"),
        ("shpo", "no adapter 'shpo' in this installation; did you mean 'shop'"),
    ],
)
def test_what_is_wrong_with_it_is_said(installed: Path, name: str, said: str) -> None:
    with pytest.raises(WiringError, match=said):
        make_adapter("feed", name, name="x", settings={})


def test_a_name_of_ours_cannot_be_taken(installed: Path) -> None:
    with pytest.raises(WiringError, match="adapter 'ticks'"):
        make_adapter("feed", "ticks", name="x", settings={"count": 3})
    assert "shop_feeds" not in sys.modules


def test_a_configuration_names_it_without_any_prefix(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "idle_here.py").write_text(STRATEGY)
    with boot(TABLES, folder=tmp_path) as runtime:
        assert runtime.run().ticks == 5
    sys.modules.pop("idle_here", None)


@pytest.mark.slow
def test_the_command_line_finds_it_in_a_process_of_its_own(site: Path, tmp_path: Path) -> None:
    (tmp_path / "idle_here.py").write_text(STRATEGY)
    (tmp_path / "config" / "live").mkdir(parents=True)
    (tmp_path / "config" / "live" / "a.toml").write_text(
        '[feeds.x]\nadapter = "shop"\n[venues.SIM]\nadapter = "shop"\n[strategies.one]\nclass = "idle_here:Idle"\n'
    )

    def check(path: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tickrail", "check", "--env", "live"],
            cwd=tmp_path,
            env={"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    assert check(str(site)) == (0, "")
    code, said = check("")
    assert code == 78
    assert "config/live/a.toml:2: feeds.x.adapter: no adapter 'shop'" in said
