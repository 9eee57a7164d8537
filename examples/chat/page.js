// The chat's page. What it sends are lines, as a terminal does: a name until one is taken, then messages. What comes is JSON.
//
// asking ─▶ entering ─▶ in ⇄ away         removed: the operator sent it away, and it does not come back by itself
"use strict";

const ENTRIES_MAX = 500;
const NAMES_SHOWN_MAX = 200;
const RETRY_MS = { least: 500, most: 10_000 };

const $ = (id) => document.getElementById(id);
const [log, text, nameField] = [$("log"), $("text"), $("name")];

let socket = null;
let retry = { timer: 0, times: 0 };
let mine = sessionStorage.getItem("name") ?? ""; // A tab is somebody: another tab is somebody else.
let wasIn = false;
let room = 0;
let last = 0;
let awaited = 0; // Messages of before that are still to come.
let unread = 0;
const people = new Set();

function be(state, status) {
  document.body.dataset.state = state;
  $("status").textContent = status;
  text.disabled = state === "asking" || state === "removed";
  $("say").querySelector("button").disabled = state !== "in";
}

const is = (state) => document.body.dataset.state === state;

// --- the connection

function connect() {
  clearTimeout(retry.timer);
  if (socket && socket.readyState <= WebSocket.OPEN) return;
  const ours = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/room`);
  ours.onopen = () => ours.send(mine);
  ours.onmessage = (message) => {
    const event = JSON.parse(message.data);
    told[event.kind](event);
  };
  ours.onclose = () => {
    if (ours !== socket || is("asking") || is("removed")) return;
    if (wasIn) stayAway("Away: no connection. Trying again…");
    else ask("The room does not answer. Try again.");
  };
}

// Later each time, and not all at once when the server comes back.
function stayAway(status) {
  be("away", status);
  const wait = Math.min(RETRY_MS.least * 2 ** retry.times++, RETRY_MS.most) * (0.5 + Math.random() / 2);
  clearTimeout(retry.timer);
  retry.timer = setTimeout(comeBack, wait);
}

function comeBack() {
  if (!is("away")) return;
  if (socket?.readyState === WebSocket.OPEN) socket.send(mine);
  else connect();
}

function ask(refusal) {
  be("asking", "");
  $("refusal").textContent = refusal;
  nameField.setAttribute("aria-invalid", String(refusal !== ""));
  nameField.value = mine;
  nameField.select();
  nameField.focus();
}

addEventListener("online", comeBack);
addEventListener("offline", () => { if (is("in")) be("away", "Away: this device is offline."), socket.close(); });

// --- what the room tells

const told = {
  welcome(event) {
    if (room !== event.room) {
      if (room) notice("The room was opened anew.");
      [room, last] = [event.room, 0];
    }
    [mine, wasIn, awaited, retry.times] = [event.name, true, event.history, 0];
    sessionStorage.setItem("name", mine);
    log.setAttribute("aria-busy", String(awaited > 0));
    people.clear();
    [...event.others, mine].forEach((name) => people.add(name));
    showPeople();
    const held = is("away") ? document.activeElement : null;
    be("in", "");
    if (!held || held === document.body) text.focus();
  },
  refused(event) {
    if (is("in")) notice(event.reason);
    // Its own old connection may hold the name until it is missed.
    else if (wasIn && event.mayPass) stayAway(`Away: ${event.reason.split(";")[0]}. Trying again…`);
    else ask(event.reason);
  },
  removed() {
    sessionStorage.removeItem("name");
    wasIn = false;
    be("removed", "You were asked to leave. Reload to come back.");
  },
  entered({ name }) {
    people.add(name);
    showPeople();
    notice(`${name} entered`);
  },
  left({ name }) {
    people.delete(name);
    showPeople();
    notice(`${name} left`);
  },
  said(event) {
    if (awaited > 0 && --awaited === 0) log.setAttribute("aria-busy", "false");
    if (event.number <= last) return; // It was here before.
    last = event.number;
    const own = event.name === mine;
    const entry = element("li", `said${own ? " own" : ""}${log.lastElementChild?.dataset.name === event.name ? " again" : ""}`);
    entry.dataset.name = event.name;
    const head = element("div", "head");
    const who = element("span", "who", event.name);
    who.style.setProperty("--hue", hue(event.name));
    const at = new Date(event.at);
    const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = at.toISOString();
    time.title = at.toLocaleString();
    head.append(who, time);
    const said = element("div", "text", event.text);
    said.dir = "auto";
    entry.append(head, said);
    append(entry, own);
    if (document.hidden) document.title = `(${++unread}) Chat`;
  },
};

// --- what is seen

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content; // Text, whatever it looks like.
  return made;
}

const notice = (content) => append(element("li", "notice", content), false);

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 80;
const toEnd = () => { log.scrollTop = log.scrollHeight; };

function append(entry, follow) {
  const stays = follow || isAtEnd();
  log.append(entry);
  while (log.childElementCount > ENTRIES_MAX) log.firstElementChild.remove();
  if (stays) toEnd();
  else $("newest").hidden = false;
}

let drawing = 0;
function showPeople() {
  cancelAnimationFrame(drawing); // A crowd that enters is drawn once.
  drawing = requestAnimationFrame(() => {
    document.querySelectorAll(".count").forEach((count) => { count.textContent = people.size.toLocaleString(); });
    const names = [...people].sort(new Intl.Collator().compare);
    const items = names.slice(0, NAMES_SHOWN_MAX).map((name) => element("li", name === mine ? "own" : "", name));
    if (names.length > NAMES_SHOWN_MAX) items.push(element("li", "", `and ${names.length - NAMES_SHOWN_MAX} more`));
    $("names").replaceChildren(...items);
  });
}

function hue(name) {
  let sum = 0;
  for (const c of name) sum = (sum * 31 + c.codePointAt(0)) % 360;
  return sum;
}

// --- what the user does

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  mine = nameField.value;
  be("entering", "Entering…");
  if (socket?.readyState === WebSocket.OPEN) socket.send(mine);
  else connect();
});

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!is("in") || text.value.trim() === "") return;
  socket.send(text.value);
  text.value = "";
});

$("who").addEventListener("click", () => {
  $("who").setAttribute("aria-expanded", String($("who").getAttribute("aria-expanded") !== "true"));
});

$("newest").addEventListener("click", () => { toEnd(); text.focus(); });
log.addEventListener("scroll", () => { if (isAtEnd()) $("newest").hidden = true; });
addEventListener("resize", () => { if ($("newest").hidden) toEnd(); });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  [unread, document.title] = [0, "Chat"];
  comeBack(); // Timers sleep in a tab that is not seen.
});

// Somebody who was in, and loads the page again, comes in again.
if (mine) {
  wasIn = true;
  stayAway("Entering…");
  comeBack();
} else {
  ask("");
}
