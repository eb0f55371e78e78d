//! Who waits for a topic's facts to change.

use alloc::vec::Vec;

use proto::ServiceError;
use proto::iface::skb::{SkbReply, SkbRequest, Topic};

use crate::service::{Reply, Service};
use crate::typed;

/// Most askers that wait.
const MAX_WAITING: usize = 256;

/// Those who wait, each with what it knows.
pub struct News<R> {
    waiting: Vec<(R, Topic, u64)>,
    /// Changes of the knowledge base that were looked at.
    seen: u64,
}

impl<R> Default for News<R> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            seen: 0,
        }
    }
}

impl<R> News<R> {
    /// Takes a question for news. Answers it, or keeps the asker until there are some; any other
    /// request comes back.
    pub fn take(
        &mut self,
        service: &Service,
        asker: R,
        request: &SkbRequest,
    ) -> Option<(R, Reply)> {
        let &SkbRequest::News { topic, known } = request else {
            return None;
        };
        let version = typed::version(service.base(), topic);
        if version != known {
            return Some((asker, (SkbReply::Version { version }, Vec::new())));
        }
        if self.waiting.len() >= MAX_WAITING {
            let error = ServiceError::Busy;
            let why = "too many others wait for news";
            return Some((asker, (SkbReply::Refused { error }, why.into())));
        }
        self.waiting.push((asker, topic, known));
        None
    }

    /// Who is to be answered now. Costs nothing unless something was told since the last time.
    pub fn due(&mut self, service: &Service) -> Vec<(R, Reply)> {
        if self.seen == service.changes() {
            return Vec::new();
        }
        self.seen = service.changes();
        let wanted = |topic| self.waiting.iter().any(|(_, t, _)| *t == topic);
        let of = |topic| wanted(topic).then(|| typed::version(service.base(), topic));
        let (memory, tree) = (of(Topic::Memory), of(Topic::Tree));
        let now = |topic: &Topic| match topic {
            Topic::Memory => memory,
            Topic::Tree => tree,
        };
        let due = self.waiting.extract_if(.., |(_, t, k)| now(t) != Some(*k));
        due.filter_map(|(asker, topic, _)| {
            let version = now(&topic)?;
            Some((asker, (SkbReply::Version { version }, Vec::new())))
        })
        .collect()
    }

    /// Those that fit are no longer there.
    pub fn forget(&mut self, gone: impl Fn(&R) -> bool) {
        self.waiting.retain(|(asker, ..)| !gone(asker));
    }
}
