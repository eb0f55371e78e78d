//! Names of services, and who waits for one to appear.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proto::Name;

/// Whether a name is for services of the system only: it begins with a full stop.
#[must_use]
pub fn is_private(name: &Name) -> bool {
    name.as_str().starts_with('.')
}

/// Endpoints `E` by name, and waiters `W` for names that are not there yet.
#[derive(Debug)]
pub struct NameTable<E, W> {
    names: BTreeMap<Name, E>,
    waiters: Vec<(Name, W)>,
}

impl<E, W> NameTable<E, W> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> NameTable<E, W> {
        NameTable {
            names: BTreeMap::new(),
            waiters: Vec::new(),
        }
    }
    /// Enters a name; returns who waited for it, and what stood there before.
    pub fn register(&mut self, name: Name, endpoint: E) -> (Vec<W>, Option<E>) {
        let before = self.names.insert(name, endpoint);
        let waited = self.waiters.extract_if(.., |(n, _)| *n == name);
        (waited.map(|(_, w)| w).collect(), before)
    }
    /// Takes out the names whose endpoints are `dead`.
    pub fn forget(&mut self, mut dead: impl FnMut(&E) -> bool) -> Vec<(Name, E)> {
        self.names.extract_if(.., |_, e| dead(e)).collect()
    }
    /// The endpoint with this name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&E> {
        self.names.get(name)
    }
    /// Has `waiter` returned when the name is entered.
    pub fn wait(&mut self, name: Name, waiter: W) {
        self.waiters.push((name, waiter));
    }
    /// Forgets who waits and `is` one that ended.
    pub fn give_up(&mut self, mut is: impl FnMut(&W) -> bool) {
        self.waiters.retain(|(_, w)| !is(w));
    }
    /// The `index`-th name that is not private.
    #[must_use]
    pub fn nth(&self, index: u32) -> Option<Name> {
        let public = self.names.keys().filter(|n| !is_private(n));
        public.copied().nth(index as usize)
    }
}

impl<E, W> Default for NameTable<E, W> {
    fn default() -> Self {
        NameTable::new()
    }
}
