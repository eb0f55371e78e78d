//! Interrupts: the local APIC of this core, and the sources behind the IO-APIC.
//!
//! A source that fired stays closed until it is acknowledged; what that means for level and edge
//! is [`Sources`]' part. Here is the hardware.

use arch_x86::apic::{
    Command, IRQ_SOURCES, IoApic, Lapic, Redirection, VECTOR_FORCE, VECTOR_IRQ, VECTOR_NOTIFY,
    VECTOR_SPURIOUS, VECTOR_STOP, VECTOR_TIMER, VECTOR_WAKE,
};
use arch_x86::barrier;
use arch_x86::sources::Sources;
use capfmt::{PhysAddr, PhysMap};

/// What an interrupt means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// Nothing (spurious, or an edge of a closed source).
    None,
    /// Wake-up without meaning.
    Wake,
    /// Timer.
    Timer,
    /// Notification.
    Notify,
    /// Command on the home line.
    Stop,
    /// An NMI that came at a bad moment.
    Force,
    /// Source with this number.
    Device(u64),
}

/// Turns of the loop after which the lock's holder is taken for dead: it holds the lock for
/// a few instructions, with interrupts off.
const PATIENCE: u32 = 10_000_000;

/// How the IO-APIC is reached, and by whom.
#[derive(Debug)]
pub struct IoApicPlace {
    /// Virtual address of its registers.
    pub registers: u64,
    /// Word that locks it for all cores (hardware id plus one of the holder).
    pub lock: PhysAddr,
    /// Cross-core spins must pause.
    pub pause: bool,
}

/// The controller as this core sees it.
#[derive(Debug)]
pub struct Controller {
    apic: Lapic,
    place: Option<IoApicPlace>,
    id: u64,
    sources: Sources,
}

impl Controller {
    /// Nothing is routed here. `place` = the IO-APIC, if there is one.
    pub fn new(apic: Lapic, place: Option<IoApicPlace>) -> Controller {
        Controller {
            apic,
            place,
            id: u64::from(apic.id()),
            sources: Sources::default(),
        }
    }

    /// What the interrupt with this vector means; ends it.
    pub fn take(&mut self, m: &mut impl PhysMap, vector: u64) -> Interrupt {
        let meaning = match vector as u8 {
            VECTOR_SPURIOUS => return Interrupt::None,
            VECTOR_NOTIFY => Interrupt::Notify,
            VECTOR_STOP => Interrupt::Stop,
            VECTOR_WAKE => Interrupt::Wake,
            VECTOR_TIMER => Interrupt::Timer,
            VECTOR_FORCE => Interrupt::Force,
            v @ VECTOR_IRQ..VECTOR_NOTIFY => self.fired(m, u64::from(v - VECTOR_IRQ)),
            _ => Interrupt::None,
        };
        self.apic.end_of_interrupt();
        meaning
    }

    fn fired(&mut self, m: &mut impl PhysMap, source: u64) -> Interrupt {
        if Redirection::is_level(source) {
            self.program(m, source, true);
        }
        match self.sources.fired(source) {
            true => Interrupt::Device(source),
            false => Interrupt::None,
        }
    }

    /// Routes `source` here and lets it fire. Whether there is such a source.
    pub fn unmask(&mut self, m: &mut impl PhysMap, source: u64) -> bool {
        if source >= IRQ_SOURCES {
            return false;
        }
        if self.sources.is_to_be_routed(source) && !self.program(m, source, false) {
            return false;
        }
        if self.sources.open(source) {
            // To oneself a command is always accepted.
            let _ = self
                .apic
                .send(Command::Fixed(VECTOR_IRQ + source as u8), self.id);
        }
        true
    }

    /// Keeps `source` from firing.
    pub fn mask(&mut self, m: &mut impl PhysMap, source: u64) {
        if source >= IRQ_SOURCES {
            return;
        }
        self.sources.close(source);
        if Redirection::is_level(source) {
            self.program(m, source, true);
        }
    }

    /// Takes every source away from this core.
    pub fn quiesce(&mut self, m: &mut impl PhysMap) {
        for source in self.sources.take_routed() {
            self.program(m, source, true);
        }
    }

    /// Sends a command to another core. Whether it was accepted.
    pub fn send(&self, command: Command, destination: u64) -> bool {
        self.apic.send(command, destination)
    }

    /// Writes the redirection entry of `source`. Whether there is one.
    fn program(&self, m: &mut impl PhysMap, source: u64, masked: bool) -> bool {
        let Some(place) = &self.place else {
            return false;
        };
        let mine = self.id + 1;
        place.acquire(m, mine);
        // SAFETY: mapped there by whoever made the Core object; the lock is held.
        let ioapic = unsafe { IoApic::at(place.registers) };
        let exists = source < u64::from(ioapic.pins());
        if exists {
            let entry = Redirection {
                vector: VECTOR_IRQ + source as u8,
                destination: self.id as u8,
                level: Redirection::is_level(source),
                masked,
            };
            ioapic.set(source as u32, entry);
        }
        place.release(m, mine);
        exists
    }
}

impl IoApicPlace {
    fn acquire(&self, m: &mut impl PhysMap, mine: u64) {
        let mut turns = 0;
        loop {
            match m.compare_exchange(self.lock, 0, mine) {
                Ok(()) => return,
                Err(holder) if turns >= PATIENCE => {
                    // A kernel that died with the lock: whoever comes first takes it over.
                    if m.compare_exchange(self.lock, holder, mine).is_ok() {
                        return;
                    }
                    turns = 0;
                }
                Err(_) => turns += 1,
            }
            barrier::spin(self.pause);
        }
    }

    fn release(&self, m: &mut impl PhysMap, mine: u64) {
        // It fails only if the lock was taken over, and then it is not ours to free.
        let _ = m.compare_exchange(self.lock, mine, 0);
    }
}
