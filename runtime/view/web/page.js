// Draws the state that the server streams, and says what the user says. Everything from outside goes in as text.
"use strict";

const KEPT = 240; // periods
const [NUMBER, EPISODE, ACT, BEFORE, BESIDE, LENGTH, MARGIN, LATE, VALUES] = Array(9).keys();
const TROUBLE = ["rejected_frames", "rejected_chunks", "lost_ticks", "late_chunks", "clipped_setpoints"];
const token = document.querySelector('meta[name="hyt-token"]').content;
const colours = {};
let periods = [];
let state = null;
let over = false;

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
  source.onopen = () => health("live", "good");
  source.onerror = () => {
    if (over) return;
    health("connection lost", "bad");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
}

function health(text, kind) {
  show("health", text);
  $("health").className = `pill ${kind}`;
}

function receive(message) {
  const first = message.periods.length ? message.periods[0][NUMBER] : Infinity;
  periods = periods.filter((period) => period[NUMBER] < first).concat(message.periods).slice(-KEPT);
  state = message;
  drawTexts();
  drawCameras();
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
  const modality = decision && decision.condition === "text" ? "follow" : decision && decision.thought ? "think" : state.modality;
  show("modality", modality);
  $("modality").hidden = !modality;
  $("instruction").className = state.following === null ? "large" : "large replaced";
  $("following").hidden = state.following === null;
  show("text", state.following ?? "");
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
    show("waiting", limiter.waiting_for ? `waits for ${limiter.waiting_for}` : "thinking");
    show("thoughts-left", limiter.thoughts === null ? "any" : limiter.thoughts.toFixed(1));
    show("tokens-left", limiter.tokens === null ? "any" : limiter.tokens.toFixed(0));
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
let pointed = null; // period under the pointer

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most || 1e-3));
  return [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= most);
}

function shownPeriods(width) {
  return periods.slice(-Math.max(Math.floor((width - LEFT) / BAR), 1));
}

function drawTimeline() {
  const canvas = $("timeline");
  const { context, width, height } = prepare(canvas);
  const shown = shownPeriods(width);
  const inTime = shown.some((period) => period[MARGIN] !== null);
  const margins = inTime ? Math.round(height * 0.28) : 0; // the lower part
  const floor = height - margins - (inTime ? 14 : 4);
  const lengths = shown.map((period) => period[LENGTH]).filter((length) => length !== null && length > 0).sort((a, b) => a - b);
  const deadline = inTime && lengths.length ? lengths[lengths.length >> 1] : null;
  // One long turn must not make all others invisible: what is far above the rest is cut off, and has a cap that says so.
  const busy = shown.map((period) => period[ACT] + period[BEFORE] + period[BESIDE]).sort((a, b) => a - b);
  const usual = 1.6 * (busy[Math.floor(busy.length * 0.95)] ?? 0);
  const top = nice(Math.max(Math.min(busy[busy.length - 1] ?? 0, usual) * 1.05, (deadline ?? 0) * 1.05, 1e-4));
  const y = (seconds) => floor - Math.min(seconds / top, 1) * (floor - 8);
  const x = (index) => width - (shown.length - index) * BAR;

  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.lineWidth = 1;
  for (const part of [0, 0.5, 1]) {
    context.strokeStyle = colours.edge;
    context.beginPath();
    context.moveTo(LEFT, Math.round(y(top * part)) + 0.5);
    context.lineTo(width, Math.round(y(top * part)) + 0.5);
    context.stroke();
    context.fillStyle = colours.dim;
    context.fillText(ms(top * part), LEFT - 6, y(top * part));
  }
  shown.forEach((period, index) => {
    const late = period[LATE] === 1;
    let from = floor;
    for (const [field, colour] of [[BEFORE, "before"], [ACT, late ? "late" : "act"], [BESIDE, "beside"]]) {
      const tall = Math.min((period[field] / top) * (floor - 8), from - 8);
      if (tall <= 0) continue;
      context.fillStyle = colours[colour];
      context.fillRect(x(index), from - tall, BAR - 1.5, tall);
      from -= tall;
    }
    if (period[ACT] + period[BEFORE] + period[BESIDE] > top) {
      context.fillStyle = colours[late ? "late" : "ink"];
      context.fillRect(x(index) - 0.5, 4, BAR - 0.5, 2);
    }
    if (index > 0 && shown[index - 1][EPISODE] !== period[EPISODE]) mark(context, x(index) - 1, floor, "dim");
    if (period === pointed) {
      context.strokeStyle = colours.ink;
      context.strokeRect(x(index) - 1, 4, BAR + 0.5, height - 6);
    }
  });
  if (deadline !== null) {
    context.setLineDash([5, 4]);
    context.strokeStyle = colours.ink;
    context.beginPath();
    context.moveTo(LEFT, Math.round(y(deadline)) + 0.5);
    context.lineTo(width, Math.round(y(deadline)) + 0.5);
    context.stroke();
    context.setLineDash([]);
    context.fillStyle = colours.ink;
    context.textAlign = "left";
    context.fillText(`period ${ms(deadline)}`, LEFT + 4, Math.max(y(deadline) - 7, 7));
  }
  if (inTime) drawMargins(context, shown, x, width, height, margins);
  const last = shown[shown.length - 1];
  show("turn", describe(pointed && shown.includes(pointed) ? pointed : last));
}

function mark(context, at, floor, colour) {
  context.strokeStyle = colours[colour];
  context.setLineDash([2, 3]);
  context.beginPath();
  context.moveTo(at, 8);
  context.lineTo(at, floor);
  context.stroke();
  context.setLineDash([]);
}

function drawMargins(context, shown, x, width, height, tall) {
  const known = shown.map((period) => period[MARGIN]).filter((margin) => margin !== null);
  const top = nice(Math.max(...known.map(Math.abs), 1e-4));
  const worst = Math.min(...known, 0);
  const bottom = height - 4;
  const zero = worst < 0 ? bottom - tall / 2 : bottom;
  const scale = (worst < 0 ? tall / 2 : tall) / top;
  context.textAlign = "right";
  context.fillStyle = colours.dim;
  context.fillText("margin", LEFT - 6, zero - tall / 2);
  context.fillText(ms(top), LEFT - 6, Math.max(zero - top * scale, 8) + 4);
  context.strokeStyle = colours.edge;
  context.beginPath();
  context.moveTo(LEFT, zero + 0.5);
  context.lineTo(width, zero + 0.5);
  context.stroke();
  shown.forEach((period, index) => {
    if (period[MARGIN] === null) return;
    const high = Math.max(Math.abs(period[MARGIN]) * scale, 1);
    context.fillStyle = period[MARGIN] < 0 || period[LATE] ? colours.late : colours.good;
    context.fillRect(x(index), period[MARGIN] < 0 ? zero : zero - high, BAR - 1.5, high);
  });
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
  listen();
}

start();
