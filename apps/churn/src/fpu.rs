//! Floating-point work whose result is known beforehand.
//!
//! Twelve values are carried through many rounds of multiply, add and divide, so
//! that the compiler keeps them in vector registers; a register that a kernel
//! loses, mixes up or rounds differently changes the result's bits. Only
//! operations that IEEE 754 defines exactly are used: both ISAs and the host agree.

/// Values live at once.
pub const LANES: usize = 12;
/// Rounds of one piece of work: long enough to be preempted in.
pub const ROUNDS: u32 = 20_000;

/// Carries the values through `rounds` rounds, starting from `seed`.
#[must_use]
#[inline(never)]
pub fn work(seed: f64, rounds: u32) -> [u64; LANES] {
    let mut v = [0.0f64; LANES];
    let mut start = seed;
    for lane in &mut v {
        start += 0.618_033_988_749_894_9;
        *lane = start;
    }
    for _ in 0..rounds {
        let carry = v[LANES - 1];
        for lane in (1..LANES).rev() {
            v[lane] = (v[lane] * 0.75 + v[lane - 1] * 0.2) + 1.0 / (2.0 + v[lane]);
        }
        v[0] = v[0] * 0.5 + carry * 0.45 + 0.125;
    }
    v.map(f64::to_bits)
}

/// Sums the bits up into one word.
#[must_use]
pub fn digest(bits: [u64; LANES]) -> u64 {
    bits.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ b).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
    })
}

/// Digest of [`work`] with seed `k` (0–3) and [`ROUNDS`] rounds, computed on a host.
pub const EXPECTED: [u64; 4] = [
    0xba53_a97d_34d4_5bb8,
    0xba53_a97d_34d4_5bb8,
    0xba53_a97d_34d4_5bb8,
    0xba53_a97d_34d4_5bb8,
];
