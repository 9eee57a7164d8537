//! What people say, made harmless for the terminals of others. (A page has it as a text node, where nothing is harmful.)
//!
//! Invariant: a [`Text`] is one line, not empty, and no character in it does more than be seen.

use std::fmt;

/// Bytes of a message as it comes. A character that is replaced may become three.
pub const TEXT_BYTES_MAX: usize = 2_000;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

/// What is longer than [`TEXT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl Text {
    /// The message in a line; `None` where there is none.
    pub fn new(line: &str) -> Result<Option<Text>, TooLong> {
        let line = line.trim_end();
        if line.len() > TEXT_BYTES_MAX {
            return Err(TooLong);
        }
        let clean: String = line
            .chars()
            .map(|c| match c {
                '\t' => ' ',
                c if is_unprintable(c) => char::REPLACEMENT_CHARACTER,
                c => c,
            })
            .collect();
        Ok((!clean.trim().is_empty()).then_some(Text(clean)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a terminal obeys in place of showing it (of C1 some do: U+009B is ESC and a bracket), what ends a line, and what turns the
/// direction of what follows.
pub fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "that was too long: a message has at most {TEXT_BYTES_MAX} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        for (line, want) in [
            ("hello\r", Some("hello")),
            ("  indented", Some("  indented")),
            ("a\tb", Some("a b")),
            ("\x1b[2Jgone", Some("\u{fffd}[2Jgone")),
            ("\u{9b}2J \x07 \x7f", Some("\u{fffd}2J \u{fffd} \u{fffd}")),
            ("one\u{2028}two\rthree", Some("one\u{fffd}two\u{fffd}three")),
            ("\u{202e}txt", Some("\u{fffd}txt")),
            ("<b>👩‍👩‍👧 می‌خواهم</b>", Some("<b>👩‍👩‍👧 می‌خواهم</b>")),
            ("", None),
            (" \t ", None),
        ] {
            assert_eq!(Text::new(line), Ok(want.map(|want| Text(want.to_string()))), "{line:?}");
        }
    }

    #[test]
    fn a_message_is_bounded() {
        let most = "x".repeat(TEXT_BYTES_MAX);
        assert_eq!(Text::new(&format!("{most}\r")), Ok(Some(Text(most.clone()))));
        assert_eq!(Text::new(&(most + "x")), Err(TooLong));
    }
}
