//! Where connections come from: what those of one loop have in common.

use super::date::DateLine;
use super::response::{After, Exchange};
use super::{Connection, Limits, Reject, Request, Response, Service, StatusCode, Version};
use crate::offload::Pool;
use crate::protocol::{Accept, Now, Outbox, Piece, Protocol};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// Makes the connections of one loop.
pub struct Listener(Rc<Shared>);

/// What the connections of one loop have in common.
pub(super) struct Shared {
    pub(super) service: Arc<dyn Service>,
    pub(super) limits: Limits,
    /// Rendered fields of every answer.
    pub(super) fields: Vec<u8>,
    pub(super) date: RefCell<DateLine>,
    pub(super) pool: Arc<Pool>,
    pub(super) on_answer: Box<dyn Fn(&Answered<'_>)>,
}

/// An answer that was given: for whoever counts, or keeps a log.
#[derive(Debug)]
pub struct Answered<'a> {
    /// What was asked; `None` where what came could not be read as a request.
    pub request: Option<&'a Request<'a>>,
    /// Who asked.
    pub peer: SocketAddr,
    /// When it was answered: the time of the loop's turn.
    pub now: SystemTime,
    /// What was answered.
    pub status: StatusCode,
    /// Bytes of the body that goes with it; of a stream, which is told of when it ends, those that went.
    pub body_bytes: u64,
}

impl Listener {
    /// Connections that ask `service`.
    pub fn new(service: Arc<dyn Service>, limits: Limits) -> Listener {
        Listener::with_fields(service, limits, &[])
    }

    /// The same, with fields that every answer has.
    ///
    /// # Panics
    /// Where [`check_field`](super::check_field) says no.
    pub fn with_fields(service: Arc<dyn Service>, limits: Limits, fields: &[(String, String)]) -> Listener {
        let carrier = Response::new(StatusCode::OK);
        let carrier = fields.iter().fold(carrier, |carrier, (name, value)| carrier.field(name, value));
        Listener(Rc::new(Shared {
            service,
            limits,
            fields: carrier.into_lines(),
            date: RefCell::default(),
            pool: Arc::default(),
            on_answer: Box::new(|_| ()),
        }))
    }

    /// The same, with somebody who is told of each answer as it is queued. Called on the loop's thread: it must not block.
    pub fn on_answer(self, tell: impl Fn(&Answered<'_>) + 'static) -> Listener {
        self.with(|shared| shared.on_answer = Box::new(tell))
    }

    /// The same, whose offloaded work is done by `pool`, which others may use too.
    pub fn offload_to(self, pool: Arc<Pool>) -> Listener {
        self.with(|shared| shared.pool = pool)
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Listener {
        change(Rc::get_mut(&mut self.0).expect("a listener has no connections before it listens"));
        self
    }

    /// A connection with `peer`.
    pub fn connection(&self, peer: SocketAddr) -> Connection {
        Connection::new(self.0.clone(), peer)
    }
}

impl Accept for Listener {
    fn protocol(&mut self, peer: SocketAddr) -> Box<dyn Protocol> {
        Box::new(self.connection(peer))
    }

    fn refusal(&mut self, now: Now) -> Vec<u8> {
        let mut out = Outbox::default();
        let mut date = self.0.date.borrow_mut();
        let (date, fields) = (date.at(now.wall), self.0.fields.as_slice());
        let exchange = Exchange { is_head: false, version: Version::Http11, after: After::Close, date, fields };
        let stream = Response::from(Reject::Unavailable).render(&exchange, &mut out);
        debug_assert!(stream.is_none());
        match out.front() {
            Some(Piece::Bytes(bytes)) => bytes.to_vec(),
            _ => unreachable!("a reject is one piece of bytes"),
        }
    }
}
