// What moves on the page. Everything else on it works without this file.
//
// The figures come from the demonstration's routes: once a second by server-sent events, or, where a server has no
// streams, by asking. Routes answer before files, so where the demonstration is off, `counters` is the file of that
// name beside this one, which has no backend in it: the page learns that without a request that fails, and says so.

"use strict";

const PERIOD_MS = 1000;
// A server that is down is asked less and less often, but often enough that its return is noticed at once.
const RETRY_MS_MAX = 4000;
const PATIENCE_MS = 5000;
const SHOWN_MS = 60_000;
// The plot's size in the page's units.
const [WIDTH, HEIGHT] = [342, 130];
// A line over more than this would claim readings that nobody took: the page was hidden, or the server away.
const GAP_MS = 4 * PERIOD_MS;

const IS_OFF = "The live figures are off here. To see them move, run `tripoll --demo static`, or `cargo run --release` in tripoll’s own folder.";
const IS_AWAY = "The server does not answer. This page asks again every few seconds, and goes on when it is back.";

/** Bytes for a person, as the server's listings write them. */
function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1000 && unit + 1 < units.length; unit++) bytes /= 1024;
  return `${rough.format(bytes)} ${units[unit]}`;
}

// ---- The figures ----

/** A value over the last minute, drawn into the plot that the page has ready for it. */
class Chart {
  constructor(id, name) {
    this.picture = element(id);
    this.now = element(`${id}-now`);
    this.name = name;
    this.readings = [];
  }

  add(at, value) {
    this.readings = this.readings.filter(reading => at - reading.at <= SHOWN_MS + PERIOD_MS);
    const before = this.readings.at(-1);
    this.readings.push({ at, value });
    this.draw(at);
    if (before) this.glide(at - before.at);
  }

  draw(now) {
    const values = this.readings.map(reading => reading.value);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const scale = roundUp(most);
    const x = at => ((1 - (now - at) / SHOWN_MS) * WIDTH).toFixed(1);
    const y = value => ((1 - value / scale) * HEIGHT).toFixed(1);
    let [line, area] = ["", ""];
    this.readings.forEach(({ at, value }, n) => {
      const before = this.readings[n - 1];
      if (before && at - before.at <= GAP_MS) {
        line += `L${x(at)} ${y(value)}`;
        area += `M${x(before.at)} ${HEIGHT}V${y(before.value)}L${x(at)} ${y(value)}V${HEIGHT}Z`;
      } else line += `M${x(at)} ${y(value)}`;
    });
    this.picture.querySelector(".series").setAttribute("d", line);
    this.picture.querySelector(".area").setAttribute("d", area);
    this.picture.querySelector(".most").textContent = rough.format(scale);
    const text = rough.format(values.at(-1));
    this.now.textContent = text;
    this.picture.setAttribute("aria-label",
      `${this.name} over the last minute: now ${text}, least ${rough.format(least)}, most ${rough.format(most)}.`);
  }

  /** Lets the line come in from the right instead of jumping. */
  glide(ms) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches || ms > GAP_MS) return;
    const way = ms / SHOWN_MS * WIDTH;
    this.picture.querySelector("g").animate(
      [{ transform: `translateX(${way}px)` }, { transform: "none" }], { duration: PERIOD_MS });
  }
}

/** The next of 2, 4, 6, 8, 10, 20, 40 … so that the scale stays put while the value wavers. */
function roundUp(value) {
  const ten = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [2, 4, 6, 8, 10].map(step => step * ten).find(step => step >= value);
}

const turns = new Chart("turns", "Turns of the loop a second");
const scanned = new Chart("scanned", "Descriptors scanned per ready event");

/** Whether one loop serves all: under other models there are no turns to show, and no stream of events. */
function isOneLoop(counters) {
  return ["reactor", "coroutines"].includes(counters.model);
}

/** Puts one reading on the page; `before` is the last, where the same server gave one. */
function show(reading, before) {
  const { at, counters, time } = reading;
  const isLoop = isOneLoop(counters);
  const by = { reactor: counters.backend, coroutines: `coroutines over ${counters.backend}` };
  element("backend").textContent = by[counters.model] ?? counters.model;
  element("trigger").textContent = counters.trigger;
  for (const id of ["loop", "moving", "how"]) element(id).hidden = !isLoop;
  element("time").textContent = time;
  element("requests").textContent = exact.format(counters.requests);
  element("connections").textContent = exact.format(counters.connections.open);
  element("sent").textContent = size(counters.bytes.sent);
  const panel = element("panel");
  panel.dataset.backend = counters.backend;
  panel.classList.remove("stale");
  panel.hidden = false;
  if (!before || !isLoop) return;
  turns.add(at, (counters.turns - before.counters.turns) * 1000 / (at - before.at));
  const ready = counters.poller.ready - before.counters.poller.ready;
  if (ready > 0) scanned.add(at, (counters.poller.scanned - before.counters.poller.scanned) / ready);
}

async function fetched(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response;
}

function untilWatched() {
  return new Promise(resolve => {
    const check = () => {
      if (!isWatched()) return;
      document.removeEventListener("visibilitychange", check);
      element("pause").removeEventListener("click", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    element("pause").addEventListener("click", check);
    check();
  });
}

let [last, failures] = [null, 0];

/** Puts what the server said on the page. */
function take({ counters, time }) {
  const reading = { at: performance.now(), counters, time };
  // Fewer turns than before: another server has taken its place.
  const isSame = last && last.counters.turns <= counters.turns;
  show(reading, isSame ? last : null);
  [last, failures] = [reading, 0];
  say("");
}

function miss() {
  failures += 1;
  element("panel").classList.add("stale");
  say(IS_AWAY);
}

const askedTime = async () => (await (await fetched("time")).text()).trim();

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Listens for as long as somebody looks. Whether the server has such a stream; if not, it is to be asked. */
function listen() {
  return new Promise(resolve => {
    const events = new EventSource("events");
    const end = isThere => {
      events.close();
      document.removeEventListener("visibilitychange", look);
      element("pause").removeEventListener("click", look);
      resolve(isThere);
    };
    const look = () => isWatched() || end(true);
    events.onmessage = async event => {
      const { counters } = JSON.parse(event.data);
      // A request a second, so that there is something to count where nobody else asks.
      await askedTime().then(time => take({ counters, time }), miss);
    };
    events.onerror = () => {
      // Refused, and not cut off: the browser does not try again, and an answer was there.
      if (events.readyState === EventSource.CLOSED) return end(false);
      miss();
      end(true);
    };
    document.addEventListener("visibilitychange", look);
    element("pause").addEventListener("click", look);
  });
}

/** Reads the server once a second for as long as somebody looks: by listening, or by asking where that is refused. */
async function watch() {
  let hasStream = true;
  for (;;) {
    await untilWatched();
    const began = performance.now();
    try {
      const counters = await (await fetched("counters")).json();
      if (counters.backend === null) return say(IS_OFF);
      if (hasStream && isOneLoop(counters)) hasStream = await listen();
      else take({ counters, time: await askedTime() });
    } catch {
      miss();
    }
    const period = Math.min(PERIOD_MS * 2 ** failures, failures ? RETRY_MS_MAX : PERIOD_MS);
    await pause(Math.max(0, began + period - performance.now()));
  }
}

// ---- Requests by hand ----

const SHOWN_FIELDS = ["Content-Type", "Content-Length", "Content-Range", "ETag", "Last-Modified"];
const SHOWN_BYTES_MAX = 300;

/** Sends a request and writes it and its answer into `output` as they went over the wire, less what browsers add. */
async function exchange(output, method, path, fields = {}, body) {
  const lines = [`${method} ${new URL(path, location).pathname} HTTP/1.1`];
  for (const [name, value] of Object.entries(fields)) lines.push(`${name}: ${value}`);
  if (body !== undefined) lines.push("", body);
  let answer;
  try {
    const response = await fetch(path, { method, headers: fields, body, cache: "no-store" });
    const shown = SHOWN_FIELDS.filter(name => response.headers.has(name));
    answer = [`HTTP/1.1 ${response.status} ${response.statusText}`, ...shown.map(name => `${name}: ${response.headers.get(name)}`)];
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes.length > 0) answer.push("", excerpt(bytes));
  } catch {
    answer = ["The server does not answer."];
  }
  const asked = document.createElement("span");
  asked.textContent = lines.join("\n");
  output.replaceChildren(asked, `\n\n${answer.join("\n")}`);
  output.hidden = false;
}

/** The first of some bytes: as text where they are, else as figures. */
function excerpt(bytes) {
  const [first, more] = [bytes.subarray(0, SHOWN_BYTES_MAX), bytes.length > SHOWN_BYTES_MAX ? " …" : ""];
  // A character that is cut at the end is no sign against text; a zero byte is.
  const text = new TextDecoder().decode(first, { stream: true });
  if (!/[\0\uFFFD]/.test(text)) return text + more;
  return [...first.subarray(0, 48)].map(byte => byte.toString(16).padStart(2, "0")).join(" ") + (bytes.length > 48 ? " …" : "");
}

/** Has `send(form, output, pressed)` do what submitting a form would. */
function onSubmit(id, send) {
  const form = element(id);
  form.addEventListener("submit", event => {
    event.preventDefault();
    send(form, form.querySelector("output"), event.submitter?.value);
  });
  form.hidden = false;
}

onSubmit("hello", (form, output) => exchange(output, "GET", `hello/${encodeURIComponent(form.elements.name.value)}`));
onSubmit("echo", (form, output) => exchange(output, "POST", "echo", {}, form.elements.text.value));
onSubmit("part", async (form, output, ask) => {
  const file = form.elements.file.value;
  if (ask === "whole") return exchange(output, "GET", file);
  if (ask === "head") return exchange(output, "HEAD", file);
  if (ask !== "changed") return exchange(output, "GET", file, { Range: ask });
  const known = await fetch(file, { method: "HEAD" }).catch(() => null);
  return exchange(output, "GET", file, { "If-None-Match": known?.headers.get("ETag") ?? "*" });
});

if (location.protocol === "file:") {
  // Nobody answers here, and asking would be an error on the console.
  element("part").hidden = true;
  say(IS_OFF);
} else {
  nameServer();
  watch();
}
