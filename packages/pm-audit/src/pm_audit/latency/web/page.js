// Draws what chart_data.py wrote into the page: one uPlot per panel, one time axis for all of them.
(() => {
"use strict";
const data = JSON.parse(document.getElementById("chart-data").textContent);
const root = document.documentElement;
const panels = document.getElementById("panels");
const readout = document.getElementById("readout");
const wall = data.t0_ms !== null;
const T0 = wall ? data.t0_ms / 1000 : 0;
const END = T0 + Math.max(data.end_s, 0.001);
// A point without values at either end: every panel spans the whole run, measured or not.
const X = [T0, ...data.x.map(s => T0 + s), END];
const padded = values => [null, ...values, null];
const shards = [...new Set(data.bands.map(b => b[0]))];
const LINKS = {
  connected: "connected", fault: "lost by a fault", planned: "given up as planned",
  waiting: "no connection yet", ended: "closed by the stop",
};
const DASHES = [[], [7, 3], [2, 2], [9, 3, 2, 3]];
const Y_AXIS = 54;
const SYNC = uPlot.sync("run");
let plots = [];
let busy = false;

const colour = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
const pad = (n, width = 2) => String(n).padStart(width, "0");

function number(v) {
  if (v === null || v === undefined) return "–";
  const size = Math.abs(v);
  if (size !== 0 && size < 0.001) return v.toExponential(1);
  if (size >= 1000) return v.toLocaleString("en-US", { maximumFractionDigits: 0 });
  return String(Number(v.toPrecision(4)));
}

function clock(seconds, step) {
  if (!wall) return elapsed(seconds);
  const d = new Date(Math.round(seconds * 1000));
  const hm = pad(d.getUTCHours()) + ":" + pad(d.getUTCMinutes());
  if (step >= 60) return hm;
  const s = hm + ":" + pad(d.getUTCSeconds());
  return step >= 1 ? s : s + "." + pad(d.getUTCMilliseconds(), 3);
}

const day = seconds => new Date(seconds * 1000).toISOString().slice(0, 10);

function elapsed(seconds) {
  const s = Math.max(0, seconds);
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60, rest = (s % 60).toFixed(s < 600 ? 1 : 0);
  return "+" + (h ? h + "h" + pad(m) + "m" : m ? m + "m" : "") + rest + "s";
}

function range(u) {
  const { min, max } = u.scales.x;
  if (!wall) return elapsed(min) + " to " + elapsed(max) + ". Drag to zoom.";
  const until = (day(min) === day(max) ? "" : day(max) + " ") + clock(max, 1);
  return day(min) + " " + clock(min, 1) + " to " + until + " UTC. Drag to zoom.";
}

function say(u) {
  const left = u.cursor.left;
  if (left === undefined || left < 0) { readout.textContent = range(u); return; }
  const t = u.posToVal(left, "x");
  readout.textContent = wall
    ? day(t) + " " + clock(t, 0.1) + " UTC  " + elapsed(t - T0)
    : elapsed(t);
}

function timeLabels(u, splits, _axis, _space, step) {
  // A day that begins is named; which day it is before that, the line above says.
  return splits.map((t, i) => wall && i && day(t) !== day(splits[i - 1]) ? day(t).slice(5) : clock(t, step));
}

// Each link has a pattern of its own, so that no one has to tell colours apart.
function pattern(link) {
  const ratio = Math.max(1, Math.round(devicePixelRatio));
  const size = 8 * ratio;
  const tile = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const c = tile.getContext("2d");
  c.fillStyle = colour(link);
  c.fillRect(0, 0, size, size);
  if (link === "fault") {
    c.strokeStyle = colour("faultline");
    c.lineWidth = 1.6 * ratio;
    for (const shift of [-size, 0, size]) {
      c.beginPath(); c.moveTo(shift, size); c.lineTo(shift + size, 0); c.stroke();
    }
  } else if (link === "planned") {
    c.fillStyle = colour("plannedline");
    c.beginPath(); c.arc(size / 2, size / 2, 1.5 * ratio, 0, 7); c.fill();
  } else if (link === "waiting") {
    c.fillStyle = colour("card");
    c.fillRect(0, 0, size, size / 2);
  }
  return c.createPattern(tile, "repeat");
}

function paintBands(u) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const row = bbox.height / Math.max(1, shards.length);
  const gap = row > 8 * ratio ? 3 * ratio : 0;
  const fills = {};
  ctx.save();
  ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
  // Losses last and at least three pixels wide: a short one in a long run must still be seen.
  const urgent = link => link === "fault" ? 2 : link === "planned" ? 1 : 0;
  for (const [shard, link, from, to] of [...data.bands].sort((a, b) => urgent(a[1]) - urgent(b[1]))) {
    fills[link] ??= pattern(link);
    const left = u.valToPos(T0 + from, "x", true);
    const right = u.valToPos(T0 + to, "x", true);
    const width = urgent(link) ? Math.max(right - left, 3 * ratio) : right - left;
    if (left + width < bbox.left || left > bbox.left + bbox.width) continue;
    ctx.fillStyle = fills[link];
    ctx.fillRect(left, bbox.top + shards.indexOf(shard) * row + gap / 2, width, row - gap);
  }
  ctx.restore();
}

function paintMarks(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = colour("soft");
  ctx.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  for (const [at, what] of data.marks) {
    const x = u.valToPos(T0 + at, "x", true);
    if (x >= bbox.left && x <= bbox.left + bbox.width) {
      ctx.fillText(what === "refresh" ? "▼" : "◆", x, bbox.top + bbox.height);
    }
  }
  ctx.restore();
}

function widths() { return Math.max(260, panels.clientWidth - (innerWidth <= 640 ? 12 : 24)); }

function axes(yAxis, timeShown) {
  const font = "12px system-ui, sans-serif";
  const grid = { stroke: colour("grid"), width: 1 };
  return [
    {
      stroke: colour("soft"), font, grid, side: timeShown ? 0 : 2, space: 84,
      ticks: { show: timeShown, stroke: colour("line"), size: 4 },
      size: timeShown ? 26 : 0, values: timeShown ? timeLabels : (_, s) => s.map(() => ""),
    },
    { stroke: colour("soft"), font, grid, size: Y_AXIS, gap: 6, ticks: { show: false }, ...yAxis },
  ];
}

function make(holder, height, series, values, yScale, yAxis, more) {
  const u = new uPlot({
    width: widths(), height, series: [{}, ...series],
    padding: [6, 10, more.timeShown ? 0 : 6, 0],
    tzDate: ts => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
    legend: { show: false },
    scales: { x: { time: wall }, y: yScale },
    axes: axes(yAxis, more.timeShown),
    bands: more.bands,
    cursor: {
      y: false, sync: { key: SYNC.key, scales: ["x", null] },
      drag: { x: true, y: false }, points: { size: 6 },
    },
    hooks: {
      setScale: [(one, key) => key === "x" && follow(one)],
      setCursor: [one => { say(one); more.key?.(one); }],
      ...more.hooks,
    },
  }, [X, ...values], holder);
  SYNC.sub(u);
  plots.push(u);
  return u;
}

function follow(from) {
  if (busy || from.scales.x.min === null) return;
  busy = true;
  const { min, max } = from.scales.x;
  for (const u of plots) {
    if (u !== from && (u.scales.x.min !== min || u.scales.x.max !== max)) u.setScale("x", { min, max });
  }
  busy = false;
  say(from);
}

function panel(title, unit, label) {
  const box = document.createElement("div");
  box.className = "panel";
  const heading = box.appendChild(document.createElement("h3"));
  heading.append(title, " ");
  if (unit) heading.appendChild(document.createElement("small")).textContent = unit;
  const key = box.appendChild(document.createElement("ul"));
  key.className = "key";
  const plot = box.appendChild(document.createElement("div"));
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", label);
  panels.appendChild(box);
  return { key, plot };
}

function keyEntry(list, swatch, text) {
  const li = list.appendChild(document.createElement("li"));
  li.append(swatch, text);
  return li.appendChild(document.createElement("b"));
}

function lineSwatch(i) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 12");
  svg.setAttribute("aria-hidden", "true");
  const line = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "line"));
  for (const [k, v] of Object.entries({ x1: 0, x2: 26, y1: 6, y2: 6, "stroke-width": 2 })) line.setAttribute(k, v);
  line.setAttribute("stroke-dasharray", DASHES[i].join(" "));
  line.style.stroke = "var(--s" + i + ")";
  return svg;
}

function drawChart(chart) {
  const { key, plot } = panel(chart.title, chart.unit, chart.title + " over time, in " + chart.unit);
  const narrow = data.intervals_per_point === 1;
  const series = [], values = [], bands = [], shown = [];
  const drawn = list => padded(chart.log ? list.map(v => v > 0 ? v : null) : list);
  chart.lines.forEach((line, i) => {
    shown.push(keyEntry(key, lineSwatch(i), line.label));
    const stroke = colour("s" + i);
    series.push({ stroke, width: 1.5, dash: DASHES[i], points: { show: data.x.length < 3 } });
    values.push(drawn(line.high));
    if (!narrow) {
      series.push({ stroke, width: 0.75, dash: DASHES[i], points: { show: false } });
      values.push(drawn(line.low));
      bands.push({ series: [series.length - 1, series.length], fill: stroke + "30" });
    }
  });
  if (chart.note) key.appendChild(Object.assign(document.createElement("li"), { className: "plain", textContent: chart.note }));
  const yScale = chart.log
    ? { distr: 3, range: (_, lo, hi) => lo === null || hi === null ? [0.01, 10] : uPlot.rangeLog(lo, hi, 10, true) }
    : { range: (_, lo, hi) => [0, chart.top !== null ? chart.top * 1.04 : hi > 0 ? hi * 1.08 : 1] };
  const yAxis = { values: (_, s) => s.map(v => v === null ? "" : number(v)), space: 28 };
  if (chart.top !== null) yAxis.splits = () => [0, 0.5, 1].map(part => chart.top * part);
  if (chart.log) yAxis.grid = { stroke: colour("grid"), width: 1, filter: (_, s) => s.map(v => Number.isInteger(Math.log10(v)) ? v : null) };
  if (chart.unit === "messages") yAxis.incrs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000];
  const update = u => {
    const at = u.cursor.idx;
    chart.lines.forEach((line, i) => {
      const there = u.cursor.left >= 0 && at !== null && at > 0 && at <= data.x.length;
      if (!there) { shown[i].textContent = ""; return; }
      const high = line.high[at - 1], low = narrow ? high : line.low[at - 1];
      shown[i].textContent = low === high ? number(high) : number(low) + " – " + number(high);
    });
  };
  make(plot, chart.name === "queue" ? 76 : chart.top !== null ? 104 : 128, series, values, yScale, yAxis, { bands, key: update });
}

function bandAt(shard, seconds) {
  return data.bands.find(b => b[0] === shard && b[2] <= seconds && seconds < b[3]);
}

function drawBands() {
  if (!shards.length) return;
  const { key, plot } = panel("Connections and gaps", "by shard", "Connection of each shard over time");
  const swatches = [];
  for (const link of Object.keys(LINKS)) {
    if (data.bands.some(b => b[1] === link)) {
      const swatch = document.createElement("canvas");
      swatch.width = 52; swatch.height = 24;
      keyEntry(key, swatch, LINKS[link]);
      swatches.push([swatch, link]);
    }
  }
  const words = keyEntry(key, "", "");
  for (const [swatch, link] of swatches) {
    const c = swatch.getContext("2d");
    c.fillStyle = pattern(link);
    c.fillRect(0, 0, 52, 24);
  }
  const row = shards.length <= 16 ? 20 : shards.length <= 48 ? 12 : 5;
  const every = Math.ceil(14 / row);
  const named = shards.map((s, i) => [shards.length - i - 0.5, s]).filter((_, i) => i % every === 0);
  const update = u => {
    const { left, top } = u.cursor;
    if (left === undefined || left < 0) { words.textContent = ""; return; }
    const seconds = u.posToVal(left, "x") - T0;
    const shard = shards[Math.floor(top / (u.bbox.height / devicePixelRatio) * shards.length)];
    const band = top >= 0 && shard !== undefined ? bandAt(shard, seconds) : null;
    if (band) {
      words.textContent = "shard " + pad(shard) + ": " + LINKS[band[1]] + (band[4] ? " (" + band[4] + ")" : "") +
        ", " + number(band[3] - band[2]) + " s";
    } else {
      const up = shards.filter(s => bandAt(s, seconds)?.[1] === "connected").length;
      words.textContent = up + " of " + shards.length + " connected";
    }
  };
  make(plot, row * shards.length + 12, [{ stroke: "transparent", points: { show: false } }], [X.map(() => null)],
    { range: [0, shards.length] },
    { splits: () => named.map(n => n[0]), values: () => named.map(n => pad(n[1])), grid: { show: false } },
    { key: update, hooks: { draw: [paintBands] } });
}

function drawAll() {
  const kept = plots.length ? { ...plots[0].scales.x } : null;
  plots.forEach(u => { SYNC.unsub(u); u.destroy(); });
  plots = [];
  panels.replaceChildren();
  const axis = document.getElementById("axis");
  make(axis, data.marks.length ? 44 : 34, [{ stroke: "transparent", points: { show: false } }], [X.map(() => null)],
    { range: [0, 1] }, { splits: () => [], values: () => [], grid: { show: false } },
    { timeShown: true, hooks: { draw: [paintMarks] } });

  drawBands();
  data.charts.forEach(drawChart);
  if (kept) setRange(kept.min, kept.max);
  root.dataset.charts = String(plots.length);
}

function setRange(min, max) { plots[0]?.setScale("x", { min, max }); }

function act(what) {
  const { min, max } = plots[0].scales.x;
  const span = max - min;
  if (what === "all") setRange(T0, END);
  else if (what === "in") setRange(min + span / 4, max - span / 4);
  else if (what === "out") setRange(Math.max(T0, min - span / 2), Math.min(END, max + span / 2));
  else if (what === "left" || what === "right") {
    const by = what === "left" ? Math.max(-span / 2, T0 - min) : Math.min(span / 2, END - max);
    setRange(min + by, max + by);
  } else if (what === "theme") {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    drawAll();
  }
}

document.querySelector(".tools").addEventListener("click", event => {
  const what = event.target.dataset?.act;
  if (what) act(what);
});
const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", "0": "all" };
document.getElementById("charts").addEventListener("keydown", event => {
  if (KEYS[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
    act(KEYS[event.key]);
    event.preventDefault();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
let width = 0;
new ResizeObserver(() => {
  if (widths() === width || !plots.length) return;
  width = widths();
  for (const u of plots) u.setSize({ width, height: u.height });
}).observe(panels);
drawAll();
width = widths();
})();
