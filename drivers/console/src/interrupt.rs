//! Ctrl-C while nobody reads: it is for what runs, not for the next line.

use alloc::collections::VecDeque;

/// Ctrl-C.
const INTERRUPT: u8 = 0x03;

/// Takes the first Ctrl-C away, with all keys typed before it, as terminals do: they were typed for
/// what is given up. Whether there was one.
pub fn take_interrupt(keys: &mut VecDeque<u8>) -> bool {
    let at = keys.iter().position(|key| *key == INTERRUPT);
    if let Some(at) = at {
        keys.drain(..=at);
    }
    at.is_some()
}
