//! Header, field encoding, and the declaration of an interface's messages.
//!
//! A message is six words: the header and five words of fields, in the order of
//! their declaration. What is longer travels as a *blob* before it ([`crate::blob`]);
//! one capability may go with it (the carrier says how). Each interface has a version;
//! it stands in every header, and two ends whose versions differ refuse each other.

/// Words of fields in a message.
pub const FIELD_WORDS: usize = 5;

/// First word of a message.
///
/// Bits 0–7 version of the interface, 8–15 interface, 16–31 operation, 32–63 tag (chosen by
/// the asker, echoed by the answer; 0 = no answer wanted). This layout never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Version of the interface.
    pub version: u8,
    /// Interface number (see [`crate::iface`]).
    pub interface: u8,
    /// Operation: requests below 0x8000, replies from 0x8000 on.
    pub op: u16,
    /// Ties an answer to its request; 0 = no answer wanted.
    pub tag: u32,
}

impl Header {
    /// The word on the wire.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.version as u64
            | (self.interface as u64) << 8
            | (self.op as u64) << 16
            | (self.tag as u64) << 32
    }
    /// Reads a header; any word is one.
    #[must_use]
    pub const fn unpack(w: u64) -> Header {
        Header {
            version: w as u8,
            interface: (w >> 8) as u8,
            op: (w >> 16) as u16,
            tag: (w >> 32) as u32,
        }
    }
}

/// Why words do not decode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// The header is of another version of the interface.
    BadVersion,
    /// The header names another interface.
    OtherInterface,
    /// The interface has no such operation.
    UnknownOp,
    /// A field's words are out of its range.
    BadField,
    /// The blob's fragments do not fit together, or it is too long.
    BadBlob,
    /// The message lacks its capability.
    NoCapability,
}

impl core::fmt::Display for WireError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            WireError::BadVersion => "message of another version of the interface",
            WireError::OtherInterface => "message of another interface",
            WireError::UnknownOp => "unknown operation",
            WireError::BadField => "a field is out of its range",
            WireError::BadBlob => "the attached bytes do not fit together",
            WireError::NoCapability => "the message lacks its capability",
        })
    }
}

/// A set of messages in one direction of one interface.
pub trait Wire: Sized {
    /// Number of the interface.
    const INTERFACE: u8;
    /// Version of the interface.
    const VERSION: u8;
    /// Name of the interface, for people.
    const NAME: &'static str;
    /// Numbers of the operations.
    const OPS: &'static [u16];
    /// Operation number and field words.
    fn encode(&self) -> (u16, [u64; FIELD_WORDS]);
    /// Reads the fields of operation `op`; total on any words.
    ///
    /// # Errors
    /// [`WireError::UnknownOp`], [`WireError::BadField`].
    fn decode(op: u16, fields: [u64; FIELD_WORDS]) -> Result<Self, WireError>;

    /// The six words of the message.
    fn to_words(&self, tag: u32) -> [u64; 6] {
        let (op, f) = self.encode();
        let header = Header {
            version: Self::VERSION,
            interface: Self::INTERFACE,
            op,
            tag,
        };
        [header.pack(), f[0], f[1], f[2], f[3], f[4]]
    }
    /// Reads six words: the tag and the message.
    ///
    /// # Errors
    /// Any [`WireError`].
    fn from_words(w: [u64; 6]) -> Result<(u32, Self), WireError> {
        let h = Header::unpack(w[0]);
        if h.interface != Self::INTERFACE {
            return Err(WireError::OtherInterface);
        }
        if h.version != Self::VERSION {
            return Err(WireError::BadVersion);
        }
        let message = Self::decode(h.op, [w[1], w[2], w[3], w[4], w[5]])?;
        Ok((h.tag, message))
    }
}

/// Fills the field words of a message.
#[derive(Default, Debug)]
pub struct Writer {
    words: [u64; FIELD_WORDS],
    len: usize,
}

impl Writer {
    /// Appends a word. A declaration with too many words does not compile.
    pub fn push(&mut self, w: u64) {
        if let Some(slot) = self.words.get_mut(self.len) {
            *slot = w;
            self.len += 1;
        }
    }
    /// The words.
    #[must_use]
    pub fn finish(self) -> [u64; FIELD_WORDS] {
        self.words
    }
}

/// Takes the field words of a message, in order.
#[derive(Debug)]
pub struct Reader {
    words: [u64; FIELD_WORDS],
    at: usize,
}

impl Reader {
    /// Starts at the first word.
    #[must_use]
    pub fn new(words: [u64; FIELD_WORDS]) -> Reader {
        Reader { words, at: 0 }
    }
    /// The next word (0 past the end).
    pub fn pull(&mut self) -> u64 {
        let w = self.words.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        w
    }
}

/// Whether no two messages of a declaration have the same number.
#[doc(hidden)]
#[must_use]
pub const fn distinct(ops: &[u16]) -> bool {
    let mut i = 0;
    while i < ops.len() {
        let mut j = i + 1;
        while j < ops.len() {
            if ops[i] == ops[j] {
                return false;
            }
            j += 1;
        }
        i += 1;
    }
    true
}

/// Sum of the words of a declaration's fields.
#[doc(hidden)]
#[must_use]
pub const fn sum(words: &[usize]) -> usize {
    let (mut total, mut i) = (0, 0);
    while i < words.len() {
        total += words[i];
        i += 1;
    }
    total
}

/// The version of a declaration: what it says, else 1.
#[doc(hidden)]
#[must_use]
pub const fn version(said: &[u8]) -> u8 {
    match said {
        [] => 1,
        [v, ..] => *v,
    }
}

/// The name of a declaration's interface: what it says, else that of the messages.
#[doc(hidden)]
#[must_use]
pub const fn name(said: &'static str, messages: &'static str) -> &'static str {
    if said.is_empty() { messages } else { said }
}

/// Something that can stand in a message.
pub trait Field: Sized {
    /// Words it takes.
    const WORDS: usize;
    /// Largest number that its word `word` may have.
    #[must_use]
    fn largest(_word: usize) -> u64 {
        u64::MAX
    }
    /// Appends it.
    fn put(&self, w: &mut Writer);
    /// Reads it; total on any words.
    ///
    /// # Errors
    /// [`WireError::BadField`] for words that [`Field::put`] never wrote.
    fn get(r: &mut Reader) -> Result<Self, WireError>;
}

macro_rules! integer_fields {
    ($($t:ty)*) => { $(impl Field for $t {
        const WORDS: usize = 1;
        fn largest(_word: usize) -> u64 {
            u64::from(<$t>::MAX)
        }
        fn put(&self, w: &mut Writer) {
            w.push(u64::from(*self));
        }
        fn get(r: &mut Reader) -> Result<Self, WireError> {
            <$t>::try_from(r.pull()).map_err(|_| WireError::BadField)
        }
    })* };
}
integer_fields!(u8 u16 u32 u64);

impl Field for i32 {
    const WORDS: usize = 1;
    fn largest(_word: usize) -> u64 {
        u64::from(u32::MAX)
    }
    fn put(&self, w: &mut Writer) {
        w.push(u64::from(self.cast_unsigned()));
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        u32::get(r).map(u32::cast_signed)
    }
}

impl Field for bool {
    const WORDS: usize = 1;
    fn largest(_word: usize) -> u64 {
        1
    }
    fn put(&self, w: &mut Writer) {
        w.push(u64::from(*self));
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        match r.pull() {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::BadField),
        }
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    const WORDS: usize = A::WORDS + B::WORDS;
    fn largest(word: usize) -> u64 {
        match word.checked_sub(A::WORDS) {
            None => A::largest(word),
            Some(word) => B::largest(word),
        }
    }
    fn put(&self, w: &mut Writer) {
        self.0.put(w);
        self.1.put(w);
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        Ok((A::get(r)?, B::get(r)?))
    }
}

/// A short name: at most 16 bytes of UTF-8 without zero bytes, zero-padded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name([u8; Name::BYTES]);

impl Name {
    /// Most bytes of a name.
    pub const BYTES: usize = 16;
    /// The name, or `None` when it is longer than [`Name::BYTES`] or has a zero byte.
    #[must_use]
    pub fn new(s: &str) -> Option<Name> {
        let mut b = [0; Name::BYTES];
        b.get_mut(..s.len())?.copy_from_slice(s.as_bytes());
        (!s.as_bytes().contains(&0)).then_some(Name(b))
    }
    /// The name, cut at the last character boundary that fits.
    #[must_use]
    pub fn truncated(s: &str) -> Name {
        let mut end = s.len().min(Name::BYTES);
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        Name::new(&s[..end]).unwrap_or_default()
    }
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(Name::BYTES);
        core::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
    /// The two words, as in `Op::DispName`.
    #[must_use]
    pub fn words(&self) -> [u64; 2] {
        let w = u128::from_le_bytes(self.0);
        [w as u64, (w >> 64) as u64]
    }
    /// Reads the two words; `None` unless they are what [`Name::words`] gives for a name.
    #[must_use]
    pub fn from_words(w: [u64; 2]) -> Option<Name> {
        let b = (u128::from(w[0]) | u128::from(w[1]) << 64).to_le_bytes();
        let end = b.iter().position(|b| *b == 0).unwrap_or(Name::BYTES);
        let padded = b[end..].iter().all(|b| *b == 0);
        (padded && core::str::from_utf8(&b[..end]).is_ok()).then_some(Name(b))
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

impl Field for Name {
    const WORDS: usize = 2;
    fn put(&self, w: &mut Writer) {
        let [a, b] = self.words();
        w.push(a);
        w.push(b);
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        Name::from_words([r.pull(), r.pull()]).ok_or(WireError::BadField)
    }
}

/// A process: its OSnode and its number there (never reused).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Pid {
    /// OSnode id.
    pub osnode: u64,
    /// Number in the OSnode; 0 = nobody.
    pub number: u64,
}

impl core::fmt::Display for Pid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "o{}.{}", self.osnode, self.number)
    }
}

impl Field for Pid {
    const WORDS: usize = 2;
    fn put(&self, w: &mut Writer) {
        w.push(self.osnode);
        w.push(self.number);
    }
    fn get(r: &mut Reader) -> Result<Self, WireError> {
        Ok(Pid {
            osnode: r.pull(),
            number: r.pull(),
        })
    }
}

/// Declares an enumeration of one-word values with explicit numbers, usable as a field.
#[macro_export]
macro_rules! codes {
    ($(#[$m:meta])* pub enum $name:ident { $($(#[$vm:meta])* $v:ident = $n:literal,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$vm])* $v = $n,)* }
        impl $crate::wire::Field for $name {
            const WORDS: usize = 1;
            fn largest(_word: usize) -> u64 {
                [$($n),*].into_iter().max().unwrap_or(0)
            }
            fn put(&self, w: &mut $crate::wire::Writer) {
                w.push(*self as u64);
            }
            fn get(r: &mut $crate::wire::Reader) -> Result<Self, $crate::WireError> {
                $name::from_code(r.pull()).ok_or($crate::WireError::BadField)
            }
        }
        impl $name {
            /// The one with this number.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<$name> {
                match code {
                    $($n => Some($name::$v),)*
                    _ => None,
                }
            }
        }
    };
}
