//! Frames of this process as physical memory.

use alloc::vec::Vec;

use capfmt::{PhysAddr, PhysMap};
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, SysError};

/// One mapped range.
struct Pane {
    base: u64,
    /// Bytes that are mapped.
    bytes: u64,
    /// Bytes that the Frame has.
    covered: u64,
    mapped: Mapped,
}

/// Mapped Frames, addressed physically.
#[derive(Default)]
pub struct Window {
    panes: Vec<Pane>,
}

impl Window {
    /// Nothing is mapped.
    #[must_use]
    pub const fn new() -> Window {
        Window { panes: Vec::new() }
    }

    /// Maps the first `bytes` of the Frame at `base`, which has `covered` bytes.
    ///
    /// # Errors
    /// As [`vspace::map`].
    pub fn add(
        &mut self,
        frame: CapAddr,
        base: u64,
        bytes: u64,
        covered: u64,
    ) -> Result<(), SysError> {
        let mapped = vspace::map(frame, 0, bytes, Access::ReadWrite)?;
        self.panes.push(Pane {
            base,
            bytes,
            covered,
            mapped,
        });
        Ok(())
    }

    /// Unmaps what was added with this base.
    pub fn remove(&mut self, base: u64) {
        self.panes.retain(|p| p.base != base);
    }

    /// Makes written code visible to instruction fetch.
    pub fn publish(&self, at: PhysAddr, bytes: u64) {
        let (pane, offset) = self.find(at, bytes);
        pane.mapped.sync_code(offset, bytes);
    }

    /// The pane that has these bytes, and their offset in it.
    fn find(&self, at: PhysAddr, bytes: u64) -> (&Pane, u64) {
        let inside = |p: &&Pane| at.0 >= p.base && at.0 - p.base + bytes <= p.bytes;
        let pane = self.panes.iter().find(inside);
        let pane = pane.unwrap_or_else(|| panic!("{:#x} is not mapped here", at.0));
        (pane, at.0 - pane.base)
    }
}

impl PhysMap for Window {
    fn load(&self, at: PhysAddr) -> u64 {
        let (pane, offset) = self.find(at, 8);
        pane.mapped.load(offset)
    }
    fn store(&mut self, at: PhysAddr, value: u64) {
        let (pane, offset) = self.find(at, 8);
        pane.mapped.store(offset, value);
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let (pane, offset) = self.find(at, 8);
        pane.mapped.compare_exchange(offset, old, new)
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        let inside = |p: &Pane| at.0 >= p.base && at.0 - p.base + len <= p.covered;
        self.panes.iter().any(inside)
    }
    fn zero(&mut self, at: PhysAddr, len: u64) {
        if len > 0 {
            let (pane, offset) = self.find(at, len);
            pane.mapped.zero(offset, len);
        }
    }
    fn fill(&mut self, at: PhysAddr, len: u64, word: u64) {
        if len > 0 {
            let (pane, offset) = self.find(at, len);
            pane.mapped.fill(offset, len, word);
        }
    }
    fn write_bytes(&mut self, at: PhysAddr, bytes: &[u8]) {
        if !bytes.is_empty() {
            let (pane, offset) = self.find(at, bytes.len() as u64);
            pane.mapped.write(offset, bytes);
        }
    }
}
