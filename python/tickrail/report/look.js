// A closer look at the charts of a report: drag for a part of the time, double click for all of it, move for the figures.
// The page is whole without this: what is drawn anew here was drawn before. Names are text and never markup.
"use strict";
(() => {
  const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [960, 240, 84, 6, 6, 28];
  const WHOLE = 4294967295; // steps of a figure: see curves.py
  const PLACES = WIDTH - LEFT - RIGHT;

  const decode = (text, low, high) => {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    return Float64Array.from(new Uint32Array(bytes.buffer), (one) => low + (one / WHOLE) * (high - low));
  };

  // The first place whose time is at least `when`.
  const place = (times, when) => {
    let [low, high] = [0, times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < when) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const nearest = (curve, when) => {
    const after = Math.min(place(curve.t, when), curve.t.length - 1);
    return after > 0 && when - curve.t[after - 1] < curve.t[after] - when ? after - 1 : after;
  };

  const shown = (value) => value.toLocaleString("en-US", { maximumSignificantDigits: 9 });
  const clock = (ms, span) => new Date(ms).toISOString().slice(0, span < 10000 ? 23 : 19) + "Z";

  const levels = (low, high) => {
    const least = (high - low) / 6;
    const decade = 10 ** Math.floor(Math.log10(least));
    const step = decade * [1, 2, 2.5, 5, 10].find((one) => one * decade >= least);
    const found = [];
    for (let n = Math.ceil(low / step); n * step <= high; n += 1) found.push(n * step);
    return found;
  };

  // Of each place on the screen the least and the most, with the points beside the part: nothing else can be seen.
  const thinned = (curve, begin, end) => {
    const from = Math.max(0, place(curve.t, begin) - 1);
    const to = Math.min(curve.t.length, place(curve.t, end) + 1);
    const size = Math.max(1, Math.ceil((to - from) / PLACES));
    const kept = [];
    for (let start = from; start < to; start += size) {
      let [least, most] = [start, start];
      for (let n = start; n < Math.min(to, start + size); n += 1) {
        if (curve.v[n] < curve.v[least]) least = n;
        if (curve.v[n] > curve.v[most]) most = n;
      }
      kept.push(Math.min(least, most));
      if (least !== most) kept.push(Math.max(least, most));
    }
    return kept;
  };

  const draw = (chart) => {
    const { begin, end } = chart;
    const lines = chart.lines.map((line) => thinned(line, begin, end));
    const marks = chart.marks.map((mark) => {
      const found = [];
      for (let n = place(mark.t, begin); n < mark.t.length && mark.t[n] <= end; n += 1) found.push(n);
      return found;
    });
    let [low, high] = [Infinity, -Infinity];
    const note = (value) => ([low, high] = [Math.min(low, value), Math.max(high, value)]);
    lines.forEach((kept, n) => kept.forEach((at) => note(chart.lines[n].v[at])));
    marks.forEach((kept, n) => kept.forEach((at) => note(chart.marks[n].v[at])));
    if (chart.fill) note(0);
    if (!(high > low)) [low, high] = low === Infinity ? [0, 1] : [low, low + 1];
    chart.x = (time) => LEFT + ((time - begin) / (end - begin)) * PLACES;
    chart.y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - BOTTOM - TOP);
    const point = (curve) => (at) => `${chart.x(curve.t[at]).toFixed(1)},${chart.y(curve.v[at]).toFixed(1)}`;
    const rows = levels(low, high).map((level) => {
      const y = chart.y(level);
      return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/>` +
        `<text x="${LEFT - 6}" y="${y + 4}" text-anchor="end">${shown(level)}</text>`;
    });
    const times = [[LEFT, "start", begin], [WIDTH - RIGHT, "end", end]].map(([x, anchor, time]) =>
      `<text x="${x}" y="${HEIGHT - 5}" text-anchor="${anchor}">${clock(time, end - begin)}</text>`);
    const drawn = lines.map((kept, n) => {
      const line = chart.lines[n];
      const points = kept.map(point(line)).join(" ");
      if (!chart.fill || !kept.length) return `<polyline fill="none" stroke="${line.colour}" stroke-width="1.4" points="${points}"/>`;
      const [first, last] = [chart.x(line.t[kept[0]]), chart.x(line.t[kept.at(-1)])];
      return `<polygon fill="${line.colour}" fill-opacity="0.35" points="${first},${chart.y(0)} ${points} ${last},${chart.y(0)}"/>`;
    });
    const dots = marks.map((kept, n) => kept.map((at) => {
      const [x, y] = point(chart.marks[n])(at).split(",");
      return `<circle cx="${x}" cy="${y}" r="2.2" fill="${chart.marks[n].colour}"/>`;
    }).join(""));
    const frame = `<clipPath id="${chart.id}"><rect x="${LEFT}" y="0" width="${PLACES}" height="${HEIGHT}"/></clipPath>`;
    chart.svg.innerHTML = `${frame}${rows.join("")}${times.join("")}<g clip-path="url(#${chart.id})">` +
      `${drawn.join("")}${dots.join("")}</g><g class="look"></g>`;
    chart.look = chart.svg.querySelector(".look");
  };

  const told = (chart, x) => {
    const when = chart.begin + ((x - LEFT) / PLACES) * (chart.end - chart.begin);
    const curves = [...chart.lines, ...chart.marks].filter((one) => one.t.length);
    const reach = ((chart.end - chart.begin) / PLACES) * 6;
    const found = curves.map((curve) => [curve, nearest(curve, when)])
      .filter(([curve, at], n) => n < chart.lines.length || Math.abs(curve.t[at] - when) <= reach);
    if (!found.length) return;
    const at = found[0][0].t[found[0][1]];
    const dots = found.map(([curve, n]) =>
      `<circle cx="${chart.x(curve.t[n])}" cy="${chart.y(curve.v[n])}" r="3.4" fill="none" stroke="${curve.colour}"/>`);
    chart.look.innerHTML = `<line x1="${chart.x(at)}" x2="${chart.x(at)}" y1="0" y2="${HEIGHT - BOTTOM}" stroke="#57606a"/>${dots.join("")}`;
    const figures = found.map(([curve, n]) => `${curve.name} ${shown(curve.v[n])}`);
    chart.readout.textContent = [clock(at, chart.end - chart.begin), ...figures].join("   ");
  };

  const charts = [...document.querySelectorAll("figure > script")].map((script, number) => {
    const { begin, end, fill, lines, marks } = JSON.parse(script.textContent);
    const curve = (one) => ({ ...one, t: decode(one.t, begin, end), v: decode(one.v, one.low, one.high) });
    const figure = script.parentElement;
    const readout = figure.appendChild(document.createElement("div"));
    readout.className = "readout";
    readout.textContent = "drag: a part of the time; double click: all of it";
    return { id: `part${number}`, svg: figure.querySelector("svg"), readout, fill, begin, end, all: [begin, end],
      lines: lines.map(curve), marks: marks.map(curve) };
  });

  // All charts show the same part of the time, as far as they have it.
  const zoom = (begin, end) => charts.forEach((chart) => {
    const [first, last] = chart.all;
    const part = [Math.max(first, begin), Math.min(last, end)];
    [chart.begin, chart.end] = part[1] > part[0] ? part : chart.all;
    draw(chart);
  });

  charts.forEach((chart) => {
    let from = null;
    const at = (event) => {
      const box = chart.svg.getBoundingClientRect();
      return Math.min(WIDTH - RIGHT, Math.max(LEFT, ((event.clientX - box.left) / box.width) * WIDTH));
    };
    draw(chart);
    chart.svg.addEventListener("pointerdown", (event) => {
      from = at(event);
      chart.svg.setPointerCapture?.(event.pointerId);
    });
    chart.svg.addEventListener("pointermove", (event) => {
      const x = at(event);
      told(chart, x);
      if (from === null) return;
      chart.look.innerHTML += `<rect x="${Math.min(from, x)}" y="0" width="${Math.abs(x - from)}" height="${HEIGHT - BOTTOM}" ` +
        'fill="#1f6feb" fill-opacity="0.15"/>';
    });
    chart.svg.addEventListener("pointerup", (event) => {
      const [begin, end] = [from, at(event)].sort((a, b) => a - b);
      from = null;
      if (end - begin < 4) return;
      const time = (x) => chart.begin + ((x - LEFT) / PLACES) * (chart.end - chart.begin);
      zoom(time(begin), time(end));
    });
    chart.svg.addEventListener("dblclick", () => zoom(-Infinity, Infinity));
    chart.svg.addEventListener("pointercancel", () => (from = null));
    chart.svg.addEventListener("pointerleave", () => {
      if (from === null) chart.look.innerHTML = "";
    });
  });
})();
