"""Lines as SVG: at most a thousand steps each, with the least and the most of every step, so that no spike is lost.

Beside each drawing stand more of its points, for ``look.js``, which draws a part of them anew.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tickrail.domain.time import format_ns

__all__ = ["chart"]

WIDTH: Final = 960
HEIGHT: Final = 240
LEFT: Final = 84
BOTTOM: Final = 22
STEPS: Final = 1_000
#: Steps for a closer look, all lines of a chart together: 16 bytes each, and a third more as text.
LOOK_STEPS: Final = 10_000
#: Parts of a figure for a closer look: those of 32 bits.
WHOLE: Final = 2**32 - 1
COLOURS: Final = ("#1f6feb", "#d29922", "#2da44e", "#8250df", "#cf222e", "#0f766e", "#bf3989", "#57606a")

Line = tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64]]
Marks = tuple[str, npt.NDArray[np.int64], npt.NDArray[np.float64], str]


def chart(title: str, lines: Sequence[Line], marks: Sequence[Marks] = (), *, fill: bool = False) -> str:
    """One chart.

    Args:
        title: Above it.
        lines: Name, times (ns UTC, rising) and values of each.
        marks: Name, times, values and colour of points.
        fill: Whether the room between a line and zero is filled.
    """
    lines = [(name, *_known(ts, values)) for name, ts, values in lines]
    drawn = [(name, *_steps(ts, values)) for name, ts, values in lines if len(ts)]
    points = [(name, *_known(ts, values), colour) for name, ts, values, colour in marks]
    points = [one for one in points if len(one[1])]
    if not drawn and not points:
        return f"<figure><figcaption>{html.escape(title)}</figcaption><p>nothing to show</p></figure>"
    every = [(ts, values) for _, ts, values in drawn] + [(ts, values) for _, ts, values, _ in points]
    begin, end = min(int(ts[0]) for ts, _ in every), max(int(ts[-1]) for ts, _ in every)
    low = min(float(np.nanmin(values)) for _, values in every)
    high = max(float(np.nanmax(values)) for _, values in every)
    low, high = (min(low, 0.0), max(high, 0.0)) if fill else (low, high)
    frame = _Frame(begin, max(end, begin + 1), low, high if high > low else low + 1.0)
    body = "".join(_line(frame, ts, values, COLOURS[n % 8], fill=fill) for n, (_, ts, values) in enumerate(drawn))
    body += "".join(_points(frame, ts, values, colour) for _, ts, values, colour in points)
    named = [(name, COLOURS[n % 8]) for n, (name, _, _) in enumerate(drawn)]
    named += [(name, colour) for name, _, _, colour in points]
    key = " ".join(f'<span style="color:{colour}">&#9632; {html.escape(name)}</span>' for name, colour in named)
    shown = html.escape(title)
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{shown}">{frame.axes()}{body}</svg>'
    closer = _closer(frame, [one for one in lines if len(one[1])], points, fill=fill)
    return f"<figure><figcaption>{shown} {key}</figcaption>{svg}{closer}</figure>"


def _known(
    ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    known = np.isfinite(values)
    return (ts, values) if known.all() else (ts[known], values[known])


def _closer(frame: _Frame, lines: Sequence[Line], marks: Sequence[Marks], *, fill: bool) -> str:
    """The points for a closer look, as data that no browser takes for a script."""
    steps = LOOK_STEPS // max(1, len(lines))
    told = {
        "begin": frame.begin / 1e6,
        "end": frame.end / 1e6,
        "fill": fill,
        "lines": [
            _packed(frame, name, *_steps(ts, values, steps), COLOURS[n % 8])
            for n, (name, ts, values) in enumerate(lines)
        ],
        "marks": [_packed(frame, name, *_some(ts, values, LOOK_STEPS), colour) for name, ts, values, colour in marks],
    }
    text = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def _packed(
    frame: _Frame, name: str, ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], colour: str
) -> dict[str, object]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    parts = (values - low) / ((high - low) or 1.0)
    times = (ts - frame.begin) / (frame.end - frame.begin)
    return {"name": name, "colour": colour, "low": low, "high": high, "t": _text(times), "v": _text(parts)}


def _text(parts: npt.NDArray[np.float64]) -> str:
    """Numbers from 0 to 1 as whole numbers of 32 bits."""
    return base64.b64encode(np.round(parts * WHOLE).astype("<u4").tobytes()).decode()


class _Frame:
    def __init__(self, begin: int, end: int, low: float, high: float) -> None:
        self.begin, self.end, self.low, self.high = begin, end, low, high

    def x(self, ts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        part: npt.NDArray[np.float64] = (ts - self.begin) / (self.end - self.begin)
        return LEFT + part * (WIDTH - LEFT - 6)

    def y(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return 6 + (self.high - values) / (self.high - self.low) * (HEIGHT - BOTTOM - 12)

    def axes(self) -> str:
        levels = _round_levels(self.low, self.high)
        rows = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 6}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_shown(level)}</text>'
            for level, y in zip(levels, self.y(levels), strict=True)
        )
        ends = ((LEFT, "start", self.begin), (WIDTH - 6, "end", self.end))
        times = (
            f'<text x="{x}" y="{HEIGHT - 5}" text-anchor="{anchor}">{html.escape(format_ns(ts)[:19])}</text>'
            for x, anchor, ts in ends
        )
        return rows + "".join(times)


def _steps(
    ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], steps: int = STEPS
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """At most two points for each of ``steps`` equal parts of the points: the least and the most, in their order."""
    count = len(ts)
    if count <= 2 * steps:
        return ts, values
    size = -(-count // steps)
    parts = np.pad(values, (0, size * steps - count), mode="edge").reshape(steps, size)
    starts = np.arange(steps) * size
    kept = np.concatenate([[0], starts + parts.argmin(axis=1), starts + parts.argmax(axis=1)])
    chosen = np.unique(np.append(np.minimum(kept, count - 1), count - 1))
    return ts[chosen], values[chosen]


def _some(
    ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Points evenly chosen, where there are more."""
    chosen = np.unique(np.linspace(0, len(ts) - 1, min(len(ts), most)).astype(np.int64))
    return ts[chosen], values[chosen]


def _line(frame: _Frame, ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], colour: str, *, fill: bool) -> str:
    x, y = frame.x(ts), frame.y(values)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    if not fill:
        return f'<polyline fill="none" stroke="{colour}" stroke-width="1.4" points="{points}"/>'
    base = float(frame.y(np.zeros(1))[0])
    return (
        f'<polygon fill="{colour}" fill-opacity="0.35" points="{x[0]:.1f},{base:.1f} {points} {x[-1]:.1f},{base:.1f}"/>'
    )


def _points(frame: _Frame, ts: npt.NDArray[np.int64], values: npt.NDArray[np.float64], colour: str) -> str:
    ts, values = _some(ts, values, 2 * STEPS)
    pairs = zip(frame.x(ts), frame.y(values), strict=True)
    return "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.2" fill="{colour}"/>' for a, b in pairs)


def _round_levels(low: float, high: float) -> npt.NDArray[np.float64]:
    """Three to eight round numbers from ``low`` to ``high``."""
    least = (high - low) / 6
    decade = 10.0 ** np.floor(np.log10(least))
    step = next(step for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * decade >= least) * decade
    levels: npt.NDArray[np.float64] = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return levels


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.6g}"
