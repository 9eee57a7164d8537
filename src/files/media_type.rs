//! Media types by the ending of a name (RFC 9110 §8.3).

use std::borrow::Cow;
use std::ffi::CStr;

/// Endings for which mime_guess has nothing, or something that is right elsewhere and wrong on the web.
const ENDINGS: [(&str, &str); 6] = [
    ("map", "application/json"),
    ("md", "text/markdown"),
    ("mjs", "text/javascript"),
    ("mts", "text/plain"),
    ("ts", "text/plain"), // TypeScript, not MPEG.
    ("webmanifest", "application/manifest+json"),
];

/// The value of Content-Type for a file of that name; text is UTF-8.
pub fn media_type(path: &CStr) -> Cow<'static, str> {
    let name = path.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    // A name that only begins with a dot has no ending.
    let ending = match name.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if dot > 0 => String::from_utf8_lossy(&name[dot + 1..]).to_ascii_lowercase(),
        _ => String::new(),
    };
    let ours = ENDINGS.iter().find(|(candidate, _)| *candidate == ending).map(|(_, media_type)| *media_type);
    let media_type = ours.or_else(|| mime_guess::from_ext(&ending).first_raw()).unwrap_or("application/octet-stream");
    match media_type.starts_with("text/") || media_type == "application/javascript" {
        true => format!("{media_type}; charset=utf-8").into(),
        false => media_type.into(),
    }
}

/// Whether files of that type are made smaller by compressing them: text, and what is written like it, and some that were left uncompressed.
pub(super) fn is_compressible(media_type: &str) -> bool {
    const OTHERS: [&str; 10] = [
        "application/javascript",
        "application/json",
        "application/rtf",
        "application/wasm",
        "application/xml",
        "application/vnd.ms-fontobject",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    ];
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || ["+json", "+xml"].iter().any(|ending| essence.ends_with(ending))
        || OTHERS.contains(&essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endings_of_the_web_have_their_types() {
        let cases = [
            (c"index.html", "text/html; charset=utf-8"),
            (c"a/b.HTML", "text/html; charset=utf-8"),
            (c"x.css", "text/css; charset=utf-8"),
            (c"x.js", "text/javascript; charset=utf-8"),
            (c"x.mjs", "text/javascript; charset=utf-8"),
            (c"x.ts", "text/plain; charset=utf-8"),
            (c"x.txt", "text/plain; charset=utf-8"),
            (c"x.md", "text/markdown; charset=utf-8"),
            (c"x.json", "application/json"),
            (c"x.js.map", "application/json"),
            (c"x.webmanifest", "application/manifest+json"),
            (c"x.wasm", "application/wasm"),
            (c"x.png", "image/png"),
            (c"x.svg", "image/svg+xml"),
            (c"x.avif", "image/avif"),
            (c"x.woff2", "font/woff2"),
            (c"x.pdf", "application/pdf"),
            (c"x", "application/octet-stream"),
            (c"dir.html/x", "application/octet-stream"),
            (c".html", "application/octet-stream"),
            (c"x.", "application/octet-stream"),
            (c"x.\xff", "application/octet-stream"),
        ];
        for (name, want) in cases {
            assert_eq!(media_type(name), want, "{name:?}");
        }
    }

    #[test]
    fn text_and_what_is_like_it_is_compressible() {
        for name in [
            c"x.html",
            c"x.css",
            c"x.mjs",
            c"x.json",
            c"x.svg",
            c"x.xml",
            c"x.wasm",
            c"x.webmanifest",
            c"x.ttf",
            c"x.ico",
        ] {
            assert!(is_compressible(&media_type(name)), "{name:?}: {}", media_type(name));
        }
        for name in [c"x.png", c"x.jpg", c"x.mp4", c"x.woff2", c"x.zip", c"x.gz", c"x.br", c"x.zst", c"x.pdf", c"x"] {
            assert!(!is_compressible(&media_type(name)), "{name:?}: {}", media_type(name));
        }
    }
}
