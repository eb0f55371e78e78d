//! The books in CNodes and a Frame that the monitor keeps for the next life.

use alloc::format;
use alloc::vec::Vec;

use abi::slots;
use capfmt::Rights;
use journal::{Counters, Note};
use proto::{Name, PeerError};
use rt::cap::{CNODE_SLOTS, Mount};
use rt::keeper::{Keeper, Left};
use rt::{CapAddr, SysError, env, invoke, mem, process};
use spawn::Custody;

/// Most CNodes: more than 3,000 processes have room in them.
const MOST: usize = 56;

/// CNodes and Frame.
pub struct Ledger {
    cnodes: Vec<Mount>,
    keeper: Keeper,
}

fn name(number: usize) -> Name {
    Name::truncated(&format!("ledger.{number}"))
}

impl Ledger {
    /// What a former life left: the ledger, how many slots it has, and what the journal says.
    ///
    /// # Errors
    /// A CNode cannot be addressed.
    pub fn open() -> Result<(Ledger, u32, Option<Left>), SysError> {
        let (keeper, left) = Keeper::open();
        let given = (0..MOST).map_while(|number| env::given(name(number).as_str()));
        let cnodes = given.map(Mount::of).collect::<Result<Vec<_>, _>>()?;
        let slots = cnodes.len() as u32 * CNODE_SLOTS;
        Ok((Ledger { cnodes, keeper }, slots, left))
    }

    /// Where a slot is.
    pub fn at(&self, slot: u32) -> CapAddr {
        let cnode = self.cnodes.get((slot / CNODE_SLOTS) as usize);
        cnode.map_or(CapAddr::NULL, |cnode| cnode.at(CapAddr(slot)))
    }

    /// What the next life would read now.
    pub fn read(&self) -> Vec<Note> {
        self.keeper.read().map_or_else(Vec::new, |(notes, _)| notes)
    }

    fn add(&mut self) -> Result<(), PeerError> {
        let cnode = mem::alloc_cnode()?;
        let mount = Mount::of(cnode.addr())?;
        process::keep(name(self.cnodes.len()), cnode.addr())?;
        self.cnodes.push(mount);
        Ok(())
    }
}

impl Custody for Ledger {
    type Cap = CapAddr;
    type Error = SysError;

    fn grow(&mut self) -> Option<u32> {
        if self.cnodes.len() == MOST {
            return None;
        }
        if let Err(e) = self.add() {
            rt::println!("spawn: no memory for its ledger: {e}");
        }
        Some(self.cnodes.len() as u32 * CNODE_SLOTS)
    }

    fn put(&mut self, cap: &CapAddr, slot: u32) -> Result<(), SysError> {
        let to = self.at(slot);
        invoke::cnode_copy(slots::ROOT_CNODE, *cap, to, Rights::ALL, None)
    }

    fn delete(&mut self, slot: u32) -> bool {
        match invoke::delete(self.at(slot)) {
            Ok(()) | Err(SysError::NoCapability) => true,
            // It stays, and goes with whatever it was made of.
            Err(e) => {
                let text = e.message();
                rt::println!("spawn: slot {slot} of its ledger is not empty: {text}");
                false
            }
        }
    }

    fn revoke(&mut self, slot: u32) {
        match invoke::revoke(self.at(slot)) {
            Ok(()) | Err(SysError::NoCapability) => {}
            Err(e) => rt::println!("spawn: what is left of a process stays: {}", e.message()),
        }
    }

    fn write(&mut self, notes: &[Note], counters: Counters, all: &dyn Fn() -> Vec<Note>) {
        self.keeper.add(notes, counters, all);
    }
}
