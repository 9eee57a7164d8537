//! Names: who may be called what, and when two names are the same.
//!
//! Invariant: a [`Name`] is one word that every terminal and page shows as it is, so that `ada: ` at the beginning of a line, and
//! `ada left`, are of nobody but ada. Look-alikes of other scripts are other names.

use super::text::is_unprintable;
use caseless::Caseless;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

/// Bytes of a name: 32 letters of English, ten of Chinese.
pub const NAME_BYTES_MAX: usize = 32;

/// A name that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As its owner writes it, in composed form.
    pub shown: String,
    /// The same for all names that people take for the same.
    pub key: String,
}

/// Why a name is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadName {
    Empty,
    TooLong,
    Character(char),
}

impl Name {
    /// The name that a line has; what is around it is no part of it.
    pub fn new(line: &str) -> Result<Name, BadName> {
        let shown: String = line.trim().nfc().collect();
        let key: String = fold(&shown);
        if key.is_empty() {
            return Err(BadName::Empty);
        }
        if shown.len() > NAME_BYTES_MAX {
            return Err(BadName::TooLong);
        }
        match shown.chars().chain(key.chars()).find(|c| !may_be_in_a_name(*c)) {
            Some(character) => Err(BadName::Character(character)),
            None => Ok(Name { shown, key }),
        }
    }
}

/// Compatibility caseless matching: Unicode, section 3.13, definition D146.
fn fold(text: &str) -> String {
    text.nfd().default_case_fold().nfkd().default_case_fold().nfkd().collect()
}

fn may_be_in_a_name(c: char) -> bool {
    !(is_unprintable(c) || is_invisible(c) || c.is_whitespace() || c == ':' || c == char::REPLACEMENT_CHARACTER)
}

/// What has no width, and so makes two names of one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
        || matches!(c, '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadName::Empty => f.write_str("a name has at least one letter"),
            BadName::TooLong => write!(f, "a name has at most {NAME_BYTES_MAX} bytes"),
            BadName::Character(':') => f.write_str("a name has no colon"),
            BadName::Character(c) if c.is_whitespace() && !c.is_control() => f.write_str("a name is one word"),
            BadName::Character(c) => write!(f, "a name has no character U+{:04X}", u32::from(*c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_visible_word() {
        let at_most = "x".repeat(NAME_BYTES_MAX);
        for name in ["ada", "  ada\r", "Łukasz", "王小明", "O'Brien-2", "🦀", "<b>", "नमस्ते", &at_most]
        {
            assert_eq!(Name::new(name).map(|name| name.shown), Ok(name.trim().to_string()), "{name}");
        }
        let too_long = at_most + "x";
        for (line, want) in [
            ("", BadName::Empty),
            (" \t\r", BadName::Empty),
            (&too_long, BadName::TooLong),
            ("a\x1b[2Jb", BadName::Character('\x1b')),
            ("a\tb", BadName::Character('\t')),
            ("a\u{9b}b", BadName::Character('\u{9b}')),
            ("ada left", BadName::Character(' ')),
            ("ada: I", BadName::Character(':')),
            ("a\u{200b}da", BadName::Character('\u{200b}')),
            ("\u{202e}ada", BadName::Character('\u{202e}')),
            ("\u{feff}", BadName::Character('\u{feff}')),
            ("a\u{fffd}", BadName::Character('\u{fffd}')),
            // A full-width colon is the same as the other to who looks.
            ("ada：", BadName::Character(':')),
        ] {
            assert_eq!(Name::new(line), Err(want), "{line:?}");
        }
    }

    #[test]
    fn names_are_the_same_whatever_their_case_and_form() {
        for (one, other, are_same) in [
            ("ada", "ADA", true),
            ("Straße", "STRASSE", true),
            ("é", "e\u{301}", true),
            ("ﬁn", "FIN", true),
            ("ａｄａ", "Ada", true),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ", true),
            ("ada", "adá", false),
            ("ada", "аda", false),
        ] {
            let [one_key, other_key] = [one, other].map(|line| Name::new(line).unwrap().key);
            assert_eq!(one_key == other_key, are_same, "{one}, {other}");
        }
    }
}
