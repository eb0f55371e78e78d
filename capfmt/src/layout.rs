//! The macro in which object layouts are declared once.

/// One named 64-bit field of an object: what documentation and conversions are made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// The field's name, unique in its object.
    pub name: &'static str,
    /// Byte offset in the object, a multiple of 8.
    pub offset: u64,
    /// Number of consecutive 64-bit words.
    pub words: u64,
}

/// Declares an object made of 64-bit words: a handle type around its physical
/// address, a reader and a writer for each field, and the table of its fields.
///
/// `name / set_name @ offset` is one word; `name / set_name @ offset [n]` is an
/// array of `n` words whose accessors take an index.
macro_rules! layout {
    ($(#[$meta:meta])* struct $obj:ident [$size:expr] {
        $($(#[$fmeta:meta])* $get:ident / $set:ident @ $off:literal,)*
        $(; $($(#[$ameta:meta])* $aget:ident / $aset:ident @ $aoff:literal [$an:expr],)*)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $obj(pub $crate::PhysAddr);

        impl $obj {
            /// Every field, in the order of declaration.
            pub const FIELDS: &'static [$crate::Field] = &[
                $($crate::Field { name: stringify!($get), offset: $off, words: 1 },)*
                $($($crate::Field { name: stringify!($aget), offset: $aoff, words: $an },)*)?
            ];
            /// Size of the object in bytes.
            pub const BYTES: u64 = $size;
            $(
                $(#[$fmeta])*
                #[must_use]
                #[inline]
                pub fn $get(self, mem: &impl $crate::PhysMap) -> u64 {
                    mem.load_at(self.0, $off)
                }
                #[doc = concat!("Writes `", stringify!($get), "`.")]
                #[inline]
                pub fn $set(self, mem: &mut impl $crate::PhysMap, value: u64) {
                    mem.store_at(self.0, $off, value);
                }
            )*
            $($(
                $(#[$ameta])*
                #[must_use]
                #[inline]
                pub fn $aget(self, mem: &impl $crate::PhysMap, index: u64) -> u64 {
                    assert!(index < $an, "index past the end of an array field");
                    mem.load_at(self.0, $aoff + 8 * index)
                }
                #[doc = concat!("Writes word `index` of `", stringify!($aget), "`.")]
                #[inline]
                pub fn $aset(self, mem: &mut impl $crate::PhysMap, index: u64, value: u64) {
                    assert!(index < $an, "index past the end of an array field");
                    mem.store_at(self.0, $aoff + 8 * index, value);
                }
            )*)?
        }

        const _: () = {
            assert!($size <= $crate::OBJECT_BYTES);
            let mut i = 0;
            while i < $obj::FIELDS.len() {
                let f = $obj::FIELDS[i];
                assert!(f.offset % 8 == 0 && f.offset + 8 * f.words <= $size);
                let mut j = 0;
                while j < i {
                    let g = $obj::FIELDS[j];
                    assert!(f.offset + 8 * f.words <= g.offset || g.offset + 8 * g.words <= f.offset,
                        "two fields overlap");
                    j += 1;
                }
                i += 1;
            }
        };
    };
}
pub(crate) use layout;
