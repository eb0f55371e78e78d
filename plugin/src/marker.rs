//! Marker instructions: how they look on each ISA and how they are told from code.

use abi::marker::X86_MAGIC;

/// The number of the marker that these instruction bytes are, if they are one.
///
/// x86_64: `0f 1f 80 disp32` with the upper half of `disp32` equal to
/// [`X86_MAGIC`]; AArch64: `movz xzr, #n` (0xd280_001f | n << 5).
#[must_use]
pub fn decode(isa_is_x86: bool, bytes: &[u8]) -> Option<u16> {
    if isa_is_x86 {
        let &[0x0f, 0x1f, 0x80, lo0, lo1, hi0, hi1] = bytes else {
            return None;
        };
        (u16::from_le_bytes([hi0, hi1]) == X86_MAGIC as u16).then(|| u16::from_le_bytes([lo0, lo1]))
    } else {
        let word = u32::from_le_bytes(bytes.try_into().ok()?);
        (word & 0xffe0_001f == 0xd280_001f).then_some((word >> 5 & 0xffff) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn x86_markers_are_told_from_other_nops() {
        assert_eq!(
            decode(true, &[0x0f, 0x1f, 0x80, 0x34, 0x12, 0x4b, 0x4e]),
            Some(0x1234)
        );
        assert_eq!(
            decode(true, &[0x0f, 0x1f, 0x80, 0x34, 0x12, 0x4c, 0x4e]),
            None
        );
        assert_eq!(decode(true, &[0x0f, 0x1f, 0x80, 0, 0, 0, 0]), None);
        assert_eq!(decode(true, &[0x90]), None);
    }

    #[test]
    fn arm_markers_are_told_from_other_moves() {
        let movz_xzr = |n: u32| (0xd280_001f | n << 5).to_le_bytes();
        assert_eq!(decode(false, &movz_xzr(7)), Some(7));
        assert_eq!(decode(false, &movz_xzr(0xffff)), Some(0xffff));
        // movz x0, #7 and movz xzr, #7, lsl #16
        assert_eq!(
            decode(false, &(0xd280_0000u32 | 7 << 5).to_le_bytes()),
            None
        );
        assert_eq!(
            decode(false, &(0xd2a0_001fu32 | 7 << 5).to_le_bytes()),
            None
        );
    }
}
