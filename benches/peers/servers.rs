//! The servers that are put beside each other, what they serve, and what is asked of them.

use crate::large::LARGE;
use crate::running::{Running, is_installed, strategies};
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

pub const SERVER_CORE: usize = 0;

pub const CLOSE: &str = "Connection: close\r\n";

/// A load by wrk.
pub struct Work {
    pub name: &'static str,
    pub path: &'static str,
    /// Bytes of the answer's body, for the program that parses nothing.
    pub body_bytes: usize,
    pub connections: usize,
    /// Fields beside Host, each with its CRLF.
    pub fields: &'static str,
    pub is_pipelined: bool,
}

/// The files that are served, and what the peers are told.
pub fn site() -> TempDir {
    let site = TempDir::new().expect("a folder");
    let www = site.path().join("www");
    fs::create_dir(&www).expect("a folder");
    fs::create_dir(site.path().join("tmp")).expect("a folder");
    let write = |name: &str, bytes: &[u8]| fs::write(www.join(name), bytes).expect("a file");
    write("hello.txt", b"Hello, world\n");
    for (name, size) in [("1k.txt", 1 << 10), ("100k.bin", 100 << 10), ("1m.bin", 1 << 20)] {
        write(name, &vec![b'x'; size]);
    }
    // A hole all through: it is read from memory, and takes no room on a disk.
    File::create(www.join(&LARGE[1..])).and_then(|file| file.set_len(1 << 30)).expect("a file");
    site
}

/// A server that can be started: the words of its command, with the port in place of `PORT`, the body's size in place of `BYTES`.
pub struct Server {
    pub name: &'static str,
    pub command: Vec<String>,
}

pub fn servers(site: &Path) -> Vec<Server> {
    let (at, www) = (site.display(), site.join("www").display().to_string());
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
    let this = std::env::current_exe().expect("its own path").display().to_string();
    let mut servers = vec![Server { name: "limit", command: [vec![this], words("--limit PORT BYTES")].concat() }];
    servers.extend(strategies("--demo", &www).into_iter().map(|(name, command)| Server { name, command }));
    let peers = [
        (
            "nginx",
            "nginx -c",
            format!(
                "daemon off; master_process off; worker_processes 1; pid {at}/tmp/nginx.pid; error_log {at}/tmp/nginx.err crit;
events {{ worker_connections 16000; }}
http {{ include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on; keepalive_timeout 300;
  keepalive_requests 1000000000; open_file_cache max=1000; client_body_temp_path {at}/tmp/b; proxy_temp_path {at}/tmp/p;
  fastcgi_temp_path {at}/tmp/f; uwsgi_temp_path {at}/tmp/u; scgi_temp_path {at}/tmp/s;
  server {{ listen 127.0.0.1:PORT backlog=4096; root {www}; location /hello/ {{ return 200 \"Hello, bob!\\n\"; }} }} }}\n"
            ),
        ),
        (
            "lighttpd",
            "lighttpd -D -f",
            format!(
                "server.document-root = \"{www}\"\nserver.bind = \"127.0.0.1\"\nserver.port = PORT\nserver.max-fds = 16384
server.max-connections = 8192\nserver.max-keep-alive-requests = 1000000000\nserver.max-keep-alive-idle = 300
server.listen-backlog = 4096\nmimetype.assign = ( \".txt\" => \"text/plain\", \"\" => \"application/octet-stream\" )\n"
            ),
        ),
        (
            "h2o",
            "h2o -c",
            format!(
                "listen: {{host: 127.0.0.1, port: PORT}}\nnum-threads: 1\nmax-connections: 8192\nhttp1-request-timeout: 300
hosts:\n  default:\n    paths:\n      \"/\": {{file.dir: {www}}}\n"
            ),
        ),
    ];
    for (name, command, configuration) in peers {
        if !is_installed(name) {
            println!("skipped: {name} is not installed");
            continue;
        }
        let file = site.join(format!("{name}.conf"));
        fs::write(&file, configuration).expect("a file");
        servers.push(Server { name, command: [words(command), vec![file.display().to_string()]].concat() });
    }
    servers
}

impl Server {
    /// Runs it for a work.
    pub fn run(&self, work: &Work) -> Option<Running> {
        let bytes = work.body_bytes.to_string();
        let mut command: Vec<String> = self.command.iter().map(|word| word.replace("BYTES", &bytes)).collect();
        if work.fields == CLOSE && self.name == "limit" {
            command.push("close".into());
        }
        Running::new(self.name, command, Some(SERVER_CORE))
    }
}
