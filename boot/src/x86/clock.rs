//! How fast counter and timer run: measured once against the PIT, for everybody.
//!
//! Channel 2 of the 8254 (1,193,182 Hz) is read in a loop. An interval goes from
//! one change of its count to another, and the counter is known at both to
//! within one turn of the loop; an interval with a long turn at an end (the
//! processor was taken away) is measured again.

use arch_x86::apic::{Lapic, register};
use arch_x86::registers::counter;
use x86_64::instructions::port::Port;

const PIT_HZ: u64 = 1_193_182;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
const GATE: u16 = 0x61;
/// Count down from 65536 again and again (mode 2), low byte then high byte.
const CHANNEL_2_RATE: u8 = 0xb4;
const LATCH_2: u8 = 0x80;
/// PIT ticks of an interval: two milliseconds.
const INTERVAL: u16 = 2386;
/// An interval is good when its ends are known to this part of it.
const PRECISION: u64 = 2048;
const TRIES: u32 = 10;

/// Frequencies in Hz.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Time-stamp counter.
    pub counter_hz: u64,
    /// Local APIC timer, divider 1.
    pub timer_hz: u64,
}

fn out(port: u16, value: u8) {
    // SAFETY: called with ports of the PIT only; the loader is alone on the machine.
    unsafe { Port::new(port).write(value) }
}

fn inp(port: u16) -> u8 {
    // SAFETY: as in `out`.
    unsafe { Port::new(port).read() }
}

fn pit() -> u16 {
    out(COMMAND, LATCH_2);
    let low = inp(CHANNEL_2);
    u16::from_le_bytes([low, inp(CHANNEL_2)])
}

/// A change of the PIT's count.
#[derive(Clone, Copy)]
struct Edge {
    count: u16,
    counter: u64,
    timer: u32,
    /// Counter ticks within which the change happened.
    doubt: u64,
}

/// The first change of the count at least `ticks` after `from`.
fn edge(apic: Lapic, from: u16, ticks: u16) -> Edge {
    let mut before = counter();
    let mut last = pit();
    loop {
        let at = counter();
        let count = pit();
        if count != last && from.wrapping_sub(count) >= ticks {
            let after = counter();
            return Edge {
                count,
                counter: at,
                timer: apic.read(register::CURRENT_COUNT),
                doubt: after - before,
            };
        }
        last = count;
        before = at;
    }
}

/// Measures both frequencies. The timer is stopped afterwards.
pub fn measure(apic: Lapic) -> Clock {
    // Gate on, speaker off.
    out(GATE, inp(GATE) & !2 | 1);
    out(COMMAND, CHANNEL_2_RATE);
    out(CHANNEL_2, 0);
    out(CHANNEL_2, 0);
    apic.timer_setup();
    let mut best: Option<(u64, Clock)> = None;
    for _ in 0..TRIES {
        apic.timer_start(u32::MAX);
        let start = edge(apic, pit(), 0);
        let end = edge(apic, start.count, INTERVAL);
        let pit_ticks = u64::from(start.count.wrapping_sub(end.count));
        let ticks = end.counter - start.counter;
        let timer = u64::from(start.timer.wrapping_sub(end.timer));
        let doubt = (start.doubt + end.doubt) * PRECISION / ticks.max(1);
        let clock = Clock {
            counter_hz: ticks * PIT_HZ / pit_ticks,
            timer_hz: timer * PIT_HZ / pit_ticks,
        };
        if best.is_none_or(|(least, _)| doubt < least) {
            best = Some((doubt, clock));
        }
        if doubt <= 1 {
            break;
        }
    }
    apic.timer_off();
    best.map_or(
        Clock {
            counter_hz: 1_000_000_000,
            timer_hz: 1_000_000_000,
        },
        |(_, clock)| clock,
    )
}
