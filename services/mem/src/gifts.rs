//! RAM between memory servers: it goes whole, so that nothing of it stays with the giver.
//!
//! A server asks others only for what it cannot give itself, and what it is asked for by another server it gives
//! of its own or refuses: no chain of servers waits for each other.
//! What goes to another OSnode can be refused on the way, by monitors. So the giver keeps a copy until the asker has
//! said that the RAM is there: then it has none, or else all of it.

use capfmt::MdbFlags;
use mem::{Cut, Origin, PAGE};
use proto::ServiceError;
use proto::iface::memory::{Allocated, MemoryClient};
use rt::chan::{Client, Request};
use rt::{Capability, env, invoke, task, time};

use crate::service::{Parcel, Role, SERVERS, Service, refusal};

/// RAM comes from other servers in pieces of at least this size, if they have them.
const CHUNK: u64 = 8 << 20;
/// A front with less than this asks for a piece before anybody needs it.
const LOW_WATER: u64 = 8 << 20;
/// It does not ask again for so long (ns of system time) when it got none.
const REST_NS: u64 = 1_000_000_000;
/// A front keeps so much of what came from others.
const KEEP: u64 = 8 << 20;
/// How often it is looked whether the giver's copy is gone, and the pause between (ns of system time).
const PRIVATE_LOOKS: u32 = 2000;
const PRIVATE_NS: u64 = 1_000_000;
/// `node` of a request that any node will do for.
const ANY_NODE: u32 = 256;

/// Whether no other OSnode has a copy.
pub fn is_private(ram: &Capability) -> bool {
    invoke::identify(ram.addr()).is_ok_and(|id| id.flags == MdbFlags::default())
}

/// Waits until the giver's copy is gone. What is cut before that is another OSnode's to know of for ever.
async fn until_private(ram: &Capability) {
    for _ in 0..PRIVATE_LOOKS {
        if is_private(ram) {
            return;
        }
        time::sleep(PRIVATE_NS).await;
    }
    rt::println!("mem: another OSnode keeps a copy of RAM that it gave");
}

impl Service {
    /// Asks a server for RAM; the bytes that came.
    pub async fn ask_for(
        &self,
        other: &MemoryClient<Client>,
        bytes: u64,
        align: u64,
        node: u8,
    ) -> Option<u64> {
        let ticket = self.new_ticket();
        let came = other
            .refill(bytes, align, node.into(), ticket, env::osnode())
            .await
            .ok();
        if ticket != 0 {
            // A giver that is gone needs none.
            let _ = other.receipt(ticket, came.is_some());
        }
        self.enter_gift(came?.ram).await
    }

    /// Enters what another server gave, once that has no copy any more.
    pub async fn enter_gift(&self, ram: Capability) -> Option<u64> {
        until_private(&ram).await;
        match self.take_in(ram, Origin::Server) {
            Ok(bytes) => Some(bytes),
            Err(e) => {
                rt::println!("mem: RAM of another server cannot be used: {e}");
                None
            }
        }
    }

    /// A number for a request to another OSnode; 0 when the servers are in this one.
    fn new_ticket(&self) -> u64 {
        let mut s = self.state.borrow_mut();
        if !matches!(s.role, Role::Front(Some(_))) {
            return 0;
        }
        s.last_ticket += 1;
        s.last_ticket
    }

    /// Gets RAM of a node from its server; whether any came.
    pub async fn refill(&self, node: u8, bytes: u64, align: u64) -> bool {
        let Some(server) = self.server_of(node).await else {
            return false;
        };
        let more = bytes.max(CHUNK);
        let came = match self.ask_for(&server, more, align.max(PAGE), node).await {
            None if bytes < more => self.ask_for(&server, bytes, align, node).await,
            done => done,
        };
        came.is_some()
    }

    /// Asks for more before anybody needs it.
    pub fn look_ahead(&self) {
        let low = {
            let mut s = self.state.borrow_mut();
            let low = s.books.free_bytes() < LOW_WATER && !s.refilling;
            let low = low && s.whole && matches!(s.role, Role::Front(_));
            let low = low && time::system_ns() >= s.refill_from_ns;
            s.refilling |= low;
            low
        };
        if !low {
            return;
        }
        let service = self.clone();
        task::spawn(async move {
            service.settled().await;
            let own = service.state.borrow().own_node();
            let mut came = false;
            for node in service.order(crate::Where::Near(own)).into_iter().flatten() {
                came = came || service.refill(node, CHUNK, PAGE).await;
            }
            let mut s = service.state.borrow_mut();
            s.refilling = false;
            if !came {
                s.refill_from_ns = time::system_ns().saturating_add(REST_NS);
            }
        });
    }

    /// Gives back what other servers gave and nobody needs here.
    pub fn give_surplus(&self) {
        if self.surplus().is_none() || self.state.borrow().giving {
            return;
        }
        self.state.borrow_mut().giving = true;
        let service = self.clone();
        task::spawn(async move {
            while let Some((cut, node)) = service.surplus() {
                if service.give(&cut, node).await.is_none() {
                    break;
                }
            }
            service.state.borrow_mut().giving = false;
        });
    }

    fn surplus(&self) -> Option<(Cut, u8)> {
        let s = self.state.borrow();
        let own = s.own_node();
        match s.role {
            _ if !s.whole => None,
            Role::Front(None) if s.servers.is_empty() => None,
            Role::Front(None) => {
                let others = |n| n != own && s.servers.contains_key(&n);
                s.books.surplus(KEEP, others)
            }
            Role::Front(Some(_)) => s.books.surplus(KEEP, |_| true),
            Role::Node(_) => None,
        }
    }

    async fn give(&self, cut: &Cut, node: u8) -> Option<()> {
        let server = self.server_of(node).await?;
        // Whatever happened meanwhile: the run must still be what it was.
        let same = self.surplus().is_some_and(|(c, n)| (c, n) == (*cut, node));
        if !same {
            return Some(());
        }
        let ram = self.take_out(cut, None).ok()?;
        let Ok(kept) = ram.duplicate() else {
            self.take_again(ram);
            return None;
        };
        if server.give_back(ram).await.is_err() {
            self.take_again(kept);
            return None;
        }
        Some(())
    }

    /// RAM that was to go stays.
    pub fn take_again(&self, ram: Capability) {
        if let Err(e) = self.take_in(ram, Origin::Server) {
            rt::println!("mem: RAM is lost: {e}");
        }
    }

    /// Another server wants RAM.
    pub fn give_whole(
        &self,
        request: &Request,
        bytes: u64,
        align: u64,
        node: u32,
        (ticket, osnode): (u64, u64),
    ) -> Result<Allocated<Capability>, ServiceError> {
        if !request.is_awaited() {
            return Err(ServiceError::ProcessGone);
        }
        let cut = self.cut_for_server(bytes, align, node)?;
        let afar = (ticket != 0).then_some(osnode);
        let ram = self.take_out(&cut, afar)?;
        if ticket != 0 {
            let kept = match ram.duplicate() {
                Ok(copy) => copy,
                Err(e) => {
                    self.take_again(ram);
                    return Err(e.into());
                }
            };
            let key = (request.connection(), ticket);
            let parcel = Parcel { osnode, kept };
            self.state.borrow_mut().on_the_way.insert(key, parcel);
        }
        Ok(Allocated {
            base: cut.base,
            bytes: cut.bytes,
            ram,
        })
    }

    /// Another server says what became of what it asked for.
    pub fn take_receipt(&self, connection: u32, ticket: u64, arrived: bool) {
        let key = (connection, ticket);
        let parcel = self.state.borrow_mut().on_the_way.remove(&key);
        match parcel.map(|p| p.kept) {
            // It is the other's: this copy goes.
            Some(kept) if arrived => drop(kept),
            Some(kept) => self.take_again(kept),
            None => {}
        }
    }

    fn cut_for_server(&self, bytes: u64, align: u64, node: u32) -> Result<Cut, ServiceError> {
        let node = match node {
            ANY_NODE => None,
            n => Some(u8::try_from(n).map_err(|_| ServiceError::BadArgument)?),
        };
        let find = || {
            let books = &self.state.borrow().books;
            match (bytes, node) {
                (0, Some(node)) => books
                    .largest_to_give(SERVERS, node)
                    .ok_or(ServiceError::OutOfMemory),
                _ => books.plan(SERVERS, bytes, align, node).map_err(refusal),
            }
        };
        find().or_else(|_| {
            self.merge_all();
            find()
        })
    }
}
