//! What an owner knows: which other OSnodes hold which objects of its families.
//!
//! The directory is exact: an OSnode stands in it from the moment at which a copy or a
//! permission to derive leaves for it until its own word that it holds the object no
//! more (channels keep the order). So nobody is ever asked what it holds, and what
//! concerns two OSnodes goes to two.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use capfmt::OsnodeId;

use super::{Nodes, Object, Remote};

/// Holders of objects; no OSnode stands in its own directory.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Directory(BTreeMap<Object, Nodes>);

impl Directory {
    /// Enters a holder.
    pub fn add(&mut self, object: Object, holder: OsnodeId) {
        self.0.entry(object).or_default().insert(holder);
    }
    /// Removes a holder; whether it was one.
    pub fn remove(&mut self, object: &Object, holder: OsnodeId) -> bool {
        let Some(nodes) = self.0.get_mut(object) else {
            return false;
        };
        let was = nodes.remove(&holder);
        if nodes.is_empty() {
            self.0.remove(object);
        }
        was
    }
    /// Whether `holder` holds it.
    #[must_use]
    pub fn holds(&self, object: &Object, holder: OsnodeId) -> bool {
        self.0.get(object).is_some_and(|n| n.contains(&holder))
    }
    /// Whether anybody does.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        self.0.contains_key(object)
    }
    /// Everything in it.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.keys()
    }
    /// Everything in it, with each holder.
    pub fn entries(&self) -> impl Iterator<Item = (Object, OsnodeId)> + '_ {
        let each = |(object, nodes): (&Object, &Nodes)| {
            let object = *object;
            nodes.iter().map(move |n| (object, *n)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(each)
    }
    /// Who holds `root` or something derived from it, and what.
    #[must_use]
    pub fn family(&self, root: &Object) -> Vec<(Object, OsnodeId)> {
        self.entries().filter(|(o, _)| o.is_within(root)).collect()
    }
    /// Everybody in [`Directory::family`].
    #[must_use]
    pub fn holders(&self, root: &Object) -> Nodes {
        self.family(root).into_iter().map(|(_, n)| n).collect()
    }
    /// Forgets everything of an OSnode; what it held.
    pub fn forget(&mut self, holder: OsnodeId) -> Vec<Object> {
        let held: Vec<Object> = (self.entries().filter(|(_, n)| *n == holder))
            .map(|(o, _)| o)
            .collect();
        for object in &held {
            self.remove(object, holder);
        }
        held
    }
    /// What others hold beside `object`.
    #[must_use]
    pub fn beside(&self, object: &Object) -> Remote {
        Remote {
            copies: self.has(object),
            ancestors: self.objects().any(|o| object.comes_from(o)),
            descendants: self.objects().any(|o| o.descends_from(object)),
        }
    }
}
