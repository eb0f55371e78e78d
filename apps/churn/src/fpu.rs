//! Floating-point work whose result is known beforehand.
//!
//! Twelve values are carried through many rounds of coupled logistic maps, so that
//! the compiler keeps them in vector registers. The maps are chaotic: one bit that a
//! kernel loses, mixes up or rounds differently changes all bits of the result. Only
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
    let mut start = 0.1 + seed * 0.01;
    for lane in &mut v {
        start += 0.061_803_398_874_989_5;
        *lane = start;
    }
    let map = |x: f64| 3.97 * x * (1.0 - x);
    for _ in 0..rounds {
        let carry = v[LANES - 1];
        for lane in (1..LANES).rev() {
            v[lane] = 0.94 * map(v[lane]) + 0.06 * map(v[lane - 1]);
        }
        v[0] = 0.94 * map(v[0]) + 0.06 / (1.0 + carry);
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
    0x8c9a_1e16_52e3_ba05,
    0x48e4_d70d_b1f9_937f,
    0xef7d_1fdf_b44d_8375,
    0x21f6_4609_65ee_e130,
];
