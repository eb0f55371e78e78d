//! Messages of the machines as bytes, for channels.
//!
//! Integers are written in groups of seven bits, low ones first (LEB128); enumerations
//! as the number of the variant and its fields in order; lists as their length and
//! their elements. Reading is total: bytes that no machine wrote give `None`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use capfmt::{OsnodeId, RawCap, Rights, schema};
use proto::Name;

use super::bind::{BindMessage, Wanted};
use super::membership::{Fact, MemberMessage, Status};
use super::unmap::{FlushMessage, Pages, Scope};
use super::{Gift, Message, Object, OpId, Refusal, Request};

/// Most elements of a list.
const MOST: u64 = 4096;

/// Something that can be written as bytes.
pub trait Bytes: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Reads it from the front; `None` for bytes that [`Bytes::put`] never wrote.
    fn get(bytes: &mut &[u8]) -> Option<Self>;

    /// All of it.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }
    /// Reads it; nothing may follow.
    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let value = Self::get(&mut bytes)?;
        bytes.is_empty().then_some(value)
    }
}

impl Bytes for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    fn get(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            let bits = u64::from(first & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

macro_rules! narrow {
    ($($t:ty)*) => { $(impl Bytes for $t {
        fn put(&self, out: &mut Vec<u8>) {
            u64::from(*self).put(out);
        }
        fn get(bytes: &mut &[u8]) -> Option<$t> {
            <$t>::try_from(u64::get(bytes)?).ok()
        }
    })* };
}
narrow!(u8 u16 u32);

impl Bytes for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(*self).put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<bool> {
        match u64::get(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Bytes for OsnodeId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<OsnodeId> {
        u64::get(bytes).map(OsnodeId)
    }
}

impl Bytes for Rights {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<Rights> {
        let rights = Rights(u8::get(bytes)?);
        Rights::ALL.contains(rights).then_some(rights)
    }
}

impl Bytes for Object {
    fn put(&self, out: &mut Vec<u8>) {
        self.cap().emit().0.iter().for_each(|w| w.put(out));
    }
    fn get(bytes: &mut &[u8]) -> Option<Object> {
        let mut words = [0; 4];
        for word in &mut words {
            *word = u64::get(bytes)?;
        }
        let cap = RawCap(words).parse()?;
        schema::is_well_formed(&cap).then(|| Object::of(&cap))
    }
}

impl<T: Bytes> Bytes for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        self.iter().for_each(|t| t.put(out));
    }
    fn get(bytes: &mut &[u8]) -> Option<Option<T>> {
        match bool::get(bytes)? {
            true => T::get(bytes).map(Some),
            false => Some(None),
        }
    }
}

impl<A: Bytes, B: Bytes> Bytes for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<(A, B)> {
        Some((A::get(bytes)?, B::get(bytes)?))
    }
}

fn count(bytes: &mut &[u8]) -> Option<u64> {
    u64::get(bytes).filter(|n| *n <= MOST)
}

impl<T: Bytes> Bytes for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|t| t.put(out));
    }
    fn get(bytes: &mut &[u8]) -> Option<Vec<T>> {
        (0..count(bytes)?).map(|_| T::get(bytes)).collect()
    }
}

impl<T: Bytes + Ord> Bytes for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|t| t.put(out));
    }
    fn get(bytes: &mut &[u8]) -> Option<BTreeSet<T>> {
        (0..count(bytes)?).map(|_| T::get(bytes)).collect()
    }
}

impl Bytes for Name {
    fn put(&self, out: &mut Vec<u8>) {
        self.words().iter().for_each(|w| w.put(out));
    }
    fn get(bytes: &mut &[u8]) -> Option<Name> {
        Name::from_words([u64::get(bytes)?, u64::get(bytes)?])
    }
}

impl Bytes for Result<u64, u64> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.is_ok(), self.unwrap_or_else(|e| e)).put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<Result<u64, u64>> {
        let (is_ok, word) = <(bool, u64)>::get(bytes)?;
        Some(if is_ok { Ok(word) } else { Err(word) })
    }
}

impl Bytes for Result<(), Refusal> {
    fn put(&self, out: &mut Vec<u8>) {
        self.err().put(out);
    }
    fn get(bytes: &mut &[u8]) -> Option<Result<(), Refusal>> {
        Option::<Refusal>::get(bytes).map(|e| e.map_or(Ok(()), Err))
    }
}

/// Structures, field by field.
macro_rules! structs {
    ($($name:ident { $($field:ident),* })*) => { $(impl Bytes for $name {
        fn put(&self, out: &mut Vec<u8>) {
            $(self.$field.put(out);)*
        }
        fn get(bytes: &mut &[u8]) -> Option<$name> {
            Some($name { $($field: Bytes::get(bytes)?),* })
        }
    })* };
}

/// Enumerations: the number, then the fields. The numbers are never used for something else.
macro_rules! enums {
    ($($name:ident {
        $($n:literal $variant:ident $({ $($field:ident),* })? $(( $($item:ident),* ))?,)*
    })*) => { $(impl Bytes for $name {
        fn put(&self, out: &mut Vec<u8>) {
            match self {
                $($name::$variant $({ $($field),* })? $(( $($item),* ))? => {
                    out.push($n);
                    $($($field.put(out);)*)?
                    $($($item.put(out);)*)?
                })*
            }
        }
        fn get(bytes: &mut &[u8]) -> Option<$name> {
            match u8::get(bytes)? {
                $($n => {
                    $($(let $field = Bytes::get(bytes)?;)*)?
                    $($(let $item = Bytes::get(bytes)?;)*)?
                    Some($name::$variant $({ $($field),* })? $(( $($item),* ))?)
                })*
                _ => None,
            }
        }
    })* };
}

structs! {
    OpId { origin, number }
    Gift { rights, channel }
    Fact { osnode, count, status, teller }
    Pages { domain, base, end }
    Wanted { name, region, bell }
}

enums! {
    Refusal {
        1 NoSuch,
        2 BadArgument,
        3 Overlaps,
        4 NotOwner,
        5 NotRoot,
        6 TooLarge,
        7 StillInUse,
        8 NoSpace,
        9 Gone(osnode),
        10 TryLater,
    }
    Request {
        1 Copy { object, to, gift },
        2 Move { object, to, gift },
        3 Transfer { object, to },
        4 Retype { object, child, count },
        5 Revoke { object },
    }
    Message {
        1 Ask { op, request },
        2 Reply { op, outcome },
        3 NotOwner { op },
        4 Take { op, object, gift },
        5 Taken { op, object, outcome, holds },
        6 Dropped { object },
        7 Mark { op, object, keep },
        8 Marked { op, outcome },
        9 Sweep { op },
        10 Swept { op },
        11 Unmark { op },
        12 Freeze { op, object, to },
        13 Frozen { op },
        14 Thaw { op },
        15 Adopt { op, object, holders, give },
        16 Adopted { op, outcome },
        17 NewOwner { op, object, owner },
        18 Inventory { dead, held, more },
        19 Holds { objects },
    }
    Status {
        1 Joining,
        2 Running,
        3 Stopped(caretaker),
        4 Gone,
        5 Moving(caretaker),
    }
    MemberMessage {
        1 Announce(fact),
        2 Announced(osnode, inside),
        3 Enter(facts),
        4 Entered,
        5 Fact(fact),
        6 Back(fact),
    }
    BindMessage {
        1 Open { number, wanted },
        2 Opened { number, bound },
        3 Shut { number, region },
        4 Ended { number },
    }
    FlushMessage {
        1 Flush { op, scope, below },
        2 Flushed { op },
    }
    Scope {
        1 Pages(pages),
        2 TablesOf(osnode),
    }
}
