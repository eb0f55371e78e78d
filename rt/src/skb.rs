//! Asking the knowledge base (`proto::iface::skb`).
//!
//! Every question has a deadline: whoever asks must be able to go on without an answer. The
//! knowledge base needs memory and names itself; a memory server or monitor asks in a task of its
//! own, and serves others meanwhile.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use proto::iface::skb::{Edge, MemoryAt, Record, SkbReply, SkbRequest, Subject, Topic};
use proto::{PeerError, ServiceError, WireError};

use crate::chan::{Answer, Attach, Client};
use crate::{env, time};

/// Name of the service.
pub const NAME: &str = "skb";
/// How long an answer is waited for (ns of system time).
pub const PATIENCE_NS: u64 = 2_000_000_000;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// The knowledge base is not there, ended, or was silent for too long.
    Peer(PeerError),
    /// It refused; its words for people.
    Refused(ServiceError, String),
}

impl Unanswered {
    /// Whether it runs, but does not know.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(ServiceError::NotFound, _))
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(e) => e.fmt(f),
            Self::Refused(error, text) if text.is_empty() => error.fmt(f),
            Self::Refused(_, text) => f.write_str(text),
        }
    }
}

impl From<PeerError> for Unanswered {
    fn from(e: PeerError) -> Self {
        Self::Peer(e)
    }
}

/// Where something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// NUMA node.
    pub node: u32,
    /// Core.
    pub core: u32,
    /// OSnode there, or 0.
    pub osnode: u64,
}

/// A connection to the knowledge base. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Knowledge {
    client: Client,
}

fn accepted(answer: Answer<SkbReply>) -> Result<(SkbReply, Vec<u8>), Unanswered> {
    match answer.message {
        SkbReply::Refused { error } => {
            let text = String::from_utf8_lossy(&answer.blob).into_owned();
            Err(Unanswered::Refused(error, text))
        }
        reply => Ok((reply, answer.blob)),
    }
}

fn version_in(reply: SkbReply) -> Result<u64, Unanswered> {
    match reply {
        SkbReply::Version { version } => Ok(version),
        _ => Err(strange()),
    }
}

/// An answer that fits no question.
fn strange() -> Unanswered {
    Unanswered::Peer(PeerError::BadAnswer(WireError::UnknownOp))
}

impl Knowledge {
    /// Connects to the one that runs on `osnode`: the one that the loader made, which is the
    /// home of all others.
    ///
    /// # Errors
    /// It is not there within [`PATIENCE_NS`].
    pub async fn connect(osnode: u64) -> Result<Self, Unanswered> {
        let until = time::system_ns().saturating_add(PATIENCE_NS);
        let found = if osnode == env::osnode() {
            time::system_timeout(until, Client::lookup(NAME)).await
        } else {
            time::system_timeout(until, Client::lookup_on(osnode, NAME)).await
        };
        let client = found.ok_or(PeerError::TimedOut)?.map_err(PeerError::from)?;
        Ok(Self { client })
    }

    /// Over a connection that somebody else made.
    #[must_use]
    pub fn over(client: Client) -> Self {
        Self { client }
    }

    /// Whether it is known to have ended: connect again.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.client.is_gone()
    }

    async fn request(
        &self,
        request: &SkbRequest,
        blob: &[u8],
    ) -> Result<(SkbReply, Vec<u8>), Unanswered> {
        let until = time::system_ns().saturating_add(PATIENCE_NS);
        let asked = self
            .client
            .request_until(request, Attach::blob(blob), until);
        accepted(asked.await?)
    }

    /// The number of what is known of a topic now: as long as it stays, so do the answers about it.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn version(&self, topic: Topic) -> Result<u64, Unanswered> {
        let request = SkbRequest::News { topic, known: 0 };
        version_in(self.request(&request, &[]).await?.0)
    }

    /// The number of what is known of a topic, once it is another one than `known`. That may take
    /// for ever, and wakes nobody meanwhile.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn news(&self, topic: Topic, known: u64) -> Result<u64, Unanswered> {
        let request = SkbRequest::News { topic, known };
        let asked = self.client.request_unprobed(&request, Attach::NONE);
        version_in(accepted(asked.await?)?.0)
    }

    /// Where a core or a running OSnode is.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn place_of(&self, subject: Subject, number: u64) -> Result<Place, Unanswered> {
        let request = SkbRequest::PlaceOf { subject, number };
        match self.request(&request, &[]).await?.0 {
            SkbReply::Place { node, core, osnode } => Ok(Place { node, core, osnode }),
            _ => Err(strange()),
        }
    }

    /// The distance between two NUMA nodes: 10 is local.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn distance(&self, from: u32, to: u32) -> Result<u32, Unanswered> {
        let request = SkbRequest::Distance { from, to };
        match self.request(&request, &[]).await?.0 {
            SkbReply::Distance { distance } => Ok(distance),
            _ => Err(strange()),
        }
    }

    /// The NUMA nodes with memory as seen from a core, an OSnode or a node, nearest first.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn memories(
        &self,
        subject: Subject,
        number: u64,
    ) -> Result<Vec<MemoryAt>, Unanswered> {
        let request = SkbRequest::Memories { subject, number };
        let (reply, blob) = self.request(&request, &[]).await?;
        match (reply, MemoryAt::read_all(&blob)) {
            (SkbReply::Listed { .. }, Some(all)) => Ok(all),
            _ => Err(strange()),
        }
    }

    /// The multicast tree from a core or a running OSnode, in the order in which it is best sent.
    ///
    /// # Errors
    /// [`Unanswered`]; `Refused(Busy)` when the tree changed during the answer: ask again.
    pub async fn tree(&self, subject: Subject, number: u64) -> Result<Vec<Edge>, Unanswered> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut expected = None;
        loop {
            let request = SkbRequest::Tree {
                subject,
                number,
                first: edges.len() as u64,
            };
            let (reply, blob) = self.request(&request, &[]).await?;
            let (SkbReply::Listed { count }, Some(part)) = (reply, Edge::read_all(&blob)) else {
                return Err(strange());
            };
            if *expected.get_or_insert(count) != count {
                let text = "the tree changed during the answer: ask again".to_string();
                return Err(Unanswered::Refused(ServiceError::Busy, text));
            }
            let end = part.is_empty();
            edges.extend(part);
            if end || edges.len() as u64 >= count {
                return Ok(edges);
            }
        }
    }

    /// The rows of the answer to a question in text, each value as it is written but for the
    /// quotes around texts. For answers of at most [`proto::iface::skb::MAX_CHUNK`] bytes.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask(&self, question: &str) -> Result<Vec<Vec<String>>, Unanswered> {
        let request = SkbRequest::Ask { offset: 0 };
        let (reply, blob) = self.request(&request, question.as_bytes()).await?;
        match reply {
            SkbReply::Answer { bytes, .. } if bytes == blob.len() as u64 => {}
            SkbReply::Answer { bytes, .. } => {
                let text = alloc::format!("the answer has {bytes} bytes: ask for less");
                return Err(Unanswered::Refused(ServiceError::BadArgument, text));
            }
            _ => return Err(strange()),
        }
        let text = String::from_utf8_lossy(&blob).into_owned();
        // The first line has the columns' names.
        let row = |line: &str| line.split('\t').map(plain).collect();
        Ok(text.lines().skip(1).map(row).collect())
    }

    /// Withdraws the facts that fit the atoms, one on each line, and asserts the facts in
    /// `asserted`, all or none; both together fit a blob (8 KiB).
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn change(&self, withdrawn: &str, asserted: &str) -> Result<(), Unanswered> {
        self.part(withdrawn, asserted, false).await
    }

    /// As [`Knowledge::change`], a part of a change that takes more than one message: nothing
    /// happens before the last one, for which `more` is false.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn part(
        &self,
        withdrawn: &str,
        asserted: &str,
        more: bool,
    ) -> Result<(), Unanswered> {
        let blob = [withdrawn.as_bytes(), b"\0", asserted.as_bytes()].concat();
        match self.request(&SkbRequest::Change { more }, &blob).await?.0 {
            SkbReply::Changed { .. } => Ok(()),
            _ => Err(strange()),
        }
    }
}

/// A value without the quotes of a text.
fn plain(value: &str) -> String {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let Some(inner) = inner else {
        return value.to_string();
    };
    let mut out = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next().map(|c| if c == 'n' { '\n' } else { c })),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn values_are_taken_out_of_their_quotes() {
        assert_eq!(plain("12"), "12");
        assert_eq!(plain("psci"), "psci");
        assert_eq!(plain("\"std\""), "std");
        assert_eq!(plain(r#""a \"b\" \\ c\nd""#), "a \"b\" \\ c\nd");
        assert_eq!(plain("\""), "\"");
    }
}
