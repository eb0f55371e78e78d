//! Conversions between the current format and the one before it.
//!
//! In place, without allocation, both ways. The KCB is one step, each DCB one
//! more; a step is a transaction of the undo log, so a kernel killed in it leaves
//! either the old object or the new one, and `conversion_cursor` says how many
//! DCBs are done. Fields without counterpart in the new format must be 0; that is
//! found out before anything is changed ([`can_convert`]).
//!
//! What a kernel reads before it knows the format stands at the same place in
//! every format (checked below): magic, format, ISA, features, OSnode id, state
//! word, checksum, conversion cursor, undo log, the slots in KCB and DCBs, and
//! the DCBs' `next`.

mod format1;
mod plan;

use plan::{Plan, find, plan, same};

use crate::undo::Transaction;
use crate::{
    DCB_BYTES, Dcb, FORMAT_VERSION, Field, Isa, KCB_BYTES, Kcb, OLDEST_FORMAT, PhysAddr, PhysMap,
    undo,
};

/// Words that never change while an OSnode lives, in the order of the checksum.
const SEALED: [&str; 9] = [
    "magic",
    "format",
    "isa",
    "features",
    "osnode",
    "mem_base",
    "mem_size",
    "notification",
    "time_page",
];

/// One format: where its fields stand.
struct Version {
    kcb: &'static [Field],
    dcb: &'static [Field],
    sealed: [u64; SEALED.len()],
    dcb_head: u64,
}

const fn offset(fields: &[Field], name: &str) -> u64 {
    match find(fields, name) {
        Some(f) => f.offset,
        None => panic!("a format lacks a field that conversions need"),
    }
}

const fn version(kcb: &'static [Field], dcb: &'static [Field]) -> Version {
    let mut sealed = [0; SEALED.len()];
    let mut i = 0;
    while i < SEALED.len() {
        sealed[i] = offset(kcb, SEALED[i]);
        i += 1;
    }
    Version {
        kcb,
        dcb,
        sealed,
        dcb_head: offset(kcb, "dcb_head"),
    }
}

static VERSIONS: [Version; 2] = [OLD, NEW];
const OLD: Version = version(format1::KCB, format1::DCB);
const NEW: Version = version(Kcb::FIELDS, Dcb::FIELDS);
static KCB_PLANS: [Plan; 2] = [plan(OLD.kcb, NEW.kcb), plan(NEW.kcb, OLD.kcb)];
static DCB_PLANS: [Plan; 2] = [plan(OLD.dcb, NEW.dcb), plan(NEW.dcb, OLD.dcb)];

const FROZEN_KCB: [&str; 11] = [
    "magic",
    "format",
    "isa",
    "features",
    "osnode",
    "state",
    "checksum",
    "conversion_cursor",
    "conversion_from",
    "undo_len",
    "undo_word",
];
const FROZEN_DCB: [&str; 2] = ["magic", "next"];

const fn frozen(names: &[&str], old: &[Field], new: &[Field]) {
    let mut i = 0;
    while i < names.len() {
        match (find(old, names[i]), find(new, names[i])) {
            (Some(o), Some(n)) => assert!(o.offset == n.offset && o.words == n.words),
            _ => panic!("a format lacks a frozen field"),
        }
        i += 1;
    }
}

/// No field may cover the slots that stand in the object.
const fn spares(fields: &[Field], from: u64, end: u64) {
    let mut i = 0;
    while i < fields.len() {
        let f = &fields[i];
        assert!(f.offset >= end || f.offset + 8 * f.words <= from);
        i += 1;
    }
}

const _: () = {
    frozen(&FROZEN_KCB, OLD.kcb, NEW.kcb);
    frozen(&FROZEN_DCB, OLD.dcb, NEW.dcb);
    spares(OLD.kcb, 0x080, 0x0c0);
    spares(NEW.kcb, 0x080, 0x0c0);
    spares(OLD.dcb, 0x080, 0x180);
    spares(NEW.dcb, 0x080, 0x180);
    assert!(same("a", "a") && FORMAT_VERSION == OLDEST_FORMAT + 1);
};

/// Why a KCB cannot be adopted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KcbError {
    /// Not memory, or misaligned.
    Address,
    /// The first word is not a KCB's.
    Magic(u64),
    /// A format that this build does not read.
    Format(u64),
    /// Another instruction set's.
    Isa(u64),
    /// These bits of the feature mask are not offered.
    Features(u64),
    /// A word that must not change has changed.
    Checksum,
    /// The undo log is none that a kernel wrote.
    Undo(undo::UndoError),
}

/// Whether a kernel of this build, for `isa` and offering `features`, can adopt the KCB, which may
/// stand in either format, with an open undo log and in the middle of a conversion.
///
/// # Errors
/// What is wrong with it; nothing is changed.
pub fn kcb_check(mem: &impl PhysMap, kcb: Kcb, isa: Isa, features: u64) -> Result<(), KcbError> {
    if !kcb.0.is_aligned(4096) || !mem.covers(kcb.0, KCB_BYTES) {
        return Err(KcbError::Address);
    }
    if kcb.magic(mem) != Kcb::MAGIC {
        return Err(KcbError::Magic(kcb.magic(mem)));
    }
    undo::check(mem, kcb).map_err(KcbError::Undo)?;
    // An open transaction may have a conversion's step in it: the words that
    // count are those from before it.
    let word = |at: u64| undo::committed(mem, kcb, kcb.0.add(at));
    let format = word(offset(NEW.kcb, "format"));
    let Some(v) = known(format) else {
        return Err(KcbError::Format(format));
    };
    let from = word(offset(NEW.kcb, "conversion_from"));
    if from != 0 && known(from).is_none() {
        return Err(KcbError::Format(from));
    }
    if kcb.isa(mem) != isa as u64 {
        return Err(KcbError::Isa(kcb.isa(mem)));
    }
    let missing = kcb.features(mem) & !features;
    if missing != 0 {
        return Err(KcbError::Features(missing));
    }
    if checksum(v, word) != word(offset(NEW.kcb, "checksum")) {
        return Err(KcbError::Checksum);
    }
    Ok(())
}

fn known(format: u64) -> Option<&'static Version> {
    VERSIONS.get(usize::try_from(format.checked_sub(OLDEST_FORMAT)?).ok()?)
}

/// FNV-1a over the words that never change.
fn checksum(v: &Version, word: impl Fn(u64) -> u64) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for at in v.sealed {
        for b in word(at).to_le_bytes() {
            h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    h
}

/// The field tables of a format, KCB's and DCB's, or `None` for a format that this build does not know.
#[must_use]
pub fn fields(format: u64) -> Option<[&'static [Field]; 2]> {
    known(format).map(|v| [v.kcb, v.dcb])
}

/// The checksum that belongs into the KCB, by its own format, or `None` for an unknown format.
#[must_use]
pub fn checksum_of(mem: &impl PhysMap, kcb: Kcb) -> Option<u64> {
    known(kcb.format(mem)).map(|v| checksum(v, |at| mem.load_at(kcb.0, at)))
}

/// The checksum that belongs into a KCB of the current format.
pub(crate) fn current_checksum(mem: &impl PhysMap, kcb: Kcb) -> u64 {
    checksum(&NEW, |at| mem.load_at(kcb.0, at))
}

/// Why a KCB is not converted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConvertError {
    /// This build does not know the format.
    Format(u64),
    /// A conversion to another format is under way: [`resume`] it first.
    UnderWay,
    /// The undo log is open: roll it back first.
    OpenLog,
    /// The word at this address is set, and the other format has no place for it.
    WouldLose(PhysAddr),
    /// The DCB list leads to something that is no DCB.
    BadDcb(PhysAddr),
}

/// Whether the KCB and its DCBs can be brought into format `to`.
///
/// # Errors
/// Why not; nothing is changed.
pub fn can_convert(mem: &impl PhysMap, kcb: Kcb, to: u64) -> Result<(), ConvertError> {
    let from = kcb.format(mem);
    let v = known(from).ok_or(ConvertError::Format(from))?;
    known(to).ok_or(ConvertError::Format(to))?;
    if kcb.conversion_from(mem) != 0 {
        return Err(ConvertError::UnderWay);
    }
    if kcb.undo_len(mem) != 0 {
        return Err(ConvertError::OpenLog);
    }
    if from == to {
        return Ok(());
    }
    nothing_lost(mem, &KCB_PLANS[direction(to)], kcb.0)?;
    for_dcbs(mem, kcb, v, |dcb| {
        nothing_lost(mem, &DCB_PLANS[direction(to)], dcb.0)
    })
}

/// Brings KCB and DCBs into format `to`.
///
/// # Errors
/// As [`can_convert`]; nothing is changed then.
pub fn convert(mem: &mut impl PhysMap, kcb: Kcb, to: u64) -> Result<(), ConvertError> {
    can_convert(mem, kcb, to)?;
    let from = kcb.format(mem);
    if from == to {
        return Ok(());
    }
    let mut t = Transaction::begin(mem, kcb);
    apply(&mut t, &KCB_PLANS[direction(to)], kcb.0);
    kcb.set_format(&mut t, to);
    kcb.set_conversion_from(&mut t, from);
    kcb.set_conversion_cursor(&mut t, 0);
    if let Some(v) = known(to) {
        let sum = checksum(v, |at| t.load_at(kcb.0, at));
        kcb.set_checksum(&mut t, sum);
    }
    t.commit();
    resume(mem, kcb)
}

/// Finishes a conversion that was interrupted; does nothing when none is under way.
///
/// The undo log must have been rolled back.
///
/// # Errors
/// [`ConvertError::OpenLog`], or what shows that another than a kernel wrote to the objects.
pub fn resume(mem: &mut impl PhysMap, kcb: Kcb) -> Result<(), ConvertError> {
    let from = kcb.conversion_from(mem);
    if from == 0 {
        return Ok(());
    }
    if kcb.undo_len(mem) != 0 {
        return Err(ConvertError::OpenLog);
    }
    let to = kcb.format(mem);
    let v = known(to).ok_or(ConvertError::Format(to))?;
    known(from).ok_or(ConvertError::Format(from))?;
    let mut dcb = Dcb(PhysAddr(mem.load_at(kcb.0, v.dcb_head)));
    let done = kcb.conversion_cursor(mem);
    let mut index = 0;
    while !dcb.0.is_null() {
        check_dcb(mem, dcb, index)?;
        if index >= done {
            let mut t = Transaction::begin(mem, kcb);
            apply(&mut t, &DCB_PLANS[direction(to)], dcb.0);
            kcb.set_conversion_cursor(&mut t, index + 1);
            t.commit();
        }
        index += 1;
        dcb = Dcb(PhysAddr(dcb.next(mem)));
    }
    let mut t = Transaction::begin(mem, kcb);
    kcb.set_conversion_from(&mut t, 0);
    kcb.set_conversion_cursor(&mut t, 0);
    t.commit();
    Ok(())
}

/// Index of the plans that lead to format `to`.
fn direction(to: u64) -> usize {
    usize::from(to != FORMAT_VERSION)
}

fn nothing_lost(mem: &impl PhysMap, plan: &Plan, object: PhysAddr) -> Result<(), ConvertError> {
    for s in plan.lost.iter() {
        for i in 0..u64::from(s.words) {
            let at = object.add(u64::from(s.from) + 8 * i);
            if mem.load(at) != 0 {
                return Err(ConvertError::WouldLose(at));
            }
        }
    }
    Ok(())
}

/// Moves the words of one object. A word that a move has overwritten is read from the undo log.
fn apply<M: PhysMap>(t: &mut Transaction<'_, M>, plan: &Plan, object: PhysAddr) {
    for s in plan.moves.iter() {
        for i in 0..u64::from(s.words) {
            let word = t.committed(object.add(u64::from(s.from) + 8 * i));
            t.update(object.add(u64::from(s.to) + 8 * i), word);
        }
    }
    for s in plan.fresh.iter().chain(plan.stale.iter()) {
        for i in 0..u64::from(s.words) {
            t.update(object.add(u64::from(s.to) + 8 * i), 0);
        }
    }
}

/// A longer list of DCBs is a loop: their objects would fill 2 GiB.
const MOST_DCBS: u64 = 1 << 20;

fn check_dcb(mem: &impl PhysMap, dcb: Dcb, index: u64) -> Result<(), ConvertError> {
    let sound = index < MOST_DCBS
        && dcb.0.is_aligned(DCB_BYTES)
        && mem.covers(dcb.0, DCB_BYTES)
        && dcb.magic(mem) == Dcb::MAGIC;
    if sound {
        Ok(())
    } else {
        Err(ConvertError::BadDcb(dcb.0))
    }
}

fn for_dcbs(
    mem: &impl PhysMap,
    kcb: Kcb,
    v: &Version,
    mut each: impl FnMut(Dcb) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    let mut dcb = Dcb(PhysAddr(mem.load_at(kcb.0, v.dcb_head)));
    let mut index = 0;
    while !dcb.0.is_null() {
        check_dcb(mem, dcb, index)?;
        each(dcb)?;
        index += 1;
        dcb = Dcb(PhysAddr(dcb.next(mem)));
    }
    Ok(())
}
