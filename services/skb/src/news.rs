//! Who waits for a topic's facts to change.

use alloc::vec::Vec;

use proto::iface::skb::{Topic, Version};
use proto::{Refusal, ServiceError};

use crate::service::Service;
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
    /// Takes a question for news. Answers it, or keeps the asker until there are some.
    pub fn take(
        &mut self,
        service: &Service,
        asker: R,
        topic: Topic,
        known: u64,
    ) -> Option<(R, Result<Version, Refusal>)> {
        let version = typed::version(service.base(), topic);
        if version != known {
            return Some((asker, Ok(Version { version })));
        }
        if self.waiting.len() >= MAX_WAITING {
            let why = "too many others wait for news";
            return Some((asker, Err(Refusal::new(ServiceError::Busy, why))));
        }
        self.waiting.push((asker, topic, known));
        None
    }

    /// Who is to be answered now. Costs nothing unless something was told since the last time.
    pub fn due(&mut self, service: &Service) -> Vec<(R, Version)> {
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
            Some((asker, Version { version }))
        })
        .collect()
    }

    /// Those that fit are no longer there.
    pub fn forget(&mut self, gone: impl Fn(&R) -> bool) {
        self.waiting.retain(|(asker, ..)| !gone(asker));
    }
}
