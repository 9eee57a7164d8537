// The loop as its server tells of it, by the server-sent events of `turns`.

"use strict";

const ROWS_MAX = 24;
// Figures are of the last second: of a tenth alone they would jump.
const TOLD_MAX = 10;
const IS_OFF = "The loop is not told of here. To see it, run `tripoll --demo static`, or `cargo run --release` in tripoll’s own folder.";
const IS_AWAY = "The server does not answer. This page tries again by itself.";

/** Microseconds for a person. */
function time(us) {
  if (us < 1000) return `${us} µs`;
  return us < 1_000_000 ? `${rough.format(us / 1000)} ms` : `${rough.format(us / 1_000_000)} s`;
}

let told = [];
let rows = [];

function take(news) {
  const at = performance.now();
  told = [...told, { at, ...news }].slice(-TOLD_MAX - 1);
  const recent = told.slice(1);
  const sum = pick => recent.reduce((all, one) => all + pick(one), 0);
  const turns = sum(one => one.turns);
  const seconds = (at - told[0].at) / 1000;
  const each = (value, of) => of > 0 ? rough.format(value / of) : "–";
  if (seconds > 0) element("turns").textContent = rough.format(turns / seconds);
  const ready = sum(one => one.all.ready);
  element("ready").textContent = each(ready, turns);
  element("scanned").textContent = each(sum(one => one.all.scanned), ready);
  element("changes").textContent = each(sum(one => one.all.changes), turns);
  const [blocked, busy] = [sum(one => one.all.blocked_us), sum(one => one.all.dispatching_us)];
  if (blocked + busy > 0) {
    const share = 100 * busy / (blocked + busy);
    element("share").style.width = `${share}%`;
    element("share-now").textContent = `${rough.format(share)} % at work`;
    element("share").parentElement.setAttribute("aria-label", `${rough.format(share)} % of the time at work.`);
  }
  rows = [...news.last.reverse(), ...rows].slice(0, ROWS_MAX);
  element("rows").replaceChildren(...rows.map(row => {
    const line = document.createElement("tr");
    const texts = [row.turn, row.passed, row.scanned, row.ready, row.changes].map(value => exact.format(value));
    for (const text of [...texts, time(row.blocked_us), time(row.dispatching_us)]) {
      line.insertCell().textContent = text;
    }
    return line;
  }));
  element("panel").hidden = false;
  element("panel").classList.remove("stale");
  say("");
}

let events = null;

/** Listens while somebody looks, and not otherwise. */
function listen() {
  if (!isWatched()) {
    events?.close();
    events = null;
    told = [];
  } else if (!events) {
    events = new EventSource("turns");
    events.onmessage = event => take(JSON.parse(event.data));
    // The browser tries again by itself where it was cut off.
    events.onerror = () => {
      element("panel").classList.add("stale");
      say(IS_AWAY);
    };
  }
}

element("pause").addEventListener("click", listen);
document.addEventListener("visibilitychange", listen);

async function begin() {
  if (location.protocol === "file:") return say(IS_OFF);
  nameServer();
  // Where the demonstration is off this is a file without a backend in it.
  const counters = await fetch("counters", { cache: "no-store" }).then(answer => answer.json(), () => null);
  if (counters?.backend === null) return say(IS_OFF);
  if (counters) {
    element("backend").textContent = `${counters.backend}, ${counters.trigger} trigger`;
    element("panel").dataset.backend = counters.backend;
  }
  listen();
}

begin();
