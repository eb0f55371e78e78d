//! What a step asks for, chosen among what there is.

use abi::{CapAddr, slots};
use capfmt::{Cap, CapType};
use model::space::Call;
use proptest::prelude::*;

use super::{Pair, Scale};

/// What a step does; its numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    what: u8,
    from: u32,
    to: u32,
    root: u8,
    a: u32,
    b: u32,
    c: u32,
}

pub fn step() -> impl Strategy<Value = Step> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>());
    (0_u8..100, any::<u32>(), any::<u32>(), any::<u8>(), numbers).prop_map(
        |(what, from, to, root, (a, b, c))| Step {
            what,
            from,
            to,
            root,
            a,
            b,
            c,
        },
    )
}

/// What retypes are about; Mapping is not made so.
const MADE: [CapType; 17] = {
    use CapType::*;
    [
        Ram,
        Ram,
        Frame,
        Frame,
        CNode,
        CNode,
        VNode,
        VNode,
        VNode,
        Dispatcher,
        UmpEndpoint,
        Notification,
        DevFrame,
        PhysAddr,
        IrqSource,
        IoPort,
        Mapping,
    ]
};

/// Root slots where CNodes are put, to be found by address.
const ROOTS: std::ops::Range<u32> = 3..7;
/// Capabilities of the first process that steps may use; what it runs on they leave alone.
const GIVEN: [CapAddr; 7] = [
    slots::RAM,
    slots::RAM,
    slots::SELF_ENDPOINT,
    slots::NOTIFICATION,
    slots::IRQ_SOURCES,
    slots::IO_PORTS,
    slots::DEVICES,
];

fn number(a: CapAddr) -> u64 {
    u64::from(a.0)
}

/// All addresses that steps speak of.
pub fn addresses(scale: Scale) -> Vec<u64> {
    let free = (0..scale.slots).map(|n| CapAddr::new(1, n));
    let roots = ROOTS.map(CapAddr::root);
    let inner = ROOTS.flat_map(|r| (0..16).map(move |n| CapAddr::new(r, n)));
    GIVEN
        .into_iter()
        .chain(free)
        .chain(roots)
        .chain(inner)
        .map(number)
        .collect()
}

impl Pair {
    /// An address: mostly of a capability of one of these types.
    fn used(&self, choice: u32, kinds: &[CapType]) -> u64 {
        self.fitting(choice, |cap| kinds.is_empty() || kinds.contains(&cap.kind))
    }

    /// An address: mostly of a capability that fits.
    fn fitting(&self, choice: u32, fits: impl Fn(&Cap) -> bool) -> u64 {
        let fits = |a: &&u64| self.model.at(**a).is_some_and(|(_, cap)| fits(&cap));
        let fitting: Vec<u64> = self.pool.iter().filter(fits).copied().collect();
        self.one_of(choice, &fitting)
    }

    fn free(&self, choice: u32) -> u64 {
        let free = self.pool.iter().filter(|a| self.model.is_empty(**a));
        self.one_of(choice, &free.copied().collect::<Vec<_>>())
    }

    /// One of them, or now and then any address.
    fn one_of(&self, choice: u32, some: &[u64]) -> u64 {
        let (way, which) = (choice >> 27, choice as usize & 0xff_ffff);
        match way {
            // No CNode of the caller's own: what it runs on stays.
            31 => u64::from(0x200 | choice & 0x1ff) | u64::from(choice & 0x700) << 24,
            _ if some.is_empty() || way >= 29 => self.pool[which % self.pool.len()],
            _ => some[which % some.len()],
        }
    }

    /// The CNode that addresses are looked up in.
    fn root(&self, choice: u8) -> u64 {
        match choice {
            0..=229 => number(slots::ROOT_CNODE),
            _ => self.used(u32::from(choice), &[CapType::CNode]),
        }
    }

    /// What this step asks for, now.
    pub fn call(&self, s: &Step) -> Call {
        let root = self.root(s.root);
        let dispatchers = [CapType::Dispatcher];
        match s.what {
            0..4 => Call::Identify {
                cap: self.used(s.from, &[]),
            },
            4..16 => self.copy(s, root),
            16..21 => Call::Move {
                root,
                from: self.expendable(s.from),
                to: self.free(s.to),
            },
            21..29 => Call::Delete {
                root,
                at: self.expendable(s.from),
            },
            29..32 => Call::Revoke {
                root,
                at: self.used(s.from, &[]),
            },
            32..62 => self.retype(s, root),
            62..84 => self.map(s),
            84..87 => Call::Unmap {
                mapping: self.used(s.from, &[CapType::Mapping]),
            },
            87..91 => Call::Protect {
                mapping: self.used(s.from, &[CapType::Mapping]),
                rights: u64::from(s.a % 17),
            },
            91..94 => Call::EndpointOpen {
                dispatcher: self.used(s.from, &dispatchers),
                index: u64::from(s.a % 34),
                to: self.free(s.to),
            },
            94..97 => Call::NotifyMint {
                page: self.used(s.from, &[CapType::Notification]),
                channel: u64::from(s.a % 4200),
                to: self.free(s.to),
            },
            _ => Call::IrqMint {
                sources: self.used(s.from, &[CapType::IrqSource]),
                source: u64::from(s.a % 100),
                to: self.free(s.to),
            },
        }
    }

    /// A capability that is made here, not given.
    fn expendable(&self, choice: u32) -> u64 {
        let given = GIVEN.map(number);
        let used = |a: &&u64| !given.contains(a) && self.model.at(**a).is_some();
        let some: Vec<u64> = self.pool.iter().filter(used).copied().collect();
        self.one_of(choice, &some)
    }

    fn copy(&self, s: &Step, root: u64) -> Call {
        let how = match s.a % 16 {
            0 => u64::from(s.b % 0x400),
            1..3 => u64::from(s.b % 16),
            3..5 => 0x10f,
            _ => 15,
        };
        let kinds: &[CapType] = match s.a % 16 {
            3..5 => &[CapType::Endpoint],
            5..9 => &[CapType::CNode],
            _ => &[],
        };
        // CNodes are put where they can be used.
        let to = match s.c % 4 {
            0 => number(CapAddr::root(ROOTS.start + s.to % ROOTS.len() as u32)),
            _ => self.free(s.to),
        };
        Call::Copy {
            root,
            from: self.used(s.from, kinds),
            to,
            how,
            badge: u64::from(s.c) << (s.b % 9),
        }
    }

    fn retype(&self, s: &Step, root: u64) -> Call {
        use CapType::*;
        let kind = MADE[s.a as usize % MADE.len()];
        let from = match kind {
            DevFrame | PhysAddr => self.used(s.from, &[PhysAddr, DevFrame]),
            IrqSource | IoPort => self.used(s.from, &[kind]),
            Frame if s.b.is_multiple_of(4) => self.used(s.from, &[Frame]),
            _ if s.b % 32 == 1 => self.used(s.from, &[]),
            _ => self.used(s.from, &[Ram]),
        };
        let param = match kind {
            CNode => u64::from(s.b % 64 % 10).min(5 + u64::from(s.c.is_multiple_of(16)) * 5),
            VNode => [0, 0, 0, 1, 0, 2, 1, 3, 0, 0, 4][(s.b % 64 % 11) as usize],
            _ => u64::from(s.b % 64 / 63),
        };
        let numbers = matches!(kind, IrqSource | IoPort);
        let pages = u64::from(s.c % 32).saturating_sub(15).max(1);
        let size = match s.c >> 8 & 63 {
            0 => u64::from(s.c >> 16),
            1 => 0,
            2 => 0x20_0000,
            _ if numbers => pages,
            _ => 4096 * pages,
        };
        let room = self.model.at(from).map_or(1 << 20, |(_, cap)| cap.size);
        let grain = if numbers { 1 } else { 4096 };
        let units = (room / grain).clamp(1, 4096);
        let offset = match s.c >> 14 & 31 {
            0 => u64::from(s.b),
            _ => {
                let align = match kind {
                    _ if numbers => 1,
                    VNode => 2,
                    _ if size == 0x20_0000 => 512,
                    CNode => 1 << param.saturating_sub(6),
                    _ => 1,
                };
                grain * (u64::from(s.b >> 8) % units / align * align)
            }
        };
        let count = match s.to >> 24 & 7 {
            0 => u64::from(s.to >> 16 & 0xff) % (self.scale.most + 1),
            1 => self.scale.most,
            _ => 1,
        };
        Call::Retype {
            from,
            offset,
            what: kind as u64 | param << 8,
            size,
            count,
            root,
            to: self.free(s.to),
        }
    }

    fn map(&self, s: &Step) -> Call {
        use CapType::*;
        let link = s.a.is_multiple_of(4);
        let table = self.fitting(s.from, |cap| cap.kind == VNode && (cap.param == 0) != link);
        let level = self.model.at(table).map_or(0, |(_, cap)| cap.param);
        let what = self.fitting(s.c, |cap| match s.a % 4 {
            0 => cap.kind == VNode && cap.param + 1 == level,
            1 => matches!(cap.kind, DevFrame | UmpEndpoint),
            _ => cap.kind == Frame,
        });
        let rights = [1, 3, 3, 5, 1, 7, 11, 0][(s.b % 8) as usize] | u64::from(s.b % 99 / 98) << 4;
        let count = if link {
            1
        } else {
            1 + (u64::from(s.b >> 8) % 8).saturating_sub(4)
        };
        let uncached = u64::from(s.b >> 16 & 15).saturating_sub(13);
        Call::Map {
            table,
            what,
            first: u64::from(s.a >> 8) % 516 / (1 + u64::from(s.a >> 20 & 1) * 128),
            offset: if link || s.a >> 24 & 3 != 0 {
                0
            } else {
                4096 * u64::from(s.a >> 26)
            },
            how: count | rights << 32 | uncached << 40,
            to: self.free(s.to),
        }
    }
}
