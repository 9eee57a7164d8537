//! A browser without a window, told what to do over the DevTools protocol.
//!
//! Invariant: every wait is for something that the page or the browser says, and ends with a panic where that is not
//! said in [`PATIENCE`].
//!
//! ```text
//!   Browser ──┬─ a process, its profile in a folder of its own
//!             ├─ Session "browser": opens tabs
//!             └─ Page ─ Session "page": { id, method, params } → { id, result }, and events that nobody asked for
//! ```
#![allow(dead_code)] // Not every test needs all of it.

use crate::process::{PATIENCE, Process};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{Write, stderr};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser is large: no two run at a time.
static TURN: Mutex<()> = Mutex::new(());

pub struct Browser {
    session: Session,
    host: String,
    process: Process,
    // After the process, which writes there to its end.
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// None where none is installed, which a line on stderr says.
    pub fn new() -> Option<Browser> {
        let installed = |name: &&str| {
            Command::new(name)
                .arg("--version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        let Some(name) = NAMES.iter().find(|name| installed(name).is_ok_and(|status| status.success())) else {
            // Not eprintln!: the harness would keep it to itself.
            let _ = writeln!(stderr(), "skipped: browser: none of {} is installed", NAMES.join(", "));
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let profile = TempDir::new().unwrap();
        let mut command = Command::new(name);
        command
            .args(["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--window-size=1280,900"])
            // Small shared memory, as in containers; nothing but what the tests ask for goes over the network.
            .args(["--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server", "--disable-background-networking"])
            .args(["--no-first-run", "--disable-component-update", "--disable-sync", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let process = Process::new(command);
        let url = loop {
            let line = process.stderr.recv_timeout(PATIENCE).expect("the browser says where it listens");
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                break url.to_string();
            }
        };
        let host = url.trim_start_matches("ws://").split('/').next().unwrap().to_string();
        Some(Browser { session: Session::new(&host, &url), host, process, _profile: profile, _turn: turn })
    }

    /// A new tab, in front, that shows `url`.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> Page {
        self.open_in(json!({ "url": "about:blank" }), url)
    }

    /// A new tab in a window of its own, which hides no other.
    #[track_caller]
    pub fn open_beside(&mut self, url: &str) -> Page {
        self.open_in(json!({ "url": "about:blank", "newWindow": true }), url)
    }

    #[track_caller]
    fn open_in(&mut self, place: Value, url: &str) -> Page {
        let target = self.session.call("Target.createTarget", place);
        let target = target["targetId"].as_str().unwrap().to_string();
        let session = Session::new(&self.host, &format!("ws://{}/devtools/page/{target}", self.host));
        let mut page = Page { session, target };
        for domain in ["Page", "Runtime", "Log"] {
            page.session.call(&format!("{domain}.enable"), json!({}));
        }
        page.visit(url);
        page
    }

    /// Shows a tab instead of the one in front.
    pub fn show(&mut self, page: &Page) {
        self.session.call("Target.activateTarget", json!({ "targetId": page.target }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.child.kill();
        // Its own children hold its stderr: when that ends, so have they, and the profile can go.
        while self.process.stderr.recv_timeout(PATIENCE).is_ok() {}
    }
}

/// A tab.
pub struct Page {
    session: Session,
    target: String,
}

impl Page {
    #[track_caller]
    pub fn visit(&mut self, url: &str) {
        self.load("Page.navigate", json!({ "url": url }));
    }

    #[track_caller]
    pub fn reload(&mut self) {
        self.load("Page.reload", json!({}));
    }

    #[track_caller]
    fn load(&mut self, method: &str, parameters: Value) {
        let loads = self.session.loads;
        let answer = self.session.call(method, parameters);
        assert_eq!(answer["errorText"], Value::Null, "no page came");
        while self.session.loads == loads {
            self.session.receive();
        }
    }

    /// What an expression is, or what its promise comes to.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.session.try_call("Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].take()),
            Some(details) => Err(details["exception"]["description"].to_string()),
        }
    }

    /// Goes on when `condition` is true of the page.
    #[track_caller]
    pub fn wait_for(&mut self, condition: &str) {
        // The page itself lets some time pass, so that asking does not keep it busy.
        let asked = format!("new Promise(tell => setTimeout(tell, 10)).then(() => Boolean({condition}))");
        let give_up = Instant::now() + PATIENCE;
        loop {
            // An error is no answer: the page may be between two documents, or not yet have what is asked about.
            let said = self.try_evaluate(&asked);
            if said == Ok(Value::Bool(true)) {
                return;
            }
            if Instant::now() > give_up {
                let text = self.try_evaluate("document.body.innerText").unwrap_or_default();
                panic!("this does not come true: {condition}\n{said:?}\n{:?}\n{text}", self.session.troubles);
            }
        }
    }

    /// Has the page's user prefer something, as `prefers-reduced-motion`.
    #[track_caller]
    pub fn prefer(&mut self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.session.call("Emulation.setEmulatedMedia", features);
    }

    /// Whether documents may run script from the next one on. Without it nothing can be waited for.
    #[track_caller]
    pub fn allow_script(&mut self, is_allowed: bool) {
        self.session.call("Emulation.setScriptExecutionDisabled", json!({ "value": !is_allowed }));
    }

    /// As on a screen of this size, with fingers.
    #[track_caller]
    pub fn resize(&mut self, width: u32, height: u32) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": true });
        self.session.call("Emulation.setDeviceMetricsOverride", screen);
    }

    /// A click in the middle of an element, wherever that is.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const element = document.querySelector({selector:?});
               element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const box = element.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2] }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.session.call("Input.dispatchMouseEvent", event);
        }
    }

    /// A key by the name that `KeyboardEvent.key` has for it.
    #[track_caller]
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "/" => (191, "/"),
            _ => panic!("a new key: {key}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code, "text": text });
            self.session.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Text into what has the focus.
    #[track_caller]
    pub fn type_text(&mut self, text: &str) {
        self.session.call("Input.insertText", json!({ "text": text }));
    }

    /// Instead of what a field holds.
    #[track_caller]
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.click(selector);
        self.evaluate("document.activeElement.select()");
        self.type_text(text);
    }

    /// Files and folders, dragged over the page and let go in its middle.
    #[track_caller]
    pub fn drop_files(&mut self, paths: &[PathBuf]) {
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.session.call("Input.dispatchDragEvent", json!({ "type": kind, "x": 150, "y": 300, "data": data }));
        }
    }

    /// What `act` has the page ask for, by the window that browsers have for it.
    #[track_caller]
    pub fn choose_files(&mut self, paths: &[PathBuf], act: impl FnOnce(&mut Page)) {
        self.session.call("Page.setInterceptFileChooserDialog", json!({ "enabled": true }));
        self.session.chooser = None;
        act(self);
        while self.session.chooser.is_none() {
            self.session.receive();
        }
        let asks = self.session.chooser.take();
        self.session.call("DOM.setFileInputFiles", json!({ "files": paths, "backendNodeId": asks }));
    }

    /// As from a person whom the browser's own window asks for name and password: one of these each time, then Cancel. The browser tells what is
    /// sent from now on as JSON: short text, then.
    #[track_caller]
    pub fn answer_passwords(&mut self, answers: &[(&str, &str)]) {
        let answers = answers.iter().map(|(name, password)| (name.to_string(), password.to_string()));
        self.session.passwords = answers.collect();
        self.session.call("Fetch.enable", json!({ "handleAuthRequests": true }));
    }

    /// How often the browser asked for them.
    #[track_caller]
    pub fn passwords_asked(&mut self) -> usize {
        self.console();
        self.session.passwords_asked
    }

    /// What stands on the console so far: messages, exceptions, loads that failed.
    pub fn console(&mut self) -> &[String] {
        // What came before the answer to this has been read with it.
        self.session.call("Runtime.evaluate", json!({ "expression": "1" }));
        &self.session.troubles
    }
}

/// A conversation with the browser, or with one tab.
struct Session {
    socket: WebSocket<TcpStream>,
    calls: u64,
    /// How often a document was loaded whole.
    loads: u64,
    troubles: Vec<String>,
    /// The element that asked for files last.
    chooser: Option<Value>,
    /// Names and passwords that are still to be said, and how often they were asked for.
    passwords: VecDeque<(String, String)>,
    passwords_asked: usize,
}

impl Session {
    fn new(host: &str, url: &str) -> Session {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (socket, _) = tungstenite::client(url, stream).unwrap_or_else(|error| panic!("{url}: {error}"));
        let (passwords, passwords_asked) = (VecDeque::new(), 0);
        Session { socket, calls: 0, loads: 0, troubles: Vec::new(), chooser: None, passwords, passwords_asked }
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        let id = self.send(method, parameters);
        loop {
            let mut message = self.receive();
            if message["id"] == id {
                return match message.get("error") {
                    None => Ok(message["result"].take()),
                    Some(error) => Err(error.to_string()),
                };
            }
        }
    }

    /// Calls without waiting for the answer.
    fn send(&mut self, method: &str, parameters: Value) -> u64 {
        self.calls += 1;
        let call = json!({ "id": self.calls, "method": method, "params": parameters });
        self.socket.send(Message::text(call.to_string())).unwrap();
        self.calls
    }

    /// The next message. What an event tells is noted, and what it asks is answered.
    #[track_caller]
    fn receive(&mut self) -> Value {
        let message = self.socket.read().unwrap_or_else(|error| panic!("the browser says no more: {error}"));
        let Ok(text) = message.to_text() else { return Value::Null };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Value::Null };
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loads += 1,
            Some("Page.fileChooserOpened") => self.chooser = Some(parameters["backendNodeId"].clone()),
            Some("Fetch.requestPaused") => {
                self.send("Fetch.continueRequest", json!({ "requestId": parameters["requestId"] }));
            }
            Some("Fetch.authRequired") => {
                self.passwords_asked += 1;
                let answer = match self.passwords.pop_front() {
                    Some((name, password)) => {
                        json!({ "response": "ProvideCredentials", "username": name, "password": password })
                    }
                    None => json!({ "response": "CancelAuth" }),
                };
                let answer = json!({ "requestId": parameters["requestId"], "authChallengeResponse": answer });
                self.send("Fetch.continueWithAuth", answer);
            }
            Some("Runtime.consoleAPICalled") => self.troubles.push(format!("console: {}", parameters["args"])),
            Some("Runtime.exceptionThrown") => {
                self.troubles.push(format!("exception: {}", parameters["exceptionDetails"]))
            }
            Some("Log.entryAdded") => {
                let entry = &parameters["entry"];
                self.troubles.push(format!("{}: {} {}", entry["source"], entry["text"], entry["url"]));
            }
            _ => {}
        }
        message
    }
}
