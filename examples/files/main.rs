//! A guided client for a server of files, such as `tripoll DIR --upload`.
//!
//! ```sh
//! cargo run --release --example files -- http://127.0.0.1:8000/                 # asks what to do, and says what can be done
//! cargo run --release --example files -- http://127.0.0.1:8000/ get notes.txt   # does that: 0 done, 1 failed, 2 called wrongly
//! ```

mod commands;
mod memory;
mod names;
mod remote;
mod terminal;
mod transfer;

use clap::Parser;
use commands::{Command, Session};
use memory::Memory;
use names::{RemotePath, shown, words};
use remote::{Call, Failure, Remote, takes_changes};
use std::ffi::OsString;
use std::io::{Write, stdout};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::rc::Rc;
use terminal::Prompt;

/// Lists, fetches and sends files of a web server: at a prompt that shows what can be done, or one command at a time for scripts.
#[derive(Parser)]
#[command(name = "files", version, max_term_width = 100, after_long_help = teach())]
struct Flags {
    /// The server, and a folder in it: http://127.0.0.1:8000/docs/
    url: String,
    /// What to do; without it there is a prompt
    #[arg(value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Replace and delete without a question
    #[arg(short, long)]
    force: bool,
    /// Who you are, to a server that wants to know it; without the password you are asked for it
    #[arg(short, long, value_name = "NAME[:PASSWORD]", env = "FILES_USER", hide_env_values = true)]
    user: Option<String>,
}

fn teach() -> String {
    format!(
        "Commands:\n{}\n\n\
         A transfer whose line breaks is tried again and goes on from where it was; if you stop it, say it again. What is\n\
         fetched is NAME.….part until all of it is there. Nothing that is there is replaced without a yes (or --force), nor what\n\
         somebody else changed meanwhile.\n\n\
         At the prompt Tab completes names and the arrow keys bring earlier lines back. A name with spaces is written \"so\" or so\\ it.\n\n\
         For scripts: nothing is asked where there is no terminal, and the exit code is 0 (done), 1 (failed: a line on stderr says\n\
         why) or 2 (called wrongly). A password is better in FILES_USER=NAME:PASSWORD than among the arguments, which others can see.\n\n\
         Examples:\n  \
         files http://127.0.0.1:8000/\n  \
         files http://127.0.0.1:8000/docs/ ls\n  \
         files http://127.0.0.1:8000/ get docs/notes.txt\n  \
         files --force http://127.0.0.1:8000/ put notes.txt docs/\n  \
         printf 'mkdir new\\ncd new\\nput a.txt\\n' | files http://127.0.0.1:8000/",
        commands::help()
    )
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let (remote, path) = match Remote::new(&flags.url, flags.user.as_deref(), Box::new(terminal::login)) {
        Ok(made) => made,
        Err(reason) => return usage(&reason),
    };
    let (remote, at) = (Rc::new(remote), RemotePath::of_url(&path));
    let mut session = Session { remote, memory: Memory::new(), at, is_forced: flags.force, is_over: false };
    if flags.command.is_empty() {
        return converse(&mut session);
    }
    let words: Vec<&[u8]> = flags.command.iter().map(|word| word.as_bytes()).collect();
    match commands::parse(&words) {
        Ok((command, rest)) => code(perform(&mut session, command, rest)),
        Err(reason) => usage(&reason),
    }
}

fn usage(reason: &str) -> ExitCode {
    eprintln!("error: {reason}\n\nFor more information, try '--help'.");
    ExitCode::from(2)
}

fn code(is_done: bool) -> ExitCode {
    if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does what a command says, and tells whether that was done.
fn perform(session: &mut Session, command: &Command, words: &[&[u8]]) -> bool {
    match session.run(command, words) {
        Ok(said) if said.is_empty() => true,
        // Who reads may have enough of it, as `head` has.
        Ok(said) => writeln!(stdout(), "{said}").is_ok(),
        Err(failure @ Failure::Declined) => {
            eprintln!("{failure}");
            false
        }
        Err(failure) => {
            let what: Vec<_> = [command.name.into()].into_iter().chain(words.iter().map(|word| shown(word))).collect();
            complain(&format!("{}: {failure}", what.join(" ")))
        }
    }
}

/// Says what went wrong; nothing was done.
fn complain(reason: &str) -> bool {
    eprintln!("error: {reason}");
    false
}

/// Lines, one after the other. From a terminal none is an error that counts; a script's code says whether all was done.
fn converse(session: &mut Session) -> ExitCode {
    if let Err(failure) = greet(session) {
        return code(complain(&failure.to_string()));
    }
    let prompt = Prompt::new(session.remote.clone(), session.memory.history());
    let mut prompt = match prompt {
        Ok(prompt) => prompt,
        Err(error) => return code(complain(&format!("no lines can be read: {error}"))),
    };
    let mut is_all_done = true;
    while !session.is_over {
        let line =
            prompt.line(&format!("{}{}> ", shown(session.remote.host().as_bytes()), session.at.shown()), &session.at);
        match line {
            Ok(Some(line)) => is_all_done &= obey(session, &line),
            Ok(None) => break,
            Err(error) => return code(complain(&format!("no more lines can be read: {error}"))),
        }
    }
    code(is_all_done || terminal::is_there())
}

/// Says where this is, and what can be done. With that it is known that somebody answers.
fn greet(session: &Session) -> Result<(), Failure> {
    let (target, host) = (session.at.target(), shown(session.remote.host().as_bytes()));
    let options = session.remote.call(&Call { method: "OPTIONS", target: &target, ..Call::default() });
    let is_open = match options {
        Ok(response) => takes_changes(&response),
        // Not every server knows the method.
        Err(Failure::Refused { status: 404 | 405 | 501, .. }) => true,
        Err(failure) => return Err(failure),
    };
    if terminal::is_there() {
        println!("Files at {host}{}", session.at.shown());
        if !is_open {
            println!("It can only be read: put, rm and mkdir need a server that was started with --upload.");
        }
        println!("\n{}\n\nTab completes names, the arrow keys bring earlier lines back.\n", commands::help());
    }
    Ok(())
}

/// Does what a line says, and tells whether that was done.
fn obey(session: &mut Session, line: &str) -> bool {
    let words = match words(line) {
        Ok((words, _)) => words,
        Err(reason) => return complain(&reason),
    };
    let words: Vec<&[u8]> = words.iter().map(|word| word.text.as_slice()).collect();
    if words.is_empty() {
        return true;
    }
    match commands::parse(&words) {
        Ok((command, rest)) => perform(session, command, rest),
        Err(reason) => complain(&reason),
    }
}
