//! A slow model of the books: one entry per page, and every rule written out over all of them.

use crate::{ALIGN, BLOCK, Cut, PAGE, Promise, Topology};
use std::collections::BTreeMap;
use std::vec::Vec;

/// What a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    Free,
    On(u32),
    /// Another OSnode has it.
    Lent(u64),
}

/// What an account was promised and limited to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub limit: Option<u64>,
    pub promise: Promise,
}

#[derive(Clone, Default, Debug)]
pub struct Model {
    pub pages: BTreeMap<u64, Page>,
    pub rules: BTreeMap<u32, Rules>,
    pub topology: Topology,
}

impl Model {
    pub fn held(&self, account: u32) -> u64 {
        let on = self.pages.values().filter(|p| **p == Page::On(account));
        on.count() as u64 * PAGE
    }
    pub fn free(&self) -> u64 {
        self.pages.values().filter(|p| **p == Page::Free).count() as u64 * PAGE
    }
    fn is_free(&self, page: u64) -> bool {
        self.pages.get(&page) == Some(&Page::Free)
    }
    /// Runs of free pages.
    pub fn runs(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (&page, _) in self.pages.iter().filter(|(_, p)| **p == Page::Free) {
            match runs.last_mut() {
                Some(last) if last.1 == page => last.1 += PAGE,
                _ => runs.push((page, page + PAGE)),
            }
        }
        runs
    }
    /// Blocks that there is room for, laid out one by one.
    pub fn places(&self) -> u64 {
        let mut count = 0;
        for (base, end) in self.runs() {
            let mut at = base.next_multiple_of(ALIGN);
            while at + BLOCK <= end {
                count += 1;
                at = (at + BLOCK).next_multiple_of(ALIGN);
            }
        }
        count
    }
    pub fn reserved(&self, account: u32) -> u64 {
        match self.rules.get(&account).map(|r| r.promise) {
            None => 0,
            Some(Promise::Share(bytes)) => bytes.saturating_sub(self.held(account)),
            Some(Promise::Beyond(bytes)) => bytes,
        }
    }
    fn on_node(&self, page: u64, node: Option<u8>) -> bool {
        let any = self.topology.nodes().is_empty();
        node.is_none() || any || self.topology.node_at(page) == node
    }
    /// Whether the block that the books chose is one that may be taken.
    pub fn accepts(&self, cut: &Cut, account: u32, align: u64, node: Option<u8>) -> bool {
        let pages = (0..cut.bytes / PAGE).map(|k| cut.base + k * PAGE);
        let sound = cut.base.is_multiple_of(align)
            && pages
                .clone()
                .all(|p| self.is_free(p) && self.on_node(p, node));
        let limit = self.rules.get(&account).and_then(|r| r.limit);
        sound && limit.is_none_or(|l| self.held(account) + cut.bytes <= l)
    }
    /// Whether some block fits at all.
    pub fn fits(&self, bytes: u64, align: u64, node: Option<u8>) -> bool {
        let bytes = bytes.next_multiple_of(PAGE);
        self.pages.keys().any(|&at| {
            let mut pages = (0..bytes / PAGE).map(|k| at + k * PAGE);
            at.is_multiple_of(align) && pages.all(|p| self.is_free(p) && self.on_node(p, node))
        })
    }
    /// Bytes that are free or on an account.
    pub fn total(&self) -> u64 {
        let lent = |p: &Page| matches!(p, Page::Lent(_));
        self.pages.values().filter(|p| !lent(p)).count() as u64 * PAGE
    }
    /// Runs of pages that one OSnode has, with it.
    pub fn lent(&self) -> Vec<(u64, u64, u64)> {
        let mut runs: Vec<(u64, u64, u64)> = Vec::new();
        for (&page, what) in &self.pages {
            let Page::Lent(osnode) = *what else { continue };
            match runs.last_mut() {
                Some(last) if (last.1, last.2) == (page, osnode) => last.1 += PAGE,
                _ => runs.push((page, page + PAGE, osnode)),
            }
        }
        runs
    }
    pub fn set(&mut self, base: u64, bytes: u64, page: Page) {
        for k in 0..bytes / PAGE {
            self.pages.insert(base + k * PAGE, page);
        }
    }
    pub fn forget(&mut self, base: u64, bytes: u64) {
        for k in 0..bytes / PAGE {
            self.pages.remove(&(base + k * PAGE));
        }
    }
}
