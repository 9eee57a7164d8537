// What the pages of the demonstration have in common.

"use strict";

const element = id => document.getElementById(id);
const exact = new Intl.NumberFormat("en");
const rough = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** Shows a line with `code` in it, or none. Told once: a screen reader reads every change of it. */
function say(line) {
  const state = element("state");
  if (state.dataset.line === line) return;
  state.dataset.line = line;
  state.hidden = line === "";
  state.replaceChildren(...line.split("`").map((part, n) => {
    if (n % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  }));
}

/** Whether it is seen, and not paused by hand. */
const isWatched = () => !document.hidden && element("pause").getAttribute("aria-pressed") === "false";

// Before who else listens to the button: they ask whether it is pressed.
element("pause").addEventListener("click", event => {
  const isPaused = event.target.getAttribute("aria-pressed") === "true";
  event.target.setAttribute("aria-pressed", String(!isPaused));
});

/** Lets the commands of the page name the server that it came from. */
function nameServer() {
  const [host, port] = [location.hostname.replace(/[[\]]/g, ""), location.port || 80];
  for (const code of document.querySelectorAll("code")) {
    code.textContent = code.textContent
      .replaceAll("127.0.0.1:8000", location.host)
      .replaceAll("127.0.0.1/8000", `${host}/${port}`)
      .replaceAll("127.0.0.1 8000", `${host} ${port}`);
  }
}
