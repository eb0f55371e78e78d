//! Segments, gates and the task state segment (SDM vol. 3A, 3.4.5, 6.14, 8.7).
//!
//! Every table of Nekton has the same order of segments, which SYSCALL and
//! SYSRET ask for: kernel code, kernel data; (unused), user data, user code.

/// Kernel code.
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel data.
pub const KERNEL_DATA: u16 = 0x10;
/// User data, with its privilege level.
pub const USER_DATA: u16 = 0x23;
/// User code, with its privilege level.
pub const USER_CODE: u16 = 0x2b;
/// The task state segment.
pub const TSS: u16 = 0x30;
/// Words of a table: six segments and the two words of the TSS.
pub const GDT_WORDS: usize = 8;
/// Bytes of a task state segment without port bitmap.
pub const TSS_BYTES: usize = 104;
/// `IA32_STAR`: kernel segments from [`KERNEL_CODE`] on, user segments from 0x18 on (SDM vol. 3A, 5.8.8).
pub const STAR: u64 = (KERNEL_CODE as u64) << 32 | 0x1b << 48;

/// Segments with the accessed bit set: the processor never writes the table, but for the TSS's busy bit.
#[must_use]
pub const fn gdt(tss: u64) -> [u64; GDT_WORDS] {
    let [low, high] = tss_descriptor(tss);
    [
        0,
        0x0020_9b00_0000_0000,
        0x0000_9300_0000_0000,
        0,
        0x0000_f300_0000_0000,
        0x0020_fb00_0000_0000,
        low,
        high,
    ]
}

/// The two words of an available 64-bit TSS at `base`.
#[must_use]
pub const fn tss_descriptor(base: u64) -> [u64; 2] {
    let limit = TSS_BYTES as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

/// A task state segment: stacks only, no port bitmap.
#[must_use]
pub fn tss(rsp0: u64, ist: [u64; 7]) -> [u8; TSS_BYTES] {
    let mut out = [0; TSS_BYTES];
    let mut put = |at: usize, v: u64| out[at..at + 8].copy_from_slice(&v.to_le_bytes());
    put(4, rsp0);
    for (i, stack) in ist.into_iter().enumerate() {
        put(36 + 8 * i, stack);
    }
    out[102..104].copy_from_slice(&(TSS_BYTES as u16).to_le_bytes());
    out
}

/// An interrupt gate (interrupts off on entry) to `handler` in kernel code.
///
/// `ist`: 0 keeps the stack, 1–7 switches to that stack. `user`: INT n of user
/// mode may reach it (breakpoint).
#[must_use]
pub const fn gate(handler: u64, ist: u8, user: bool) -> [u64; 2] {
    let kind = 0x8e | if user { 0x60 } else { 0 };
    let low = handler & 0xffff
        | (KERNEL_CODE as u64) << 16
        | (ist as u64 & 7) << 32
        | kind << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// What LGDT and LIDT read: limit, then base.
#[must_use]
pub const fn table_pointer(base: u64, bytes: usize) -> [u8; 10] {
    let [l0, l1] = ((bytes - 1) as u16).to_le_bytes();
    let b = base.to_le_bytes();
    [l0, l1, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates() {
        let g = gate(0x1234_5678_9abc_def0, 3, false);
        assert_eq!(g, [0x9abc_8e03_0008_def0, 0x1234_5678]);
        assert_eq!(gate(0, 0, true)[0] >> 40 & 0xff, 0xee);
    }

    #[test]
    fn tss_and_its_descriptor() {
        let d = tss_descriptor(0xffff_ffff_c000_3080);
        assert_eq!(d, [0xc000_8900_3080_0067, 0xffff_ffff]);
        let t = tss(0x1122, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(t[4..12], 0x1122u64.to_le_bytes());
        assert_eq!((t[36], t[44], t[84], t[102]), (1, 2, 7, 104));
    }

    #[test]
    fn selectors_match_the_table() {
        let g = gdt(0);
        let access = |s: u16| g[s as usize / 8] >> 40 & 0xff;
        assert_eq!((access(KERNEL_CODE), access(KERNEL_DATA)), (0x9b, 0x93));
        assert_eq!((access(USER_CODE), access(USER_DATA)), (0xfb, 0xf3));
        assert_eq!(STAR >> 32 & 0xffff, u64::from(KERNEL_CODE));
        assert_eq!((STAR >> 48) + 16, u64::from(USER_CODE));
        assert_eq!((STAR >> 48) + 8, u64::from(USER_DATA));
    }

    #[test]
    fn pointers() {
        let p = table_pointer(0x0102_0304_0506_0708, 4096);
        assert_eq!(p, [0xff, 0x0f, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
