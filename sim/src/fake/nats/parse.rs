//! Cuts a client's bytes into operations, however the network split them.
//!
//! Source: NATS' client protocol, docs.nats.io/reference/reference-protocols/nats-protocol, and nats-server's
//! `parser.go` for what it tolerates: any case, tabs, a lone line feed.

use super::close::CloseReason;
use super::connect::Refusal;

/// What a connection may send at this moment.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) awaits_connect: bool,
    pub(super) has_headers: bool,
    pub(super) control_line_bytes: usize,
    pub(super) payload_bytes: u64,
}

/// One whole operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Connect(Vec<u8>),
    Ping,
    Pong,
    Publish(Publication),
    Subscribe { subject: String, queue: Option<String>, sid: String },
    Unsubscribe { sid: String, after: Option<u64> },
}

/// PUB or HPUB with its payload. The first `header_bytes` of `payload` are headers, if there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) subject: String,
    pub(super) reply: Option<String>,
    pub(super) header_bytes: Option<usize>,
    pub(super) payload: Vec<u8>,
}

/// Bytes that are not yet an operation.
#[derive(Clone, Default)]
pub(super) struct Inbound {
    bytes: Vec<u8>,
    awaited: Option<Announced>,
}

/// A PUB or HPUB line whose payload is still coming.
#[derive(Clone)]
struct Announced {
    subject: String,
    reply: Option<String>,
    header_bytes: Option<usize>,
    payload_bytes: usize,
}

impl Inbound {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole operation, `None` if more bytes are needed, or why the connection ends.
    pub(super) fn next(&mut self, limits: Limits) -> Result<Option<Operation>, CloseReason> {
        if self.awaited.is_none() {
            let Some(line) = self.line(limits)? else {
                return Ok(None);
            };
            match announced_or_whole(&line, limits)? {
                Line::Whole(operation) => return Ok(Some(operation)),
                Line::Announces(announced) => self.awaited = Some(announced),
            }
        }

        self.publication()
    }

    /// A control line without its end.
    fn line(&mut self, limits: Limits) -> Result<Option<Vec<u8>>, CloseReason> {
        let Some(&first) = self.bytes.first() else {
            return Ok(None);
        };
        if limits.awaits_connect && !first.eq_ignore_ascii_case(&b'C') {
            return Err(CloseReason::Authorization(Refusal::NotConnect));
        }
        let Some(end) = self.bytes.iter().position(|&byte| byte == b'\n') else {
            // The longest operation name and its blank come on top of the arguments.
            if self.bytes.len() > limits.control_line_bytes + "CONNECT ".len() {
                return Err(CloseReason::ControlLine);
            }
            return Ok(None);
        };
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }

        Ok(Some(line))
    }

    /// The announced publication, once its payload and the line end after it are here.
    fn publication(&mut self) -> Result<Option<Operation>, CloseReason> {
        let Some(announced) = &self.awaited else {
            return Ok(None);
        };
        let size = announced.payload_bytes;
        let end = self.bytes.get(size..).unwrap_or_default();
        if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
            return Err(CloseReason::UnknownOperation);
        }
        if end.len() < 2 {
            return Ok(None);
        }
        let payload = self.bytes.drain(..size + 2).take(size).collect();
        let announced = self.awaited.take().expect("looked at above");

        Ok(Some(Operation::Publish(Publication {
            subject: announced.subject,
            reply: announced.reply,
            header_bytes: announced.header_bytes,
            payload,
        })))
    }
}

enum Line {
    Whole(Operation),
    Announces(Announced),
}

fn announced_or_whole(line: &[u8], limits: Limits) -> Result<Line, CloseReason> {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (name, arguments) = line.split_at(end);
    if arguments.trim_ascii_start().len() > limits.control_line_bytes {
        return Err(CloseReason::ControlLine);
    }
    match name.to_ascii_uppercase().as_slice() {
        b"CONNECT" => Ok(Line::Whole(Operation::Connect(arguments.trim_ascii().to_vec()))),
        b"PING" => Ok(Line::Whole(Operation::Ping)),
        b"PONG" => Ok(Line::Whole(Operation::Pong)),
        b"PUB" => publish(&words(arguments)?, limits).map(Line::Announces),
        b"HPUB" if !limits.has_headers => Err(CloseReason::HeadersNotNegotiated),
        b"HPUB" => publish_with_headers(&words(arguments)?, limits).map(Line::Announces),
        b"SUB" => subscribe(&words(arguments)?).map(Line::Whole),
        b"UNSUB" => unsubscribe(&words(arguments)?).map(Line::Whole),
        _unknown => Err(CloseReason::UnknownOperation),
    }
}

fn publish(words: &[&str], limits: Limits) -> Result<Announced, CloseReason> {
    let (subject, reply, size) = match *words {
        [subject, size] => (subject, None, size),
        [subject, reply, size] => (subject, Some(reply.to_owned()), size),
        _ => return Err(CloseReason::Arguments("PUB")),
    };
    let payload_bytes = payload_size(size, "PUB", limits)?;

    Ok(Announced { subject: subject.to_owned(), reply, header_bytes: None, payload_bytes })
}

fn publish_with_headers(words: &[&str], limits: Limits) -> Result<Announced, CloseReason> {
    let (subject, reply, headers, size) = match *words {
        [subject, headers, size] => (subject, None, headers, size),
        [subject, reply, headers, size] => (subject, Some(reply.to_owned()), headers, size),
        _ => return Err(CloseReason::Arguments("HPUB")),
    };
    let header_bytes =
        usize::try_from(number(headers, "HPUB")?).map_err(|_| CloseReason::Arguments("HPUB"))?;
    if number(size, "HPUB")? < header_bytes as u64 {
        return Err(CloseReason::Arguments("HPUB"));
    }
    let payload_bytes = payload_size(size, "HPUB", limits)?;

    Ok(Announced { subject: subject.to_owned(), reply, header_bytes: Some(header_bytes), payload_bytes })
}

fn subscribe(words: &[&str]) -> Result<Operation, CloseReason> {
    let (subject, queue, sid) = match *words {
        [subject, sid] => (subject, None, sid),
        [subject, queue, sid] => (subject, Some(queue.to_owned()), sid),
        _ => return Err(CloseReason::Arguments("SUB")),
    };

    Ok(Operation::Subscribe { subject: subject.to_owned(), queue, sid: sid.to_owned() })
}

fn unsubscribe(words: &[&str]) -> Result<Operation, CloseReason> {
    let (sid, after) = match *words {
        [sid] => (sid, None),
        [sid, after] => (sid, Some(number(after, "UNSUB")?)),
        _ => return Err(CloseReason::Arguments("UNSUB")),
    };

    Ok(Operation::Unsubscribe { sid: sid.to_owned(), after })
}

fn payload_size(size: &str, operation: &'static str, limits: Limits) -> Result<usize, CloseReason> {
    let size = number(size, operation)?;
    if size > limits.payload_bytes {
        return Err(CloseReason::Payload);
    }

    usize::try_from(size).map_err(|_| CloseReason::Payload)
}

fn number(word: &str, operation: &'static str) -> Result<u64, CloseReason> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|_| digits).ok_or(CloseReason::Arguments(operation))
}

/// The real server takes any bytes as a subject; here they are text.
fn words(arguments: &[u8]) -> Result<Vec<&str>, CloseReason> {
    let text =
        str::from_utf8(arguments).map_err(|_| CloseReason::NotImplemented("subjects that are not UTF-8"))?;

    Ok(text.split([' ', '\t']).filter(|word| !word.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { awaits_connect: false, has_headers: true, control_line_bytes: 64, payload_bytes: 100 };

    #[test]
    fn operations_come_out_however_the_bytes_were_split() {
        let bytes = b"PING\r\npub a.b 5\r\nhe\r\no\r\nHPUB a reply 12 14\r\nNATS/1.0\r\n\r\nok\r\n\
            SUB a.* group 7\r\nSUB\ta\t8\nUNSUB 7 3\r\nUNSUB 8\r\nPONG\r\n";
        let expected = vec![
            Operation::Ping,
            published("a.b", None, None, b"he\r\no"),
            published("a", Some("reply"), Some(12), b"NATS/1.0\r\n\r\nok"),
            Operation::Subscribe { subject: "a.*".into(), queue: Some("group".into()), sid: "7".into() },
            Operation::Subscribe { subject: "a".into(), queue: None, sid: "8".into() },
            Operation::Unsubscribe { sid: "7".into(), after: Some(3) },
            Operation::Unsubscribe { sid: "8".into(), after: None },
            Operation::Pong,
        ];

        for size in 1..=bytes.len() {
            assert_eq!(in_pieces(bytes, size, LIMITS), (expected.clone(), None), "pieces of {size}");
        }
    }

    #[test]
    fn a_connection_that_breaks_a_rule_ends_with_its_reason() {
        let ends = |bytes: &[u8]| in_pieces(bytes, bytes.len(), LIMITS).1;

        assert_eq!(ends(b"PUB a 101\r\n"), Some(CloseReason::Payload));
        assert_eq!(ends(b"PUB a -1\r\n"), Some(CloseReason::Arguments("PUB")));
        assert_eq!(ends(b"PUB a\r\n"), Some(CloseReason::Arguments("PUB")));
        assert_eq!(ends(b"HPUB a 5 4\r\n"), Some(CloseReason::Arguments("HPUB")));
        assert_eq!(ends(b"SUB a b c d\r\n"), Some(CloseReason::Arguments("SUB")));
        assert_eq!(ends(b"UNSUB\r\n"), Some(CloseReason::Arguments("UNSUB")));
        assert_eq!(ends(b"PUB a 1\r\nxyz"), Some(CloseReason::UnknownOperation));
        assert_eq!(ends(b"MSG a 1 0\r\n"), Some(CloseReason::UnknownOperation));
        assert_eq!(ends(b"RS+ a b\r\n"), Some(CloseReason::UnknownOperation));
        assert_eq!(ends(b"+OK\r\n"), Some(CloseReason::UnknownOperation));
        assert_eq!(ends(&[b'S'; 80]), Some(CloseReason::ControlLine));
        let long = format!("SUB {} 1\r\n", "a".repeat(64));
        assert_eq!(ends(long.as_bytes()), Some(CloseReason::ControlLine));
    }

    #[test]
    fn nothing_comes_before_connect() {
        let limits = Limits { awaits_connect: true, ..LIMITS };

        let ended = in_pieces(b"PING\r\n", 1, limits);
        let connected = in_pieces(b"CONNECT {\"a\": 1}\r\n", 3, limits);

        assert_eq!(ended, (vec![], Some(CloseReason::Authorization(Refusal::NotConnect))));
        assert_eq!(connected, (vec![Operation::Connect(b"{\"a\": 1}".to_vec())], None));
    }

    #[test]
    fn headers_need_to_be_negotiated() {
        let limits = Limits { has_headers: false, ..LIMITS };

        assert_eq!(in_pieces(b"HPUB a 1 1\r\n", 12, limits).1, Some(CloseReason::HeadersNotNegotiated));
    }

    fn published(
        subject: &str,
        reply: Option<&str>,
        header_bytes: Option<usize>,
        payload: &[u8],
    ) -> Operation {
        Operation::Publish(Publication {
            subject: subject.into(),
            reply: reply.map(str::to_owned),
            header_bytes,
            payload: payload.to_vec(),
        })
    }

    fn in_pieces(bytes: &[u8], size: usize, limits: Limits) -> (Vec<Operation>, Option<CloseReason>) {
        let (mut inbound, mut operations) = (Inbound::default(), Vec::new());
        for piece in bytes.chunks(size) {
            inbound.extend(piece);
            loop {
                match inbound.next(limits) {
                    Ok(Some(operation)) => operations.push(operation),
                    Ok(None) => break,
                    Err(reason) => return (operations, Some(reason)),
                }
            }
        }
        (operations, None)
    }
}
