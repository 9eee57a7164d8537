//! A folder of files, asked over a connection.

use super::reader::{Answer, read_answers};
use super::wire::Wire;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tripoll::files::{Files, Options};
use tripoll::http::{Limits, Listener, format_date};

/// Sizes of the files, which are named by them.
pub const SIZES: [usize; 6] = [0, 1, 2, 100, 1_000, 70_000];

/// Every file was changed then.
pub fn changed() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

pub struct Site {
    listener: Listener,
    /// A day past the making of the files: their tags are strong.
    pub now: SystemTime,
    _folder: TempDir,
}

thread_local! {
    static SITE: Site = Site::new();
}

/// The site of this thread.
pub fn with<Said>(ask: impl FnOnce(&Site) -> Said) -> Said {
    SITE.with(ask)
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().expect("there is room for files");
        for size in SIZES {
            let path = folder.path().join(size.to_string());
            std::fs::write(&path, content(size)).expect("files can be written here");
            let file = std::fs::File::options().write(true).open(&path).expect("it was written");
            file.set_modified(changed()).expect("its time can be set");
        }
        let files = Files::new(folder.path(), Options::default()).expect("the folder is there");
        let listener = Listener::new(Arc::new(files), Limits::default());
        // Cut to a second that never changes within a run, so that dates are what the oracles say.
        let second = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
        Site { listener, now: UNIX_EPOCH + Duration::from_secs(second + 86_400), _folder: folder }
    }

    /// The one answer to a GET or HEAD with these `fields`, each with its line end.
    pub fn ask(&self, method: &str, size: usize, fields: &[u8]) -> Answer {
        let mut wire = Wire::new(&self.listener, self.now);
        wire.feed(&[format!("{method} /{size} HTTP/1.1\r\nHost: h\r\n").as_bytes(), fields, b"\r\n"].concat());
        assert!(wire.is_open(), "{}", wire.sent.escape_ascii());
        if method == "HEAD" {
            // A length is told for which no byte comes.
            assert!(wire.sent.ends_with(b"\r\n\r\n"), "{}", wire.sent.escape_ascii());
            let length = wire.sent.len() - 2;
            wire.sent.truncate(length);
            wire.sent.extend(b"X-Method: HEAD\r\n\r\n");
        }
        let mut answers = read_answers(&wire.sent);
        assert_eq!(answers.len(), 1, "{}", wire.sent.escape_ascii());
        let answer = answers.pop().expect("there is one");
        assert_eq!(answer.field("date"), Some(format_date(self.now).as_str()));
        answer
    }
}

/// The bytes of a file: any eight in a row stand nowhere else, so a byte from a wrong place shows.
pub fn content(size: usize) -> Vec<u8> {
    (0_u64..).flat_map(|block| (block.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_be_bytes()).take(size).collect()
}

/// What of `bytes` can stand in a field.
pub fn field_value(bytes: &[u8]) -> Vec<u8> {
    let is_text = |byte: &u8| super::reader::is_text(*byte);
    bytes.iter().copied().filter(is_text).collect::<Vec<_>>().trim_ascii().to_vec()
}
