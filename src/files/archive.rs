//! A folder as one download, made as it is sent.
//!
//! Invariant: what GET would not give is not in it; no link to a folder is followed, so that it has an end; what changes while it is read breaks
//! it off. In memory are one folder's list for each level on the way, some hundred KiB of content, and of a zip its directory, bounded.

mod tar;
mod walk;
mod zip;

use super::path::{DotNames, Resolved, encode_segment};
use super::root::Root;
use crate::http::{Body, Response, Stream};
use std::sync::Arc;
use walk::Walk;

/// How a folder is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Tar,
    Zip,
}

impl Format {
    fn ending(self) -> &'static str {
        match self {
            Format::Tar => ".tar",
            Format::Zip => ".zip",
        }
    }
}

/// The folder at `at`, called `name` in it.
pub(super) fn archive(root: Arc<Root>, at: Resolved, name: &[u8], dot_names: DotNames, format: Format) -> Response {
    let walk = Walk::new(root, at, name.to_vec(), dot_names);
    let (media_type, stream) = match format {
        Format::Tar => ("application/x-tar", Stream::offloaded(tar::Tar::new(walk))),
        Format::Zip => ("application/zip", Stream::offloaded(zip::Zip::new(walk))),
    };
    let name = [name, format.ending().as_bytes()].concat();
    Response::of_type(media_type).field("Content-Disposition", &disposition(&name)).with_body(Body::Stream(stream))
}

/// RFC 6266: to be kept under that name. For who does not know RFC 8187 what is not plain becomes `_`.
fn disposition(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let is_plain = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\' | '%' | '/');
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    match plain == name {
        true => format!("attachment; filename=\"{plain}\""),
        false => {
            format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", encode_segment(name.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_said_to_those_who_know_rfc_8187_and_to_others() {
        for (name, want) in [
            (&b"a b.tar"[..], r#"attachment; filename="a b.tar""#),
            ("käse.zip".as_bytes(), r#"attachment; filename="k_se.zip"; filename*=UTF-8''k%C3%A4se.zip"#),
            (b"a\"b.tar", r#"attachment; filename="a_b.tar"; filename*=UTF-8''a%22b.tar"#),
            (b"100%.tar", r#"attachment; filename="100_.tar"; filename*=UTF-8''100%25.tar"#),
            (b"a\r\nb\\.tar", r#"attachment; filename="a__b_.tar"; filename*=UTF-8''a%0D%0Ab%5C.tar"#),
            (b"\xff.tar", r#"attachment; filename="_.tar"; filename*=UTF-8''%EF%BF%BD.tar"#),
        ] {
            assert_eq!(disposition(name), want);
        }
    }
}
