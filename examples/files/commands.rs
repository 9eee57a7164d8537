//! What can be said, at the prompt and on the command line: one table, from which help, completion and checks come.

use crate::memory::Memory;
use crate::names::{RemotePath, local_name, shown};
use crate::remote::{Call, Failure, Found, Remote};
use crate::terminal;
use crate::transfer::Transfer;
use indicatif::HumanBytes;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What a word after a command's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Remote,
    RemoteFolder,
    Local,
}

pub struct Command {
    pub name: &'static str,
    /// The words that follow: the first `needed` have to.
    pub words: &'static [Kind],
    needed: usize,
    pub usage: &'static str,
    pub help: &'static str,
    run: fn(&mut Session, &[&[u8]]) -> Result<String, Failure>,
}

pub const COMMANDS: [Command; 8] = [
    Command {
        name: "ls",
        words: &[Kind::RemoteFolder],
        needed: 0,
        usage: "ls [FOLDER]",
        help: "list what is there",
        run: Session::ls,
    },
    Command {
        name: "cd",
        words: &[Kind::RemoteFolder],
        needed: 0,
        usage: "cd [FOLDER]",
        help: "go to another folder; without one to the top",
        run: Session::cd,
    },
    Command {
        name: "get",
        words: &[Kind::Remote, Kind::Local],
        needed: 1,
        usage: "get FILE [HERE]",
        help: "fetch a file; if the line breaks it goes on from there",
        run: Session::get,
    },
    Command {
        name: "put",
        words: &[Kind::Local, Kind::Remote],
        needed: 1,
        usage: "put FILE [THERE]",
        help: "send a file",
        run: Session::put,
    },
    Command {
        name: "rm",
        words: &[Kind::Remote],
        needed: 1,
        usage: "rm NAME",
        help: "delete a file or an empty folder there",
        run: Session::rm,
    },
    Command {
        name: "mkdir",
        words: &[Kind::RemoteFolder],
        needed: 1,
        usage: "mkdir FOLDER",
        help: "make a folder there",
        run: Session::mkdir,
    },
    Command { name: "help", words: &[], needed: 0, usage: "help", help: "say this", run: |_, _| Ok(help()) },
    Command { name: "quit", words: &[], needed: 0, usage: "quit", help: "end; so does Ctrl-D", run: Session::quit },
];

/// All commands, a line each.
pub fn help() -> String {
    let lines: Vec<_> = COMMANDS.iter().map(|command| format!("  {:17} {}", command.usage, command.help)).collect();
    lines.join("\n")
}

/// The command that words say, if they say one.
///
/// # Errors
/// What is wrong with them.
pub fn parse<'a>(words: &'a [&'a [u8]]) -> Result<(&'static Command, &'a [&'a [u8]]), String> {
    let Some((name, rest)) = words.split_first() else { return Err("no command is given".into()) };
    let command = COMMANDS.iter().find(|command| command.name.as_bytes() == *name);
    let command = command.ok_or_else(|| {
        let names: Vec<_> = COMMANDS.iter().map(|command| command.name).collect();
        format!("there is no command {}; there are {}", shown(name), names.join(", "))
    })?;
    let fits = (command.needed..=command.words.len()).contains(&rest.len()) && rest.iter().all(|word| !word.is_empty());
    if fits { Ok((command, rest)) } else { Err(format!("it is: {}", command.usage)) }
}

/// A person, or a script, and a server.
pub struct Session {
    pub remote: Rc<Remote>,
    pub memory: Memory,
    pub at: RemotePath,
    /// What is there is replaced without a question.
    pub is_forced: bool,
    pub is_over: bool,
}

impl Session {
    /// Does what a command says; the answer is what there is to say about it.
    pub fn run(&mut self, command: &Command, words: &[&[u8]]) -> Result<String, Failure> {
        (command.run)(self, words)
    }

    fn path(&self, words: &[&[u8]]) -> RemotePath {
        words.first().map_or_else(|| self.at.clone(), |word| self.at.join(word))
    }

    fn ls(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let entries = self.remote.list(&self.path(words).into_folder().target(), false)?;
        if entries.is_empty() {
            return Ok("(nothing)".into());
        }
        let line = |entry: &crate::remote::Entry| {
            let size = entry.size.map(|size| HumanBytes(size).to_string()).unwrap_or_default();
            format!(
                "{size:>11}  {:16}  {}{}",
                entry.changed,
                shown(&entry.name),
                if entry.is_folder { "/" } else { "" }
            )
        };
        Ok(entries.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    fn cd(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let path = words.first().map_or_else(|| self.at.join(b"/"), |word| self.at.join(word)).into_folder();
        match self.remote.find(&path.target())? {
            Found::Folder => self.at = path,
            Found::File(_) => return Err(Failure::Impossible("it is a file".into())),
            Found::Nothing => return Err(Failure::Impossible("there is no such folder".into())),
        }
        Ok(String::new())
    }

    fn get(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let path = self.path(words);
        let name = || match path.name() {
            Some(name) => local_name(name).map_err(Failure::Impossible),
            None => Err(Failure::Impossible("it is a folder; get takes files".into())),
        };
        let local = match words.get(1).map(|word| local(word)) {
            Some(folder) if folder.is_dir() => folder.join(name()?),
            Some(file) => file,
            None => name()?,
        };
        self.transfer(|transfer| transfer.get(&path.target(), &local))
    }

    fn put(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let local = local(words[0]);
        let path = self.path(words.get(1..).unwrap_or_default());
        let path = match local.file_name() {
            // Into a folder, under the same name.
            Some(name) if path.is_folder() => path.join(name.as_bytes()),
            _ => path,
        };
        self.transfer(|transfer| transfer.put(&local, &path.target()))
    }

    fn rm(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let path = self.path(words);
        let (target, tag) = match self.remote.find(&path.target())? {
            Found::Nothing => {
                return Err(Failure::Refused { status: 404, reason: "there is no such file or folder".into() });
            }
            Found::Folder => (path.clone().into_folder().target(), None),
            Found::File(seen) => (path.target(), seen.strong_tag().map(str::to_string)),
        };
        if terminal::is_there() && !self.is_forced && !terminal::confirms(&format!("delete {}?", path.shown())) {
            return Err(Failure::Declined);
        }
        let fields: Vec<_> = tag.iter().map(|tag| ("If-Match", tag.as_str())).collect();
        self.remote.call(&Call { method: "DELETE", target: &target, fields: &fields, ..Call::default() })?;
        Ok(format!("deleted {}", path.shown()))
    }

    fn mkdir(&mut self, words: &[&[u8]]) -> Result<String, Failure> {
        let path = self.path(words).into_folder();
        self.remote.call(&Call { method: "MKCOL", target: &path.target(), ..Call::default() })?;
        Ok(format!("made {}", path.shown()))
    }

    fn quit(&mut self, _: &[&[u8]]) -> Result<String, Failure> {
        self.is_over = true;
        Ok(String::new())
    }

    fn transfer(&self, act: impl Fn(&Transfer) -> Result<String, Failure>) -> Result<String, Failure> {
        let may_replace = |what: &str| {
            if self.is_forced {
                return true;
            }
            if !terminal::is_there() {
                eprintln!("{what}: --force replaces it");
                return false;
            }
            terminal::confirms(&format!("{what}: replace it?"))
        };
        act(&Transfer { remote: &self.remote, memory: &self.memory, may_replace: &may_replace })
    }
}

fn local(word: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(word)).to_path_buf()
}
