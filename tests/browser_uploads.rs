//! The page of a folder that may be changed, as a browser has it: what it promises arrives, or it says why not.

mod backends;
mod chromium;
mod process;

use backends::on_every_backend;
use chromium::{Browser, Page};
use process::{PATIENCE, Process, command, flags_of};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tripoll::poller::Strategy;

on_every_backend! {
    files_and_folders_are_dropped,
}

fn serve(arguments: &[&str], folder: &Path) -> (Process, SocketAddr) {
    let arguments = [&["-p", "0", "--upload"], arguments, &["."]].concat();
    let (process, _, address) = Process::serving(command(&arguments, folder));
    (process, address)
}

/// A folder beside the one that is served, with these files.
fn own(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn paths(folder: &TempDir, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| folder.path().join(name)).collect()
}

/// Bytes that are nowhere the same for long.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64 / 8).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect()
}

const NAMES: &str = "[...document.querySelectorAll('tbody a')].map(link => link.innerText)";

#[track_caller]
fn wait_for_names(page: &mut Page, names: &[&str]) {
    page.wait_for(&format!("JSON.stringify({NAMES}) === {}", json!(json!(names).to_string())));
}

#[track_caller]
fn wait_for_text(page: &mut Page, selector: &str, text: &str) {
    page.wait_for(&format!("document.querySelector({}).innerText.includes({})", json!(selector), json!(text)));
}

/// The button that says so.
#[track_caller]
fn click_text(page: &mut Page, text: &str) {
    let asked =
        format!("[...document.querySelectorAll('button')].find(button => button.innerText === {})", json!(text));
    page.wait_for(&format!("{asked}?.checkVisibility()"));
    page.evaluate(&format!("{asked}.id ||= 'button-' + Math.random().toString(36).slice(2)"));
    let id = page.evaluate(&format!("{asked}.id"));
    page.click(&format!("#{}", id.as_str().unwrap()));
}

#[track_caller]
fn tab_to(page: &mut Page, text: &str) {
    for _ in 0..20 {
        if page.evaluate("document.activeElement.innerText") == text {
            return;
        }
        page.press("Tab");
    }
    panic!("no number of tabs leads to {text}");
}

/// What the focused element is called.
const FOCUSED: &str = "document.activeElement.ariaLabel ?? document.activeElement.innerText";

#[track_caller]
fn wait_for_focus(page: &mut Page, name: &str) {
    page.wait_for(&format!("({FOCUSED}) === {}", json!(name)));
}

/// No script failed. What the server refused the browser notes by itself.
#[track_caller]
fn assert_no_exception(page: &mut Page) {
    let console = page.console();
    assert!(console.iter().all(|line| line.starts_with("\"network\": ")), "{console:?}");
}

fn files_and_folders_are_dropped(strategy: Strategy) {
    let Some(mut browser) = Browser::new() else { return };
    let (backend, trigger) = flags_of(strategy);
    let large = pattern(3_000_000);
    let mine =
        own(&[("large.bin", &large), ("empty", b""), ("photos/a.txt", b"a"), ("photos/2024/100% ü?#.txt", b"b")]);
    fs::create_dir(mine.path().join("photos/none")).unwrap();
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&["--backend", backend, "--trigger", trigger], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.drop_files(&paths(&mine, &["large.bin", "empty", "photos"]));
    wait_for_names(&mut page, &["photos/", "empty", "large.bin"]);
    page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    for (name, bytes) in
        [("large.bin", &large[..]), ("empty", b""), ("photos/a.txt", b"a"), ("photos/2024/100% ü?#.txt", b"b")]
    {
        assert!(fs::read(served.path().join(name)).unwrap() == bytes, "{name}");
    }
    assert_eq!(fs::read_dir(served.path().join("photos/none")).unwrap().count(), 0, "an empty folder too");
    assert_eq!(page.evaluate("document.querySelector('body > p').innerText"), "1 folder, 2 files, 2.9 MiB");
    assert_eq!(page.console(), [""; 0]);
}

#[test]
fn without_uploads_a_drop_is_the_browsers() {
    let Some(mut browser) = Browser::new() else { return };
    let served = own(&[("a.txt", b"a")]);
    let (_server, _, address) = Process::serving(command(&["-p", "0", "."], served.path()));
    let mut page = browser.open(&format!("http://{address}/"));
    let takes = "document.dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true,
                 dataTransfer: Object.assign(new DataTransfer(), {}) }))";
    assert_eq!(page.evaluate(takes), true);
    assert_eq!(page.evaluate("document.querySelectorAll('dialog, #changes, .act, tbody button').length"), 0);
}

#[test]
fn a_button_is_for_who_cant_drag() {
    let Some(mut browser) = Browser::new() else { return };
    let mine = own(&[("a.txt", b"a"), ("b.txt", b"b"), ("set/deep/c.txt", b"c")]);
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.resize(375, 800);
    tab_to(&mut page, "Upload files");
    page.choose_files(&paths(&mine, &["a.txt", "b.txt"]), |page| page.press("Enter"));
    wait_for_names(&mut page, &["a.txt", "b.txt"]);
    assert_eq!(page.evaluate("document.activeElement.innerText"), "Upload files", "the focus stays");
    page.choose_files(&paths(&mine, &["set"]), |page| page.click("#pick-folder"));
    wait_for_names(&mut page, &["set/", "a.txt", "b.txt"]);
    assert_eq!(fs::read(served.path().join("set/deep/c.txt")).unwrap(), b"c");
    assert_eq!(page.console(), [""; 0]);
}

#[test]
fn without_script_a_form_brings_files() {
    let Some(mut browser) = Browser::new() else { return };
    let mine = own(&[("a.txt", b"a"), ("b.txt", b"b")]);
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open("about:blank");
    page.allow_script(false);
    page.visit(&format!("http://{address}/"));
    assert_eq!(page.evaluate("document.querySelector('#changes').checkVisibility()"), false);
    page.choose_files(&paths(&mine, &["a.txt", "b.txt"]), |page| page.click("form input"));
    page.allow_script(true);
    page.click("form button");
    wait_for_names(&mut page, &["a.txt", "b.txt"]);
    assert_eq!(fs::read(served.path().join("b.txt")).unwrap(), b"b");
}

#[test]
fn who_is_asked_about_a_name_that_is_taken_decides() {
    let Some(mut browser) = Browser::new() else { return };
    let mine = own(&[("a.txt", b"new"), ("set/a.css", b"new"), ("set/b.txt", b"new"), ("set/c.txt", b"new")]);
    // What is compressed has a tag of its own, which is not that of the file.
    let old: &[(&str, &[u8])] =
        &[("a.txt", b"old"), ("set/a.css", b"old"), ("set/b.txt", b"old"), ("set/a.css.gz", b"coded")];
    let served = own(old);
    let (_server, address) = serve(&[], served.path());
    let read = |name: &str| fs::read_to_string(served.path().join(name)).unwrap();
    let mut page = browser.open(&format!("http://{address}/"));
    for (answer, names, first, second) in [
        ("Cancel", &["set/", "a.txt"][..], "old", None),
        ("Keep both", &["set/", "a (2).txt", "a.txt"], "old", Some("a (2).txt")),
        ("Keep both", &["set/", "a (2).txt", "a (3).txt", "a.txt"], "old", Some("a (3).txt")),
        ("Overwrite", &["set/", "a (2).txt", "a (3).txt", "a.txt"], "new", None),
    ] {
        page.drop_files(&paths(&mine, &["a.txt"]));
        wait_for_text(&mut page, "#said", "a.txt is there already");
        click_text(&mut page, answer);
        page.wait_for("document.querySelectorAll('#jobs li').length === 0");
        wait_for_names(&mut page, names);
        assert_eq!(read("a.txt"), first, "{answer}");
        assert!(second.is_none_or(|name| read(name) == "new"), "{answer}");
    }
    page.drop_files(&paths(&mine, &["set"]));
    wait_for_text(&mut page, "#jobs", "is there already");
    page.click("#jobs input");
    click_text(&mut page, "Overwrite");
    page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    assert_eq!(["set/a.css", "set/b.txt", "set/c.txt"].map(read), ["new"; 3]);
    assert_no_exception(&mut page);
    drop(page);

    let (_server, address) = serve(&["--overwrite", "never"], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.drop_files(&paths(&mine, &["a.txt"]));
    wait_for_text(&mut page, "#jobs", "Keep both");
    let choices = page.evaluate("[...document.querySelectorAll('#jobs button')].map(button => button.innerText)");
    assert_eq!(choices, json!(["Keep both", "Cancel"]), "what can't be is not offered");
    click_text(&mut page, "Cancel");
    wait_for_text(&mut page, "#said", "a.txt: cancelled");
}

#[test]
fn folders_are_made_and_names_changed_by_keys_alone() {
    let Some(mut browser) = Browser::new() else { return };
    let served = own(&[("a.txt", b"a"), ("b.txt", b"b"), ("full/c.txt", b"c")]);
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    tab_to(&mut page, "New folder");
    page.press("Enter");
    page.type_text("a/b?");
    page.press("Enter");
    wait_for_text(&mut page, "[role=alert]", "It can't be done: there is no such folder");
    page.evaluate("document.activeElement.select()");
    page.type_text("new?");
    page.press("Enter");
    wait_for_names(&mut page, &["full/", "new?/", "a.txt", "b.txt"]);
    page.wait_for("!document.querySelector('dialog').open");
    assert!(served.path().join("new?").is_dir());
    wait_for_focus(&mut page, "New folder");

    let open = |page: &mut Page, name: &str| {
        let label = format!("Rename or delete {name}");
        for _ in 0..40 {
            if page.evaluate(FOCUSED) == label {
                page.press("Enter");
                page.wait_for("document.querySelector('dialog').open");
                return;
            }
            page.press("Tab");
        }
        panic!("no number of tabs leads to {name}");
    };
    open(&mut page, "a.txt");
    page.type_text("b"); // Before the ending, which is kept.
    page.press("Enter");
    wait_for_text(&mut page, "[role=alert]", "Something here has that name already");
    for name in ["..", "", "x/../y"] {
        page.evaluate("document.activeElement.select()");
        page.type_text(name);
        if name.is_empty() {
            page.evaluate("document.activeElement.value = ''");
        }
        page.evaluate("document.querySelector('[role=alert]').textContent = ''");
        page.press("Enter");
        wait_for_text(&mut page, "[role=alert]", "Nothing can have that name");
    }
    page.evaluate("document.activeElement.select()");
    page.type_text("z/");
    page.press("Escape");
    page.wait_for("!document.querySelector('dialog').open");
    wait_for_focus(&mut page, "Rename or delete a.txt");
    page.press("Enter");
    page.type_text("z");
    page.press("Enter");
    wait_for_names(&mut page, &["full/", "new?/", "b.txt", "z.txt"]);
    page.wait_for("!document.querySelector('dialog').open");
    assert_eq!(fs::read(served.path().join("z.txt")).unwrap(), b"a");

    open(&mut page, "b.txt");
    tab_to(&mut page, "Delete…");
    page.press("Enter");
    wait_for_text(&mut page, "dialog h2", "Delete b.txt for good?");
    page.wait_for("document.activeElement.innerText === 'Cancel'");
    page.press("Enter");
    page.wait_for("!document.querySelector('dialog').open");
    assert!(served.path().join("b.txt").exists(), "a question is a question");
    page.press("Enter");
    page.wait_for("document.querySelector('dialog').open");
    tab_to(&mut page, "Delete…");
    page.press("Enter");
    wait_for_text(&mut page, "dialog h2", "Delete b.txt for good?");
    tab_to(&mut page, "Delete");
    page.press("Enter");
    wait_for_names(&mut page, &["full/", "new?/", "z.txt"]);
    page.wait_for("!document.querySelector('dialog').open");
    wait_for_focus(&mut page, "Rename or delete z.txt");
    assert!(!served.path().join("b.txt").exists());

    page.press("Enter");
    page.wait_for("document.querySelector('dialog').open");
    tab_to(&mut page, "Delete…");
    page.press("Enter");
    wait_for_text(&mut page, "dialog h2", "Delete z.txt for good?");
    fs::write(served.path().join("z.txt"), "somebody else's").unwrap();
    tab_to(&mut page, "Delete");
    page.press("Enter");
    wait_for_text(&mut page, "[role=alert]", "It was changed meanwhile");
    page.press("Escape");
    page.wait_for("!document.querySelector('dialog').open");
    page.evaluate("document.querySelector('tbody a').focus()");
    open(&mut page, "full");
    tab_to(&mut page, "Delete…");
    page.press("Enter");
    wait_for_text(&mut page, "dialog h2", "Delete full for good?");
    tab_to(&mut page, "Delete");
    page.press("Enter");
    wait_for_text(&mut page, "[role=alert]", "It can't be done: the folder is not empty");
    assert_no_exception(&mut page);
}

#[test]
fn names_full_of_html_run_nothing_wherever_they_are_said() {
    let Some(mut browser) = Browser::new() else { return };
    let name = "<img src=x onerror=ran=1>\"'&lt;.txt";
    let mine = own(&[(name, b"new")]);
    let served = own(&[(name, b"old")]);
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.drop_files(&paths(&mine, &[name]));
    wait_for_text(&mut page, "#said", &format!("{name} is there already"));
    click_text(&mut page, "Keep both");
    let both = name.replace(".txt", " (2).txt");
    wait_for_names(&mut page, &[&both, name]);
    page.click(".act button");
    wait_for_text(&mut page, "dialog h2", &both);
    click_text(&mut page, "Delete…");
    wait_for_text(&mut page, "dialog h2", &format!("Delete {both} for good?"));
    click_text(&mut page, "Delete");
    wait_for_names(&mut page, &[name]);
    page.click(".act button");
    page.fill("dialog input", "<svg onload=ran=1>");
    page.press("Enter");
    wait_for_text(&mut page, "#said", ": now <svg onload=ran=1>");
    wait_for_names(&mut page, &["<svg onload=ran=1>"]);
    page.click("#new-folder");
    page.fill("dialog input", "<script>ran=1");
    page.press("Enter");
    wait_for_names(&mut page, &["<script>ran=1/", "<svg onload=ran=1>"]);
    assert_eq!(page.evaluate("typeof ran"), "undefined");
    assert_eq!(page.evaluate("document.querySelectorAll('img, svg').length"), 0);
    assert_no_exception(&mut page);
}

#[test]
fn what_goes_wrong_is_said_in_words() {
    let Some(mut browser) = Browser::new() else { return };
    let large = pattern(30_000);
    let mine = own(&[("large.bin", &large), ("half.bin", &large[..8_000]), (".hidden", b""), ("folder", b"")]);
    let served = own(&[("old.bin", &large[..8_000]), ("folder/x", b"")]);
    let (server, address) = serve(&["--upload-max", "10K", "--quota", "12K"], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    for (name, words) in [
        ("large.bin", "Too large: a file may have 10 KiB here"),
        ("half.bin", "The server has no room left"),
        (".hidden", "Not allowed: nothing here can have that name"),
        ("folder", "Something else has that name"),
    ] {
        page.drop_files(&paths(&mine, &[name]));
        wait_for_text(&mut page, "#said", &format!("{name}: {words}"));
        wait_for_text(&mut page, "#jobs .bad", words);
        click_text(&mut page, "Close");
        page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    }
    fs::write(mine.path().join("half.bin"), "small").unwrap();
    fs::create_dir(mine.path().join("set")).unwrap();
    for name in ["large.bin", ".hidden", "half.bin"] {
        fs::copy(mine.path().join(name), mine.path().join("set").join(name)).unwrap();
    }
    page.drop_files(&paths(&mine, &["set"]));
    wait_for_text(&mut page, "#jobs", "2 of 3 files did not get there");
    wait_for_text(&mut page, "#jobs ul", "set/.hidden: Not allowed");
    wait_for_text(&mut page, "#jobs ul", "set/large.bin: Too large");
    assert_eq!(fs::read(served.path().join("set/half.bin")).unwrap(), b"small", "the others are not held up");
    click_text(&mut page, "Try again");
    wait_for_text(&mut page, "#jobs", "2 of 2 files did not get there");
    click_text(&mut page, "Close");

    // What this server does not say, another that is before it may.
    for (status, words) in [
        (401, "A user's name and password are needed"),
        (428, "The server wants to know what is replaced"),
        (418, "The server says 418"),
    ] {
        page.evaluate(&format!(
            "window.own ??= fetch; window.fetch = (url, options) => options.method === 'PUT'
                 ? Promise.resolve(new Response('', {{ status: {status} }})) : own(url, options); 0"
        ));
        page.drop_files(&paths(&mine, &["half.bin"]));
        wait_for_text(&mut page, "#jobs .bad", words);
        click_text(&mut page, "Close");
        page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    }
    drop(server);
    page.click("#new-folder");
    page.fill("dialog input", "late");
    page.press("Enter");
    wait_for_text(&mut page, "[role=alert]", "The server does not answer");
    assert_no_exception(&mut page);
}

#[test]
fn who_may_not_write_is_asked_for_a_password_by_the_browser() {
    let Some(mut browser) = Browser::new() else { return };
    let large = b"0123456789".repeat(40_000);
    let mine = own(&[("large.bin", &large), ("a.txt", b"a")]);
    let served = own(&[("folder/old.txt", b"old")]);
    let read = |name: &str| fs::read(served.path().join("folder").join(name)).unwrap();
    let (_server, address) = serve(&["--auth", "ann:right"], served.path());
    let relay = Relay::new(address, usize::MAX);
    let url = format!("http://{}/folder/", relay.address);
    let mut page = browser.open("about:blank");
    page.answer_passwords(&[("ann", "wrong")]);
    page.visit(&url);
    wait_for_names(&mut page, &["..", "old.txt"]);
    assert_eq!(page.passwords_asked(), 0, "who reads is not asked");
    page.drop_files(&paths(&mine, &["large.bin"]));
    wait_for_text(&mut page, "#jobs .bad", "A user's name and password are needed");
    assert_eq!(page.passwords_asked(), 2, "once more, and that was cancelled");
    page.answer_passwords(&[("ann", "wrong"), ("bob", "right"), ("ann", "right")]);
    click_text(&mut page, "Try again");
    wait_for_text(&mut page, "#said", "large.bin: uploaded");
    wait_for_names(&mut page, &["..", "large.bin", "old.txt"]);
    assert!(read("large.bin") == large);
    let passed = relay.passed.load(Ordering::SeqCst);
    assert!(passed < large.len() + 200_000, "{passed} bytes: the password was there before the file");
    page.drop_files(&paths(&mine, &["a.txt"]));
    wait_for_names(&mut page, &["..", "a.txt", "large.bin", "old.txt"]);
    page.click("#new-folder");
    page.fill("dialog input", "new");
    page.press("Enter");
    wait_for_names(&mut page, &["..", "new/", "a.txt", "large.bin", "old.txt"]);
    assert_eq!(page.passwords_asked(), 5, "who was let in is not asked again");
    assert_no_exception(&mut page);
}

#[test]
fn where_all_is_guarded_the_page_comes_after_the_password() {
    let Some(mut browser) = Browser::new() else { return };
    let mine = own(&[("a.txt", b"a")]);
    let served = own(&[("old.txt", b"old")]);
    let (_server, address) = serve(&["--auth", "ann:right", "--auth-all"], served.path());
    let url = format!("http://{address}/");
    let mut page = browser.open("about:blank");
    page.answer_passwords(&[("ann", "wrong")]);
    page.visit(&url);
    wait_for_text(&mut page, "h1", "401");
    assert_eq!(page.passwords_asked(), 2);
    page.answer_passwords(&[("ann", "right")]);
    page.visit(&url);
    wait_for_names(&mut page, &["old.txt"]);
    page.drop_files(&paths(&mine, &["a.txt"]));
    wait_for_names(&mut page, &["a.txt", "old.txt"]);
    assert_eq!(page.passwords_asked(), 3);
    assert_no_exception(&mut page);
}

#[test]
fn an_upload_elsewhere_is_none() {
    let Some(mut browser) = Browser::new() else { return };
    let mine = own(&[("a.txt", b"a")]);
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open(&format!("http://{address}/"));
    page.evaluate(
        "window.own = fetch; window.fetch = (url, options) => options.method === 'PUT'
             ? Promise.resolve(new Response('', { status: 201, headers: { Location: 'http://127.0.0.1:9/x' } })) : own(url, options); 0",
    );
    page.drop_files(&paths(&mine, &["a.txt"]));
    wait_for_text(&mut page, "#jobs .bad", "The server sends uploads elsewhere");
    assert_eq!(page.console(), [""; 0], "nothing went there");
}

/// Stands between the browser and a server, and stops the first line that brings more than it may.
struct Relay {
    address: SocketAddr,
    /// What came over all lines.
    passed: Arc<AtomicUsize>,
    /// The line that is stopped: its ends.
    stopped: Receiver<[TcpStream; 2]>,
}

impl Relay {
    fn new(server: SocketAddr, bytes_max: usize) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, stopped) = mpsc::channel();
        let (passed, may_stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let counted = passed.clone();
        thread::spawn(move || {
            for browser in listener.incoming().map_while(Result::ok) {
                // Nobody there: the line ends at once.
                let Ok(server) = TcpStream::connect(server) else { continue };
                let ends = || [browser.try_clone().unwrap(), server.try_clone().unwrap()];
                let ([mut from, mut to], [back_to, back_from]) = (ends(), ends());
                let (tell, counted, may_stop) = (tell.clone(), counted.clone(), may_stop.clone());
                thread::spawn(move || pass(back_from, back_to));
                thread::spawn(move || {
                    let (mut buffer, mut line) = ([0; 16_384], 0);
                    while let Ok(count @ 1..) = from.read(&mut buffer) {
                        line += count;
                        counted.fetch_add(count, Ordering::SeqCst);
                        if to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                        if line > bytes_max && may_stop.swap(false, Ordering::SeqCst) {
                            let _ = tell.send([from, to]);
                            return;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        });
        Relay { address, passed, stopped }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    // The other way stays open: where it is shut too while nothing more fits, the kernel never says again that there is room, nor that all is over.
    let _ = to.shutdown(Shutdown::Write);
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_upload_whose_line_breaks_goes_on_where_it_was() {
    let Some(mut browser) = Browser::new() else { return };
    let large = pattern(40_000_000);
    let mine = own(&[("large.bin", &large)]);
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&[], served.path());
    let relay = Relay::new(address, 20_000_000);
    let mut page = browser.open(&format!("http://{}/", relay.address));
    page.evaluate(
        "window.offsets = []; const own = XMLHttpRequest.prototype.setRequestHeader;
         XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
             if (name === 'Upload-Offset') offsets.push(Number(value));
             own.call(this, name, value);
         }; 0",
    );
    page.drop_files(&paths(&mine, &["large.bin"]));
    let ends = relay.stopped.recv_timeout(PATIENCE).unwrap();
    page.wait_for("document.querySelector('#jobs progress').position > 0.4");
    // What was on its way to it when the line broke it would not have. Of what passed, less than this were heads.
    let least = 19_900_000;
    let sizes = || fs::read_dir(served.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    wait_until("the server has what passed", || sizes().any(|size| size > least));
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
    wait_for_text(&mut page, "#said", "large.bin: uploaded");
    wait_for_names(&mut page, &["large.bin"]);
    assert!(fs::read(served.path().join("large.bin")).unwrap() == large);
    // How often it is tried is the browser's affair too.
    let offsets = page.evaluate("offsets");
    let offsets: Vec<u64> = offsets.as_array().unwrap().iter().map(|offset| offset.as_u64().unwrap()).collect();
    assert!(offsets.len() > 1 && offsets[1..].iter().all(|offset| *offset > least), "{offsets:?}: it goes on");
    assert_no_exception(&mut page);
}

#[test]
fn an_upload_waits_for_a_server_that_went_away() {
    let Some(mut browser) = Browser::new() else { return };
    let large = pattern(40_000_000);
    let mine = own(&[("large.bin", &large), ("small.txt", b"small")]);
    let served = TempDir::new().unwrap();
    let (server, address) = serve(&[], served.path());
    let relay = Relay::new(address, 20_000_000);
    let mut page = browser.open(&format!("http://{}/", relay.address));
    page.drop_files(&paths(&mine, &["large.bin"]));
    let ends = relay.stopped.recv_timeout(PATIENCE).unwrap();
    drop(server); // By SIGKILL.
    drop(ends);
    wait_for_text(&mut page, "#said", "large.bin: The server does not answer");
    wait_for_text(&mut page, "#jobs", "The server does not answer: it is tried again");
    page.drop_files(&paths(&mine, &["small.txt"]));
    wait_for_text(&mut page, "#said", "small.txt: The server does not answer");
    let port = address.port().to_string();
    let again = command(&["-p", &port, "--upload", "."], served.path());
    let (_server, _, again) = Process::serving(again);
    assert_eq!(again, address);
    page.evaluate("dispatchEvent(new Event('online')), 0"); // As when a network is there again.
    page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    wait_for_names(&mut page, &["large.bin", "small.txt"]);
    assert!(fs::read(served.path().join("large.bin")).unwrap() == large);
    assert_no_exception(&mut page);
}

#[test]
fn a_cancelled_upload_leaves_nothing() {
    let Some(mut browser) = Browser::new() else { return };
    let large = pattern(40_000_000);
    let mine = own(&[("large.bin", &large)]);
    let served = TempDir::new().unwrap();
    let (_server, address) = serve(&[], served.path());
    let relay = Relay::new(address, 10_000_000);
    let mut page = browser.open(&format!("http://{}/", relay.address));
    page.drop_files(&paths(&mine, &["large.bin"]));
    let _ends = relay.stopped.recv_timeout(PATIENCE).unwrap();
    click_text(&mut page, "Cancel");
    wait_for_text(&mut page, "#said", "large.bin: cancelled");
    page.wait_for("document.querySelectorAll('#jobs li').length === 0");
    wait_until("what came is gone", || fs::read_dir(served.path()).unwrap().count() == 0);
    assert_no_exception(&mut page);
}

#[test]
fn nothing_is_wider_than_a_phone_where_a_folder_may_be_changed() {
    let Some(mut browser) = Browser::new() else { return };
    let long = "unbroken_name_".repeat(15);
    let mine = own(&[(long.as_str(), b"new")]);
    let served = own(&[(long.as_str(), b"old")]);
    let (_server, address) = serve(&[], served.path());
    let mut page = browser.open("about:blank");
    page.resize(375, 800);
    page.visit(&format!("http://{address}/"));
    page.drop_files(&paths(&mine, &[&long]));
    wait_for_text(&mut page, "#jobs", "is there already");
    let width = "[innerWidth, document.documentElement.scrollWidth]";
    assert_eq!(page.evaluate(width), json!([375, 375]));
    let small = "[...document.querySelectorAll('#changes .tools button, .act button')].filter(button => button.checkVisibility())
                 .filter(button => button.offsetHeight < 36 || button.offsetWidth < 36).map(button => button.outerHTML)";
    assert_eq!(page.evaluate(small), json!([]), "for fingers");
    page.click(".act button");
    page.wait_for("document.querySelector('dialog').open");
    assert_eq!(page.evaluate(width), json!([375, 375]));
    assert_eq!(page.evaluate("document.querySelector('dialog').scrollWidth <= 375"), true);
}
