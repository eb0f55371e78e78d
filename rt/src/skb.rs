//! Asking the knowledge base (`proto::iface::skb`).
//!
//! Every question has a deadline: whoever asks must be able to go on without an answer. The
//! knowledge base needs memory and names itself; a memory server or monitor asks in a task of its
//! own, and serves others meanwhile.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::skb::{Edge, MemoryAt, Place, Record, SkbClient, Subject, Topic};
use proto::{CallError, PeerError, Refusal, ServiceError, WireError};

use crate::chan::{Client, Until};
use crate::{env, time};

/// Name of the service.
pub const NAME: &str = "skb";
/// How long an answer is waited for (ns of system time).
pub const PATIENCE_NS: u64 = 2_000_000_000;

/// A connection to the knowledge base. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Knowledge {
    client: Client,
}

/// An answer that fits no question.
const STRANGE: CallError = CallError::Peer(PeerError::BadAnswer(WireError::BadBlob));

impl Knowledge {
    /// Connects to the one that runs on `osnode`: the one that the loader made, which is the
    /// home of all others.
    ///
    /// # Errors
    /// It is not there within [`PATIENCE_NS`].
    pub async fn connect(osnode: u64) -> Result<Self, CallError> {
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

    /// The stub; each call has its deadline.
    fn stub(&self) -> SkbClient<Until> {
        let until = time::system_ns().saturating_add(PATIENCE_NS);
        SkbClient(self.client.until(until))
    }

    /// The number of what is known of a topic now: as long as it stays, so do the answers about it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn version(&self, topic: Topic) -> Result<u64, CallError> {
        Ok(self.stub().news(topic, 0).await?.version)
    }

    /// The number of what is known of a topic, once it is another one than `known`. That may take
    /// for ever, and wakes nobody meanwhile.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn news(&self, topic: Topic, known: u64) -> Result<u64, CallError> {
        let base = SkbClient(self.client.unprobed());
        Ok(base.news(topic, known).await?.version)
    }

    /// Where a core or a running OSnode is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn place_of(&self, subject: Subject, number: u64) -> Result<Place, CallError> {
        self.stub().place_of(subject, number).await
    }

    /// The distance between two NUMA nodes: 10 is local.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn distance(&self, from: u32, to: u32) -> Result<u32, CallError> {
        Ok(self.stub().distance(from, to).await?.distance)
    }

    /// The NUMA nodes with memory as seen from a core, an OSnode or a node, nearest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn memories(
        &self,
        subject: Subject,
        number: u64,
    ) -> Result<Vec<MemoryAt>, CallError> {
        let listed = self.stub().memories(subject, number).await?;
        MemoryAt::read_all(&listed.records).ok_or(STRANGE)
    }

    /// The multicast tree from a core or a running OSnode, in the order in which it is best sent.
    ///
    /// # Errors
    /// [`CallError`]; `Refused(Busy)` when the tree changed during the answer: ask again.
    pub async fn tree(&self, subject: Subject, number: u64) -> Result<Vec<Edge>, CallError> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut expected = None;
        loop {
            let first = edges.len() as u64;
            let listed = self.stub().tree(subject, number, first).await?;
            let part = Edge::read_all(&listed.records).ok_or(STRANGE)?;
            let count = listed.count;
            if *expected.get_or_insert(count) != count {
                let text = "the tree changed during the answer: ask again";
                return Err(refused(ServiceError::Busy, text));
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
    /// [`CallError`].
    pub async fn ask(&self, question: &str) -> Result<Vec<Vec<String>>, CallError> {
        let answer = self.stub().ask(0, question.as_bytes()).await?;
        let bytes = answer.bytes;
        if bytes != answer.text.len() as u64 {
            let text = alloc::format!("the answer has {bytes} bytes: ask for less");
            return Err(refused(ServiceError::BadArgument, text));
        }
        let text = String::from_utf8_lossy(&answer.text).into_owned();
        // The first line has the columns' names.
        let row = |line: &str| line.split('\t').map(plain).collect();
        Ok(text.lines().skip(1).map(row).collect())
    }

    /// Withdraws the facts that fit the atoms, one on each line, and asserts the facts in
    /// `asserted`, all or none; both together fit a blob (8 KiB).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn change(&self, withdrawn: &str, asserted: &str) -> Result<(), CallError> {
        self.part(withdrawn, asserted, false).await
    }

    /// As [`Knowledge::change`], a part of a change that takes more than one message: nothing
    /// happens before the last one, for which `more` is false.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn part(&self, withdrawn: &str, asserted: &str, more: bool) -> Result<(), CallError> {
        let blob = [withdrawn.as_bytes(), b"\0", asserted.as_bytes()].concat();
        self.stub().change(more, &blob).await?;
        Ok(())
    }
}

fn refused(error: ServiceError, text: impl Into<String>) -> CallError {
    CallError::Refused(Refusal::new(error, text))
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
