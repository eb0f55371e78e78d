//! Where thread-local storage stands around the TLS base (Drepper, "ELF Handling for
//! Thread-Local Storage", variants I and II; offsets as the linker computes them).

/// The program's thread-local template, from PT_TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Template {
    /// Link-time address.
    pub vaddr: u64,
    /// Bytes with contents.
    pub file_bytes: u64,
    /// Bytes in memory.
    pub mem_bytes: u64,
    /// Alignment, a power of two.
    pub align: u64,
}

/// A thread's block: sizes and offsets from the block's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of the block.
    pub bytes: usize,
    /// Alignment of the block.
    pub align: usize,
    /// Where the template goes.
    pub template: usize,
    /// Where the TLS base points.
    pub base: usize,
}

/// The block for `t`. `below`: the template ends at the TLS base (x86, variant II), else it
/// follows the thread control block (Arm, variant I). `tcb`: bytes of that block, which
/// begins at the TLS base. `None` for a template that makes no sense.
#[must_use]
pub fn layout(t: Template, below: bool, tcb: usize) -> Option<Layout> {
    let own = t.align.max(1);
    let align = own.max(16);
    if !own.is_power_of_two() || align > 4096 || t.file_bytes > t.mem_bytes {
        return None;
    }
    let size = usize::try_from(t.mem_bytes).ok()?;
    // Offsets follow the template's own alignment, as the linker's do; the block's may be larger.
    let mask = own - 1;
    if below {
        // The template starts at the highest address below the base that is congruent to vaddr.
        let under = t
            .mem_bytes
            .checked_add(t.vaddr.wrapping_add(t.mem_bytes).wrapping_neg() & mask)?;
        let under = usize::try_from(under).ok()?;
        let base = under.checked_next_multiple_of(align as usize)?;
        return Some(Layout {
            bytes: base.checked_add(tcb)?,
            align: align as usize,
            template: base - under,
            base,
        });
    }
    let skip = tcb + (t.vaddr.wrapping_sub(tcb as u64) & mask) as usize;
    Some(Layout {
        bytes: skip.checked_add(size)?,
        align: align as usize,
        template: skip,
        base: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(t: Template, below: bool, tcb: usize) -> Layout {
        let l = layout(t, below, tcb).unwrap();
        let align = t.align.max(1);
        assert_eq!(l.base as u64 % align, 0);
        assert_eq!(l.template as u64 % align, t.vaddr % align, "congruent");
        let end = l.template + t.mem_bytes as usize;
        if below {
            assert!(end <= l.base && l.base - end < align as usize);
            assert!(l.base + tcb <= l.bytes);
        } else {
            assert!(l.template >= tcb && end <= l.bytes);
        }
        l
    }

    #[test]
    fn templates_fit_on_both_sides() {
        for vaddr in [0x1000, 0x1008, 0x1020, 0x10] {
            for mem_bytes in [0, 1, 8, 100, 4000] {
                for align in [1, 8, 16, 64, 1024] {
                    let t = Template {
                        vaddr,
                        file_bytes: 0,
                        mem_bytes,
                        align,
                    };
                    check(t, true, 64);
                    check(t, false, 16);
                }
            }
        }
    }

    #[test]
    fn usual_cases_are_the_textbook_ones() {
        let t = Template {
            vaddr: 0x2000,
            file_bytes: 8,
            mem_bytes: 24,
            align: 8,
        };
        let x86 = check(t, true, 64);
        assert_eq!(x86.base - x86.template, 24);
        let arm = check(t, false, 16);
        assert_eq!((arm.base, arm.template), (0, 16));
    }

    #[test]
    fn nonsense_is_refused() {
        let t = Template {
            vaddr: 0,
            file_bytes: 9,
            mem_bytes: 8,
            align: 8,
        };
        assert_eq!(layout(t, true, 64), None);
        let t = Template {
            vaddr: 0,
            file_bytes: 0,
            mem_bytes: u64::MAX,
            align: 64,
        };
        assert_eq!(layout(t, true, 64), None);
        let t = Template {
            vaddr: 0,
            file_bytes: 0,
            mem_bytes: 8,
            align: 48,
        };
        assert_eq!(layout(t, true, 64), None);
    }
}
