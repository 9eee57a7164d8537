//! How a folder is served, and how far clients may change it.

use super::path::DotNames;
use std::str::FromStr;

/// How a folder is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file that stands for its folder: a plain name.
    pub index: String,
    /// Whether names that begin with a dot are there.
    pub dot_names: DotNames,
    /// Where symbolic links may lead.
    pub links: Links,
    /// Whether a folder without an index is listed; else it is 403.
    pub lists: bool,
    /// Who accepts HTML and asks (by GET or HEAD) for what is not there gets the root's index with 200: for an app that routes by itself.
    pub spa: bool,
    /// The value of Cache-Control for files and 304.
    pub cache_control: Option<String>,
    /// The memory that files which were asked for lately may take, in bytes; 0 keeps none. They are compared with the file system once a
    /// turn of the loop.
    pub cache_bytes_max: u64,
    /// Whether `x.css.br`, `x.css.zst` or `x.css.gz` is sent for `x.css` to a client that takes that coding, as long as it is not older.
    pub precompressed: bool,
    /// Whether clients may change the folder, and how far; without it each method that would is 405.
    pub uploads: Option<Uploads>,
}

impl Default for Options {
    /// `index.html`; listings on; dot names hidden; precompressed files used; `no-cache`, so that browsers ask again and get 304, never a stale page.
    fn default() -> Options {
        let (index, cache_control) = ("index.html".into(), Some("no-cache".into()));
        let (dot_names, links) = (DotNames::Hidden, Links::Beneath);
        let cache_bytes_max = 64 * 1024 * 1024;
        Options {
            index,
            dot_names,
            links,
            lists: true,
            spa: false,
            cache_control,
            cache_bytes_max,
            precompressed: true,
            uploads: None,
        }
    }
}

/// Where symbolic links may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// To what lies in the folder too; others are not there.
    #[default]
    Beneath,
    /// Anywhere that the process may read: whoever can make a link in the folder decides what is served.
    Anywhere,
}

/// How far clients may change a folder.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// When a file that is there is replaced.
    pub overwrite: Overwrite,
    /// What one file may have: 413 past it.
    pub file_bytes_max: u64,
    /// What all files of the folder may have, as far as this server sees them: those that are there when it starts, and what it changes. 507
    /// past it. A file counts from when it begins to come, and until the one that replaces it is whole.
    pub quota_bytes_max: u64,
}

impl Default for Uploads {
    /// Nothing is replaced unseen; as much as the disk has room for.
    fn default() -> Uploads {
        Uploads { overwrite: Overwrite::default(), file_bytes_max: u64::MAX, quota_bytes_max: u64::MAX }
    }
}

/// When a file that is there gives way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// Never: 403.
    Never,
    /// To who says which one it is by If-Match (428 without it); a MOVE, to who says `Overwrite: T`.
    #[default]
    IfMatch,
    /// Always, unless a precondition of the request fails.
    Always,
}

impl Overwrite {
    /// As in flags.
    pub(super) fn name(self) -> &'static str {
        match self {
            Overwrite::Never => "never",
            Overwrite::IfMatch => "if-match",
            Overwrite::Always => "always",
        }
    }
}

/// Spelled as in flags.
impl FromStr for Overwrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Overwrite, String> {
        match text {
            "never" => Ok(Overwrite::Never),
            "if-match" => Ok(Overwrite::IfMatch),
            "always" => Ok(Overwrite::Always),
            _ => Err("it is never, if-match or always".into()),
        }
    }
}
