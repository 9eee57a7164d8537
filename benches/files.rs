//! Files up and down: a large one and many small ones, put and got by HTTP, beside cp with and without fsync and beside nginx (dav) where it is
//! installed; how long a small request takes while a large file comes in or goes out; and how evenly many large downloads share. This server is
//! done with a file when the disk has it, as cp is that is followed by fsync; nginx does not wait for the disk, and neither does cp.
//!
//! ```sh
//! cargo bench --bench files -- [--work put,get,put-many,get-many,beside,share] [--rounds 5] [--mib 1024] [--many 1000] [--only epoll,nginx] [--at DIR]
//! ```

mod running;

use running::{Running, is_installed, median, strategies};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What each of many files has.
const SMALL_BYTES: usize = 10 * 1024;

/// Connections over which many files go, one after the other on each.
const CONNECTIONS: usize = 4;

/// Small requests beside a large upload: one each time this has passed.
const PACE: Duration = Duration::from_millis(1);

/// How long the same is asked where nothing is uploaded.
const AT_REST: Duration = Duration::from_secs(2);

/// Downloads that share, and for how long.
const SHARERS: usize = 16;
const SHARING: Duration = Duration::from_secs(3);

const WORKS: [&str; 6] = ["put", "get", "put-many", "get-many", "beside", "share"];

struct Options {
    works: Vec<String>,
    rounds: usize,
    mib: usize,
    many: usize,
    only: Option<Vec<String>>,
    /// Where the files are; a folder for what is temporary without.
    at: PathBuf,
}

/// Who brings files to where they are to be.
enum Porter {
    Cp { is_synced: bool },
    Server(Running),
}

/// The files that there are, and where they go to.
struct Site {
    folder: TempDir,
    many: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let list = |text: &String| text.split(',').map(str::to_string).collect::<Vec<_>>();
    let value = |flag: &str| arguments.iter().position(|word| word == flag).and_then(|at| arguments.get(at + 1));
    let count = |flag: &str, default: usize| value(flag).map_or(default, |text| text.parse().expect("a number"));
    let options = Options {
        works: value("--work").map_or(WORKS.map(str::to_string).to_vec(), list),
        rounds: count("--rounds", 5),
        mib: count("--mib", 1024),
        many: count("--many", 1000),
        only: value("--only").map(list),
        at: value("--at").map_or_else(std::env::temp_dir, PathBuf::from),
    };
    let site = Site::new(&options);
    let porters = porters(&site, &options);
    println!("{:<9} {:<11} {:>8} {:>7} {:>12} {:>10}", "work", "by", "MiB/s", "to cp", "to cp, fsync", "CPU ms/MiB");
    for work in WORKS.iter().filter(|work| options.works.iter().any(|name| name == *work)) {
        match *work {
            "beside" => {
                measure_beside(true, &site, &porters, &options);
                measure_beside(false, &site, &porters, &options);
            }
            "share" => measure_share(&porters, &options),
            work => measure(work, &site, &porters, &options),
        }
    }
}

impl Site {
    fn new(options: &Options) -> Site {
        let folder = TempDir::new_in(&options.at).expect("a folder");
        let site = Site { folder, many: options.many };
        for name in ["own", "www", "nginx"] {
            fs::create_dir(site.path(name)).expect("a folder");
        }
        for name in ["own/many", "www/many"] {
            fs::create_dir(site.path(name)).expect("a folder");
        }
        let noise: Vec<u8> =
            (0..1u64 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        for place in ["own", "www"] {
            let mut large = File::create(site.path(place).join("large")).expect("a file");
            (0..options.mib).for_each(|_| large.write_all(&noise).expect("there is room"));
            for name in site.small() {
                fs::write(site.path(place).join(name), &noise[..SMALL_BYTES]).expect("there is room");
            }
        }
        fs::write(site.path("www/1k.txt"), &noise[..1024]).expect("there is room");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn small(&self) -> Vec<String> {
        (0..self.many).map(|number| format!("many/{number}")).collect()
    }

    /// Nothing is where files go to, and nothing is left for the disk to do.
    fn clear(&self) {
        for place in ["www/new", "own/new"] {
            let _ = fs::remove_dir_all(self.path(place));
            fs::create_dir_all(self.path(place).join("many")).expect("a folder");
        }
        let done = Command::new("sync").arg("-f").arg(self.folder.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "sync -f");
    }
}

fn porters(site: &Site, options: &Options) -> Vec<Porter> {
    let is_chosen = |name: &str| options.only.as_ref().is_none_or(|only| only.iter().any(|word| word == name));
    let www = site.path("www").display().to_string();
    let mut servers = strategies("--upload --overwrite always", &www);
    if is_installed("nginx") {
        let own = site.path("nginx");
        let (at, file) = (own.display(), own.join("nginx.conf"));
        // Its bodies are on the file system that they are renamed on.
        let configuration = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/err crit;
events {{ worker_connections 1000; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=1000; client_body_temp_path {at}/b;
  proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
  server {{ listen 127.0.0.1:PORT; root {www}; dav_methods PUT; client_max_body_size 0; }} }}\n"
        );
        fs::write(&file, configuration).expect("a file");
        servers.push(("nginx", ["nginx".into(), "-c".into(), file.display().to_string()].to_vec()));
    } else {
        println!("skipped: nginx is not installed");
    }
    let servers = servers.into_iter().filter(|(name, _)| is_chosen(name));
    let servers = servers.filter_map(|(name, command)| Running::new(name, command, None)).map(Porter::Server);
    [Porter::Cp { is_synced: false }, Porter::Cp { is_synced: true }].into_iter().chain(servers).collect()
}

impl Porter {
    fn name(&self) -> &'static str {
        match self {
            Porter::Cp { is_synced: true } => "cp, fsync",
            Porter::Cp { is_synced: false } => "cp",
            Porter::Server(running) => running.name,
        }
    }

    fn cpu_nanoseconds(&self) -> u64 {
        match self {
            Porter::Cp { .. } => 0,
            Porter::Server(running) => running.cpu_nanoseconds(),
        }
    }

    /// Brings files to `new` in the server's folder, or from that to `new` in one's own; cp has one folder for both.
    fn bring(&self, is_put: bool, names: &[String], site: &Site) {
        let (own, new) = (site.path("own"), site.path("own/new"));
        let server = match self {
            Porter::Cp { is_synced } => return cp(names, &own, &new, *is_synced),
            Porter::Server(server) => server,
        };
        thread::scope(|scope| {
            for names in names.chunks(names.len().div_ceil(CONNECTIONS)) {
                let (own, new) = (&own, &new);
                scope.spawn(move || {
                    let mut client = Client::new(server.address);
                    for name in names {
                        match is_put {
                            true => client.put(&own.join(name), &format!("/new/{name}")),
                            false => client.get(&format!("/{name}"), &new.join(name)),
                        }
                    }
                });
            }
        });
    }

    /// They are there, whole as far as their lengths say.
    fn check(&self, is_put: bool, names: &[String], site: &Site) {
        let came = site.path(if is_put && matches!(self, Porter::Server(_)) { "www/new" } else { "own/new" });
        let length = |path: PathBuf| fs::metadata(path).expect("it is there").len();
        for name in names {
            assert_eq!(length(came.join(name)), length(site.path("own").join(name)), "{name} by {}", self.name());
        }
    }
}

/// By the programs that people have; the names are of one folder.
fn cp(names: &[String], from: &Path, to: &Path, is_synced: bool) {
    let run = |command: &mut Command| assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
    let folder = to.join(&names[0]).parent().expect("a folder").to_path_buf();
    run(Command::new("cp").args(names).arg(&folder).current_dir(from));
    if is_synced {
        run(Command::new("sync").args(names).arg(folder).current_dir(to));
    }
}

/// One connection that is kept.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).expect("it accepts");
        socket.set_nodelay(true).expect("it is a socket");
        Client(socket)
    }

    fn put(&mut self, file: &Path, target: &str) {
        let mut file = File::open(file).expect("a file");
        let length = file.metadata().expect("a file").len();
        let head = format!("PUT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        self.0.write_all(head.as_bytes()).expect("it reads");
        // By sendfile(2).
        assert_eq!(io::copy(&mut file, &mut self.0).expect("it reads"), length);
        let (head, _) = self.head();
        assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    }

    fn get(&mut self, target: &str, file: &Path) {
        self.receive(target, &mut File::create(file).expect("a file"));
    }

    fn receive(&mut self, target: &str, to: &mut impl Write) {
        let mut left = self.ask(target, to);
        let mut buffer = vec![0; 256 * 1024];
        while left > 0 {
            let count = self.0.read(&mut buffer).expect("it answers");
            assert!(count > 0 && count <= left, "{count} bytes of {left}");
            to.write_all(&buffer[..count]).expect("there is room");
            left -= count;
        }
    }

    /// Writes what came of the content with its head, and says how much more there is.
    fn ask(&mut self, target: &str, to: &mut impl Write) -> usize {
        write!(self.0, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let (head, content) = self.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        to.write_all(&content).expect("there is room");
        length.parse::<usize>().expect("a number") - content.len()
    }

    /// The head of an answer, and what came with it.
    fn head(&mut self) -> (String, Vec<u8>) {
        let (mut came, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let count = self.0.read(&mut buffer).expect("it answers");
            assert!(count > 0, "it closes after {}", came.escape_ascii());
            came.extend_from_slice(&buffer[..count]);
            if let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") {
                let content = came.split_off(end + 4);
                return (String::from_utf8(came).expect("a head is text"), content);
            }
        }
    }
}

/// Rounds in which each has its turn, so that what disturbs one disturbs all. What was got is not synced.
fn measure(work: &str, site: &Site, porters: &[Porter], options: &Options) {
    let (is_put, is_many) = (work.starts_with("put"), work.ends_with("many"));
    let (names, mebibytes) = match is_many {
        true => (site.small(), (options.many * SMALL_BYTES) as f64 / f64::from(1 << 20)),
        false => (vec!["large".to_string()], options.mib as f64),
    };
    // Speed and CPU time.
    let mut rows: Vec<Vec<(f64, f64)>> = porters.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (porter, row) in porters.iter().zip(&mut rows) {
            site.clear();
            let (before, begun) = (porter.cpu_nanoseconds(), Instant::now());
            porter.bring(is_put, &names, site);
            let seconds = begun.elapsed().as_secs_f64();
            let cpu = (porter.cpu_nanoseconds() - before) as f64 / 1e6;
            porter.check(is_put, &names, site);
            row.push((mebibytes / seconds, cpu / mebibytes));
        }
    }
    site.clear();
    for (porter, row) in porters.iter().zip(&rows) {
        let speed = median(row.iter().map(|(speed, _)| *speed));
        let to = |first: &[(f64, f64)]| median(row.iter().zip(first).map(|(own, first)| own.0 / first.0));
        let cpu = match porter {
            Porter::Cp { .. } => String::new(),
            Porter::Server(_) => format!("{:.2}", median(row.iter().map(|(_, cpu)| *cpu))),
        };
        let (to_cp, to_synced) = (to(&rows[0]), to(&rows[1]));
        println!("{work:<9} {:<11} {speed:>8.0} {to_cp:>7.2} {to_synced:>12.2} {cpu:>10}", porter.name());
    }
}

fn servers(porters: &[Porter]) -> Vec<&Running> {
    let running = |porter| match porter {
        &Porter::Cp { .. } => None,
        Porter::Server(running) => Some(running),
    };
    porters.iter().filter_map(running).collect()
}

/// How long a small request takes, from when it was due, while a large file is put, or got; and while none is.
fn measure_beside(is_put: bool, site: &Site, porters: &[Porter], options: &Options) {
    let (work, done) = if is_put { ("put", "put, MiB/s") } else { ("get", "get, MiB/s") };
    println!(
        "beside a {work}: a request of 1 KiB each ms, from when it was due, in ms; median of rounds, the greatest of all"
    );
    println!(
        "{:<9} {:<11} {done:>10} {:>8} {:>8} {:>8} {:>9} {:>6}",
        "work", "by", "p50", "p99", "greatest", "p99, rest", "ratio"
    );
    let servers = servers(porters);
    let mut rows: Vec<Vec<[f64; 6]>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (server, row) in servers.iter().zip(&mut rows) {
            site.clear();
            let is_over = AtomicBool::new(false);
            let at_rest = thread::scope(|scope| {
                let asked = scope.spawn(|| ask_until(&is_over, server.address));
                thread::sleep(AT_REST);
                is_over.store(true, Ordering::Relaxed);
                asked.join().expect("it is answered")
            });
            is_over.store(false, Ordering::Relaxed);
            let (speed, beside) = thread::scope(|scope| {
                let asked = scope.spawn(|| ask_until(&is_over, server.address));
                let (mut client, begun) = (Client::new(server.address), Instant::now());
                match is_put {
                    true => client.put(&site.path("own/large"), "/new/large"),
                    false => client.receive("/large", &mut io::sink()),
                }
                let speed = options.mib as f64 / begun.elapsed().as_secs_f64();
                is_over.store(true, Ordering::Relaxed);
                (speed, asked.join().expect("it is answered"))
            });
            let of = |all: &[f64], part: f64| all[((all.len() - 1) as f64 * part) as usize];
            let (p99, rest) = (of(&beside, 0.99), of(&at_rest, 0.99));
            row.push([speed, of(&beside, 0.5), p99, of(&beside, 1.0), rest, p99 / rest]);
        }
    }
    site.clear();
    for (server, row) in servers.iter().zip(&rows) {
        let [speed, p50, p99, _, rest, ratio] =
            [0, 1, 2, 3, 4, 5].map(|at| median(row.iter().map(|values| values[at])));
        let greatest = row.iter().map(|values| values[3]).fold(0.0, f64::max);
        let name = server.name;
        println!(
            "{:<9} {name:<11} {speed:>10.0} {p50:>8.2} {p99:>8.2} {greatest:>8.2} {rest:>9.2} {ratio:>6.2}",
            "beside"
        );
    }
}

/// How much each of many downloads gets whose one client takes from all in turn, whatever is there.
fn measure_share(porters: &[Porter], options: &Options) {
    println!(
        "share: {SHARERS} downloads of a large file at once; what the least and the greatest got of the mean, median of rounds"
    );
    println!("{:<9} {:<11} {:>10} {:>8} {:>8}", "work", "by", "MiB/s", "least", "greatest");
    for server in servers(porters) {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let mut got = [0; SHARERS];
            // Each with what is to come.
            let mut clients = got.map(|_| (Client::new(server.address), 0));
            let (mut buffer, begun) = (vec![0; 256 * 1024], Instant::now());
            while begun.elapsed() < SHARING {
                for ((client, left), got) in clients.iter_mut().zip(&mut got) {
                    if *left == 0 {
                        client.0.set_nonblocking(false).expect("it is a socket");
                        *left = client.ask("/large", &mut io::sink());
                        client.0.set_nonblocking(true).expect("it is a socket");
                    }
                    match client.0.read(&mut buffer) {
                        Ok(count) => (*got, *left) = (*got + count, left.checked_sub(count).expect("its length")),
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
                    }
                }
            }
            let mean = got.iter().sum::<usize>() as f64 / SHARERS as f64;
            let part = |of: Option<&usize>| *of.expect("there are some") as f64 / mean;
            let speed = mean * SHARERS as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64();
            rounds.push([speed, part(got.iter().min()), part(got.iter().max())]);
        }
        let [speed, least, greatest] = [0, 1, 2].map(|at| median(rounds.iter().map(|values| values[at])));
        println!("{:<9} {:<11} {speed:>10.0} {least:>8.2} {greatest:>8.2}", "share", server.name);
    }
}

/// Milliseconds that small requests took, in order.
fn ask_until(is_over: &AtomicBool, address: SocketAddr) -> Vec<f64> {
    let mut client = Client::new(address);
    let (mut due, mut took) = (Instant::now(), Vec::new());
    while !is_over.load(Ordering::Relaxed) || took.is_empty() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let left = client.ask("/1k.txt", &mut io::sink());
        client.0.read_exact(&mut vec![0; left]).expect("it answers");
        took.push(due.elapsed().as_secs_f64() * 1e3);
        due += PACE;
    }
    took.sort_by(f64::total_cmp);
    took
}
