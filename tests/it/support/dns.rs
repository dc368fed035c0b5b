//! A name server whose answers a test sets: addresses, nothing, a failure, or no reply.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The reply for a name.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These addresses, of either family.
    Addresses(Vec<IpAddr>),
    /// The same after a delay.
    Slowly(Vec<IpAddr>),
    /// The name does not exist.
    NoSuchName,
    /// The server has failed.
    Failure,
    /// No reply: the query is lost.
    Silence,
}

/// The running server; it runs as long as the process.
pub(crate) struct Dns {
    reply: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    /// Listens on this address; resolvers send queries to port 53.
    pub(crate) fn new(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let dns = Self {
            reply: Arc::default(),
            asked: Arc::default(),
        };
        let (reply, asked) = (dns.reply.clone(), dns.asked.clone());
        std::thread::spawn(move || {
            let mut question = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                let question = &question[..length];
                let Some(name) = name(question) else { continue };
                asked.lock().unwrap().push(name.clone());
                let reply = reply.lock().unwrap().get(&name).cloned().unwrap_or(Reply::NoSuchName);
                if matches!(reply, Reply::Slowly(_)) {
                    std::thread::sleep(Duration::from_millis(300));
                }
                if let Some(answer) = answer(question, name.len(), &reply) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        dns
    }

    pub(crate) fn set_reply(&self, name: &str, reply: Reply) {
        self.reply.lock().unwrap().insert(name.to_owned(), reply);
    }

    pub(crate) fn addresses(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.set_reply(name, Reply::Addresses(addresses));
    }

    /// Queries for this name so far.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// The name in a query, in lower case.
fn name(question: &[u8]) -> Option<String> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            return Some(labels.join("."));
        }
        let label = question.get(at + 1..=at + length)?;
        labels.push(String::from_utf8(label.to_ascii_lowercase()).ok()?);
        at += 1 + length;
    }
}

/// RFC 1035, 4.1: the query is returned with the records that match its type (A is 1, AAAA is 28).
fn answer(question: &[u8], name_length: usize, reply: &Reply) -> Option<Vec<u8>> {
    // Length bytes take the place of the dots, with one more at the front, and a zero for the root at the end.
    let end = 12 + name_length + 2 + 4;
    let kind = question.get(end - 3)?;
    let (code, addresses) = match reply {
        Reply::Silence => return None,
        Reply::Failure => (2, &[][..]),
        Reply::NoSuchName => (3, &[][..]),
        Reply::Addresses(addresses) | Reply::Slowly(addresses) => (0, &addresses[..]),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(address), 1) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), 28) => Some(address.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::try_from(records.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question.get(12..end)?);
    for record in records {
        // The name is that of the query; class IN, TTL 0.
        answer.extend([
            0xc0,
            12,
            0,
            *kind,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            u8::try_from(record.len()).unwrap(),
        ]);
        answer.extend(record);
    }
    Some(answer)
}
