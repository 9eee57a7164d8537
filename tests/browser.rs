//! The pages as a browser has them: they do what they promise, and have nothing to say on the console.

mod backends;
mod chromium;
mod process;
mod running;
#[allow(dead_code)] // Here it has no main.
#[path = "../examples/streams.rs"]
mod streams;

use backends::on_every_backend;
use chromium::{Browser, Page};
use process::{PATIENCE, Process, command, flags_of};
use running::Running;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use tripoll::poller::Strategy;
use tripoll::reactor::Shutdown;

on_every_backend! {
    the_page_shows_the_server_at_work,
    the_loop_is_shown_turn_by_turn,
    answers_that_take_their_time_reach_the_page,
    a_websocket_is_spoken_as_a_browser_speaks_it,
    a_page_sees_its_server_go_and_its_events_come_back,
}

/// Where the demonstration lies.
fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn serve(arguments: &[&str], cwd: &Path) -> (Process, SocketAddr) {
    let (process, _, address) = Process::serving(command(&[&["-p", "0"], arguments].concat(), cwd));
    (process, address)
}

#[track_caller]
fn assert_clean(page: &mut Page) {
    assert_eq!(page.console(), [""; 0], "the console is not clean");
}

fn the_page_shows_the_server_at_work(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let (backend, trigger) = flags_of(strategy);
    let (_server, address) = serve(&["--backend", backend, "--trigger", trigger], project());
    let mut page = browser.open(&format!("http://{address}/"));

    page.wait_for("document.querySelector('#panel').checkVisibility()");
    assert_eq!(page.evaluate("document.querySelector('.answered').innerText"), said_of(backend, trigger));
    let figure = |name: &str| format!("document.querySelector('#{name}').innerText");
    let (time, requests) = (page.evaluate(&figure("time")), page.evaluate(&figure("requests")));
    assert!(time.as_str().unwrap().ends_with(" GMT"), "{time}");
    page.wait_for(&format!("{} !== {time}", figure("time")));
    page.wait_for(&format!("Number({}) > Number({requests})", figure("requests")));
    for chart in ["turns", "scanned"] {
        // Two segments of a line are three readings.
        let segments = format!("document.querySelector('#{chart} .series').getAttribute('d').split('L').length - 1");
        page.wait_for(&format!("{segments} >= 2"));
        let said = format!("document.querySelector('#{chart}').getAttribute('aria-label')");
        page.wait_for(&format!(r"/ over the last minute: now [\d.,]+, least [\d.,]+, most [\d.,]+\.$/.test({said})"));
        page.wait_for(&format!("Number({}) > 0", figure(&format!("{chart}-now"))));
    }

    page.fill("#text", "Grüße, <b>\"world\"</b> & all");
    page.click("#echo button");
    page.wait_for("document.querySelector('#echo output').innerText.includes('200 OK')");
    let echoed = page.evaluate("document.querySelector('#echo output').innerText");
    assert!(echoed.as_str().unwrap().ends_with("\n\nGrüße, <b>\"world\"</b> & all"), "{echoed}");
    page.fill("#name", "Ada / Łukasz?");
    page.press("Enter");
    page.wait_for("document.querySelector('#hello output').innerText.endsWith('Hello, Ada / Łukasz?!\\n')");

    let size = fs::metadata(project().join("static/files/hello.txt")).unwrap().len();
    for (ask, parts) in [
        (
            "bytes=0-4",
            ["206 Partial Content".to_string(), format!("Content-Range: bytes 0-4/{size}\n"), "Hello".into()],
        ),
        ("changed", ["304 Not Modified".to_string(), "If-None-Match: \"".into(), "ETag: \"".into()]),
        (
            "head",
            [
                "HEAD /files/hello.txt".to_string(),
                format!("Content-Length: {size}\n"),
                "Content-Type: text/plain".into(),
            ],
        ),
    ] {
        page.click(&format!("#part button[value='{ask}']"));
        for part in parts {
            page.wait_for(&format!("document.querySelector('#part output').innerText.includes({})", json!(part)));
        }
    }
    assert_clean(&mut page);
}

/// The example's page, with its clock ticking.
fn open_streams(browser: &mut Browser, server: &Running) -> Page {
    let mut page = browser.open(&format!("http://{}/", server.address));
    page.wait_for("document.querySelector('#clock').value.endsWith(' GMT')");
    page
}

fn answers_that_take_their_time_reach_the_page(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let server = Running::new(strategy, streams::with_routes);
    let mut page = open_streams(&mut browser, &server);
    let time = page.evaluate("document.querySelector('#clock').value");
    page.click("button[value='primes/1000000']");
    page.wait_for("document.querySelector('#later').value === '78498\\n'");
    page.click("button[value='egg/1']");
    page.wait_for("document.querySelector('#later').value === 'done\\n'");
    page.wait_for(&format!("document.querySelector('#clock').value !== {time}"));
    page.evaluate(
        "(() => { const chosen = new DataTransfer(), file = document.querySelector('#file');
           chosen.items.add(new File([new Uint8Array(5_000_000)], 'five'));
           file.files = chosen.files;
           file.dispatchEvent(new Event('change')) })()",
    );
    page.wait_for("document.querySelector('#upload').value === '5000000 bytes\\n'");
    assert_eq!(page.evaluate("document.querySelector('#missed').value"), "");
    assert_clean(&mut page);
}

fn a_websocket_is_spoken_as_a_browser_speaks_it(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let server = Running::new(strategy, streams::with_routes);
    let mut page = open_streams(&mut browser, &server);
    page.fill("#text", "Grüße, <b>world</b> 😀");
    page.click("form button");
    page.wait_for("document.querySelector('#said').value === 'Grüße, <b>world</b> 😀'");
    // Texts and binary of all lengths of a length, many at once, and a close that says why.
    let told = page.evaluate(
        "new Promise((tell, fail) => {
           const socket = new WebSocket(`ws://${location.host}/socket`), sizes = [0, 1, 125, 126, 127, 65535, 65536, 1048576];
           const texts = sizes.map((size) => 'x'.repeat(size)).concat('😀'.repeat(1000));
           const bytes = sizes.map((size) => Uint8Array.from({ length: size }, (_, at) => at % 251));
           const wrong = [];
           let came = 0;
           socket.binaryType = 'arraybuffer';
           socket.onerror = () => fail(new Error('it breaks'));
           socket.onopen = () => { texts.forEach((text) => socket.send(text)); bytes.forEach((some) => socket.send(some)) };
           socket.onmessage = ({ data }) => {
             const at = came++;
             const same = at < texts.length ? data === texts[at]
               : new Uint8Array(data).every((byte, index) => byte === bytes[at - texts.length][index])
                 && data.byteLength === bytes[at - texts.length].length;
             if (!same) wrong.push(at);
             if (came === texts.length + bytes.length) socket.close(4001, 'genug – enough');
           };
           socket.onclose = ({ code, wasClean }) => tell({ came, wrong, code, wasClean, protocol: socket.protocol });
         })",
    );
    assert_eq!(told, json!({ "came": 17, "wrong": [], "code": 4001, "wasClean": true, "protocol": "" }));
    assert_clean(&mut page);
}

fn a_page_sees_its_server_go_and_its_events_come_back(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let server = Running::new(strategy, streams::with_routes);
    let address = server.address;
    let mut page = open_streams(&mut browser, &server);
    page.wait_for("socket.readyState === WebSocket.OPEN");
    assert_clean(&mut page);
    server.handle.shut_down(Shutdown { grace: PATIENCE, patience: Duration::ZERO });
    page.wait_for("document.querySelector('#said').value === 'closed: 1001'");
    page.wait_for("document.querySelector('#clock').value === 'the server is away'");
    drop(server);
    // The browser comes back by itself to whoever is there, and says what it saw last.
    let _another = Running::new(strategy, move |server| streams::with_routes(server).also_at(address.to_string()));
    page.wait_for("/^missed [0-9]+ s$/.test(document.querySelector('#missed').value)");
    page.wait_for("document.querySelector('#clock').value.endsWith(' GMT')");
}

/// One at a time: a connection that a browser opens before it knows what for must not keep the page from coming.
#[test]
fn the_page_loads_under_every_model() {
    let Some(mut browser) = Browser::new() else { return };
    for model in ["iterative", "fork", "prefork", "threads", "thread-pool", "coroutines"] {
        let (_server, address) = serve(&["--model", model], project());
        let mut page = browser.open(&format!("http://{address}/"));
        let said = "document.querySelector('.answered').innerText";
        let by = match model {
            "coroutines" => said_of("coroutines over epoll", "level"),
            model => format!("This page is answered by {model}."),
        };
        page.wait_for(&format!("{said} === '{by}'"));
        let requests = page.evaluate("document.querySelector('#requests').innerText");
        page.wait_for(&format!("Number(document.querySelector('#requests').innerText) > Number({requests})"));
        let turns = page.evaluate("document.querySelector('#moving').checkVisibility()");
        assert_eq!(turns, model == "coroutines", "{model}: whether a loop turns");
        assert_clean(&mut page);
    }
    let (_server, address) = serve(&["--model", "prefork", "--workers", "1"], project());
    let mut page = browser.open(&format!("http://{address}/"));
    page.wait_for("document.querySelector('#panel').checkVisibility()");
}

fn said_of(backend: &str, trigger: &str) -> String {
    format!("This page is answered by {backend}, {trigger}\u{a0}trigger.")
}

#[test]
fn the_page_waits_for_a_server_that_went_away() {
    let Some(mut browser) = Browser::new() else { return };
    let (server, address) = serve(&["--backend", "select"], project());
    let mut page = browser.open(&format!("http://{address}/"));
    page.wait_for("document.querySelector('#backend').innerText === 'select'");
    assert_clean(&mut page);
    server.signal("INT");
    assert_eq!(server.end().0, Some(0));
    let state = "document.querySelector('#state')";
    page.wait_for(&format!("{state}.innerText.includes('does not answer') && {state}.checkVisibility()"));
    let port = address.port().to_string();
    let (_server, _, again) = Process::serving(command(&["-p", &port, "--backend", "poll"], project()));
    assert_eq!(again, address);
    page.wait_for(&format!("document.querySelector('#backend').innerText === 'poll' && !{state}.checkVisibility()"));
}

/// How many readings of the server a page has shown.
const SHOWN: &str = "turns.readings.length";

#[test]
fn a_page_that_nobody_sees_hears_nothing() {
    let Some(mut browser) = Browser::new() else { return };
    let (_server, address) = serve(&[], project());
    let url = format!("http://{address}/");
    let mut behind = browser.open(&url);
    behind.wait_for(&format!("{SHOWN} >= 2"));
    let mut front = browser.open(&url);
    behind.wait_for("document.hidden");
    let so_far = behind.evaluate(SHOWN).as_u64().unwrap();
    // Three readings there take more time than three would have here.
    front.wait_for(&format!("{SHOWN} >= 4"));
    let now = behind.evaluate(SHOWN).as_u64().unwrap();
    assert!(now <= so_far + 1, "it was at {so_far}, one may have been on its way, now {now}");
    browser.show(&behind);
    behind.wait_for(&format!("{SHOWN} >= {}", now + 2));
    assert_clean(&mut behind);
    assert_clean(&mut front);
}

#[test]
fn a_page_that_is_paused_hears_nothing_until_it_goes_on() {
    let Some(mut browser) = Browser::new() else { return };
    let (_server, address) = serve(&[], project());
    let url = format!("http://{address}/");
    let mut paused = browser.open(&url);
    paused.wait_for(&format!("{SHOWN} >= 2"));
    paused.click("#pause");
    let so_far = paused.evaluate(SHOWN).as_u64().unwrap();
    let mut beside = browser.open_beside(&url);
    beside.wait_for(&format!("{SHOWN} >= 4"));
    assert_eq!(paused.evaluate("document.hidden"), false, "both are seen");
    let now = paused.evaluate(SHOWN).as_u64().unwrap();
    assert!(now <= so_far + 1, "it was at {so_far}, one may have been on its way, now {now}");
    paused.click("#pause");
    paused.wait_for(&format!("{SHOWN} >= {}", now + 2));
    assert_clean(&mut paused);
}

/// By any strategy: the newest turns, with work that others make.
fn the_loop_is_shown_turn_by_turn(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let (backend, trigger) = flags_of(strategy);
    let (_server, address) = serve(&["--backend", backend, "--trigger", trigger], project());
    let mut page = browser.open(&format!("http://{address}/loop.html"));
    page.wait_for(&format!("document.querySelector('#backend').innerText === '{backend}, {trigger} trigger'"));
    let newest = "Number(document.querySelector('#rows td').innerText.replaceAll(',', ''))";
    page.wait_for("document.querySelectorAll('#rows tr').length === 24");
    let before = page.evaluate(newest);
    page.wait_for(&format!("{newest} > {before}"));
    page.click("#pause");
    page.wait_for("events === null");
    page.click("#pause");
    let before = page.evaluate(newest);
    page.wait_for(&format!("{newest} > {before}"));
    assert_clean(&mut page);
}

#[test]
fn the_charts_glide_only_for_who_likes_motion() {
    let Some(mut browser) = Browser::new() else { return };
    let (_server, address) = serve(&[], project());
    let mut page = browser.open(&format!("http://{address}/"));
    let glides = "document.querySelector('#turns g').getAnimations().length > 0";
    page.wait_for(glides);
    page.prefer("prefers-reduced-motion", "reduce");
    page.wait_for(&format!("!({glides})")); // What had begun goes on to its end.
    let drawn = "document.querySelector('#turns .series').getAttribute('d')";
    for _ in 0..3 {
        let before = page.evaluate(drawn);
        page.wait_for(&format!("{drawn} !== {before}"));
        assert_eq!(page.evaluate(glides), false);
    }
    assert_clean(&mut page);
}

#[test]
fn nothing_is_wider_than_a_phone() {
    let Some(mut browser) = Browser::new() else { return };
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("unbroken_name_".repeat(15)), "").unwrap();
    let (_demonstration, page_address) = serve(&[], project());
    let (_listing, address) = serve(&["."], folder.path());
    let mut page = browser.open("about:blank");
    page.resize(375, 800);
    for (url, wide) in [
        (format!("http://{page_address}/"), "#panel, #part"),
        (format!("http://{page_address}/loop.html"), "#panel, .scroll"),
        (format!("http://{page_address}/files/"), "table"),
        (format!("http://{address}/"), "table"),
        (format!("http://{address}/missing"), "h1"),
    ] {
        page.visit(&url);
        page.wait_for(&format!(
            "[...document.querySelectorAll('{wide}')].every(part => part.checkVisibility() && part.offsetWidth <= 375)"
        ));
        assert_eq!(page.evaluate("[innerWidth, document.documentElement.scrollWidth]"), json!([375, 375]), "{url}");
    }
}

#[test]
fn without_its_routes_the_page_says_how_to_have_them() {
    let Some(mut browser) = Browser::new() else { return };
    let (_server, address) = serve(&["static"], project());
    let mut page = browser.open(&format!("http://{address}/"));
    page.wait_for("document.querySelector('#state').innerText.includes('tripoll --demo static')");
    assert_eq!(page.evaluate("document.querySelector('#panel').checkVisibility()"), false);
    page.click("#part button[value='bytes=-5']");
    page.wait_for("document.querySelector('#part output').innerText.includes('206 Partial Content')");
    assert_clean(&mut page);
}

const ROWS: &str = "[...document.querySelectorAll('tbody tr')].filter(row => row.checkVisibility() && row.dataset.name)\
                    .map(row => row.querySelector('a').innerText)";

#[track_caller]
fn assert_rows(page: &mut Page, want: &[&str]) {
    assert_eq!(page.evaluate(ROWS), json!(want));
}

#[test]
fn a_listing_is_sorted_by_click_and_remembers_it() {
    let Some(mut browser) = Browser::new() else { return };
    let folder = TempDir::new().unwrap();
    for (name, size, day) in [("b10.txt", 500, 2), ("B9.txt", 7, 3), ("a.txt", 60, 1)] {
        let path = folder.path().join(name);
        fs::write(&path, vec![b'x'; size]).unwrap();
        let changed = UNIX_EPOCH + Duration::from_secs(1_000_000_000 + day * 86_400);
        File::options().write(true).open(&path).unwrap().set_modified(changed).unwrap();
    }
    fs::create_dir(folder.path().join("z")).unwrap();
    let (_server, address) = serve(&["."], folder.path());
    let mut page = browser.open(&format!("http://{address}/"));
    let sorted = |page: &mut Page| page.evaluate("document.querySelector('th[aria-sort]').innerText");
    for (nth, ascending) in [
        (1, ["z/", "a.txt", "B9.txt", "b10.txt"]),
        (2, ["z/", "B9.txt", "a.txt", "b10.txt"]),
        (3, ["z/", "a.txt", "b10.txt", "B9.txt"]),
    ] {
        let mut descending = ascending;
        descending[1..].reverse();
        let head = format!("th:nth-child({nth}) button");
        if nth == 1 {
            page.click(&head); // It came sorted by name already, by the server.
            assert_rows(&mut page, &descending);
        }
        page.click(&head);
        assert_rows(&mut page, &ascending);
        page.click(&head);
        assert_rows(&mut page, &descending);
        let before = sorted(&mut page);
        page.reload();
        assert_rows(&mut page, &descending);
        assert_eq!(sorted(&mut page), before);
    }
    assert_clean(&mut page);
}

#[test]
fn a_listing_is_filtered_and_sorted_by_keys_alone() {
    let Some(mut browser) = Browser::new() else { return };
    let folder = TempDir::new().unwrap();
    for (name, size) in [("Apple.txt", 3), ("grape.txt", 2), ("cherry.txt", 1)] {
        fs::write(folder.path().join(name), vec![b'x'; size]).unwrap();
    }
    let (_server, address) = serve(&["."], folder.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.press("/");
    assert_eq!(page.evaluate("document.activeElement.value"), "", "the key that leads there is not typed there");
    page.type_text("ap");
    assert_rows(&mut page, &["Apple.txt", "grape.txt"]);
    page.type_text("ple");
    assert_rows(&mut page, &["Apple.txt"]);
    assert_eq!(page.evaluate("document.querySelector('p').innerText"), "1 of 3 shown");
    page.press("Escape");
    assert_eq!(page.evaluate("document.querySelector('p').innerText"), "0 folders, 3 files, 6 B");
    assert_eq!(page.evaluate("document.querySelector('input').value"), "");
    assert_eq!(page.evaluate(&format!("{ROWS}.length")), 3);
    let focused = "document.activeElement.innerText";
    let mut presses = 0;
    while page.evaluate(focused).as_str().is_none_or(|text| !text.starts_with("Size")) {
        page.press("Tab");
        presses += 1;
        assert!(presses < 10, "no number of tabs leads to the head of the sizes");
    }
    page.press("Enter");
    assert_rows(&mut page, &["cherry.txt", "grape.txt", "Apple.txt"]);
    page.press("Enter");
    assert_rows(&mut page, &["Apple.txt", "grape.txt", "cherry.txt"]);
    assert_clean(&mut page);
}

#[test]
fn pictures_are_seen_as_a_grid() {
    let Some(mut browser) = Browser::new() else { return };
    let (_server, address) = serve(&["static"], project());
    let mut page = browser.open(&format!("http://{address}/files/"));
    let count = "document.querySelectorAll('tbody img').length";
    assert_eq!(page.evaluate(count), 0, "who does not ask for pictures loads none");
    page.click("#view");
    assert_eq!(page.evaluate(count), 2);
    page.wait_for(
        "[...document.querySelectorAll('tbody img')].every(image => image.complete && image.naturalWidth > 0)",
    );
    let widest = "Math.max(...[...document.querySelectorAll('tbody tr')].map(row => row.offsetWidth))";
    assert!(page.evaluate(widest).as_u64().unwrap() < 400, "beside each other");
    page.reload();
    assert_eq!(page.evaluate(count), 2, "remembered");
    page.click("#view");
    assert_eq!(page.evaluate(count), 0);
    assert!(page.evaluate(widest).as_u64().unwrap() > 700, "below each other");
    assert_clean(&mut page);
}

#[test]
fn names_full_of_html_run_nothing() {
    let Some(mut browser) = Browser::new() else { return };
    let mut names = [
        "<img src=x onerror=ran=1>.png",
        "\"><img src=x onerror=ran=1>.svg",
        "' autofocus onfocus=ran=1 x='",
        "<script>ran=1",
        "javascript:ran=1",
        "{rows}{title}",
        "&lt;b&gt;",
    ];
    names.sort_unstable();
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("<svg onload=ran=1>");
    fs::create_dir(&inner).unwrap();
    let picture = fs::read(project().join("static/favicon.svg")).unwrap();
    for name in names {
        fs::write(inner.join(name), if name.ends_with(".svg") { &picture[..] } else { b"" }).unwrap();
    }
    let (_server, address) = serve(&["."], folder.path());
    let mut page = browser.open(&format!("http://{address}/"));
    assert_rows(&mut page, &["<svg onload=ran=1>/"]);
    page.click("tbody a");
    page.wait_for("document.title === '/<svg onload=ran=1>' && document.readyState === 'complete'");
    let mut listed: Vec<String> = serde_json::from_value(page.evaluate(ROWS)).unwrap();
    listed.sort_unstable();
    assert_eq!(listed, names);
    assert_eq!(page.evaluate("document.querySelectorAll('tbody img, tbody svg, tbody script').length"), 0);
    page.press("/");
    page.type_text("<img");
    assert_eq!(page.evaluate(&format!("{ROWS}.length")), 2);
    page.press("Escape");
    assert_clean(&mut page);
    // One of the pictures is none: it fails to load, which is no reason to run what stands in its name.
    page.click("#view");
    page.wait_for("[...document.querySelectorAll('tbody img')].length === 2");
    page.wait_for("[...document.querySelectorAll('tbody img')].every(image => image.complete)");
    // The names as paths, also of what is not there.
    for path in ["%3Cimg%20src=x%20onerror=ran=1%3E", "%3Csvg%20onload=ran=1%3E/%3Cscript%3Eran=2"] {
        assert_eq!(page.evaluate("typeof ran"), "undefined");
        page.visit(&format!("http://{address}/{path}"));
    }
    assert_eq!(page.evaluate("typeof ran"), "undefined");
}

#[test]
fn an_error_is_a_page_that_leads_on() {
    let Some(mut browser) = Browser::new() else { return };
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a.txt"), "").unwrap();
    let (_server, address) = serve(&["."], folder.path());
    let mut page = browser.open(&format!("http://{address}/deep/down/nothing"));
    let facts = page.evaluate(
        "[document.contentType, document.compatMode, document.title, document.querySelector('h1').innerText,
          document.querySelector('link[rel=icon]').href]",
    );
    assert_eq!(facts, json!(["text/html", "CSS1Compat", "404 Not Found", "404 Not Found", "data:,"]));
    // The browser notes the page's own status, and nothing else.
    let console = page.console().to_vec();
    assert!(matches!(&console[..], [one] if one.contains("404") && one.contains("/deep/down/nothing")), "{console:?}");
    page.click("a");
    page.wait_for("document.title === '/'");
    assert_rows(&mut page, &["a.txt"]);
}

#[test]
fn an_app_that_routes_by_itself_is_found_at_any_depth() {
    let Some(mut browser) = Browser::new() else { return };
    let folder = TempDir::new().unwrap();
    let index =
        "<!DOCTYPE html><title>app</title><link rel=icon href=data:,><main></main><script src=/app.js></script>";
    fs::write(folder.path().join("index.html"), index).unwrap();
    let app = "const show = () => { document.querySelector('main').textContent = 'at ' + location.pathname };
               window.go = path => { history.pushState(null, '', path); show() };
               show()";
    fs::write(folder.path().join("app.js"), app).unwrap();
    let (_server, address) = serve(&["--spa", "."], folder.path());
    let mut page = browser.open(&format!("http://{address}/users/7"));
    let shown = "document.querySelector('main').textContent";
    assert_eq!(page.evaluate(shown), "at /users/7");
    page.evaluate("go('/users/8/edit')");
    page.reload();
    assert_eq!(page.evaluate(shown), "at /users/8/edit");
    assert_clean(&mut page);
    let missing = page.evaluate("fetch('/gone.js').then(answer => answer.status)");
    assert_eq!(missing, Value::from(404), "a script that is missing is no page");
}
