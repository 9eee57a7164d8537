//! The server: where HTTP meets sockets.

mod bound;
mod error;
mod listening;
mod meter;

pub use bound::BoundServer;
pub use error::{Error, Result};
pub use meter::{Counters, Meter};

use crate::files::{self, Cache, Files, Resolver};
use crate::guard::{Guard, Rules, Scope, Users};
use crate::http::{self, Answer, Answered, Reject, Request, Response, Service, Sink};
use crate::models::{Model, Work};
use crate::offload::{self, Pool};
use crate::poller::{Backend, Strategy, Trigger};
use crate::protocol::{Link, Now};
use crate::reactor::{self, Notice, Reactor};
use crate::router::{Endpoint, NotFound, Router};
use crate::sys;
use listening::{is_loopback, listen};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// Descriptors that connections leave to others (files that are kept, listeners, the poller, files that are being opened, what the program
/// itself needs): so many, but of few no more than a quarter.
const DESCRIPTORS_RESERVED: u64 = files::DESCRIPTORS_MAX as u64 + 64;

/// Serves a folder and routes over HTTP/1.1 on one thread.
///
/// ```no_run
/// use tripoll::{Backend, HttpServer, Response};
///
/// fn main() -> tripoll::Result<()> {
///     HttpServer::new("127.0.0.1:8000", "static")
///         .backend(Backend::Epoll)
///         .route("GET", "/time", |_| Response::text(tripoll::date::now()))
///         .route("GET", "/hello/{name}", |request| Response::text(format!("Hello, {}!\n", request.param("name"))))
///         .serve_forever()
/// }
/// ```
pub struct HttpServer {
    addresses: Vec<String>,
    /// `None` serves routes alone.
    directory: Option<PathBuf>,
    model: Model,
    backend: Backend,
    trigger: Trigger,
    select_limit: Option<RawFd>,
    files: files::Options,
    fields: Vec<(String, String)>,
    limits: http::Limits,
    loop_limits: reactor::Limits,
    offload_limits: offload::Limits,
    routes: Vec<(String, String, Endpoint)>,
    /// The first route that answers without end, if any does.
    live_route: Option<String>,
    not_found: Option<NotFound>,
    rules: Rules,
    meter: Meter,
    on_notice: Box<dyn FnMut(&Notice) + Send>,
    on_answer: Arc<dyn Fn(&Answered<'_>) + Send + Sync>,
}

impl HttpServer {
    /// A server at `address` (`127.0.0.1:8000`, `[::1]:0`, `localhost:8000`; port 0 lets the kernel choose) of the files beneath
    /// `directory`. Nothing is opened yet.
    pub fn new(address: impl Into<String>, directory: impl Into<PathBuf>) -> HttpServer {
        HttpServer { directory: Some(directory.into()), ..HttpServer::without_files(address) }
    }

    /// The same with routes alone: what none of them matches is 404.
    pub fn without_files(address: impl Into<String>) -> HttpServer {
        HttpServer {
            addresses: vec![address.into()],
            directory: None,
            model: Model::default(),
            backend: Backend::default(),
            trigger: Trigger::default(),
            select_limit: None,
            files: files::Options::default(),
            fields: Vec::new(),
            limits: http::Limits::default(),
            loop_limits: reactor::Limits::default(),
            offload_limits: offload::Limits::default(),
            routes: Vec::new(),
            live_route: None,
            not_found: None,
            rules: Rules::default(),
            meter: Meter::default(),
            on_notice: Box::new(|_| ()),
            on_answer: Arc::new(|_| ()),
        }
    }

    /// Listens at one more address.
    pub fn also_at(mut self, address: impl Into<String>) -> HttpServer {
        self.addresses.push(address.into());
        self
    }

    /// Who serves connections: the loop itself, or threads, processes or tasks, each of which waits for one. Nothing else changes, but how many
    /// are served well.
    ///
    /// Handlers of a model that forks share nothing with those of another process: each has a copy of what there was. What goes on without end
    /// needs one loop: see [`route_live`](Self::route_live).
    ///
    /// Where threads or processes serve the loop's own settings ([`backend`](Self::backend), [`trigger`](Self::trigger),
    /// [`select_limit`](Self::select_limit)) are those of the loop that accepts and hears of the end.
    pub fn model(mut self, model: Model) -> HttpServer {
        self.model = model;
        self
    }

    /// Waits by select, poll or epoll. Nothing else changes.
    pub fn backend(mut self, backend: Backend) -> HttpServer {
        self.backend = backend;
        self
    }

    /// Waits by epoll's edges; an error with the other backends.
    pub fn trigger(mut self, trigger: Trigger) -> HttpServer {
        self.trigger = trigger;
        self
    }

    /// Turns clients away whose descriptor is not below `limit`, as a server with a fixed `fd_set` must: 1,024 is the textbook's. An
    /// error without select.
    pub fn select_limit(mut self, limit: RawFd) -> HttpServer {
        self.select_limit = Some(limit);
        self
    }

    /// How the folder is served.
    pub fn files(mut self, options: files::Options) -> HttpServer {
        self.files = options;
        self
    }

    /// Gives every answer one more field.
    ///
    /// # Panics
    /// For what is no field, or one that the server itself sets: see [`check_field`](http::check_field).
    pub fn field(mut self, name: &str, value: &str) -> HttpServer {
        if let Err(error) = http::check_field(name, value) {
            panic!("{error}");
        }
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Bounds of what a client may send.
    pub fn limits(mut self, limits: http::Limits) -> HttpServer {
        self.limits = limits;
        self
    }

    /// Bounds of the loop. `connections_max` is lowered to what the descriptor limit leaves, which is also its default.
    pub fn loop_limits(mut self, limits: reactor::Limits) -> HttpServer {
        self.loop_limits = limits;
        self
    }

    /// Lets a closure answer `method` on `path`, before the files are looked at. `{name}` in the path matches a segment, `{*name}` all the
    /// rest; [`Request::param`] has what it matched. GET answers HEAD too. An answer to GET that has an ETag or a Last-Modified (see
    /// [`Response::with_validators`]) is turned into 304 or 412 where the request's preconditions say so; a handler of a method that changes
    /// something asks [`http::evaluate_preconditions`] before it does. A wrong or second route is an error of [`bind`](Self::bind).
    ///
    /// What is not there yet a handler answers by [`Answer::after`] or [`Answer::offload`]; what goes on, by [`Response::stream`]. Where it has no
    /// end, [`route_live`](Self::route_live) says so.
    pub fn route<Said: Into<Answer>>(
        mut self,
        method: &str,
        path: &str,
        handler: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static,
    ) -> HttpServer {
        self.routes.push((method.into(), path.into(), Endpoint::new(handler)));
        self
    }

    /// The same for what has no end: [`Response::events`], [`Answer::Upgrade`]. Under a model whose threads or processes serve one connection each,
    /// a few listeners would keep all of them, so there it is an error of [`bind`](Self::bind).
    pub fn route_live<Said: Into<Answer>>(
        mut self,
        method: &str,
        path: &str,
        handler: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static,
    ) -> HttpServer {
        self.live_route.get_or_insert_with(|| path.into());
        self.route(method, path, handler)
    }

    /// Lets a closure open what takes the body of such requests piece by piece, however long it is; or refuse it, before a client that asks
    /// (`Expect: 100-continue`) sends it. [`Request::content_length`] has what the client declared, and no bound but the sink's own is put on it.
    pub fn route_sink(
        mut self,
        method: &str,
        path: &str,
        open: impl Fn(&Request<'_>) -> std::result::Result<Box<dyn Sink>, Response> + Send + Sync + 'static,
    ) -> HttpServer {
        self.routes.push((method.into(), path.into(), Endpoint::Opener(Arc::new(open))));
        self
    }

    /// Bounds of the threads for [`Answer::offload`]; none is started before the first.
    pub fn offload_limits(mut self, limits: offload::Limits) -> HttpServer {
        self.offload_limits = limits;
        self
    }

    /// Lets a closure answer whatever neither a route nor a file does. Its status is made 404.
    pub fn not_found<Said: Into<Response>>(
        mut self,
        handler: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static,
    ) -> HttpServer {
        self.not_found = Some(Arc::new(move |request| handler(request).into()));
        self
    }

    /// Refuses requests that may change something and come from a page of another site: 403. See [`Rules::own_pages_only`].
    pub fn own_pages_only(mut self) -> HttpServer {
        self.rules.own_pages_only = true;
        self
    }

    /// Where every address that it listens at is this machine's own (loopback), lets it answer to no other hosts than IP addresses, localhost
    /// and `names`: 421. See [`Rules::hosts`].
    pub fn own_hosts_only(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> HttpServer {
        self.rules.hosts = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Asks for a user's name and password: for what may change something, or for everything. They cross the network as they are.
    pub fn users(mut self, users: Users, scope: Scope) -> HttpServer {
        self.rules.users = Some((users, scope));
        self
    }

    /// Shows what the server does, once it runs.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Who is told of each answer as it is queued: for an access log. Called by whoever serves the connection, so it must not block; under a
    /// model that has processes, in each of them.
    pub fn on_answer(mut self, tell: impl Fn(&Answered<'_>) + Send + Sync + 'static) -> HttpServer {
        self.on_answer = Arc::new(tell);
        self
    }

    /// Who is told what the operator should know. By default nobody.
    pub fn on_notice(mut self, tell: impl FnMut(&Notice) + Send + 'static) -> HttpServer {
        self.on_notice = Box::new(tell);
        self
    }

    /// Opens the folder, binds the addresses, and makes the loop. From here on clients can connect, and wait to be served.
    ///
    /// # Errors
    /// [`Error`], of which each says what to try.
    pub fn bind(self) -> Result<BoundServer> {
        let strategy = Strategy::new(self.backend, self.trigger, self.select_limit)?;
        if self.loop_limits.per_address_max < usize::MAX && !self.model.knows_addresses() {
            return Err(Error::PerAddressMax { model: self.model });
        }
        if let Some(path) = self.live_route.as_ref().filter(|_| !self.model.is_one_loop()) {
            return Err(Error::LiveRoute { path: path.clone(), model: self.model });
        }
        let (router, folder) = self.router()?;
        let pool = Arc::new(Pool::new(self.offload_limits));
        let mut listeners = Vec::new();
        for address in &self.addresses {
            listeners.append(&mut listen(address)?);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let service = self.guarded(router, addresses.iter().all(is_loopback));

        let descriptors_max = sys::raise_descriptor_limit()?;
        let descriptors =
            usize::try_from(descriptors_max - DESCRIPTORS_RESERVED.min(descriptors_max / 4)).unwrap_or(usize::MAX);
        let connections_max = (descriptors / self.model.descriptors_a_connection()).max(1);
        let mut limits = self.loop_limits.clone();
        limits.connections_max = limits.connections_max.min(connections_max);
        let resolver = folder.as_ref().map(|folder| folder.resolver);
        let make = self.maker(service, pool);
        let on_notice = Arc::new(Mutex::new(self.on_notice));
        let cache = folder.map(|folder| folder.cache);

        let mut reactor = Reactor::new(strategy, limits.clone())?;
        reactor.show_on(self.meter.reactor.clone());
        let tell = on_notice.clone();
        reactor.on_notice(move |notice| tell.lock().unwrap_or_else(PoisonError::into_inner)(notice));
        let kept = cache.clone();
        reactor.on_shortage(move || kept.as_ref().is_some_and(Cache::give_way));
        let mut work = None;
        if self.model != Model::Reactor {
            let sockets =
                listeners.iter().map(|socket| socket.as_fd().try_clone_to_owned()).collect::<io::Result<_>>()?;
            let make = make.clone();
            let to_do = work.insert(Work::new(limits, sockets, move || Box::new(make()))?);
            if !self.model.is_one_loop() {
                self.meter.tally.set(to_do.tally.clone()).expect("a server is bound once");
            }
            to_do.on_shortage = Box::new(move || cache.as_ref().is_some_and(Cache::give_way));
            to_do.on_notice = Box::new(move |notice| on_notice.lock().unwrap_or_else(PoisonError::into_inner)(notice));
        }
        if self.model.loop_accepts() {
            for listener in listeners {
                reactor.listen(listener, make())?;
            }
        }
        Ok(BoundServer { reactor, work, model: self.model, addresses, strategy, resolver, meter: self.meter })
    }

    /// What it answers to `input`, the bytes of one connection from its first to its last: to try routes without a socket.
    ///
    /// # Errors
    /// As [`bind`](Self::bind) for folder and routes; [`Error::Loop`] where a file of an answer can't be read.
    pub fn answer(&self, input: &[u8]) -> Result<Vec<u8>> {
        let (router, _) = self.router()?;
        let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
        let make = self.maker(self.guarded(router, is_loopback(&nobody)), Arc::default());
        let mut link = Link::new(Box::new(make().connection(nobody)));
        let now = Now { monotonic: Instant::now(), wall: SystemTime::now() };
        Ok(link.answer(input, now)?)
    }

    fn router(&self) -> Result<(Router, Option<Folder>)> {
        let (mut router, folder) = match &self.directory {
            None => (Router::new(Nothing), None),
            Some(directory) => {
                let directory_error = |source| Error::Directory { path: directory.clone(), source };
                let files = Files::new(directory, self.files.clone()).map_err(directory_error)?;
                let folder = Folder { resolver: files.resolver(), cache: files.cache().clone() };
                (Router::new(files), Some(folder))
            }
        };
        for (method, path, endpoint) in &self.routes {
            router.add(method, path, endpoint.clone())?;
        }
        if let Some(handler) = &self.not_found {
            router.not_found(handler.clone());
        }
        Ok((router, folder))
    }

    /// The service with its guard, where there is one.
    fn guarded(&self, router: Router, is_loopback: bool) -> Arc<dyn Service> {
        let mut rules = self.rules.clone();
        rules.hosts.take_if(|_| !is_loopback);
        if rules.is_empty() { Arc::new(router) } else { Arc::new(Guard::new(router, rules)) }
    }

    /// Makes what connections come from: for one loop, or in each of many workers.
    fn maker(
        &self,
        service: Arc<dyn Service>,
        pool: Arc<Pool>,
    ) -> impl Fn() -> http::Listener + Clone + Send + Sync + 'static {
        let (limits, fields) = (self.limits.clone(), self.fields.clone());
        let (meter, tell) = (self.meter.clone(), self.on_answer.clone());
        move || {
            let (meter, tell) = (meter.clone(), tell.clone());
            http::Listener::with_fields(service.clone(), limits.clone(), &fields).offload_to(pool.clone()).on_answer(
                move |answered| {
                    meter.count_answer();
                    tell(answered);
                },
            )
        }
    }

    /// [`bind`](Self::bind) and [`run`](BoundServer::run).
    ///
    /// # Errors
    /// As these.
    pub fn serve_forever(self) -> Result<()> {
        self.bind()?.run()
    }
}

/// What is to be known of a folder once it is served.
struct Folder {
    resolver: Resolver,
    cache: Cache,
}

/// A folder that is none.
struct Nothing;

impl Service for Nothing {
    fn respond(&self, _: &Request<'_>) -> Answer {
        Reject::NotFound.into()
    }
}
