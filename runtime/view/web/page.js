// Draws the state that the server streams, and says what the user says. Everything from outside goes in as text.
import { NUMBER } from "/period.js";
import { drawTimeline, drawTrace, periodAt, readColours } from "/timeline.js";
import { ago, describe, ms, signed } from "/words.js";

const KEPT = 240; // periods
const TROUBLE = ["rejected_frames", "rejected_chunks", "lost_ticks", "resent_frames", "lost_frames", "late_chunks", "clipped_setpoints"];
const token = document.querySelector('meta[name="hyt-token"]').content;
let periods = [];
let pointed = null; // period under the pointer
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
  drawTurns();
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
    drawTrace(canvas, periods, index, low, high);
  });
  const parts = [];
  if (decision.confidence !== null) parts.push(`${Math.round(decision.confidence * 100)}% sure`);
  if (decision.think_probability !== null) parts.push(`gate ${Math.round(decision.think_probability * 100)}%`);
  parts.push(`${decision.steps} step${decision.steps > 1 ? "s" : ""} of ${ms(decision.step_time)}`);
  show("sure", parts.join(", "));
}

function drawTurns() {
  drawTimeline($("timeline"), periods, pointed);
  show("turn", describe(periods.includes(pointed) ? pointed : periods[periods.length - 1]));
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
  addEventListener("resize", () => { if (state) { drawAction(); drawTurns(); } });
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
    pointed = periodAt(timeline, periods, event.offsetX);
    drawTurns();
  });
  timeline.addEventListener("pointerleave", () => { pointed = null; drawTurns(); });
  setInterval(watch, 500);
  listen();
}

start();
