
  // Uploads, new folders, renaming, deleting. All text gets in as text, and nothing is sent to another origin.
  const here = new URL("./", location), changes = document.getElementById("changes");
  const said = document.getElementById("said"), list = document.getElementById("jobs");
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const button = (text, onclick) => make("button", { type: "button", onclick }, text);

  // What goes wrong, in words; `lost`: it may be tried again.
  const failure = (words, more) => Object.assign(new Error(words), more);
  const lost = () => failure("The server does not answer", { lost: true });
  const size = bytes => {
    let unit = 0;
    for (; bytes >= 1000 && unit < 6; unit++) bytes /= 1024;
    return `${bytes.toFixed(unit && bytes < 10 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit]}`;
  };
  const refused = (status, text, limit) => {
    const most = /max-size=(\d+)/.exec(limit);
    const words = {
      401: "A user's name and password are needed",
      403: "Not allowed",
      404: "It is not there any more",
      405: "Something else has that name",
      409: "It can't be done",
      412: "It was changed meanwhile",
      413: most ? `Too large: a file may have ${size(Number(most[1]))} here` : "Too large for this server",
      428: "The server wants to know what is replaced",
      500: "The server could not write it",
      503: "The server is busy",
      507: "The server has no room left",
    }[status] || `The server says ${status}`;
    const why = [400, 403, 409].includes(status) && /^\d+ [^:\n]*: (.+)/.exec(text);
    return failure(why ? `${words}: ${why[1]}` : words, { status, lost: [502, 503, 504].includes(status) });
  };
  const request = async (method, url, headers = {}, signal) => {
    const options = { method, headers, signal, mode: "same-origin", redirect: "error", cache: "no-store" };
    const answer = await fetch(url, options).catch(() => { throw lost() });
    if (answer.ok) return answer;
    throw refused(answer.status, await answer.text(), answer.headers.get("Upload-Limit"));
  };
  const address = path => {
    const parts = path.split("/");
    if (parts.some(part => /^\.{0,2}$|\p{Surrogate}/u.test(part))) throw failure("Nothing can have that name");
    return new URL("./" + parts.map(encodeURIComponent).join("/"), here);
  };
  const pause = (seconds, signal) => new Promise(go => {
    setTimeout(go, seconds * 1000);
    addEventListener("online", go, { once: true });
    signal?.addEventListener("abort", go);
  });
  // The tag of what is there, as If-Match takes it; of what is not, none. Range, so that no coded form is told of.
  const tag = async (url, signal) => {
    for (;;) {
      try {
        const found = (await request("HEAD", url, { Range: "bytes=0-" }, signal)).headers.get("ETag");
        if (!found?.startsWith("W/")) return found;
      } catch (error) {
        if (error.status === 404) return null;
        throw error;
      }
      await pause(.1, signal); // It changed only just now.
    }
  };

  // The rows anew, as the server has them.
  const equip = () => body.querySelectorAll("tr").forEach(row => {
    const name = row.dataset.name, change = make("button", { type: "button", ariaLabel: `Rename or delete ${name}` }, "⋯");
    row.append(make("td", { className: "act" }, ...name === undefined ? [] : [change]));
  });
  const reload = async () => {
    const answer = await request("GET", here, { Accept: "text/html" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("changes")) return say("This folder has an index page now, which is shown in place of this list");
    const active = document.activeElement, at = rows.findIndex(row => row.contains(active)), name = rows[at]?.dataset.name;
    body.replaceChildren(...page.querySelector("tbody").rows);
    rows.splice(0, rows.length, ...[...body.rows].filter(row => row.dataset.name !== undefined));
    equip();
    const by = heads.findIndex(head => head.hasAttribute("aria-sort"));
    sort(by, heads[by].getAttribute("aria-sort") === "descending");
    whole = page.querySelector("body > p").textContent;
    input.oninput();
    view.hidden = !rows.some(isPicture);
    show(!view.hidden && view.getAttribute("aria-pressed") === "true");
    if (at >= 0) focus(name, at, active.tagName);
  };
  // What has the name, else what took its place, else where new things come from.
  const focus = (name, at, tagName) => {
    const row = rows.find(row => row.dataset.name === name) || rows[Math.min(at, rows.length - 1)];
    (row?.querySelector(tagName) || pick).focus();
  };
  let isReloading = false, isStale = false;
  const refresh = async () => {
    isStale = true;
    if (isReloading) return;
    isReloading = true;
    while (isStale) {
      isStale = false;
      await reload().catch(error => say(error.message));
    }
    isReloading = false;
  };

  // One question at a time; what it asks for is done before it closes, or it says why not.
  const dialog = changes.querySelector("dialog"), field = dialog.querySelector("input"), form = dialog.querySelector("form");
  const [alarm, choices] = form.querySelectorAll("div");
  const ask = (title, name, acts) => {
    form.querySelector("h2").textContent = title;
    alarm.textContent = "";
    field.parentElement.hidden = name === null;
    field.value = name || "";
    const act = which => async event => {
      event.preventDefault();
      try {
        if (await which() === "ask") return;
        await refresh();
        dialog.close();
      } catch (error) {
        alarm.textContent = error.message;
      }
    };
    const buttons = Object.entries(acts).map(([text, which]) => button(text, act(which)));
    form.onsubmit = act(Object.values(acts)[0]);
    choices.replaceChildren(...buttons, button("Cancel", () => dialog.close()));
    if (!dialog.open) dialog.showModal();
    if (name === null) return choices.lastChild.focus();
    field.focus();
    const dot = name.lastIndexOf(".");
    field.setSelectionRange(0, dot > 0 ? dot : name.length);
  };
  dialog.onkeydown = event => event.stopPropagation();
  let opener; // The row that asked last.
  dialog.onclose = () => {
    const active = document.activeElement; // Its row may be gone.
    if (active === document.body || dialog.contains(active)) focus(opener.name, opener.at, "button");
  };
  const taken = error => { throw [405, 412].includes(error.status) ? failure("Something here has that name already") : error };
  document.getElementById("new-folder").onclick = () => ask("New folder", "", {
    Create: async () => {
      await request("MKCOL", address(field.value)).catch(taken);
      say(`${field.value}: made`);
    },
  });
  body.onclick = event => {
    const row = event.target.closest(".act button")?.closest("tr");
    if (!row) return;
    const { name } = row.dataset, url = new URL(row.querySelector("a").href), isFolder = row.dataset.folder;
    opener = { name, at: rows.indexOf(row) };
    const match = async () => {
      const found = !isFolder && await tag(url);
      return found ? { "If-Match": found } : {};
    };
    ask(name, name, {
      Rename: async () => {
        const headers = { Destination: address(field.value).pathname, Overwrite: "F" };
        await request("MOVE", url, headers).catch(taken);
        say(`${name}: now ${field.value}`);
        opener.name = field.value;
      },
      "Delete…": async () => {
        const headers = await match(); // Of what is there when it is asked about.
        ask(`Delete ${name} for good?`, null, {
          Delete: async () => {
            await request("DELETE", url, headers);
            say(`${name}: deleted`);
          },
        });
        return "ask";
      },
    });
  };

  // Uploads: by draft-ietf-httpbis-resumable-upload, since a script is not shown 104 by a PUT without content, then a PATCH. A job is a
  // file or a folder; its files go one by one, and of all jobs a few at a time.
  const STALLS_AFTER = 30000, FRUITLESS_MAX = 5, SINGLE_MAX = 50;
  let running = 0, free = 3;
  const waiting = [];
  const enter = () => free > 0 ? free-- : new Promise(go => waiting.push(go));
  const leave = () => waiting.length ? waiting.shift()() : free++;
  const say = text => {
    const news = running ? `${text} · ${running} to go` : text;
    if (said.textContent !== news) said.textContent = news; // What was said is not said again.
  };

  // Tries until the server answers, or nobody wants it any more.
  const persist = async (job, attempt) => {
    for (let seconds = 1;; seconds = Math.min(2 * seconds, 10)) {
      try {
        return await attempt();
      } catch (error) {
        if (job.signal.aborted || !error.lost) throw error;
        job.tell(`${error.message}: it is tried again`);
        say(`${job.name}: ${error.message}`);
        if (job.hasMoved) seconds = 1;
        job.hasMoved = false;
        await pause(seconds, job.signal);
        job.signal.throwIfAborted();
      }
    }
  };
  const append = (job, file, upload, offset) => new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    let timer;
    const stop = () => xhr.abort(), moves = () => { clearTimeout(timer); timer = setTimeout(stop, STALLS_AFTER) };
    xhr.open("PATCH", upload);
    xhr.setRequestHeader("Content-Type", "application/partial-upload");
    xhr.setRequestHeader("Upload-Complete", "?1");
    xhr.setRequestHeader("Upload-Offset", offset);
    xhr.upload.onprogress = event => { moves(); job.show(offset + event.loaded) };
    xhr.onload = () => xhr.status < 300 ? done() : fail(refused(xhr.status, xhr.responseText, xhr.getResponseHeader("Upload-Limit")));
    xhr.onerror = xhr.onabort = () => fail(lost());
    xhr.onloadend = () => { clearTimeout(timer); job.signal.removeEventListener("abort", stop) };
    job.signal.addEventListener("abort", stop);
    moves();
    xhr.send(file.slice(offset));
  });
  const send = async (job, file, url, headers) => {
    let upload, best = -1, fruitless = 0;
    await enter();
    try {
      await persist(job, async () => {
        let offset = 0;
        try {
          if (upload) {
            const state = (await request("HEAD", upload, {}, job.signal)).headers;
            if (state.get("Upload-Complete") === "?1") return;
            offset = Number(state.get("Upload-Offset"));
          } else {
            const begins = { ...headers, "Upload-Complete": "?0", "Upload-Length": file.size };
            const place = new URL((await request("PUT", url, begins, job.signal)).headers.get("Location"), url);
            if (place.origin !== location.origin) throw failure("The server sends uploads elsewhere");
            upload = place;
          }
          if (offset > best) [best, fruitless, job.hasMoved] = [offset, 0, best >= 0];
          else if (++fruitless > FRUITLESS_MAX) throw failure("The connection breaks off each time");
          job.show(offset);
          await append(job, file, upload, offset);
        } catch (error) {
          if (upload && error.status === 404) {
            upload = undefined;
            throw failure("The server has lost what it had of it", { lost: true });
          }
          // Another offset than it thought, or an end that failed: the next look tells.
          if (upload && error.status === 409) throw failure("The connection broke off", { lost: true });
          await file.slice(0, 1).arrayBuffer().catch(() => { throw failure("It can't be read here any more") });
          throw error;
        }
      });
    } catch (error) {
      if (job.signal.aborted && upload) request("DELETE", upload).catch(() => {}); // It would expire.
      throw error;
    } finally {
      leave();
    }
  };
  const put = async (job, file, path) => {
    const [, stem, ending] = /^(.*?[^/])(\.[^./]*)?$/s.exec(path) || [, path, ""];
    let name = path, count = 1, headers = { "If-None-Match": "*" };
    for (;;) {
      try {
        await send(job, file, address(name), headers);
        return true;
      } catch (error) {
        if (error.status !== 412) throw error;
        // What changed once more is asked about once more.
        const choice = count > 1 ? "both" : !headers["If-Match"] && job.choice || await job.ask(path);
        if (choice === "skip") return false;
        if (choice === "both") name = `${stem} (${++count})${ending || ""}`;
        const found = choice === "replace" && await persist(job, () => tag(address(path), job.signal));
        headers = found ? { "If-Match": found } : { "If-None-Match": "*" };
      }
    }
  };

  class Job {
    // `files`: each with its path; `folders`: the paths of those to be made first.
    constructor(name, files, folders) {
      Object.assign(this, { name, files, folders, finished: 0, before: 0, controller: new AbortController() });
      this.state = document.createElement("span");
      this.bar = make("progress", { ariaLabel: name });
      this.tools = make("div", { className: "tools" });
      this.row = make("li", {}, make("strong", {}, name), " ", this.state, this.bar, this.tools);
      this.bar.max = files.reduce((sum, { file }) => sum + file.size + 1, 0) || 1; // One more each, for empty ones.
      this.bar.value = 0;
      list.append(this.row);
      this.tell("waiting");
      this.run();
    }
    get signal() { return this.controller.signal }
    tell(text) { this.state.textContent = text }
    show(bytes) {
      const quarters = Math.floor(4 * this.bar.position);
      this.bar.value = this.before + bytes;
      const percent = `${Math.floor(100 * this.bar.position)} %`, count = this.files.length;
      this.tell(count === 1 ? percent : `${this.finished} of ${count} files, ${percent}`);
      if (Math.floor(4 * this.bar.position) > quarters && this.bar.position < 1) say(`${this.name}: ${percent}`);
    }
    ask(path) {
      const all = make("input", { type: "checkbox" });
      const isOne = this.files.length === 1, options = { replace: "Overwrite", both: "Keep both", skip: "Skip" };
      if (changes.dataset.overwrite === "never") delete options.replace;
      if (isOne) delete options.skip; // Cancel does.
      this.tell(isOne ? "is there already" : `${path} is there already`);
      say(`${path} is there already`);
      return new Promise(choose => {
        const decide = choice => {
          if (all.checked) this.choice = choice;
          this.leave(() => this.offer());
          choose(choice);
        };
        this.signal.addEventListener("abort", () => choose("skip"));
        const buttons = Object.entries(options).map(([choice, text]) => button(text, () => decide(choice)));
        if (!isOne) buttons.push(make("label", {}, all, " for all of them"));
        this.tools.prepend(...buttons);
      });
    }
    // What can be done while it runs.
    offer() { this.tools.replaceChildren(button("Cancel", () => this.controller.abort())) }
    // Who had the focus here is not left without.
    leave(act) {
      const hadFocus = this.row.contains(document.activeElement);
      act();
      if (hadFocus) (this.tools.querySelector("button:last-of-type") || pick).focus();
    }
    async run() {
      const failed = [];
      running++;
      this.offer();
      try {
        for (const folder of this.folders) {
          await persist(this, () => request("MKCOL", address(folder), {}, this.signal)).catch(error => {
            if (error.status !== 405) throw error; // It is there.
          });
        }
        for (const item of this.files) {
          try {
            this.show(0);
            await put(this, item.file, item.path);
          } catch (error) {
            this.signal.throwIfAborted();
            failed.push({ ...item, why: error.message });
          }
          this.signal.throwIfAborted();
          this.before += item.file.size + 1;
          this.finished++;
          this.show(0);
        }
      } catch (error) {
        failed.unshift({ why: error.message });
      }
      running--;
      if (this.signal.aborted) this.end("cancelled");
      else if (failed.length) this.fail(failed);
      else this.end("uploaded");
      refresh();
    }
    end(text) {
      this.leave(() => { this.row.remove(); this.tools.replaceChildren() });
      say(`${this.name}: ${text}`);
    }
    fail(failed) {
      const [{ why }] = failed, count = this.files.length;
      this.row.className = "bad";
      this.tell(count === 1 || !failed[0].file ? why : `${failed.length} of ${count} files did not get there:`);
      say(`${this.name}: ${why}`);
      const which = make("ul", {}, ...count === 1 ? [] : failed.filter(item => item.file).map(({ path, why }) => make("li", {}, `${path}: ${why}`)));
      this.bar.replaceWith(which);
      const again = () => {
        const files = failed[0].file ? failed : this.files, folders = failed[0].file ? [] : this.folders;
        const next = new Job(this.name, files, folders);
        this.row.replaceWith(next.row);
        next.tools.firstChild.focus();
      };
      this.leave(() => this.tools.replaceChildren(button("Try again", again), button("Close", () => this.end("not uploaded"))));
    }
  }

  // What was dropped: files, and folders with all that is in them.
  const walk = async (entry, path, found) => {
    if (entry.isFile) return found.files.push({ file: await new Promise((...told) => entry.file(...told)), path });
    found.folders.push(path);
    const reader = entry.createReader();
    for (;;) {
      const entries = await new Promise((...told) => reader.readEntries(...told));
      if (!entries.length) return;
      for (const inner of entries) await walk(inner, `${path}/${inner.name}`, found);
    }
  };
  // Many files get one bar.
  const upload = files => {
    const items = files.map(file => ({ file, path: file.name }));
    if (items.length > SINGLE_MAX) new Job(`${items.length} files`, items, []);
    else items.forEach(item => new Job(item.path, [item], []));
  };
  const brings = event => event.dataTransfer.types.includes("Files");
  const mark = isOver => document.body.classList.toggle("over", isOver);
  ondragover = event => {
    if (!brings(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    mark(true);
  };
  ondragleave = event => event.relatedTarget || mark(false);
  ondrop = async event => {
    if (!brings(event)) return;
    event.preventDefault();
    mark(false);
    const items = [...event.dataTransfer.items].filter(item => item.kind === "file"), files = [...event.dataTransfer.files];
    const entries = items.map(item => item.webkitGetAsEntry());
    upload(files.filter((_, at) => !entries[at]?.isDirectory));
    for (const entry of entries.filter(entry => entry?.isDirectory)) {
      const found = { files: [], folders: [] };
      await walk(entry, entry.name, found).then(
        () => new Job(`${entry.name}/`, found.files, found.folders),
        () => say(`${entry.name}: it can't be read here`),
      );
    }
  };

  // The same for who can't drag.
  const picker = more => make("input", { type: "file", multiple: true, ...more });
  const pick = document.getElementById("pick"), single = picker({}), tree = picker({ webkitdirectory: true });
  pick.onclick = () => single.click();
  single.onchange = () => { upload([...single.files]); single.value = "" };
  const folder = document.getElementById("pick-folder");
  folder.hidden = !("webkitdirectory" in single);
  folder.onclick = () => tree.click();
  tree.onchange = () => {
    const files = [...tree.files].map(file => ({ file, path: file.webkitRelativePath })), folders = new Set();
    for (const { path } of files) {
      for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) folders.add(path.slice(0, at));
    }
    if (files.length) new Job(`${files[0].path.split("/")[0]}/`, files, [...folders]);
    tree.value = "";
  };

  onbeforeunload = event => { if (running) event.preventDefault() };
  document.querySelector("thead tr").append(document.createElement("td"));
  equip();
  changes.hidden = false;