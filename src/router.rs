//! Which handler answers: routes by path and method, everything else by a fallback.

use crate::http::{Answer, Method, Reception, Reject, Request, Response, Service, Sink, StatusCode};
use matchit::InsertError;
use std::fmt;
use std::sync::Arc;

/// The path of `OPTIONS *`, which no other method has.
const WHOLE_SERVER: &str = "*";

/// A closure that answers requests.
pub type Handler = Arc<dyn Fn(&Request<'_>) -> Answer + Send + Sync>;

/// A closure that opens what takes a request's body piece by piece, or says why not.
pub type Opener = Arc<dyn Fn(&Request<'_>) -> Result<Box<dyn Sink>, Response> + Send + Sync>;

/// A closure that answers what nobody else does.
pub type NotFound = Arc<dyn Fn(&Request<'_>) -> Response + Send + Sync>;

/// Who answers a method on a path.
#[derive(Clone)]
pub enum Endpoint {
    /// It gets the request with its body whole.
    Handler(Handler),
    /// It gets the head, and what it opens the body.
    Opener(Opener),
}

/// Routes, what answers where none matches, and what answers where that has nothing either.
pub struct Router {
    /// From a path to its place in `routes`.
    paths: matchit::Router<usize>,
    routes: Vec<Route>,
    fallback: Box<dyn Service>,
    not_found: Option<NotFound>,
}

/// The methods of one path.
struct Route {
    /// As it was added: `{name}` and all.
    path: String,
    endpoints: Vec<(Method, Endpoint)>,
}

/// Why a route can't be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// The method is no token.
    #[allow(missing_docs)]
    Method { method: String },
    /// The path is none: in words.
    #[allow(missing_docs)]
    Path { path: String, reason: String },
    /// Both paths match the same targets.
    #[allow(missing_docs)]
    Collision { path: String, with: String },
    /// Path and method are taken.
    #[allow(missing_docs)]
    Taken { method: String, path: String },
}

impl Endpoint {
    /// A closure that gets the request with its body whole.
    pub fn new<Said: Into<Answer>>(handler: impl Fn(&Request<'_>) -> Said + Send + Sync + 'static) -> Endpoint {
        Endpoint::Handler(Arc::new(move |request| handler(request).into()))
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::Method { method } => write!(f, "{method:?} is no method; try \"GET\""),
            RouteError::Path { path, reason } => write!(f, "the route {path:?} can't be added: {reason}"),
            RouteError::Collision { path, with } => {
                write!(f, "the routes {path:?} and {with:?} match the same targets; give one of them another path")
            }
            RouteError::Taken { method, path } => write!(f, "the route {method} {path} is there twice"),
        }
    }
}

impl std::error::Error for RouteError {}

impl Router {
    /// No routes: `fallback` answers everything.
    pub fn new(fallback: impl Service + 'static) -> Router {
        Router { paths: matchit::Router::new(), routes: Vec::new(), fallback: Box::new(fallback), not_found: None }
    }

    /// Lets `handler` answer, with 404, whatever neither a route nor the fallback has.
    pub fn not_found(&mut self, handler: NotFound) {
        self.not_found = Some(handler);
    }

    /// Lets `endpoint` answer `method` on `path`, in which `{name}` matches a segment and `{*name}` all the rest.
    ///
    /// # Errors
    /// [`RouteError`]
    pub fn add(&mut self, method: &str, path: &str, endpoint: Endpoint) -> Result<(), RouteError> {
        let no_method = || RouteError::Method { method: method.into() };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| no_method())?;
        let no_path = |reason: String| RouteError::Path { path: path.into(), reason };
        if !path.starts_with('/') {
            return Err(no_path("it does not begin with a slash".into()));
        }
        let known = self.routes.iter().position(|route| route.path == path);
        let at = match known {
            Some(at) => at,
            None => {
                self.paths.insert(path, self.routes.len()).map_err(|error| match error {
                    InsertError::Conflict { with } => RouteError::Collision { path: path.into(), with },
                    other => no_path(other.to_string()),
                })?;
                self.routes.push(Route { path: path.into(), endpoints: Vec::new() });
                self.routes.len() - 1
            }
        };
        let route = &mut self.routes[at];
        if route.endpoints.iter().any(|(candidate, _)| *candidate == method) {
            return Err(RouteError::Taken { method: method.to_string(), path: path.into() });
        }
        route.endpoints.push((method, endpoint));
        Ok(())
    }

    /// RFC 9110 §9.3.7: of the server as a whole, what some path of it allows. GET and HEAD every server has (§9.1).
    fn whole_server(&self) -> Response {
        let routed = self.routes.iter().flat_map(|route| &route.endpoints).map(|(method, _)| method.as_str());
        Response::new(StatusCode::NO_CONTENT).field("Allow", &allow(routed.chain(["GET"])))
    }

    /// The route of a request, with the parameters that its path gives.
    fn find<'a>(&'a self, request: &Request<'a>) -> Option<(&'a Route, Vec<(&'a str, &'a str)>)> {
        if self.routes.is_empty() {
            return None;
        }
        let found = self.paths.at(request.path()).ok()?;
        Some((&self.routes[*found.value], found.params.iter().collect()))
    }
}

impl Route {
    /// The handler for a method. HEAD is answered by GET's, whose body is then left out (RFC 9110 §9.3.2); OPTIONS, where it has none, is
    /// answered by [`Router`] itself.
    fn endpoint(&self, method: &Method) -> Result<&Endpoint, Reject> {
        let of = |method: &Method| self.endpoints.iter().find(|(candidate, _)| candidate == method);
        let found = of(method).or_else(|| if method == Method::HEAD { of(&Method::GET) } else { None });
        found.map(|(_, endpoint)| endpoint).ok_or_else(|| Reject::MethodNotAllowed { allow: self.allow() })
    }

    fn allow(&self) -> String {
        allow(self.endpoints.iter().map(|(method, _)| method.as_str()))
    }
}

/// What Allow says (RFC 9110 §10.2.1) where these have handlers: HEAD comes with GET, OPTIONS is answered for all.
fn allow<'a>(methods: impl Iterator<Item = &'a str>) -> String {
    let mut methods: Vec<&str> = methods.chain(["OPTIONS"]).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

impl Service for Router {
    fn respond(&self, request: &Request<'_>) -> Answer {
        if request.path() == WHOLE_SERVER {
            return self.whole_server().into();
        }
        let Some((route, params)) = self.find(request) else {
            let answer = self.fallback.respond(request);
            return match &self.not_found {
                Some(handler) if answer.is_not_found() => handler(request).with_status(StatusCode::NOT_FOUND).into(),
                Some(_) | None => answer,
            };
        };
        match route.endpoint(request.method()) {
            Ok(Endpoint::Handler(handler)) => handler(&Request { params, ..request.clone() }),
            // A body of no bytes.
            Ok(Endpoint::Opener(open)) => {
                let request = Request { params, ..request.clone() };
                match open(&request) {
                    Ok(sink) => sink.finish(&request),
                    Err(response) => response.into(),
                }
            }
            // RFC 9110 §9.3.7: what could be asked here.
            Err(_) if request.method() == Method::OPTIONS => {
                Response::new(StatusCode::NO_CONTENT).field("Allow", &route.allow()).into()
            }
            Err(reject) => reject.into(),
        }
    }

    fn receive_body(&self, request: &Request<'_>) -> Reception {
        if request.path() == WHOLE_SERVER {
            return Reception::Refuse(self.whole_server());
        }
        let Some((route, params)) = self.find(request) else { return self.fallback.receive_body(request) };
        match route.endpoint(request.method()) {
            Ok(Endpoint::Handler(_)) => Reception::Buffer,
            Ok(Endpoint::Opener(open)) => {
                open(&Request { params, ..request.clone() }).map_or_else(Reception::Refuse, Reception::Sink)
            }
            Err(_) if request.method() == Method::OPTIONS => Reception::Buffer,
            Err(reject) => Reception::Refuse(reject.into()),
        }
    }
}
