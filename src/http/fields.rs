//! The fields of a head (RFC 9110 §5), borrowed from it.

/// Fields in the order they came. Names compare without case; a value is bytes, mostly ASCII.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub(super) &'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    /// Every field: name as it was written, value without the white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.0.iter().map(|field| (field.name, field.value))
    }

    /// The values of all fields of that name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the first field of that name.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// As [`get`](Self::get), where the value is text.
    pub fn get_str(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), without white space around them, empty ones left out. Not for values in which
/// a comma can be quoted.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN_BYTES[usize::from(*byte)])
}

static TOKEN_BYTES: [bool; 256] =
    bytes_of(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/// Whether `bytes` can stand in a field's value or a comment: no control byte but the tab (RFC 9110 §5.5).
pub(super) fn is_field_content(bytes: &[u8]) -> bool {
    // Without a branch for each byte: so it is done for many at once.
    bytes.iter().fold(true, |is_content, byte| is_content & (((*byte >= b' ') & (*byte != 0x7f)) | (*byte == b'\t')))
}

/// For each byte whether a set has it: one look in place of several comparisons.
pub(super) const fn bytes_of(set: &[u8]) -> [bool; 256] {
    let mut bytes = [false; 256];
    let mut at = 0;
    while at < set.len() {
        bytes[set[at] as usize] = true;
        at += 1;
    }
    bytes
}
