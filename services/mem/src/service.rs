//! The server's state, what the books say carried out by retype and merge, and what came back entered in them.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::{CapAddr, SysError};
use capfmt::CapType;
use mem::{
    ALIGN, AllocError, Allocator, BLOCK, Change, Cut, Entry, Grant, Origin, PAGE, Piece, Promise,
    Rest,
};
use proto::ServiceError;
use proto::iface::memory::MemoryClient;
use rt::chan::{Client, Server};
use rt::returns::Returns;
use rt::{Capability, cap, env, invoke, mem as own};

use crate::keeper::Keeper;
use crate::knowledge::Link;

/// Account of the OSnode's monitor and spawn service, and of whoever finds the server by its name.
pub const SYSTEM: u32 = 0;
/// Account of this server itself.
pub const OWN: u32 = u32::MAX;
/// Whoever asks for RAM to be given whole: it has no account, and is promised nothing.
pub const SERVERS: u32 = u32::MAX - 1;

/// Which server this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The one that an OSnode's programs ask; the OSnode that has the nodes' servers, if it is another one.
    Front(Option<u64>),
    /// The server of a NUMA node.
    Node(u8),
}

/// What monitor and spawn service can always have beyond what they hold.
const FOR_SYSTEM: u64 = 2 * BLOCK;
/// What the server itself can always have: its heap's reserve.
const FOR_ITSELF: u64 = 4 * BLOCK;

/// RAM that another OSnode asked for.
pub struct Parcel {
    pub osnode: u64,
    /// The copy that stays until it has arrived.
    pub kept: Capability,
}

/// What the server has; never borrowed across an `await`.
pub struct State {
    pub books: Allocator,
    pub role: Role,
    /// It has what there is to have: not before what its earlier life had is here.
    pub whole: bool,
    /// Node of the memory that it began with.
    pub first_node: u8,
    /// It has learnt what the first OSnode's server knows, or does not try any more.
    pub settled: bool,
    /// It is registered as its own node's server, too.
    pub named: bool,
    /// Servers of nodes.
    pub servers: BTreeMap<u8, MemoryClient<Client>>,
    /// Highest account number that was given.
    pub last_account: u32,
    /// It is being refilled now, or gives RAM back.
    pub refilling: bool,
    /// It does not look ahead before this time (ns of system time).
    pub refill_from_ns: u64,
    pub last_ticket: u64,
    /// Copies of what goes to another OSnode, by connection and ticket, until it has arrived.
    pub on_the_way: BTreeMap<(u32, u64), Parcel>,
    /// What OSnodes that are gone left, and nobody was told yet: id, first byte, bytes.
    pub estates: Vec<(u64, u64, u64)>,
    /// First byte of what was told last of each OSnode, perhaps in vain.
    pub told: BTreeMap<u64, u64>,
    pub giving: bool,
    /// What it knows of the knowledge base.
    pub link: Link,
}

/// The server.
#[derive(Clone)]
pub struct Service {
    pub state: Rc<RefCell<State>>,
    pub server: Server,
    /// Where the OSnode's memory comes back to: the front has it.
    pub returns: Option<Rc<Returns>>,
    /// What the server's next life is to know.
    pub keeper: Rc<RefCell<Keeper>>,
}

impl State {
    /// What a server begins with: `left` is what an earlier life wrote down, in the order of keys.
    pub fn new(role: Role, whole: bool, left: &[Entry]) -> State {
        let mut state = State {
            books: Allocator::reopen(left),
            role,
            whole,
            first_node: 0,
            settled: !matches!(role, Role::Front(Some(_))),
            named: false,
            servers: BTreeMap::new(),
            last_account: 0,
            refilling: false,
            refill_from_ns: 0,
            last_ticket: 0,
            on_the_way: BTreeMap::new(),
            estates: Vec::new(),
            told: BTreeMap::new(),
            giving: false,
            link: Link::default(),
        };
        for entry in left {
            match *entry {
                Entry::Estate {
                    base,
                    bytes,
                    osnode,
                } => state.estates.push((osnode, base, bytes)),
                Entry::Node(node) => state.first_node = node,
                Entry::Account { number, .. } => {
                    state.last_account = state.last_account.max(number);
                }
                _ => {}
            }
        }
        state.books.promise(OWN, Promise::Beyond(FOR_ITSELF));
        if matches!(role, Role::Front(_)) {
            state.books.promise(SYSTEM, Promise::Beyond(FOR_SYSTEM));
        }
        state
    }

    /// NUMA node of this OSnode's core, or of the server.
    pub fn own_node(&self) -> u8 {
        match self.role {
            Role::Node(node) => node,
            Role::Front(_) => {
                let of_core = self.books.topology.node_of_core(env::core());
                of_core.unwrap_or(self.first_node)
            }
        }
    }
}

/// What the books' refusal is to the asker.
pub fn refusal(e: AllocError) -> ServiceError {
    match e {
        AllocError::BadSize => ServiceError::BadArgument,
        AllocError::Quota(_) => ServiceError::OverLimit,
        AllocError::OutOfMemory(_) => ServiceError::OutOfMemory,
    }
}

/// Cuts a block out of its piece: afterwards each part is a capability of its own, and none covers two.
fn cut_piece(cut: &Cut) -> Result<(Capability, Rest), SysError> {
    let piece = CapAddr(cut.piece.handle);
    if cut.is_whole() {
        return Ok((Capability::from_slot(piece), Rest::default()));
    }
    let part = |offset: u64, bytes: u64| match bytes {
        0 => Ok(None),
        _ => own::retype_one(piece, CapType::Ram, 0, offset, bytes).map(Some),
    };
    let before = part(0, cut.before())?;
    let block = own::retype_one(piece, CapType::Ram, 0, cut.before(), cut.bytes)?;
    let after = part(cut.before() + cut.bytes, cut.after())?;
    invoke::delete(piece)?;
    cap::free_slot(piece);
    let handle = |c: Option<Capability>| c.map_or(0, |c| c.leak().0);
    let rest = Rest {
        before: handle(before),
        after: handle(after),
    };
    Ok((block, rest))
}

impl Service {
    /// Grants RAM: the only capability of it is the client's.
    pub fn grant(
        &self,
        account: u32,
        bytes: u64,
        align: u64,
        node: Option<u8>,
    ) -> Result<(Grant, Capability), ServiceError> {
        let pages = bytes.checked_next_multiple_of(PAGE).filter(|b| *b > 0);
        let bytes = pages.ok_or(ServiceError::BadArgument)?;
        let mut state = self.state.borrow_mut();
        let cut = state.books.plan(account, bytes, align, node);
        let cut = cut.map_err(refusal)?;
        let (ram, rest) = cut_piece(&cut)?;
        // Entered before anybody can give it back.
        let grant = state.books.grant(&cut, account, rest);
        drop(state);
        self.save();
        Ok((grant, ram))
    }

    /// Writes down what changed, before anybody learns of it.
    pub fn save(&self) {
        // While a Frame is made for it, what changes meanwhile is written down the next time.
        let Ok(mut keeper) = self.keeper.try_borrow_mut() else {
            return;
        };
        if keeper.is_open() {
            let changes = self.state.borrow_mut().books.take_changes();
            keeper.enter(&changes);
        }
    }

    /// Writes down what is not in the books of RAM.
    pub fn note(&self, change: Change) {
        if let Ok(mut keeper) = self.keeper.try_borrow_mut() {
            keeper.enter(&[change]);
        }
    }

    /// Makes room for what is to be written down, once there is memory for it.
    pub fn make_room(&self) {
        let has_memory = self.state.borrow().books.free_bytes() > 0;
        if has_memory {
            self.keeper.borrow_mut().make_room();
            self.save();
        }
    }

    /// RAM for the server's own objects. `None` also while the books are in use: whoever needed a slot then gets
    /// an error, nothing worse.
    pub fn own_ram(&self, bytes: u64) -> Option<Capability> {
        let mut state = self.state.try_borrow_mut().ok()?;
        let cut = state.books.plan(OWN, bytes, ALIGN, None);
        // In need a smaller piece is better than none.
        let cut = cut.or_else(|_| state.books.plan(OWN, BLOCK, ALIGN, None));
        let cut = cut.ok()?;
        let (ram, rest) = cut_piece(&cut).ok()?;
        state.books.grant(&cut, OWN, rest);
        drop(state);
        self.save();
        Some(ram)
    }

    /// Takes a block out of the books to be given to another server, of another OSnode if one is named.
    pub fn take_out(&self, cut: &Cut, osnode: Option<u64>) -> Result<Capability, ServiceError> {
        let mut state = self.state.borrow_mut();
        if !state.books.may_go(cut) {
            return Err(ServiceError::OutOfMemory);
        }
        let (ram, rest) = cut_piece(cut)?;
        match osnode {
            Some(osnode) => state.books.lend(cut, rest, osnode),
            None => state.books.send(cut, rest),
        }
        drop(state);
        self.save();
        Ok(ram)
    }

    /// Enters RAM that came; its bytes.
    pub fn take_in(&self, ram: Capability, origin: Origin) -> Result<u64, ServiceError> {
        self.enter(ram, |books, piece| books.add(piece, origin))
    }

    /// Enters what came back: RAM that nobody has any more, whoever had it.
    pub fn collect(&self) {
        let Some(returns) = &self.returns else { return };
        while let Some(ram) = returns.next() {
            if let Err(e) = self.take_back(ram) {
                rt::println!("mem: RAM that came back is lost: {e}");
            }
        }
    }

    /// Enters RAM that nobody has any more, whoever had it; its bytes.
    pub fn take_back(&self, ram: Capability) -> Result<u64, ServiceError> {
        self.enter(ram, Allocator::returned)
    }

    fn enter(
        &self,
        ram: Capability,
        how: impl FnOnce(&mut Allocator, Piece) -> Result<(), AllocError>,
    ) -> Result<u64, ServiceError> {
        let id = invoke::identify(ram.addr())?;
        if id.cap.kind != CapType::Ram {
            return Err(ServiceError::NoCapability);
        }
        let piece = Piece {
            base: id.cap.base.0,
            size: id.cap.size,
            handle: ram.addr().0,
        };
        let entered = how(&mut self.state.borrow_mut().books, piece);
        entered.map_err(|_| ServiceError::BadArgument)?;
        self.save();
        ram.leak();
        self.merge(piece.base);
        Ok(piece.size)
    }

    /// Merges a piece with its neighbours. What somebody else still covers stays apart for now.
    pub fn merge(&self, base: u64) {
        let mut at = base;
        loop {
            let next = self.state.borrow().books.neighbours(at);
            let Some((first, second)) = next else { return };
            let (a, b) = (CapAddr(first.handle), CapAddr(second.handle));
            if invoke::merge(a, b).is_err() {
                return;
            }
            cap::free_slot(b);
            let books = &mut self.state.borrow_mut().books;
            books.joined(first.base, second.base);
            at = first.base;
        }
    }

    /// Merges what could not be merged when it came.
    pub fn merge_all(&self) {
        let all: Vec<u64> = self.state.borrow().books.free().map(|p| p.base).collect();
        for base in all {
            self.merge(base);
        }
    }

    /// Whether each free piece is what its capability says.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let state = self.state.borrow();
        state.books.check_invariants()?;
        for piece in state.books.free() {
            match invoke::identify(CapAddr(piece.handle)) {
                Ok(id)
                    if id.cap.kind == CapType::Ram
                        && (id.cap.base.0, id.cap.size) == (piece.base, piece.size) => {}
                _ => return Err("RAM-CAPABILITY: a piece is not what its capability says"),
            }
        }
        Ok(())
    }
}
