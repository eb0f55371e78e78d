//! Addresses, identities, and the one way in which OSnode memory is reached.

/// A physical address in bytes. At most 52 bits are ever set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// The null link: no object stands at physical address 0.
    pub const NULL: PhysAddr = PhysAddr(0);
    /// Number of physical address bits that the format can hold.
    pub const BITS: u32 = 52;

    /// Whether this is the null link.
    #[must_use]
    #[inline]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The address `bytes` further on; wraps at 2^64 and is then refused by every [`PhysMap`].
    #[must_use]
    #[inline]
    pub const fn add(self, bytes: u64) -> PhysAddr {
        PhysAddr(self.0.wrapping_add(bytes))
    }

    /// Whether the address is a multiple of `align`, which is a power of two.
    #[must_use]
    #[inline]
    pub const fn is_aligned(self, align: u64) -> bool {
        self.0 & (align - 1) == 0
    }
}

/// Names a hardware core: an index given at discovery, never an APIC id or MPIDR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CoreId(pub u32);

/// Names an OSnode: 64 bits, never reused (DESIGN §1, rule 3). 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OsnodeId(pub u64);

/// No object with fields is larger (bytes): the Core object's size.
pub const OBJECT_BYTES: u64 = 1 << 16;

/// Physical memory, reached word by word and by value (DESIGN §3).
///
/// A safe trait: the implementer checks the range of every access and holds the
/// unsafe code. An address outside what the implementer maps, or a misaligned
/// one, is a broken invariant of the caller and panics. Stores take effect in
/// program order, as volatile accesses do: the undo log depends on it, a kernel
/// may be killed between any two.
pub trait PhysMap {
    /// Reads the 64-bit word at `at` (8-byte aligned).
    fn load(&self, at: PhysAddr) -> u64;
    /// Writes the 64-bit word at `at` (8-byte aligned).
    fn store(&mut self, at: PhysAddr, value: u64);
    /// Reads the 64-bit word that stands `offset` bytes into the object at `base` (8-byte aligned): a multiple of 8
    /// below [`OBJECT_BYTES`]. A map may check `base` only, so that several words cost one check.
    #[inline]
    fn load_at(&self, base: PhysAddr, offset: u64) -> u64 {
        self.load(base.add(offset))
    }
    /// Writes the 64-bit word that stands `offset` bytes into the object at `base`, as [`PhysMap::load_at`].
    #[inline]
    fn store_at(&mut self, base: PhysAddr, offset: u64, value: u64) {
        self.store(base.add(offset), value);
    }
    /// Reads the `N` words that follow each other from `at` on.
    #[inline]
    fn load_words<const N: usize>(&self, at: PhysAddr) -> [u64; N] {
        core::array::from_fn(|i| self.load(at.add(8 * i as u64)))
    }
    /// Writes each of `values` at its offset from `at`: below a page, multiples of 8.
    #[inline]
    fn store_each<const N: usize>(&mut self, at: PhysAddr, offsets: [u64; N], values: [u64; N]) {
        for i in 0..N {
            self.store(at.add(offsets[i]), values[i]);
        }
    }
    /// Compare-exchanges the word at `at`, sequentially consistent.
    ///
    /// # Errors
    /// The value found, when it was not `old`.
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64>;
    /// Replaces the word at `at`, sequentially consistent; returns what stood there.
    #[inline]
    fn exchange(&mut self, at: PhysAddr, new: u64) -> u64 {
        update(self, at, |_| new)
    }
    /// Sets `bits` of the word at `at`, sequentially consistent.
    #[inline]
    fn set_bits(&mut self, at: PhysAddr, bits: u64) {
        update(self, at, |word| word | bits);
    }
    /// Clears `bits` of the word at `at`, sequentially consistent.
    #[inline]
    fn clear_bits(&mut self, at: PhysAddr, bits: u64) {
        update(self, at, |word| word & !bits);
    }
    /// Whether `len` bytes from `at` on are memory that this map reaches.
    fn covers(&self, at: PhysAddr, len: u64) -> bool;
    /// Sets `len` bytes (a multiple of 8) from `at` on to zero.
    fn zero(&mut self, at: PhysAddr, len: u64) {
        self.fill(at, len, 0);
    }
    /// Sets every word of `len` bytes (a multiple of 8) from `at` on to `word`.
    fn fill(&mut self, at: PhysAddr, len: u64, word: u64) {
        let mut off = 0;
        while off < len {
            self.store(at.add(off), word);
            off += 8;
        }
    }
    /// Copies `bytes` to `at`, of any alignment; the words at the ends keep their other bytes.
    fn write_bytes(&mut self, at: PhysAddr, bytes: &[u8]) {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let skew = (at.0 & 7) as usize;
            let n = rest.len().min(8 - skew);
            let word_at = PhysAddr(at.0 & !7);
            let mut word = if n == 8 {
                [0; 8]
            } else {
                self.load(word_at).to_le_bytes()
            };
            word[skew..skew + n].copy_from_slice(&rest[..n]);
            self.store(word_at, u64::from_le_bytes(word));
            at = at.add(n as u64);
            rest = &rest[n..];
        }
    }
}

/// Changes the word at `at` by `f`; returns what stood there.
#[inline]
fn update<M: PhysMap + ?Sized>(m: &mut M, at: PhysAddr, f: impl Fn(u64) -> u64) -> u64 {
    let mut old = m.load(at);
    while let Err(found) = m.compare_exchange(at, old, f(old)) {
        old = found;
    }
    old
}
