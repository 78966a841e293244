"""The report as a browser shows it: everything is drawn, nothing is cut off or fetched, and a closer look is one."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tickrail
from tickrail import AccountTerms, Strategy, Tick

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (Debian: apt install chromium)")

NAME = "A&<b>.SIM"

#: Asks the page, once it is laid out, where everything is. What it finds becomes the page's text.
PROBE = """
<script>addEventListener('load', () => {
  const box = (one) => { const b = one.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; };
  const charts = [...document.querySelectorAll('figure')].map((figure) => {
    const svg = figure.querySelector('svg');
    return {title: figure.querySelector('figcaption').firstChild.textContent.trim(), box: box(svg),
            shapes: [...svg.querySelectorAll('polyline,polygon')].map(box),
            points: svg.querySelectorAll('circle').length, texts: [...svg.querySelectorAll('text')].map(box)};
  });
  const found = {charts, width: document.documentElement.scrollWidth, window: innerWidth,
                 tables: [...document.querySelectorAll('table')].map((one) => one.rows.length),
                 fetched: performance.getEntriesByType('resource').length};
  document.body.textContent = JSON.stringify(found);
});</script>
"""


#: Moves over the first chart, drags over a part of it, and goes back: what the charts say each time.
LOOK = """
<script>addEventListener('load', () => {
  const svgs = [...document.querySelectorAll('figure svg')];
  const box = svgs[0].getBoundingClientRect();
  const at = (kind, x) => svgs[0].dispatchEvent(new PointerEvent(kind, {
    clientX: box.left + x / 960 * box.width, clientY: box.top + 90, pointerId: 1, bubbles: true}));
  SVGElement.prototype.setPointerCapture = () => undefined;  // there is no such pointer
  const said = () => svgs.map((svg) => ({
    readout: svg.parentElement.querySelector('.readout').textContent,
    times: [...svg.querySelectorAll('text')].slice(-2).map((one) => one.textContent),
    levels: [...svg.querySelectorAll('text')].slice(0, -2).map((one) => one.textContent),
    points: (svg.querySelector('polyline,polygon').getAttribute('points') || '').split(' ').length,
    dots: svg.querySelectorAll('g[clip-path] circle').length,
    wide: svg.querySelector('.look rect') ? svg.querySelector('.look rect').getBBox().width : 0}));
  const found = {};
  at('pointermove', 84 + 870 / 2); found.moved = said();
  at('pointerdown', 84 + 870 / 4); at('pointermove', 84 + 870 / 2); found.dragged = said();
  at('pointerup', 84 + 870 / 2); found.part = said();
  at('dblclick', 300); found.whole = said();
  document.body.textContent = JSON.stringify(found);
});</script>
"""


class Turns(Strategy):
    """Long, flat, short, flat."""

    def on_start(self) -> None:
        self.count = 0

    def on_quote(self, tick: Tick) -> None:
        self.count += 1
        if self.count % 40 == 0:
            self.target(tick.instrument, (1.0, 0.0, -1.0, 0.0)[self.count // 40 % 4])


def seen(page: Path, folder: Path, probe: str = PROBE) -> dict[str, Any]:
    """What the browser has made of the page."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text() + probe)
    command = [
        *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=1100,900", "--virtual-time-budget=5000"),
        *("--dump-dom", probed.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    body = re.search(r"<body>(\{.*\})</body>", done.stdout, re.DOTALL)
    assert body, f"exit {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}"
    found: dict[str, Any] = json.loads(html.unescape(body[1]))
    return found


@pytest.mark.slow
def test_everything_is_drawn_within_its_frame_and_nothing_is_fetched(tmp_path: Path) -> None:
    count = 4_000
    records = np.zeros(count, tickrail.TICK_DTYPE)
    records["kind"] = 1
    records["ts_event"] = records["ts_init"] = (1 + np.arange(count)) * 60_000_000_000
    mids = 100.0 + np.cumsum(np.random.default_rng(11).normal(scale=0.1, size=count))
    records["value_0"], records["value_1"] = mids - 0.01, mids + 0.01
    records["value_2"] = records["value_3"] = 1e6
    data = tickrail.TickArray.from_records(records, instruments=[{"id": NAME, "currency": "USD"}])
    result = tickrail.backtest({"<i>one</i>": Turns(), "two": Turns()}, data, account=AccountTerms(capital=1_000.0))
    found = seen(result.report(tmp_path / "report.html", ticks=data), tmp_path)

    assert [chart["title"] for chart in found["charts"]] == ["Equity", "Below the peak", "Profit by strategy", NAME]
    for chart in found["charts"]:
        left, top, width, height = chart["box"]
        assert width > 600, "as wide as the page"
        assert height > 100
        assert chart["shapes"], "a line, at least"
        for x, y, wide, high in [*chart["shapes"], *chart["texts"]]:
            assert left - 1 <= x, "nothing is cut off"
            assert x + wide <= left + width + 1
            assert top - 1 <= y
            assert y + high <= top + height + 1
        assert max(wide for _, _, wide, _ in chart["shapes"]) > 0.8 * width, "the line fills its frame"
    assert found["charts"][3]["points"] == len(result.fills)
    assert found["width"] <= found["window"], "nobody has to scroll sideways"
    assert len(found["tables"]) == 5, "statistics, fills, markouts, orders, the run"
    assert found["fetched"] == 0


def test_a_part_of_the_time_is_drawn_anew_with_every_point_and_a_point_tells_its_figures(tmp_path: Path) -> None:
    from tickrail.report.curves import chart

    # 8,001 seconds of a saw: the drawing thins them out, and what is beside them has each.
    seconds = np.arange(8_001)
    ts = (1_700_000_000 + seconds) * 1_000_000_000
    values = 1_000_000.0 + (seconds % 7) + 100.0 * (seconds == 3_000)
    late = seconds[6_000:]
    charts = [
        chart("Equity", [("</script><b>", ts, values)], [("bought", ts[10::400], values[10::400], "#2da44e")]),
        chart("Below the peak", [("drawdown", ts, values - 1_000_100.0)], fill=True),
        chart("Later", [("late", ts[6_000:], late.astype(float))]),
    ]
    look = (Path(tickrail.__file__).parent / "report" / "look.js").read_text()
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{''.join(charts)}<script>{look}</script></body>")
    found = seen(page, tmp_path, LOOK)

    middle = "2023-11-14T23:20:00Z   </script><b> 1,000,003   bought 1,000,006"
    assert found["moved"][0]["readout"] == middle, "the point of 4,000 s, and what was bought 10 s later"
    assert found["dragged"][0]["wide"] == pytest.approx(870 / 4, abs=1)
    assert [one["times"] for one in found["part"][:2]] == [["2023-11-14T22:46:40Z", "2023-11-14T23:20:00Z"]] * 2
    assert found["part"][2]["times"] == ["2023-11-14T23:53:20Z", "2023-11-15T00:26:40Z"], "it has nothing of that part"
    assert found["part"][0]["levels"][-1] == "1,000,100", "the spike is there"
    assert found["part"][0]["dots"] == 5, "every 400 s from 2,010 to 3,610"
    assert found["part"][1]["points"] >= 1_000
    assert [one["times"] for one in found["whole"]] == [one["times"] for one in found["moved"]]
    assert found["whole"][0]["dots"] == 20
