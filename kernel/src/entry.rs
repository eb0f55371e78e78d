//! What every part of one kernel entry works with.

use abi::{SysError, disp};
use capfmt::undo::Transaction;
use capfmt::{Cap, Dcb, Kcb, PhysAddr, PhysMap};

use crate::osnode::Current;
use crate::{Effect, Machine, Osnode, Policy};

/// One kernel entry in progress.
pub(crate) struct Entry<'a, M: Machine, P: Policy> {
    pub os: &'a mut Osnode<P>,
    pub m: &'a mut M,
    /// The dispatcher and save area whose registers the entry code saved; the live
    /// FPU registers are its too.
    pub saved: Option<Saved>,
    /// Started a long operation in this entry: gets the core back if that ends at once.
    pub requester: Option<Current>,
    counter: Option<u64>,
}

/// Whose registers were live when the kernel was entered.
#[derive(Clone, Copy)]
pub(crate) struct Saved {
    pub dcb: Dcb,
    pub page: PhysAddr,
    pub area: PhysAddr,
}

/// The dispatcher whose system call is carried out.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    pub dcb: Dcb,
    pub page: PhysAddr,
    pub area: PhysAddr,
}

impl Caller {
    /// Argument `i` (r0–r7) of its system call.
    #[inline]
    pub fn reg<M: Machine>(&self, m: &M, i: usize) -> u64 {
        m.load_at(self.area, M::SYSCALL_REGS[i])
    }
}

/// Why a system call does not complete now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Refused: the number goes to r0.
    Refused(SysError),
    /// A long operation is in the way: the caller waits for its end and repeats the call.
    Busy,
    /// A long operation was started for the caller, which repeats the call when that has ended.
    Started,
    /// Other OSnodes know this object: the caller waits until the monitor has decided.
    Monitor(Cap),
}

impl From<SysError> for Stop {
    #[inline]
    fn from(e: SysError) -> Stop {
        Stop::Refused(e)
    }
}

/// Result of what may be refused or have to wait.
pub(crate) type Res<T = ()> = Result<T, Stop>;

/// Shorthand for refusing.
#[inline]
pub(crate) fn refuse<T>(e: SysError) -> Res<T> {
    Err(Stop::Refused(e))
}

impl<'a, M: Machine, P: Policy> Entry<'a, M, P> {
    pub fn new(os: &'a mut Osnode<P>, m: &'a mut M) -> Self {
        Entry {
            os,
            m,
            saved: None,
            requester: None,
            counter: None,
        }
    }

    #[inline]
    pub fn kcb(&self) -> Kcb {
        self.os.kcb
    }

    /// The hardware counter, read once per entry.
    #[inline]
    pub fn counter(&mut self) -> u64 {
        match self.counter {
            Some(c) => c,
            None => {
                let c = self.m.counter();
                self.counter = Some(c);
                c
            }
        }
    }

    /// OSnode time.
    #[inline]
    pub fn now_ns(&mut self) -> u64 {
        let counter = self.counter();
        self.os.clock.now_ns(counter)
    }

    /// Opens a transaction on the OSnode.
    #[inline]
    pub fn begin(&mut self) -> Transaction<'_, M> {
        Transaction::begin(self.m, self.os.kcb)
    }

    /// Ends a system call that changed nothing that must be logged: r0 = 0, results from r1 on.
    #[inline]
    pub fn reply(&mut self, c: &Caller, results: &[u64]) {
        write_results(self.m, c.area, results);
        self.os.kcb.set_current_dcb(self.m, c.dcb.0.0);
    }

    /// Ends a system call whose effects must reach the hardware: should the kernel die before that, the
    /// caller is told that its call was lost (every effect can be asked for again).
    pub fn reply_with_effect(&mut self, c: &Caller, effect: Effect, results: &[u64]) {
        write_results(self.m, c.area, results);
        let word = c.dcb.0.0 | Kcb::IN_EFFECTS;
        self.os.kcb.set_current_dcb(self.m, word);
        self.os.in_effects = true;
        self.os.effects.push(effect);
    }
}

/// Commits a system call: r0 = 0, results from r1 on, and the caller is in no call any more.
#[inline]
pub(crate) fn commit<M: Machine>(mut t: Transaction<'_, M>, c: &Caller, results: &[u64]) {
    write_results(t.inner_mut(), c.area, results);
    let kcb = t.kcb();
    kcb.set_current_dcb(&mut t, c.dcb.0.0);
    t.commit();
}

/// Writes r0 = 0 and the results from r1 on into a save area.
#[inline]
pub(crate) fn write_results<M: Machine>(m: &mut M, area: PhysAddr, results: &[u64]) {
    m.store_at(area, M::SYSCALL_REGS[0], 0);
    for (i, w) in results.iter().enumerate() {
        m.store_at(area, M::SYSCALL_REGS[1 + i], *w);
    }
}

/// The save area that the dispatcher page names: the disabled one while upcalls are off.
#[inline]
pub(crate) fn live_area(m: &impl PhysMap, page: PhysAddr) -> PhysAddr {
    if m.load_at(page, disp::DISABLED) == 0 {
        page.add(disp::ENABLED_AREA)
    } else {
        page.add(disp::DISABLED_AREA)
    }
}
