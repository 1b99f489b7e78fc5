//! Reading and writing bodies.

use crate::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::wasi::io::poll::Pollable;
use crate::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// Sets a head, and returns the body to write.
pub fn respond(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let headers: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect();
    let headers = Fields::from_list(&headers).expect("valid headers");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("the body");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Writes a whole body.
pub fn finish(body: OutgoingBody, content: &[u8]) {
    let stream = body.write().expect("the stream");
    write(&stream, content).expect("it is read");
    drop(stream);
    OutgoingBody::finish(body, None).expect("it is whole");
}

/// Writes bytes, as many at once as may be written.
pub fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = stream.check_write()? as usize;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}

/// Copies a body. An error is returned if either side breaks.
pub fn copy(from: &InputStream, to: &OutputStream) -> Result<(), StreamError> {
    loop {
        match from.blocking_read(64 * 1024) {
            Ok(bytes) => write(to, &bytes)?,
            Err(StreamError::Closed) => return Ok(()),
            Err(broken) => return Err(broken),
        }
    }
}

/// A body that is copied to another one as it comes. The streams are dropped before their bodies,
/// as they have to be.
pub struct Pipe {
    from: InputStream,
    incoming: IncomingBody,
    to: OutputStream,
    outgoing: OutgoingBody,
}

impl Pipe {
    pub fn new(incoming: IncomingBody, outgoing: OutgoingBody) -> Self {
        Self {
            from: incoming.stream().expect("the first time"),
            incoming,
            to: outgoing.write().expect("the stream"),
            outgoing,
        }
    }

    /// Copies what is there, and returns what is left to do. A body that breaks is not finished.
    pub fn advance(self) -> Option<Self> {
        match self.copy() {
            Ok(true) => {
                self.finish();
                None
            }
            Ok(false) => Some(self),
            Err(_) => None,
        }
    }

    /// Copies what is there, and returns whether it has ended.
    fn copy(&self) -> Result<bool, StreamError> {
        loop {
            let room = self.to.check_write()?;
            if room == 0 {
                return Ok(false);
            }
            match self.from.read(room) {
                Ok(bytes) if bytes.is_empty() => return Ok(false),
                Ok(bytes) => self.to.write(&bytes)?,
                Err(StreamError::Closed) => return Ok(true),
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Returns what is ready when there may be more to copy.
    pub fn more(&self) -> Pollable {
        match self.to.check_write() {
            Ok(0) => self.to.subscribe(),
            _ => self.from.subscribe(),
        }
    }

    fn finish(self) {
        drop(self.from);
        drop(self.incoming);
        drop(self.to);
        // The reader may be gone.
        let _ = OutgoingBody::finish(self.outgoing, None);
    }
}

/// Returns the body of a request, which stays open as long as both parts are kept. Bound in this
/// order, the stream is dropped before its body, as it has to be.
pub fn body_of(request: &IncomingRequest) -> (IncomingBody, InputStream) {
    let body = request.consume().expect("the first time");
    let stream = body.stream().expect("the first time");
    (body, stream)
}

/// Waits until the client sends one more part, or ends its body.
pub fn wait(stream: &InputStream) {
    let _ = stream.blocking_read(1);
}
