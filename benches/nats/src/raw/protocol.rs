//! The text protocol of NATS: the parts of it that a call needs.
//!
//! ```text
//! to the server       CONNECT {json}  SUB subject id  PUB subject [reply] length ␍␊ payload
//! from the server     INFO {json}     -ERR text       MSG subject id [reply] length ␍␊ payload
//! both                PING            PONG
//! ```
//!
//! Each of them ends with `␍␊`.

use std::str::from_utf8;

/// What a client sends to become one, without acknowledgements.
pub(super) const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
pub(super) const PING: &str = "PING\r\n";
pub(super) const PONG: &str = "PONG\r\n";

/// The longest line that the server sends, an `INFO`, is far shorter.
const LINE: usize = 64 << 10;
const END: usize = 2;

/// What the server has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// A message, with the subject on which a reply is expected. Its payload is the last part of
    /// it, before `␍␊`.
    Message {
        reply: Option<&'a [u8]>,
        payload: &'a [u8],
    },
    Ping,
    Pong,
    /// Nothing that matters here.
    Other,
}

/// What the server has sent isn't as expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("the nats-server refused the connection or closed it: {0}")]
    Refused(String),
    #[error("the nats-server sent a line that isn't understood: `{0}`")]
    Malformed(String),
}

/// Reads the first thing in `input`, and returns it with its length. Returns `None` when it isn't
/// complete.
pub(super) fn read(input: &[u8]) -> Result<Option<(Received<'_>, usize)>, ProtocolError> {
    let Some(end) = input.iter().take(LINE).position(|byte| *byte == b'\n') else {
        return if input.len() < LINE {
            Ok(None)
        } else {
            Err(malformed(&input[..64]))
        };
    };
    let line = input[..end].trim_ascii_end();
    let head = end + 1;
    let Some(message) = line.strip_prefix(b"MSG ") else {
        return Ok(Some((control(line)?, head)));
    };
    let mut words = message.split(|byte| *byte == b' ').skip(2);
    let (reply, length) = match (words.next(), words.next(), words.next()) {
        (Some(length), None, None) => (None, length),
        (Some(reply), Some(length), None) => (Some(reply), length),
        _ => return Err(malformed(line)),
    };
    let length: usize = from_utf8(length)
        .ok()
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| malformed(line))?;
    let Some(payload) = input[head..].get(..length) else {
        return Ok(None);
    };
    let whole = head + length + END;
    Ok((input.len() >= whole).then_some((Received::Message { reply, payload }, whole)))
}

fn control(line: &[u8]) -> Result<Received<'static>, ProtocolError> {
    match line {
        b"PING" => Ok(Received::Ping),
        b"PONG" => Ok(Received::Pong),
        b"+OK" => Ok(Received::Other),
        _ if line.starts_with(b"INFO ") => Ok(Received::Other),
        _ => match line.strip_prefix(b"-ERR ") {
            Some(reason) => Err(ProtocolError::Refused(text(reason))),
            None => Err(malformed(line)),
        },
    }
}

fn malformed(line: &[u8]) -> ProtocolError {
    ProtocolError::Malformed(text(line))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Adds a message to what is sent next. The payload is `number` and `body`.
pub(super) fn publish(
    out: &mut Vec<u8>,
    subject: &[u8],
    reply: &[u8],
    (number, body): (&[u8], &[u8]),
) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    decimal(out, number.len() + body.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(number);
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

fn decimal(out: &mut Vec<u8>, number: usize) {
    if number >= 10 {
        decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_once_it_is_complete() {
        let sent = b"MSG bench.raw 1 replies 7\r\nto\r\ngo!\r\nPING\r\n";
        let whole = sent.len() - PING.len();
        for length in 0..whole {
            assert_eq!(read(&sent[..length]), Ok(None), "{length} bytes");
        }
        let message = Received::Message {
            reply: Some(b"replies"),
            payload: b"to\r\ngo!",
        };
        assert_eq!(read(sent), Ok(Some((message, whole))));
        assert_eq!(read(&sent[whole..]), Ok(Some((Received::Ping, PING.len()))));
        let unanswered = Received::Message {
            reply: None,
            payload: b"",
        };
        assert_eq!(read(b"MSG a 1 0\r\n\r\n"), Ok(Some((unanswered, 13))));
    }

    #[test]
    fn what_a_client_publishes_has_its_length() {
        let mut out = Vec::new();
        publish(&mut out, b"a.b", b"c", (b"1234", &[b'x'; 1020]));
        publish(&mut out, b"c", b"", (b"", b"y"));
        let mut expected = b"PUB a.b c 1024\r\n1234".to_vec();
        expected.extend([b'x'; 1020]);
        expected.extend(b"\r\nPUB c 1\r\ny\r\n");
        assert_eq!(out, expected);
    }

    #[test]
    fn a_refusal_and_a_malformed_line_are_errors() {
        let refused = ProtocolError::Refused("'Authorization Violation'".to_owned());
        assert_eq!(read(b"-ERR 'Authorization Violation'\r\n"), Err(refused));
        for line in [
            "HELLO",
            "MSG a 1",
            "MSG a 1 x",
            "MSG a 1 b c 3",
            "MSG a 1 -1",
        ] {
            let malformed = ProtocolError::Malformed(line.to_owned());
            assert_eq!(read(format!("{line}\r\n").as_bytes()), Err(malformed));
        }
        assert!(matches!(
            read("x".repeat(LINE).as_bytes()),
            Err(ProtocolError::Malformed(_))
        ));
    }
}
