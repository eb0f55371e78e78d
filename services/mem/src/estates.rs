//! RAM that an OSnode had got, which is gone.

use alloc::vec::Vec;

use mem::{Change, Entry, Key};

use crate::service::{Parcel, Role, SYSTEM, Service};

impl Service {
    /// The next range that an OSnode left which is gone, until there is none: at a node's server taken out of the
    /// books, at the front on the system's account from now on.
    pub async fn next_bequest(&self, osnode: u64) -> Option<(u64, u64)> {
        self.take_parcels_back(osnode);
        if matches!(self.state.borrow().role, Role::Node(_)) {
            return self.state.borrow_mut().books.bequeath(osnode);
        }
        if let Some(told) = self.told_before(osnode) {
            return Some(told);
        }
        // What came back meanwhile is no part of it.
        self.collect();
        let mut own = Vec::new();
        while let Some(range) = self.state.borrow_mut().books.bequeath(osnode) {
            own.push(range);
        }
        self.inherit(osnode, &own);
        let servers: Vec<_> = self.state.borrow().servers.values().cloned().collect();
        // Those of a further OSnode's nodes are asked by their own front.
        let is_home = self.state.borrow().role == Role::Front(None);
        for server in servers.into_iter().filter(|_| is_home) {
            while let Ok(left) = server.bequest(osnode).await {
                self.inherit(osnode, &[(left.base, left.bytes)]);
            }
        }
        self.told_before(osnode)
    }

    /// What is on its way to an OSnode that is gone never arrives, and nobody else has it: the copy kept here is the
    /// only one.
    fn take_parcels_back(&self, osnode: u64) {
        let lost: Vec<Parcel> = {
            let on_the_way = &mut self.state.borrow_mut().on_the_way;
            let lost = on_the_way.extract_if(.., |_, p| p.osnode == osnode);
            lost.map(|(_, p)| p).collect()
        };
        for parcel in lost {
            self.take_again(parcel.kept);
        }
    }

    fn told_before(&self, osnode: u64) -> Option<(u64, u64)> {
        let mut s = self.state.borrow_mut();
        // Who asks again has heard of the one before. If this server ends now, the next one tells this one again.
        let heard = s.told.remove(&osnode);
        let place = s.estates.iter().position(|(o, _, _)| *o == osnode);
        let next = place.map(|place| s.estates.swap_remove(place));
        s.told.extend(next.map(|(_, base, _)| (osnode, base)));
        drop(s);
        if let Some(base) = heard {
            self.note(Change::Erase(Key::Estate(base)));
        }
        next.map(|(_, base, bytes)| (base, bytes))
    }

    fn inherit(&self, osnode: u64, ranges: &[(u64, u64)]) {
        let mut s = self.state.borrow_mut();
        let mut new = Vec::new();
        for &(base, bytes) in ranges {
            let parts = s.books.inherit(base, bytes, SYSTEM);
            new.extend(parts.into_iter().map(|(b, n)| (osnode, b, n)));
        }
        s.estates.extend(&new);
        drop(s);
        for (osnode, base, bytes) in new {
            self.note(Change::Put(Entry::Estate {
                base,
                bytes,
                osnode,
            }));
        }
        self.save();
    }
}
