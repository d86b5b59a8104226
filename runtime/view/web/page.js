// Draws the state that the server streams, and says what the user says. Everything from outside goes in as text.
"use strict";

const KEPT = 240; // periods
const [NUMBER, EPISODE, ACT, BEFORE, BESIDE, LENGTH, MARGIN, LATE, VALUES] = Array(9).keys();
const TROUBLE = ["rejected_frames", "rejected_chunks", "lost_ticks", "resent_frames", "lost_frames", "late_chunks", "clipped_setpoints"];
const token = document.querySelector('meta[name="hyt-token"]').content;
const colours = {};
let periods = [];
let state = null;
let over = false;
let decided = performance.now(); // when the last decision came
let live = false;

const $ = (id) => document.getElementById(id);
const secret = (path) => `${path}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;

function show(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const ms = (seconds) => `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
const signed = (seconds) => (seconds < 0 ? "\u2212" : "+") + ms(Math.abs(seconds));

function ago(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s ago`;
  return `${Math.floor(seconds / 60)} min ago`;
}

// ---- what the server says ----

function listen() {
  const source = new EventSource(secret("/events"));
  source.onmessage = (event) => {
    receive(JSON.parse(event.data));
    if (over) source.close();
  };
  source.onopen = () => { live = true; health("live", "good"); };
  source.onerror = () => {
    if (over) return;
    live = false;
    health("connection lost", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
}

// The page may be well while the loop is not.
function watch() {
  if (over || !live || !state?.decision) return;
  const seconds = (performance.now() - decided) / 1000;
  if (seconds > 3) health(`no decision for ${Math.floor(seconds)} s`, "bad"); else health("live", "good");
}

function health(text, kind) {
  show("health", text);
  $("health").className = `pill ${kind}`;
}

function receive(message) {
  const first = message.periods.length ? message.periods[0][NUMBER] : Infinity;
  if (message.decision?.index !== state?.decision?.index || message.episode !== state?.episode) decided = performance.now();
  periods = periods.filter((period) => period[NUMBER] < first).concat(message.periods).slice(-KEPT);
  state = message;
  drawTexts();
  if (!message.over) drawCameras(); // nobody sends images any more
  drawAction();
  drawTimeline();
  if (message.over && !over) {
    over = true;
    health("ended", "");
    banner(`The run has ended: ${message.over}`, message.over === "done");
    for (const control of document.querySelectorAll("button, input")) control.disabled = true;
  }
}

function banner(text, calm) {
  show("banner", text);
  $("banner").className = calm ? "calm" : "";
  $("banner").hidden = false;
}

// ---- texts ----

function drawTexts() {
  const { decision, thought, limiter } = state;
  show("robot", state.robot || "waiting for the robot");
  const solved = state.ended ? `, solved ${state.solved} of ${state.ended}` : "";
  show("progress", state.episodes ? `episode ${state.episode} of ${state.episodes}, seed ${state.seed}${solved}` : "");
  show("instruction", state.instruction);
  const modality = { text: "follow", thought: "act on a held thought", none: state.modality }[decision?.condition ?? "none"];
  show("modality", modality);
  $("modality").hidden = !modality;
  $("instruction").className = state.following === null ? "large" : "large replaced";
  const told = state.following ?? (decision?.condition === "text" ? decision.text : null);
  $("following").hidden = told === null;
  show("text", told ?? "");
  $("back").disabled = over || state.following === null;

  if (thought) {
    show("thought", thought.text || "\u2026");
    const writing = thought.state === "writing";
    $("thought").className = `large thought${writing ? " writing" : ""}`;
    const words = [`${thought.tokens} tokens`, ms(thought.seconds), thought.state];
    show("thought-state", `${words.join(", ")}; of turn ${thought.decision}, ${ago(thought.age)}`);
  } else {
    show("thought", "none yet");
    show("thought-state", "");
    $("thought").className = "large thought dim";
  }
  $("limiter").hidden = !limiter;
  if (limiter) {
    const who = thought && thought.state === "writing" ? "it waits" : "the next one waits";
    show("waiting", limiter.waiting_for ? `${who} for ${limiter.waiting_for}` : "thinking");
    const left = [];
    if (limiter.thoughts !== null) left.push(`${limiter.thoughts.toFixed(1)} thoughts`);
    if (limiter.tokens !== null) left.push(`${limiter.tokens.toFixed(0)} tokens`);
    show("left", left.length ? `${left.join(" and ")} left` : "no limit");
  }
  drawCounters();
}

function drawCounters() {
  const entries = Object.entries(state.counters).map(([name, count]) => [name, String(count), TROUBLE.includes(name) && count > 0]);
  entries.push(["late_chunks", String(state.late), state.late > 0]);
  if (state.decision) {
    const { margin, latencies } = state.decision;
    if (margin !== null) entries.push(["margin", signed(margin), margin < 0]);
    for (const [phase, seconds] of Object.entries(latencies)) if (seconds !== null) entries.push([phase, ms(seconds), false]);
  }
  const list = $("counters");
  while (list.children.length > entries.length) list.lastChild.remove();
  entries.forEach(([name, value, bad], index) => {
    let row = list.children[index];
    if (!row) {
      row = make("div");
      row.append(make("dt"), make("dd"));
      list.append(row);
    }
    row.className = bad ? "bad" : "";
    const label = name.replaceAll("_", " ");
    if (row.children[0].textContent !== label) row.children[0].textContent = label;
    if (row.children[1].textContent !== value) row.children[1].textContent = value;
  });
}

// ---- camera images ----

function drawCameras() {
  if (!state.decision) return;
  const box = $("cameras");
  const cameras = state.decision.cameras;
  if (box.children.length !== cameras.length) {
    box.replaceChildren(...cameras.map(({ name }) => {
      const figure = make("figure");
      const image = make("img");
      image.alt = `what camera ${name} sees`;
      image.onload = image.onerror = () => { image.dataset.loading = ""; };
      const caption = make("figcaption");
      caption.append(make("span"), make("span"));
      figure.append(image, caption);
      return figure;
    }));
  }
  cameras.forEach(({ name, width, height, age }, index) => {
    const [image, caption] = box.children[index].children;
    caption.children[0].textContent = name;
    caption.children[1].textContent = `${width} \u00d7 ${height}` + (age === null ? "" : `, ${ms(age)} old`);
    const version = `${periods.length ? periods[periods.length - 1][NUMBER] : 0}`;
    // The next image is asked for when the last has come: a slow connection shows fewer, never old ones.
    if (image.dataset.loading !== "yes" && image.dataset.version !== version) {
      image.dataset.loading = "yes";
      image.dataset.version = version;
      image.src = secret(`/camera/${encodeURIComponent(name)}.png?v=${version}`);
    }
  });
}

// ---- canvases ----

function readColours() {
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

function drawAction() {
  const { decision } = state;
  if (!decision) return;
  const box = $("action");
  if (box.children.length !== decision.action.length) {
    box.replaceChildren(...decision.action.map(() => {
      const row = make("div", "dimension");
      row.append(make("span"), make("canvas"), make("output"));
      return row;
    }));
  }
  decision.action.forEach(({ name, unit, value, low, high }, index) => {
    const [label, canvas, output] = box.children[index].children;
    label.textContent = name;
    output.textContent = value === null ? "" : `${value < 0 ? "\u2212" : "+"}${Math.abs(value).toFixed(3)}${unit === "1" || !unit ? "" : ` ${unit}`}`;
    canvas.setAttribute("aria-hidden", "true");
    drawTrace(canvas, index, low, high);
  });
  const parts = [];
  if (decision.confidence !== null) parts.push(`${Math.round(decision.confidence * 100)}% sure`);
  if (decision.think_probability !== null) parts.push(`gate ${Math.round(decision.think_probability * 100)}%`);
  parts.push(`${decision.steps} step${decision.steps > 1 ? "s" : ""} of ${ms(decision.step_time)}`);
  show("sure", parts.join(", "));
}

function drawTrace(canvas, dimension, low, high) {
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
let pointed = null; // period under the pointer

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1e-3));
  return [1, 1.5, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((value) => value >= most);
}

function shownPeriods(width) {
  return periods.slice(-Math.max(Math.floor((width - LEFT) / BAR), 1));
}

// One long turn must not make all others invisible: a scale for what is usual, above which bars are cut off.
function scaleFor(values, least) {
  const ranked = values.slice().sort((a, b) => a - b);
  const usual = 1.6 * (ranked[Math.floor(ranked.length * 0.95)] ?? 0);
  return nice(Math.max(Math.min(ranked[ranked.length - 1] ?? 0, usual), least) * 1.05);
}

function drawTimeline() {
  const { context, width, height } = prepare($("timeline"));
  const shown = shownPeriods(width);
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
  show("turn", describe(marked >= 0 ? pointed : shown[shown.length - 1]));
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

function describe(period) {
  if (!period) return "";
  const parts = [`turn ${period[NUMBER]}: acting ${ms(period[ACT])}`];
  if (period[BEFORE] > 0) parts.push(`the action waited ${ms(period[BEFORE])} for a thought`);
  if (period[BESIDE] > 0) parts.push(`${ms(period[BESIDE])} of thinking in the slack`);
  if (period[MARGIN] !== null) parts.push(`margin ${signed(period[MARGIN])}`);
  if (period[LATE]) parts.push("late");
  return parts.join(", ");
}

// ---- what the user says ----

async function say(path, body) {
  const headers = { "X-HyT-Token": token, "Content-Type": "application/json" };
  let refusal = "";
  try {
    const answer = await fetch(path, { method: "POST", headers, body: body === undefined ? "" : JSON.stringify(body) });
    if (!answer.ok) refusal = (await answer.json()).error;
  } catch {
    refusal = "the run does not answer";
  }
  $("reply").className = refusal ? "bad" : "dim";
  show("reply", refusal);
  return refusal;
}

async function stop() {
  if (over) return;
  const button = $("stop");
  const refusal = await say("/stop");
  if (refusal && !over) {
    banner(`STOP was not confirmed: ${refusal}. Use the robot's emergency stop.`, false);
  } else {
    button.className = "done";
    banner("Stopped: the firmware has confirmed it.", false);
  }
}

function start() {
  readColours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); if (state) receive(state); });
  addEventListener("resize", () => { if (state) { drawAction(); drawTimeline(); } });
  $("stop").addEventListener("click", stop);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      stop();
    }
  });
  $("follow").addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = $("words");
    if (!words.value.trim()) return;
    if (!(await say("/follow", { text: words.value }))) words.value = "";
  });
  $("back").addEventListener("click", () => say("/back"));
  $("think").addEventListener("click", () => say("/think"));
  const timeline = $("timeline");
  timeline.addEventListener("pointermove", (event) => {
    const shown = shownPeriods(timeline.clientWidth);
    const index = shown.length - Math.ceil((timeline.clientWidth - event.offsetX) / BAR);
    pointed = shown[index] ?? null;
    drawTimeline();
  });
  timeline.addEventListener("pointerleave", () => { pointed = null; drawTimeline(); });
  setInterval(watch, 500);
  listen();
}

start();
