//! The example `chat` as its users have it: terminals and pages in one room, on every backend.

mod backends;
mod chatting;
mod chromium;
mod process;

use backends::{on_every_backend, on_every_loop};
use chatting::chat::name::NAME_BYTES_MAX;
use chatting::chat::operator;
use chatting::chat::room::HISTORY_MAX;
use chatting::chat::text::TEXT_BYTES_MAX;
use chatting::{Chat, PATIENCE, Way, now};
use chromium::Browser;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};
use tripoll::poller::Strategy;
use tripoll::protocol::Now;
use tripoll::sys;

on_every_loop! {
    terminals_and_pages_are_in_one_room,
    a_name_that_is_none_is_refused_with_the_reason_and_asked_for_again,
    whoever_leaves_in_whatever_way_has_left,
    a_page_that_says_nothing_to_a_ping_has_left,
    late_comers_get_the_last_messages,
    what_is_said_reaches_terminals_and_pages_harmless,
    a_line_is_bounded_and_the_next_is_taken,
    a_reader_that_does_not_read_is_cut_off_and_others_get_everything,
    who_says_too_much_does_not_keep_others_from_being_heard,
    the_operator_speaks_looks_and_sends_away,
    pages_of_other_sites_are_kept_out,
    browsers_and_a_terminal_talk,
}

fn terminals_and_pages_are_in_one_room(way: Way) {
    let chat = Chat::new(way);
    let mut ada = chat.terminal_of("ada");
    let mut bob = chat.page_of("bob");
    assert_eq!(ada.line(), "bob entered");
    let mut carol = chat.terminal();
    carol.say("carol");
    assert_eq!(carol.line(), "Welcome, carol. 2 others are here: ada, bob.");
    assert_eq!([ada.line(), bob.line()], ["carol entered", "carol entered"]);
    let mut dave = chat.page();
    dave.say("dave");
    let welcome = dave.event();
    assert_eq!(welcome["others"], json!(["ada", "bob", "carol"]));
    assert_eq!([ada.line(), bob.line(), carol.line()], ["dave entered"; 3]);

    let before = SystemTime::now();
    ada.say("hello, all");
    let said = bob.event();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(said["at"].as_u64().unwrap() + 1);
    assert!(before <= at && at <= SystemTime::now() + Duration::from_secs(1), "{said}");
    assert_eq!((&said["name"], &said["text"], &said["number"]), (&json!("ada"), &json!("hello, all"), &json!(1)));
    assert_eq!([carol.line(), dave.line()], ["ada: hello, all"; 2]);
    // Nobody sees what a terminal's user has typed there once more; a page shows what the room has.
    bob.say("hello, ada");
    assert_eq!([ada.line(), carol.line()], ["bob: hello, ada"; 2]);
    assert_eq!([bob.line(), dave.line()], ["bob: hello, ada"; 2]);
}

fn a_name_that_is_none_is_refused_with_the_reason_and_asked_for_again(way: Way) {
    let chat = Chat::new(way);
    let _ada = chat.terminal_of("Ada");
    let _strasse = chat.page_of("Straße");
    let longest = "x".repeat(NAME_BYTES_MAX);
    let cases = [
        ("", "(a name has at least one letter; another name?)"),
        ("  ", "(a name has at least one letter; another name?)"),
        (&(longest.clone() + "x"), "(a name has at most 32 bytes; another name?)"),
        ("\x1b[2J", "(a name has no character U+001B; another name?)"),
        ("ada left", "(a name is one word; another name?)"),
        ("ada:", "(a name has no colon; another name?)"),
        ("aDA", "(that name is taken; another name?)"),
        ("STRASSE", "(that name is taken; another name?)"),
        (&"x".repeat(TEXT_BYTES_MAX), "(a name has at most 32 bytes; another name?)"),
    ];
    let (mut terminal, mut page) = (chat.terminal(), chat.page());
    for (name, refusal) in cases {
        terminal.say(name);
        page.say(name);
        assert_eq!([terminal.line(), page.line()], [refusal; 2], "{name}");
    }
    terminal.say("caf\u{e9}");
    assert_eq!(terminal.line(), "Welcome, caf\u{e9}. 2 others are here: Ada, Straße.");
    page.say("Cafe\u{301}");
    assert_eq!(page.line(), "(that name is taken; another name?)");
    page.say(&longest);
    assert_eq!(page.line(), format!("{longest} welcome"));
}

type Leave = fn(&Chat);

fn whoever_leaves_in_whatever_way_has_left(way: Way) {
    let chat = Chat::new(way);
    let mut ada = chat.terminal_of("ada");
    let ways: [(&str, Leave); 5] = [
        ("a terminal that is closed", |chat| drop(chat.terminal_of("bob"))),
        ("a client that is killed with input unread", |chat| {
            let bob = chat.terminal_of("bob");
            sys::abort_on_close(bob.0.get_ref().as_fd()).unwrap();
        }),
        ("nc -N at the end of its input", |chat| {
            let bob = chat.terminal_of("bob");
            bob.0.get_ref().shutdown(Shutdown::Write).unwrap();
            assert_eq!(bob.rest(), "");
        }),
        ("a page that is closed", |chat| chat.page_of("bob").0.close(None).unwrap()),
        ("a browser that is killed", |chat| drop(chat.page_of("bob"))),
    ];
    for (way, leave) in ways {
        leave(&chat);
        assert_eq!(ada.lines(), ["bob entered", "bob left"], "{way}");
    }
    // What was said before the end of a side is heard, and what waits for it sent.
    let mut bob = chat.terminal();
    bob.send(b"bob\nbye");
    bob.send(b"\nno line");
    bob.0.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(bob.rest(), "Welcome, bob. One other is here: ada.\n");
    assert_eq!(ada.lines(), ["bob entered", "bob: bye", "bob left"]);
}

fn a_page_that_says_nothing_to_a_ping_has_left(way: Way) {
    let chat = Chat::with_heartbeat(way, Duration::from_millis(50));
    let mut ada = chat.terminal_of("ada");
    let _silent = chat.page_of("bob"); // tungstenite answers when it is read from.
    assert_eq!(ada.lines(), ["bob entered", "bob left"]);
}

fn late_comers_get_the_last_messages(way: Way) {
    let chat = Chat::new(way);
    let mut ada = chat.terminal();
    ada.say("ada");
    assert_eq!(ada.line(), "Welcome, ada. Nobody else is here.");
    let (seat, _receiver) = chat.seat_of("bob");
    seat.say("1", now()).unwrap();
    let mut late = chat.terminal();
    late.say("late");
    assert_eq!(late.lines(), ["Welcome, late. 2 others are here: ada, bob. The last message:", "bob: 1"]);
    for number in 2..=HISTORY_MAX + 1 {
        seat.say(&number.to_string(), now()).unwrap();
    }
    let (mut terminal, mut page) = (chat.terminal_of("terminal"), chat.page_of("page"));
    for number in 2..=HISTORY_MAX + 1 {
        assert_eq!([terminal.line(), page.line()], [(); 2].map(|()| format!("bob: {number}")));
    }
    seat.say("now", now()).unwrap();
    assert_eq!((terminal.lines(), page.line()), (["page entered", "bob: now"].map(String::from), "bob: now".into()));
}

fn what_is_said_reaches_terminals_and_pages_harmless(way: Way) {
    let chat = Chat::new(way);
    let (mut ada, mut bob, mut page) = (chat.terminal_of("ada"), chat.terminal_of("bob"), chat.page_of("page"));
    assert_eq!(bob.line(), "page entered");
    for (sent, want) in [
        (&b"\x1b[2J\x1b]0;owned\x07"[..], "ada: \u{fffd}[2J\u{fffd}]0;owned\u{fffd}"),
        ("\u{9b}31m".as_bytes(), "ada: \u{fffd}31m"),
        (b"one\rtwo\r", "ada: one\u{fffd}two"),
        (b"\xff\xfe not UTF-8 \xc3", "ada: \u{fffd}\u{fffd} not UTF-8 \u{fffd}"),
        (b"<script>alert(1)</script>", "ada: <script>alert(1)</script>"),
        (b"admin: forged", "ada: admin: forged"),
    ] {
        ada.send(&[sent, b"\n"].concat());
        assert_eq!([bob.line(), page.line()], [want; 2]);
    }
    ada.send(b"\n   \n\r\n");
    ada.say("nothing was said before");
    assert_eq!(bob.line(), "ada: nothing was said before");
}

fn a_line_is_bounded_and_the_next_is_taken(way: Way) {
    let chat = Chat::new(way);
    let (mut ada, mut bob) = (chat.terminal_of("ada"), chat.page_of("bob"));
    assert_eq!(ada.line(), "bob entered");
    let longest = "x".repeat(TEXT_BYTES_MAX);
    let too_long = "(that was too long: a message has at most 2000 bytes)";
    ada.send(format!("{longest}\r\n").as_bytes());
    assert_eq!(bob.line(), format!("ada: {longest}"));
    for more in [1, 2, 3, 70_000, 1_000_000] {
        ada.say(&format!("{longest}{}", "y".repeat(more)));
        assert_eq!(ada.line(), too_long, "{more} more");
        ada.say("a short one");
        assert_eq!(bob.line(), "ada: a short one", "{more} more");
    }
    bob.say(&format!("{longest}y"));
    assert_eq!(bob.line(), too_long);
    bob.say(&longest);
    assert_eq!(ada.line(), format!("bob: {longest}"));
}

fn a_reader_that_does_not_read_is_cut_off_and_others_get_everything(way: Way) {
    let chat = Chat::new(way);
    let (mut ada, mut bob) = (chat.terminal_of("ada"), chat.page_of("bob"));
    assert_eq!(ada.line(), "bob entered");
    let (slow, slow_page) = (chat.terminal_of("slow"), chat.page_of("slow-page"));
    // Else the kernel takes megabytes for them first.
    sys::set_buffers(slow.0.get_ref().as_fd(), 4096).unwrap();
    sys::set_buffers(slow_page.0.get_ref().as_fd(), 4096).unwrap();
    for line in ["slow entered", "slow-page entered"] {
        assert_eq!([ada.line(), bob.line()], [line; 2]);
    }
    let (seat, _receiver) = chat.seat_of("speaker");
    assert_eq!([ada.line(), bob.line()], ["speaker entered"; 2]);
    let mut left = [0, 0];
    for second in 1..u32::MAX {
        // One message a second, by the room's clock.
        let said = format!("{second} {}", "x".repeat(TEXT_BYTES_MAX - 10));
        let now = now();
        seat.say(&said, Now { monotonic: now.monotonic + second * Duration::from_secs(1), ..now }).unwrap();
        let readers: [&mut dyn FnMut() -> String; 2] = [&mut || ada.line(), &mut || bob.line()];
        for (reader, left) in readers.into_iter().zip(&mut left) {
            loop {
                match reader() {
                    line if line == "slow left" || line == "slow-page left" => *left += 1,
                    line => break assert_eq!(line, format!("speaker: {said}")),
                }
            }
        }
        if left == [2, 2] {
            return;
        }
        assert!(second < 50_000, "100 MB waits for who does not read");
    }
}

fn who_says_too_much_does_not_keep_others_from_being_heard(way: Way) {
    let chat = Chat::new(way);
    let (mut ada, mut bob) = (chat.terminal_of("ada"), chat.terminal_of("bob"));
    let mut flooder = chat.terminal_of("flooder");
    assert_eq!(
        (ada.lines(), bob.line()),
        (["bob entered", "flooder entered"].map(String::from), "flooder entered".into())
    );
    flooder.send("la\n".repeat(10_000).as_bytes());
    assert_eq!(bob.line(), "flooder: la");
    bob.say("excuse me");
    let before = std::iter::from_fn(|| Some(ada.line())).take_while(|line| line != "bob: excuse me").count();
    assert!(before < 1_000, "after {before} of the 10,000, which take more than half an hour");
}

fn the_operator_speaks_looks_and_sends_away(way: Way) {
    let chat = Chat::new(way);
    let (output, screen) = UnixStream::pair().unwrap();
    let (input, mut keyboard) = UnixStream::pair().unwrap();
    screen.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut screen = BufReader::new(screen).lines().map(Result::unwrap);
    let mut shown = || screen.next().unwrap();
    let seat = operator::enter(&chat.room, output.try_clone().unwrap()).unwrap();
    let (room, their_seat) = (chat.room.clone(), seat.clone());
    let operator = std::thread::spawn(move || operator::obey(BufReader::new(input), output, &room, &their_seat));
    assert_eq!(shown(), "Welcome, admin. Nobody else is here.");

    let mut ada = chat.terminal();
    ada.say("Admin");
    assert_eq!(ada.line(), "(that name is taken; another name?)");
    ada.say("ada");
    assert_eq!(ada.line(), "Welcome, ada. One other is here: admin.");
    let mut bob = chat.page_of("bob");
    assert_eq!([shown(), shown(), ada.line()], ["ada entered", "bob entered", "bob entered"]);
    ada.say("is anybody there?");
    assert_eq!([shown(), bob.line()], ["ada: is anybody there?"; 2]);
    for (typed, answers) in [
        ("dinner at eight", &[][..]),
        ("/who", &["(ada, admin, bob)"]),
        ("/kick carol", &["(there is no carol: /who says who is here)"]),
        ("/dance", &["(there are /who and /kick NAME)"]),
        (" /dance is said with a space before", &[]),
        ("", &[]),
    ] {
        keyboard.write_all(format!("{typed}\n").as_bytes()).unwrap();
        answers.iter().for_each(|answer| assert_eq!(shown(), *answer));
        if answers.is_empty() && !typed.is_empty() {
            assert_eq!([ada.line(), bob.line()], [(); 2].map(|()| format!("admin: {typed}")));
        }
    }
    keyboard.write_all(b"/kick ADA\n").unwrap();
    assert_eq!(ada.rest(), "(you were asked to leave)\n");
    assert_eq!(shown(), "ada left");
    assert_eq!(bob.event(), json!({ "kind": "left", "name": "ada" }));
    keyboard.write_all(b"/kick bob\n").unwrap();
    assert_eq!(bob.event(), json!({ "kind": "removed" }));
    assert_eq!(shown(), "bob left");

    // No more input: the room is as open as before, the name as taken.
    drop(keyboard);
    operator.join().unwrap().unwrap();
    let mut carol = chat.terminal();
    carol.say("admin");
    assert_eq!(carol.line(), "(that name is taken; another name?)");
    carol.say("carol");
    assert_eq!(
        [shown(), carol.line()],
        ["carol entered", "Welcome, carol. One other is here: admin. The last 3 messages:"]
    );
}

fn pages_of_other_sites_are_kept_out(way: Way) {
    let chat = Chat::new(way);
    for (origin, status) in [(format!("http://{}", chat.page), "101"), ("http://example.org".to_string(), "403")] {
        let mut client = TcpStream::connect(chat.page).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "GET /room HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            chat.page
        );
        client.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {line}");
    }
}

/// Which timer of the kernel's runs for the connection, by /proc/net/tcp: 0 none, 1 for what is not acknowledged, 2 to ask.
#[test]
fn the_machine_of_a_silent_terminal_is_asked_whether_it_is_there() {
    let chat = Chat::new(Strategy::ALL[0]);
    let ada = chat.terminal_of("ada");
    let ends = [chat.lines, ada.0.get_ref().local_addr().unwrap()].map(|end| format!(":{:04X}", end.port()));
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&ends[0]) && row[2].ends_with(&ends[1])).unwrap();
        match &row[5][..2] {
            "01" => {} // Its machine has not acknowledged the welcome yet.
            timer => break assert_eq!(timer, "02"),
        }
    }
}

/// Enters by the page's form.
#[track_caller]
fn enter(page: &mut chromium::Page, name: &str) {
    page.fill("#name", name);
    page.press("Enter");
}

const IS_IN: &str = "document.body.dataset.state === 'in'";

/// What the log shows, without times: `name: text`, or a notice.
const SHOWN: &str = "[...document.querySelectorAll('#log li')].map(li => li.className === 'notice' ? li.innerText
    : li.querySelector('.who').textContent + ': ' + li.querySelector('.text').innerText).join('|')";

fn browsers_and_a_terminal_talk(way: Way) {
    let Some(mut browser) = Browser::new() else { return };
    let chat = Chat::new(way);
    let url = format!("http://{}/", chat.page);
    let mut ada = browser.open(&url);
    enter(&mut ada, "ada");
    ada.wait_for(IS_IN);
    let mut bob = browser.open_beside(&url);
    enter(&mut bob, "ADA");
    bob.wait_for("document.querySelector('#refusal').innerText === 'that name is taken; another name?'");
    enter(&mut bob, "bob");
    bob.wait_for(IS_IN);
    let mut carol = chat.terminal_of("carol");

    let html = "<b>hello</b> & <script>document.title = 'owned'</script>";
    ada.wait_for(&format!("{SHOWN} === 'bob entered|carol entered'"));
    ada.fill("#text", html);
    ada.press("Enter");
    assert_eq!(carol.line(), format!("ada: {html}"));
    carol.send(b"so \x1b[7m you say\n");
    let said = format!("ada: {html}|carol: so \u{fffd}[7m you say");
    ada.wait_for(&format!("{SHOWN} === {}", json!(format!("bob entered|carol entered|{said}"))));
    bob.wait_for(&format!("{SHOWN} === {}", json!(format!("carol entered|{said}"))));
    for page in [&mut ada, &mut bob] {
        page.wait_for("document.querySelector('#names').innerText.split('\\n').join() === 'ada,bob,carol'");
        assert_eq!(page.evaluate("document.querySelectorAll('.text *').length + document.title"), "0Chat");
        let time =
            "time => /\\d\\d?:\\d\\d/.test(time.innerText) && Math.abs(Date.now() - Date.parse(time.dateTime)) < 6e5";
        let times = format!("[...document.querySelectorAll('#log time')].filter({time}).length");
        assert_eq!(page.evaluate(&times), 2);
    }
    drop(carol);
    ada.wait_for(&format!("{SHOWN}.endsWith('|carol left')"));
    ada.wait_for("document.querySelector('#names').innerText.split('\\n').join() === 'ada,bob'");
    for page in [&mut ada, &mut bob] {
        assert_eq!(page.console(), [""; 0], "the console is not clean");
    }
}

#[test]
fn a_page_says_that_it_is_away_and_comes_back_by_itself_with_its_name() {
    let Some(mut browser) = Browser::new() else { return };
    let way = Way::from(Strategy::ALL[0]);
    let chat = Chat::new(way);
    let port = chat.page.port();
    let mut ada = browser.open(&format!("http://{}/", chat.page));
    enter(&mut ada, "ada");
    ada.wait_for(IS_IN);
    let (seat, _receiver) = chat.seat_of("bob");
    seat.say("one", now()).unwrap();
    ada.wait_for(&format!("{SHOWN} === 'bob entered|bob: one'"));
    // What it has is not shown again, what it missed is.
    ada.evaluate("retry.times = 3; socket.close()");
    ada.wait_for(
        "document.body.dataset.state === 'away' && document.querySelector('#status').innerText.startsWith('Away: ')",
    );
    seat.say("two", now()).unwrap();
    ada.wait_for(&format!("{IS_IN} && {SHOWN} === 'bob entered|bob: one|bob: two'"));
    // Neither does it forget who it is when it is loaded again.
    ada.reload();
    ada.wait_for(&format!("{IS_IN} && {SHOWN} === 'bob: one|bob: two'"));
    assert_eq!(ada.console(), [""; 0], "the console is not clean");

    drop(seat);
    drop(chat);
    ada.wait_for("document.body.dataset.state === 'away'");
    let chat = Chat::at(port, way, Duration::from_secs(15));
    ada.wait_for(IS_IN);
    let names: Vec<_> = chat.room.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["ada"]);
    let (seat, _receiver) = chat.seat_of("bob");
    seat.say("three", now()).unwrap();
    ada.wait_for(&format!("{SHOWN}.endsWith('|The room was opened anew.|bob entered|bob: three')"));
    // Who was sent away stays away.
    assert!(chat.room.kick("ada"));
    ada.wait_for("document.body.dataset.state === 'removed' && socket.readyState === WebSocket.CLOSED");
    assert_eq!(
        ada.evaluate("document.querySelector('#status').innerText"),
        "You were asked to leave. Reload to come back."
    );
}
