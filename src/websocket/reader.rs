//! Frames in, messages out (RFC 6455 §5.4 to §5.6).
//!
//! Invariant: between messages there is no buffer. A frame of data is taken as it comes, and what of it is wrong fails at once; a control
//! frame is taken whole.

use super::frame::{CONTROL_BYTES_MAX, Header, INPUT_MAX, Opcode, mask_after, unmask};
use super::text::Text;
use super::{CloseCode, Failure, Message};

/// Reads what a client sends.
#[derive(Debug, Default)]
pub struct Reader {
    partial: Option<Box<Partial>>,
}

/// What [`Reader::step`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing that could be taken yet.
    More,
    /// So many bytes of a message that is not at its end.
    Partly(usize),
    /// So many bytes, with which something is whole.
    Whole(usize, Event),
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message.
    Message(Message),
    /// It wants a pong with the same bytes.
    Ping(Vec<u8>),
    /// It is there.
    Pong(Vec<u8>),
    /// It sends no more; why, in number and words, where it says so.
    #[allow(missing_docs)]
    Close { code: Option<CloseCode>, reason: String },
}

/// A message of which some has come.
#[derive(Debug)]
struct Partial {
    content: Content,
    frame: Option<Frame>,
}

#[derive(Debug)]
enum Content {
    Text(Text),
    Binary(Vec<u8>),
}

/// The rest of a frame.
#[derive(Debug)]
struct Frame {
    left_bytes: u64,
    mask: [u8; 4],
    is_last: bool,
}

impl Reader {
    /// Less than this may stay untaken.
    pub const INPUT_MAX: usize = INPUT_MAX;

    /// Takes up to one message or control frame from the beginning of `input`. A message may have `message_bytes_max` bytes.
    ///
    /// # Errors
    /// What breaks a rule, told at the first byte that does. Nothing may be read after it.
    pub fn step(&mut self, input: &[u8], message_bytes_max: usize) -> Result<Step, Failure> {
        let mut taken = 0;
        if self.partial.as_ref().is_none_or(|partial| partial.frame.is_none()) {
            let Some(header) = Header::parse(input, self.partial.is_some())? else { return Ok(Step::More) };
            if header.opcode.is_control() {
                return control(&header, input);
            }
            self.begin(&header, message_bytes_max)?;
            taken = header.header_bytes;
        }
        let Some(partial) = &mut self.partial else { unreachable!("a frame has begun") };
        taken += partial.take(&input[taken..])?;
        if !partial.is_whole() {
            return Ok(Step::Partly(taken));
        }
        let Some(partial) = self.partial.take() else { unreachable!("it is whole") };
        let message = match partial.content {
            Content::Text(text) => Message::Text(text.finish()?),
            Content::Binary(bytes) => Message::Binary(bytes),
        };
        Ok(Step::Whole(taken, Event::Message(message)))
    }

    fn begin(&mut self, header: &Header, message_bytes_max: usize) -> Result<(), Failure> {
        let mut partial = self.partial.take().unwrap_or_else(|| {
            let content = match header.opcode {
                Opcode::Binary => Content::Binary(Vec::new()),
                _ => Content::Text(Text::default()),
            };
            Box::new(Partial { content, frame: None })
        });
        let had = match &partial.content {
            Content::Text(text) => text.bytes(),
            Content::Binary(bytes) => bytes.len(),
        };
        if header.payload_bytes > message_bytes_max.saturating_sub(had) as u64 {
            return Err(Failure::too_big());
        }
        partial.frame = Some(Frame { left_bytes: header.payload_bytes, mask: header.mask, is_last: header.is_final });
        self.partial = Some(partial);
        Ok(())
    }
}

impl Partial {
    /// Takes what of `input` belongs to the frame. At the end of one that is not the last the frame is gone.
    fn take(&mut self, input: &[u8]) -> Result<usize, Failure> {
        let Some(frame) = &mut self.frame else { unreachable!("a frame has begun") };
        let count = usize::try_from(frame.left_bytes).map_or(input.len(), |left| left.min(input.len()));
        let masked = &input[..count];
        match &mut self.content {
            Content::Text(text) => text.push(masked, frame.mask)?,
            Content::Binary(bytes) => {
                let had = bytes.len();
                bytes.extend_from_slice(masked);
                unmask(&mut bytes[had..], frame.mask);
            }
        }
        frame.mask = mask_after(frame.mask, count);
        frame.left_bytes -= count as u64;
        if frame.left_bytes == 0 && !frame.is_last {
            self.frame = None;
        }
        Ok(count)
    }

    fn is_whole(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.left_bytes == 0)
    }
}

/// A control frame, which may stand between the fragments of a message.
fn control(header: &Header, input: &[u8]) -> Result<Step, Failure> {
    let length = header.payload_bytes as usize;
    debug_assert!(length <= CONTROL_BYTES_MAX, "the header was held to it");
    let taken = header.header_bytes + length;
    let Some(payload) = input.get(header.header_bytes..taken) else { return Ok(Step::More) };
    let mut payload = payload.to_vec();
    unmask(&mut payload, header.mask);
    let event = match header.opcode {
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => close(&payload)?,
        Opcode::Continuation | Opcode::Text | Opcode::Binary => unreachable!("no control frame"),
    };
    Ok(Step::Whole(taken, event))
}

/// RFC 6455 §5.5.1: nothing, or a code and a reason.
fn close(payload: &[u8]) -> Result<Event, Failure> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(Event::Close { code: None, reason: String::new() }),
            _ => Err(Failure::protocol("a close code is cut off")),
        };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code)).ok_or(Failure::protocol("that close code can't be sent"))?;
    let reason = std::str::from_utf8(reason).map_err(|_| Failure::not_utf8())?;
    Ok(Event::Close { code: Some(code), reason: reason.to_string() })
}
