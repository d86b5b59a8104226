// Draws the run's periods on canvases: each dimension's trace, and the timeline of turns and margins.
import { ACT, BEFORE, BESIDE, EPISODE, LATE, LENGTH, MARGIN, VALUES } from "/period.js";
import { ms } from "/words.js";

const colours = {};

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "dim", "edge", "act", "before", "beside", "late", "good"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// One dimension's values over the last turns, between its limits.
export function drawTrace(canvas, periods, dimension, low, high) {
  const { context, width, height } = prepare(canvas);
  const span = high - low || 1;
  const y = (value) => 3 + (1 - Math.min(Math.max((value - low) / span, 0), 1)) * (height - 6);
  context.strokeStyle = colours.edge;
  context.beginPath();
  context.moveTo(0, y(Math.min(Math.max(0, low), high)));
  context.lineTo(width, y(Math.min(Math.max(0, low), high)));
  context.stroke();
  const shown = periods.slice(-Math.max(Math.floor(width / 3), 2));
  context.strokeStyle = colours.act;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  shown.forEach((period, index) => {
    const x = width - 3 - (shown.length - 1 - index) * 3;
    const value = period[VALUES][dimension] ?? 0;
    const starts = index === 0 || shown[index - 1][EPISODE] !== period[EPISODE];
    if (starts) context.moveTo(x, y(value)); else context.lineTo(x, y(value));
  });
  context.stroke();
  if (shown.length) {
    context.fillStyle = colours.act;
    context.beginPath();
    context.arc(width - 3, y(shown[shown.length - 1][VALUES][dimension] ?? 0), 2.5, 0, 2 * Math.PI);
    context.fill();
  }
}

const BAR = 6; // pixels a period
const LEFT = 52; // for the labels
const FAR = 6; // times the usual turn: a period beyond is not on the scale

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1e-3));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((value) => value >= most);
}

function thatFit(periods, width) {
  return periods.slice(-Math.max(Math.floor((width - LEFT) / BAR), 1));
}

// The period drawn at x pixels from the canvas' left; null beside them.
export function periodAt(canvas, periods, x) {
  const shown = thatFit(periods, canvas.clientWidth);
  return shown[shown.length - Math.ceil((canvas.clientWidth - x) / BAR)] ?? null;
}

// One long turn must not make all others invisible: a scale for what is usual, above which bars are cut off.
function scaleFor(values, least) {
  const ranked = values.slice().sort((a, b) => a - b);
  const usual = 1.6 * (ranked[Math.floor(ranked.length * 0.95)] ?? 0);
  return nice(Math.max(Math.min(ranked[ranked.length - 1] ?? 0, usual), least) * 1.05);
}

// The last turns that fit, and their margins where time does not stand still; `pointed` is a period to mark, or null.
export function drawTimeline(canvas, periods, pointed) {
  const { context, width, height } = prepare(canvas);
  const shown = thatFit(periods, width);
  const inTime = shown.some((period) => period[MARGIN] !== null);
  const x = (index) => width - (shown.length - index) * BAR;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  const floor = inTime ? Math.round(height * 0.64) : height - 8;
  drawTurns(context, shown, x, width, floor, inTime);
  if (inTime) drawMargins(context, shown, x, width, floor + 26, height - 8);
  const marked = shown.indexOf(pointed);
  if (marked >= 0) {
    context.strokeStyle = colours.ink;
    context.strokeRect(x(marked) - 1.5, 2, BAR + 1, height - 4);
  }
}

function line(context, from, to, y, colour, dash = []) {
  context.strokeStyle = colours[colour];
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(from, Math.round(y) + 0.5);
  context.lineTo(to, Math.round(y) + 0.5);
  context.stroke();
  context.setLineDash([]);
}

function write(context, text, x, y, align, colour = "dim") {
  context.textAlign = align;
  context.fillStyle = colours[colour];
  context.fillText(text, x, y);
}

function drawTurns(context, shown, x, width, floor, inTime) {
  const lengths = shown.map((period) => period[LENGTH]).filter((length) => length > 0).sort((a, b) => a - b);
  const deadline = inTime && lengths.length ? lengths[lengths.length >> 1] : null;
  const busy = (period) => period[ACT] + period[BEFORE] + period[BESIDE];
  let top = scaleFor(shown.map(busy), 1e-4);
  const near = deadline !== null && deadline < FAR * top; // else the bars would be too small to tell apart
  if (near) top = scaleFor(shown.map(busy), deadline);
  const tall = floor - 8;
  for (const part of [0, 0.5, 1]) {
    line(context, LEFT, width, floor - part * tall, "edge");
    write(context, part ? ms(top * part) : "0", LEFT - 6, floor - part * tall, "right");
  }
  shown.forEach((period, index) => {
    const late = period[LATE] === 1;
    let from = floor;
    for (const [field, colour] of [[BEFORE, "before"], [ACT, late ? "late" : "act"], [BESIDE, "beside"]]) {
      const part = Math.min((period[field] / top) * tall, from - 8);
      if (part <= 0) continue;
      context.fillStyle = colours[colour];
      context.fillRect(x(index), from - part, BAR - 1.5, part);
      from -= part;
    }
    if (busy(period) > top) {
      context.fillStyle = colours.ink;
      context.fillRect(x(index) - 0.5, 3, BAR - 0.5, 2); // cut off here
    }
    if (index > 0 && shown[index - 1][EPISODE] !== period[EPISODE]) {
      context.strokeStyle = colours.dim;
      context.setLineDash([2, 3]);
      context.beginPath();
      context.moveTo(x(index) - 1, 8);
      context.lineTo(x(index) - 1, floor);
      context.stroke();
      context.setLineDash([]);
    }
  });
  if (deadline !== null && !near) {
    write(context, `\u2191 period ${ms(deadline)}`, LEFT + 4, 16, "left", "ink");
  } else if (deadline !== null) {
    const y = floor - (deadline / top) * tall;
    line(context, LEFT, width, y, "ink", [5, 4]);
    write(context, `period ${ms(deadline)}`, LEFT + 4, y > 16 ? y - 8 : y + 9, "left", "ink");
  }
}

function drawMargins(context, shown, x, width, ceiling, bottom) {
  const known = shown.map((period) => period[MARGIN]).filter((margin) => margin !== null);
  const top = scaleFor(known.map(Math.abs), 1e-4);
  const under = known.some((margin) => margin < 0);
  const zero = under ? (ceiling + bottom) / 2 : bottom;
  const scale = (zero - ceiling) / top;
  line(context, LEFT, width, ceiling, "edge");
  line(context, LEFT, width, zero, "edge");
  write(context, ms(top), LEFT - 6, ceiling, "right");
  write(context, "0", LEFT - 6, zero, "right");
  shown.forEach((period, index) => {
    if (period[MARGIN] === null) return;
    const high = Math.min(Math.max(Math.abs(period[MARGIN]) * scale, 1), zero - ceiling);
    context.fillStyle = period[MARGIN] < 0 || period[LATE] ? colours.late : colours.good;
    context.fillRect(x(index), period[MARGIN] < 0 ? zero : zero - high, BAR - 1.5, high);
  });
  write(context, "margin: how long before its start a chunk was there", LEFT + 4, ceiling - 10, "left");
}
