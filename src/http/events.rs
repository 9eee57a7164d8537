//! Server-sent events: a live stream of text that a browser's `EventSource` reads (HTML Standard, §9.2).
//!
//! Invariant: an event is queued whole or not at all, and no text in it can begin another.

use super::{Body, Request, Response, Stream};
use crate::protocol::{SendError, Sender};
use std::sync::Arc;
use std::time::Duration;

/// A comment is sent when nothing else was for so long: proxies end what is silent for a minute.
const BEAT_INTERVAL: Duration = Duration::from_secs(15);

/// An event: what is said, and if wanted its name, its id, and how long to wait before coming back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    name: String,
    id: Option<String>,
    retry: Option<Duration>,
    data: String,
}

impl Event {
    /// A message: `data`, which may have several lines.
    pub fn new(data: impl Into<String>) -> Event {
        Event { data: data.into(), ..Event::default() }
    }

    /// The same with a name, for which a page listens. Line ends in it become spaces.
    pub fn named(self, name: &str) -> Event {
        Event { name: one_line(name), ..self }
    }

    /// The same with an id, which a client that comes back says as [`Request::last_event_id`]. Line ends and NUL in it become spaces.
    pub fn with_id(self, id: &str) -> Event {
        Event { id: Some(one_line(id)), ..self }
    }

    /// The same, that tells the client to come back after so long when the connection ends.
    pub fn with_retry(self, retry: Duration) -> Event {
        Event { retry: Some(retry), ..self }
    }

    /// As it lies in the stream: encoded once, it can be sent to many.
    pub fn encode(&self) -> Arc<[u8]> {
        let mut text = String::new();
        let mut line = |field: &str, value: &str| {
            for part in [field, ": ", value, "\n"] {
                text.push_str(part);
            }
        };
        if !self.name.is_empty() {
            line("event", &self.name);
        }
        if let Some(id) = &self.id {
            line("id", id);
        }
        if let Some(retry) = self.retry {
            line("retry", &retry.as_millis().to_string());
        }
        lines(&self.data).for_each(|data| line("data", data));
        text.push('\n');
        text.into_bytes().into()
    }
}

/// CR LF, CR and LF each end a line there.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ")
}

/// The end of a stream of events that is kept by whoever has news.
#[derive(Clone)]
pub struct Events(Sender);

impl Events {
    /// Sends an event.
    ///
    /// # Errors
    /// As [`Sender::send`]: `Full` where the client takes too little, and it is for the caller to drop the event or [`cut`](Self::cut) the
    /// client off; `Closed` where it is gone.
    pub fn send(&self, event: &Event) -> Result<(), SendError> {
        self.send_encoded(event.encode())
    }

    /// Sends what [`Event::encode`] made.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_encoded(&self, event: Arc<[u8]>) -> Result<(), SendError> {
        self.0.send(event)
    }

    /// Whether there still is a client, as far as is known.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Ends the client's connection at once. It will come back.
    pub fn cut(&self) {
        self.0.cut();
    }
}

impl Response {
    /// 200 with a stream of events, for the client's `EventSource`. `start` gets the end that may be kept; up to `bound` bytes wait for the
    /// client. A comment as heartbeat is sent every 15 seconds without an event.
    pub fn events(bound: usize, start: impl FnOnce(Events) + Send + 'static) -> Response {
        let stream = Stream::new(bound, |sender| start(Events(sender))).live(BEAT_INTERVAL, b":\n\n");
        Response::of_type("text/event-stream").field("Cache-Control", "no-store").with_body(Body::Stream(stream))
    }
}

impl<'a> Request<'a> {
    /// The id of the last event that a client which comes back has seen.
    pub fn last_event_id(&self) -> Option<&'a str> {
        self.fields().get_str("last-event-id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_encoded_as_the_standard_says() {
        for (event, want) in [
            (Event::new("hi"), "data: hi\n\n"),
            (Event::new(""), "data: \n\n"),
            (Event::new("a\nb\r\nc\rd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
            (Event::new("x").named("tick"), "event: tick\ndata: x\n\n"),
            (Event::new("x").named("a\ndata: b"), "event: a data: b\ndata: x\n\n"),
            (Event::new("x").with_id("7\r\n8\0"), "id: 7  8 \ndata: x\n\n"),
            (Event::new("x").with_id(""), "id: \ndata: x\n\n"),
            (Event::new("x").with_retry(Duration::from_millis(1500)), "retry: 1500\ndata: x\n\n"),
        ] {
            assert_eq!(std::str::from_utf8(&event.encode()), Ok(want), "{event:?}");
        }
    }
}
