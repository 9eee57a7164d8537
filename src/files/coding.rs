//! Precompressed files: `x.css.br`, `.zst`, `.gz` beside `x.css`, for clients that take them (RFC 9110 §8.4, §12.5.3).
//!
//! Invariant: what is sent coded decodes to what the file is now, as far as times tell, and was resolved beneath the folder as every name is.

use super::path::Resolved;
use super::root::Root;
use crate::http::{Reject, Request, coding_weights};
use std::cmp::Reverse;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;

/// How a file beside another is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// Mostly the smallest first: so they are chosen where a client likes several as much.
    pub(super) const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

    /// As it is registered, and stands in Content-Encoding.
    pub(super) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What the name of such a file ends in.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstandard => ".zst",
            Coding::Gzip => ".gz",
        }
    }
}

/// What a client takes of the forms that a file can have.
pub(super) struct Accepted {
    /// The first so many are accepted, best first; none that it likes less than the file as it is.
    codings: [Coding; Coding::ALL.len()],
    count: usize,
    /// It takes the file as it is.
    is_plain_accepted: bool,
}

impl Accepted {
    /// RFC 9110 §12.5.3. Without Accept-Encoding all is acceptable, and nothing is looked for: who does not say that it decodes gets no coding.
    pub(super) fn by(request: &Request<'_>) -> Accepted {
        let [plain, weights @ ..] = coding_weights(request, ["identity", "br", "zstd", "gzip"]);
        if plain.is_none() && weights == [None; Coding::ALL.len()] {
            return Accepted { codings: Coding::ALL, count: 0, is_plain_accepted: true };
        }
        let weight = |coding: Coding| weights[coding as usize].unwrap_or(0);
        let is_liked = |coding: Coding| weight(coding) > 0 && weight(coding) >= plain.unwrap_or(0);
        let mut codings = Coding::ALL;
        codings.sort_by_key(|coding| (!is_liked(*coding), Reverse(weight(*coding))));
        let count = codings.iter().filter(|coding| is_liked(**coding)).count();
        Accepted { codings, count, is_plain_accepted: plain != Some(0) }
    }

    /// The codings that it takes, best first.
    pub(super) fn codings(&self) -> &[Coding] {
        &self.codings[..self.count]
    }

    /// Whether it takes the file as it is.
    pub(super) fn is_plain_accepted(&self) -> bool {
        self.is_plain_accepted
    }

    /// Opens the coded form of a file that the client likes best, if there is one that it likes as much as the file as it is.
    pub(super) fn open(&self, root: &Root, at: &Resolved, plain: &Metadata) -> Option<(File, Metadata, Coding)> {
        self.codings().iter().copied().find_map(|coding| {
            // Whatever is wrong with it, there is the file itself.
            let file = root.open_beneath(&at.with_ending(coding.ending()).path).ok()?;
            let metadata = file.metadata().ok()?;
            (metadata.is_file() && !is_older(&metadata, plain)).then_some((file, metadata, coding))
        })
    }

    /// Says whether the file as it is may be sent.
    ///
    /// # Errors
    /// 406: `identity;q=0`, or `*;q=0` without `identity`. It could be disregarded too (§12.1), but who says so means it.
    pub(super) fn check_plain(&self) -> Result<(), Reject> {
        if self.is_plain_accepted { Ok(()) } else { Err(Reject::NotAcceptable) }
    }
}

/// Whether a coded form was made before its file changed. Some programs give it the time of the file without its fraction: then the second
/// decides.
fn is_older(coded: &Metadata, plain: &Metadata) -> bool {
    let fraction = if coded.mtime_nsec() == 0 { 0 } else { plain.mtime_nsec() };
    (coded.mtime(), coded.mtime_nsec()) < (plain.mtime(), fraction)
}
