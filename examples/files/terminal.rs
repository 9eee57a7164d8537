//! A person at a terminal: questions, passwords, lines with completion and history.

use crate::commands::{COMMANDS, Kind};
use crate::names::{RemotePath, Word, shown, typed, words};
use crate::remote::Remote;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, MemHistory};
use rustyline::validate::Validator;
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Whether there is somebody to ask.
pub fn is_there() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Asks; what is no yes is a no.
pub fn confirms(question: &str) -> bool {
    ask(&format!("{question} [y/N] "), Echo::Plain).is_some_and(|answer| answer.trim().eq_ignore_ascii_case("y"))
}

/// Asks for user and password, of a place.
pub fn login(host: &str, user: Option<&str>) -> Option<(String, String)> {
    if !is_there() {
        return None;
    }
    let user = match user {
        Some(user) => user.to_string(),
        None => ask(&format!("user at {host}: "), Echo::Plain)?,
    };
    let password = ask(&format!("password of {user}: "), Echo::Hidden)?;
    Some((user, password))
}

enum Echo {
    Plain,
    Hidden,
}

fn ask(question: &str, echo: Echo) -> Option<String> {
    let config = Config::builder().auto_add_history(false).color_mode(ColorMode::Forced).build();
    let mut editor = Editor::<Mask, _>::with_history(config, MemHistory::new()).ok()?;
    editor.set_helper(Some(Mask(matches!(echo, Echo::Hidden))));
    editor.readline(question).ok()
}

/// Shows nothing of what is typed, where it is on.
struct Mask(bool);

impl Highlighter for Mask {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.0 { Cow::Borrowed("") } else { Cow::Borrowed(line) }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.0
    }
}

impl Completer for Mask {
    type Candidate = Pair;
}

impl Hinter for Mask {
    type Hint = String;
}

impl Validator for Mask {}
impl Helper for Mask {}

/// The prompt.
pub struct Prompt {
    editor: Editor<Names, FileHistory>,
    history: Option<PathBuf>,
}

impl Prompt {
    pub fn new(remote: Rc<Remote>, history: Option<PathBuf>) -> Result<Prompt, ReadlineError> {
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
        let history_lines = FileHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history_lines)?;
        editor.set_helper(Some(Names { remote, at: RemotePath::default() }));
        if let Some(path) = &history {
            // There is none before the first session.
            let _ = editor.load_history(path);
        }
        Ok(Prompt { editor, history })
    }

    /// The next line; `None` at the end of them.
    pub fn line(&mut self, prompt: &str, at: &RemotePath) -> Result<Option<String>, ReadlineError> {
        self.editor.helper_mut().expect("it was set").at = at.clone();
        loop {
            match self.editor.readline(prompt) {
                Ok(line) => return Ok(Some(line)),
                // As in a shell: the line is given up, not the session.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(path) = self.history.as_ref().filter(|_| is_there()) {
            let _ = self.editor.append_history(path);
        }
    }
}

/// Completes commands, and names here and there.
struct Names {
    remote: Rc<Remote>,
    /// Where the person is.
    at: RemotePath,
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Ok((mut words, is_open)) = words(&line[..position]) else { return Ok((position, Vec::new())) };
        let unfinished = if is_open { words.pop() } else { None };
        let Word { start, text } = unfinished.unwrap_or(Word { start: position, text: Vec::new() });
        Ok((start, self.candidates(&words, &text)))
    }
}

impl Names {
    fn candidates(&self, before: &[Word], text: &[u8]) -> Vec<Pair> {
        let Some((command, arguments)) = before.split_first() else {
            let names = COMMANDS.iter().map(|command| command.name).filter(|name| name.as_bytes().starts_with(text));
            return names.map(|name| Pair { display: name.into(), replacement: format!("{name} ") }).collect();
        };
        let command = COMMANDS.iter().find(|known| known.name.as_bytes() == command.text);
        let Some(kind) = command.and_then(|command| command.words.get(arguments.len())) else { return Vec::new() };
        let (folder, begun) = text.split_at(text.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        let entries = match kind {
            Kind::Local => local_entries(folder),
            Kind::Remote | Kind::RemoteFolder => self.remote_entries(folder),
        };
        let fits = |(name, is_folder): &(Vec<u8>, bool)| {
            name.starts_with(begun) && (*is_folder || *kind != Kind::RemoteFolder)
        };
        let candidate = |(name, is_folder): (Vec<u8>, bool)| {
            let (display, ending) = if is_folder { (shown(&name) + "/", "/") } else { (shown(&name), " ") };
            Pair { display, replacement: typed(&[folder, &name].concat()) + ending }
        };
        entries.into_iter().filter(fits).map(candidate).collect()
    }

    /// Nothing where the server does not say it: who types is not to be disturbed.
    fn remote_entries(&self, folder: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let folder = self.at.join(folder).into_folder();
        let entries = self.remote.list(&folder.target(), true).unwrap_or_default();
        entries.into_iter().map(|entry| (entry.name, entry.is_folder)).collect()
    }
}

/// Names that begin with a dot are not offered.
fn local_entries(folder: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let path = Path::new(OsStr::from_bytes(if folder.is_empty() { b"." } else { folder }));
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut entries: Vec<_> = entries
        .map(|entry| (entry.file_name().into_encoded_bytes(), entry.path().is_dir()))
        .filter(|(name, _)| !name.starts_with(b"."))
        .collect();
    entries.sort();
    entries
}

impl Highlighter for Names {}

impl Hinter for Names {
    type Hint = String;
}

impl Validator for Names {}
impl Helper for Names {}
