//! The classic tricks by which two servers are made to see different requests in the same bytes (RFC 9112 §11.2). Each hides
//! a request for `/smuggled` where one lawful reading sees content, and another, laxer one sees a request.

#![allow(dead_code)] // Each test crate uses its part.

/// What is hidden.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// A trick.
pub struct Trick {
    pub name: String,
    pub wire: Vec<u8>,
    pub reading: Reading,
}

/// What this server makes of it.
pub enum Reading {
    /// One lawful request, answered so; the connection goes on behind it.
    One { status: u16, body: &'static str },
    /// None: refused so, and the connection is closed.
    Refused(u16),
}
use Reading::{One, Refused};

/// The hidden request is content, and comes back.
const CONTENT: Reading = One { status: 200, body: SMUGGLED };

/// Every trick, by family.
pub fn all() -> Vec<Trick> {
    let families =
        [lengths_and_codings(), codings(), names(), lengths(), unwanted_bodies(), chunk_sizes(), line_ends()];
    families.into_iter().flatten().collect()
}

fn trick(name: &str, wire: impl AsRef<[u8]>, reading: Reading) -> Trick {
    let wire = wire.as_ref();
    Trick { name: format!("{name}: {}", wire.escape_ascii()), wire: wire.to_vec(), reading }
}

/// A POST with more `fields`, each with its line's end.
fn post(fields: impl AsRef<[u8]>, body: &str) -> Vec<u8> {
    [b"POST /echo HTTP/1.1\r\nHost: h\r\n", fields.as_ref(), b"\r\n", body.as_bytes()].concat()
}

/// The hidden request as the content of a chunk.
fn in_a_chunk() -> String {
    format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())
}

/// No chunk, and the hidden request behind the last.
fn behind_chunks() -> String {
    format!("0\r\n\r\n{SMUGGLED}")
}

/// CL.TE and TE.CL: RFC 9112 §6.1 and §6.3, both fields at once.
fn lengths_and_codings() -> Vec<Trick> {
    let (inside, behind) = (in_a_chunk(), behind_chunks());
    let both = |length: usize, coding: &str| format!("Content-Length: {length}\r\nTransfer-Encoding: {coding}\r\n");
    let swapped = |length: usize, coding: &str| format!("Transfer-Encoding: {coding}\r\nContent-Length: {length}\r\n");
    let mut tricks = Vec::new();
    for coding in ["chunked", "Chunked", "gzip", "identity", "xchunked", "chunked, identity", "", "\"chunked\""] {
        tricks.push(trick("CL.TE", post(both(behind.len(), coding), &behind), Refused(400)));
        tricks.push(trick("CL.TE", post(swapped(behind.len(), coding), &behind), Refused(400)));
        tricks.push(trick("TE.CL", post(both(4, coding), &inside), Refused(400)));
        tricks.push(trick("TE.CL", post(swapped(4, coding), &inside), Refused(400)));
    }
    tricks.push(trick("TE.0", post(swapped(0, "chunked"), &inside), Refused(400)));
    let old = format!("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\n{}\r\n{behind}", both(behind.len(), "chunked"));
    tricks.push(trick("CL.TE in 1.0", old, Refused(400)));
    let old = format!("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{inside}");
    tricks.push(trick("TE in 1.0", old, Refused(400)));
    tricks
}

/// TE.TE: codings that look like chunked, or not (RFC 9112 §6.1, §6.3, §7).
fn codings() -> Vec<Trick> {
    let coded = |coding: &[u8], reading| {
        trick("TE.TE", post([b"Transfer-Encoding:", coding, b"\r\n"].concat(), &in_a_chunk()), reading)
    };
    let lawful: &[&[u8]] =
        &[b" chunked", b"chunked", b"\tchunked", b" \t chunked \t", b" CHUNKED", b" chunked,", b" , chunked"];
    let endless: &[&[u8]] = &[
        b" xchunked",
        b" chunkedx",
        b" x chunked",
        b" chunked x",
        b" chunked, identity",
        b" chunked, gzip",
        b" identity",
        b" cow",
        b" 'chunked'",
        b" \"chunked\"",
        b" chunked;x=1",
        b" chunked, chunked",
        b" chunked\r\nTransfer-Encoding: chunked",
        b" chunked\r\nTransfer-Encoding: cow",
        b" chunked\r\nTransfer-Encoding:",
        b" \x0bchunked",
        b" \x0cchunked",
        b" chunked\x0b",
        b" chunked\0",
        b" chunked\x7f",
        b" chunked\xa0",
        b" chun\xc5\xa3ed",
        b" chunked\r",
        b" chunked\rX: y",
        b"\r\n chunked",
        b" chunked\r\n ",
        b" ch\r\n unked",
        b"",
    ];
    let unknown: &[&[u8]] = &[b" identity, chunked", b" cow\r\nTransfer-Encoding: chunked", b" gzip, chunked"];
    let empty_second = b" chunked\r\nTransfer-Encoding:";
    let lawful = lawful.iter().map(|coding| coded(coding, CONTENT));
    let endless = endless.iter().map(|coding| match *coding == empty_second {
        true => coded(coding, CONTENT), // An empty field adds nothing to the list (RFC 9110 §5.3).
        false => coded(coding, Refused(400)),
    });
    let unknown = unknown.iter().map(|coding| coded(coding, Refused(501)));
    lawful.chain(endless).chain(unknown).collect()
}

/// Names that are nearly the fields of framing (RFC 9112 §5.1, RFC 9110 §5.1).
fn names() -> Vec<Trick> {
    let behind = behind_chunks();
    let length = format!("Content-Length: {}\r\n", behind.len());
    let beside = |field: &[u8]| post([length.as_bytes(), field, b"\r\n"].concat(), &behind);
    // Other names: the length alone counts, and all behind the head is content.
    let others: &[&[u8]] = &[
        b"Transfer_Encoding: chunked",
        b"Transfer-Encodin: chunked",
        b"X-Transfer-Encoding: chunked",
        b"TransferEncoding: chunked",
        b"Transfer-Encoding-: chunked",
        b"Content_Length: 5",
        b"X: Transfer-Encoding: chunked",
        b"Connection: Content-Length",
        b"TE: chunked",
    ];
    let refused: &[&[u8]] = &[
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b"Transfer-Encoding\x0b: chunked",
        b"Transfer-Encoding\0: chunked",
        b"Transfer-Encoding\xa0: chunked",
        b"Transfer\0-Encoding: chunked",
        b"Transfer Encoding: chunked",
        b" Transfer-Encoding: chunked",
        b"\tTransfer-Encoding: chunked",
        b"\x0bTransfer-Encoding: chunked",
        b"\0Transfer-Encoding: chunked",
        b"X: y\r\n Transfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: y\0Transfer-Encoding: chunked",
        b"Transfer-Encoding\r\n: chunked",
        b"Transfer-Encoding",
        b": chunked",
        b"Content-Length : 5",
        b"Content-Length\t: 5",
        b"Content-Length\0: 5",
        b"Content Length: 5",
        b" Content-Length: 5",
    ];
    let others =
        others.iter().map(|field| trick("another name", beside(field), One { status: 200, body: BEHIND_CHUNKS }));
    others.chain(refused.iter().map(|field| trick("no name", beside(field), Refused(400)))).collect()
}

/// [`behind_chunks`], as a constant.
const BEHIND_CHUNKS: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// CL.CL, and numbers that are none (RFC 9112 §6.3, RFC 9110 §8.6).
fn lengths() -> Vec<Trick> {
    let length = SMUGGLED.len();
    let told = |value: &str, reading| trick("CL.CL", post(format!("Content-Length:{value}\r\n"), SMUGGLED), reading);
    let overflowing = u128::from(u64::MAX) + 1 + length as u128;
    let refused = [
        format!(" {length}\r\nContent-Length: {length}"),
        format!(" {length}\r\nContent-Length: 0"),
        format!(" 0\r\nContent-Length: {length}"),
        format!(" {length}\r\nX: y\r\ncontent-length: 5"),
        format!(" {length}, {length}"),
        format!(" {length}, 5"),
        format!(" {length},"),
        format!(" +{length}"),
        format!(" -{length}"),
        format!(" {length:#x}"),
        format!(" 0{length}x"),
        format!(" {length}.0"),
        format!(" {length}e0"),
        format!(" {length} 0"),
        format!(" \x0b{length}"),
        format!(" {length}\x0c"),
        format!(" {length}\0"),
        format!(" {length};"),
        format!(" \"{length}\""),
        format!(" {overflowing}"),
        " \u{663}\u{666}".to_string(),
        format!("\r\n {length}"),
        String::new(),
        " -0".to_string(),
    ];
    let lawful = [format!(" {length}"), format!("{length}"), format!("\t{length} "), format!(" 000{length}")];
    let lawful = lawful.iter().map(|value| told(value, CONTENT));
    lawful.chain(refused.iter().map(|value| told(value, Refused(400)))).collect()
}

/// CL.0: a body where none is thought of is read all the same (RFC 9112 §6.3, §9.3).
fn unwanted_bodies() -> Vec<Trick> {
    let of = |line: &str, more: &str, status, body| {
        let length = SMUGGLED.len();
        let wire = format!("{line} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {length}\r\n\r\n{SMUGGLED}");
        trick("CL.0", wire, One { status, body })
    };
    let chunked = format!("GET /ping HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{}", in_a_chunk());
    let expects = |value: &str, reading| {
        let fields = format!("Expect: {value}\r\nContent-Length: {}\r\n", SMUGGLED.len());
        trick("Expect", post(fields, SMUGGLED), reading)
    };
    vec![
        of("GET /ping", "", 200, "pong"),
        of("GET http://other/ping", "", 200, "pong"),
        of("GET /ping?Content-Length:0", "", 200, "pong"),
        of("OPTIONS *", "", 204, ""),
        trick("CL.0", chunked, One { status: 200, body: "pong" }),
        expects("100-continue", CONTENT),
        expects("100-continue, y", Refused(417)),
        expects("y 100-continue", Refused(417)),
        expects("100-continue\r\nExpect: y", Refused(417)),
        expects("\x0b100-continue", Refused(400)),
    ]
}

/// RFC 9112 §7.1: sizes that others read as another number, and lines that others end elsewhere.
fn chunk_sizes() -> Vec<Trick> {
    let length = SMUGGLED.len();
    let body = |body: String, reading| trick("chunk", post("Transfer-Encoding: chunked\r\n", &body), reading);
    let sized = |size: String, reading| body(format!("{size}{SMUGGLED}\r\n0\r\n\r\n"), reading);
    let refused = [
        format!("0x{length:x}\r\n"),
        format!("{length:x} \r\n"),
        format!(" {length:x}\r\n"),
        format!("\t{length:x}\r\n"),
        format!("{length:x}\x0b\r\n"),
        format!("{length:x};\r\n"),
        format!("{length:x}; \r\n"),
        format!("{length:x};\n"),
        format!("{length:x};x\n"),
        format!("{length:x};x\r\r\n"),
        format!("{length:x};x\rX\r\n"),
        format!("{length:x}\r;x\r\n"),
        format!("{length:x};x=\"\r\n"),
        format!("{length:x};x=\"\n\"\r\n"),
        format!("{length:x}\n"),
        format!("{length:x}\r"),
        format!("{length:x}\r\r\n"),
        format!("{length:x}\n\r\n"),
        format!("+{length:x}\r\n"),
        format!("-{length:x}\r\n"),
        format!("{length:x},\r\n"),
        format!("{length:x}h\r\n"),
        format!("{length:x}_0\r\n"),
        format!("{length:x} 0\r\n"),
        format!("{length:x}\0\r\n"),
        format!("1{length:016x}\r\n"),
        format!("0{length:016x}\r\n"),
        "-1\r\n".to_string(),
        "g\r\n".to_string(),
        "\r\n".to_string(),
        "".to_string(),
    ];
    let lawful = [
        format!("{length:x}\r\n"),
        format!("{length:X}\r\n"),
        format!("{length:016x}\r\n"),
        format!("{length:x};x\r\n"),
        format!("{length:x};x=\"; 0\"\r\n"),
        format!("{length:x} ; x\r\n"),
    ];
    let mut tricks: Vec<_> = lawful.into_iter().map(|size| sized(size, CONTENT)).collect();
    tricks.extend(refused.into_iter().map(|size| sized(size, Refused(400))));
    // What is behind the data, and behind the last chunk.
    for end in ["", "\n", "\r", "\n\r", "X\r\n", "\r\r\n", " \r\n", "\0\r\n"] {
        tricks.push(body(format!("{length:x}\r\n{SMUGGLED}{end}0\r\n\r\n"), Refused(400)));
    }
    let data = format!("{length:x}\r\n{SMUGGLED}\r\n");
    for trailer in [
        "\n",
        "\r",
        "\r\r\n",
        "X\r\n\r\n",
        "X : y\r\n\r\n",
        " X: y\r\n\r\n",
        "X: y\n\r\n",
        "X: y\r\n z\r\n\r\n",
        ": y\r\n\r\n",
    ] {
        tricks.push(body(format!("{data}0\r\n{trailer}"), Refused(400)));
    }
    // §7.1.2: a trailer is no field of the head.
    for trailer in ["Content-Length: 5", "Transfer-Encoding: chunked", "Host: other", "Connection: close"] {
        tricks.push(body(format!("{data}0\r\n{trailer}\r\n\r\n"), CONTENT));
    }
    // A size line past its bound.
    tricks.push(sized(format!("{length:x};{}\r\n", "x".repeat(8 * 1024)), Refused(400)));
    tricks
}

/// RFC 9112 §2.2: heads whose lines end otherwise, each with a body that is the hidden request.
fn line_ends() -> Vec<Trick> {
    let length = SMUGGLED.len();
    let wires = [
        format!("POST /echo HTTP/1.1\nHost: h\nContent-Length: {length}\n\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\n\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\r\n\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\rHost: h\rContent-Length: {length}\r\r{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\n Host: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1\0\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("POST /echo\tHTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("POST  /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("POST /echo HTTP/1.1 HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
    ];
    wires.iter().map(|wire| trick("a line's end", wire, Refused(400))).collect()
}
