//! Conversions between formats, and what a kernel checks before it adopts a KCB.

use std::panic::{AssertUnwindSafe, catch_unwind};

use capfmt::convert::{self, ConvertError, KcbError, can_convert, fields, kcb_check};
use capfmt::undo::{self, Transaction};
use capfmt::{DCB_BYTES, Dcb, FORMAT_VERSION, Field, Isa, Kcb, OLDEST_FORMAT, PhysAddr, PhysMap};
use model::{Arena, Crash, Rng, scaled};

const BASE: u64 = 0x10_0000;
const KCB: Kcb = Kcb(PhysAddr(BASE));
const FROZEN: [&str; 12] = [
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
    "next",
];
const FEATURES: u64 = 0b1011;

fn dcb(i: u64) -> Dcb {
    Dcb(PhysAddr(BASE + 0x4000 + DCB_BYTES * i))
}

fn find(fields: &'static [Field], name: &str) -> Option<Field> {
    fields.iter().find(|f| f.name == name).copied()
}

/// Random words in all fields of `format` that the other format has too, and in the slots.
fn fill(mem: &mut Arena, rng: &mut Rng, object: PhysAddr, format: u64, which: usize) {
    let other = FORMAT_VERSION + OLDEST_FORMAT - format;
    for f in fields(format).unwrap()[which] {
        let Some(o) = find(fields(other).unwrap()[which], f.name) else {
            continue;
        };
        if FROZEN.contains(&f.name) || f.name == "dcb_head" {
            continue;
        }
        for i in 0..f.words.min(o.words) {
            mem.store(object.add(f.offset + 8 * i), rng.word());
        }
    }
    let slots = if which == 0 { 0x80..0xc0 } else { 0x80..0x180 };
    for at in slots.step_by(8) {
        mem.store(object.add(at), rng.word());
    }
}

fn osnode(rng: &mut Rng, format: u64, dcbs: u64) -> Arena {
    let mut mem = Arena::new(BASE, 0x4000 + DCB_BYTES * (dcbs + 1));
    fill(&mut mem, rng, KCB.0, format, 0);
    KCB.set_magic(&mut mem, Kcb::MAGIC);
    KCB.set_format(&mut mem, format);
    KCB.set_isa(&mut mem, Isa::Arm as u64);
    KCB.set_features(&mut mem, 3);
    KCB.set_osnode(&mut mem, rng.word());
    KCB.set_state(&mut mem, rng.word());
    let mut link = find(fields(format).unwrap()[0], "dcb_head").unwrap().offset + BASE;
    for i in 0..dcbs {
        fill(&mut mem, rng, dcb(i).0, format, 1);
        dcb(i).set_magic(&mut mem, Dcb::MAGIC);
        mem.store(PhysAddr(link), dcb(i).0.0);
        link = dcb(i).0.0 + 8;
    }
    let sum = convert::checksum_of(&mem, KCB).expect("a known format");
    KCB.set_checksum(&mut mem, sum);
    mem
}

/// Every field of the object, by name.
fn named(
    mem: &Arena,
    object: PhysAddr,
    format: u64,
    which: usize,
) -> Vec<(&'static str, u64, u64)> {
    let mut all = Vec::new();
    for f in fields(format).unwrap()[which] {
        for i in 0..f.words {
            all.push((f.name, i, mem.load(object.add(f.offset + 8 * i))));
        }
    }
    // The log is scratch of the conversion, and the checksum covers the format.
    all.retain(|e| e.2 != 0 && !["undo_word", "format", "checksum"].contains(&e.0));
    all.sort_unstable();
    all
}

fn all_named(mem: &Arena, format: u64, dcbs: u64) -> Vec<Vec<(&'static str, u64, u64)>> {
    let mut all = vec![named(mem, KCB.0, format, 0)];
    all.extend((0..dcbs).map(|i| named(mem, dcb(i).0, format, 1)));
    all
}

/// Words outside every field and slot must be 0: they are what later formats grow into.
fn assert_reserved_zero(mem: &Arena, format: u64, dcbs: u64) {
    let objects = (0..dcbs)
        .map(|i| (dcb(i).0, 1, DCB_BYTES))
        .chain([(KCB.0, 0, 0x4000)]);
    for (object, which, bytes) in objects {
        let slots = if which == 0 { 0x80..0xc0 } else { 0x80..0x180 };
        for at in (0..bytes).step_by(8).filter(|at| !slots.contains(at)) {
            let inside = |f: &Field| f.offset <= at && at < f.offset + 8 * f.words;
            if !fields(format).unwrap()[which].iter().any(inside) {
                assert_eq!(
                    mem.load(object.add(at)),
                    0,
                    "reserved word {at:#x} of object {which}"
                );
            }
        }
    }
}

fn without_log(mem: &Arena) -> Vec<u64> {
    let mut words = mem.words().to_vec();
    words[0x1010 / 8..0x4000 / 8].fill(0);
    words
}

#[test]
fn both_ways_every_field_keeps_its_value() {
    for seed in 0..scaled(300) {
        let mut rng = Rng::new(seed);
        let dcbs = rng.below(5);
        for (from, to) in [(1, 2), (2, 1)] {
            let before = osnode(&mut rng, from, dcbs);
            let mut mem = before.clone();
            assert_eq!(kcb_check(&mem, KCB, Isa::Arm, FEATURES), Ok(()));
            convert::convert(&mut mem, KCB, to).expect("converts");
            assert_eq!(KCB.format(&mem), to);
            assert_eq!(kcb_check(&mem, KCB, Isa::Arm, FEATURES), Ok(()));
            assert_eq!(all_named(&before, from, dcbs), all_named(&mem, to, dcbs));
            assert_reserved_zero(&mem, to, dcbs);
            convert::convert(&mut mem, KCB, from).expect("converts back");
            assert!(without_log(&mem) == without_log(&before), "seed {seed}");
        }
    }
}

#[test]
fn a_crash_at_every_store_is_resumed() {
    std::panic::set_hook(Box::new(|info| {
        if info.payload().downcast_ref::<Crash>().is_none() {
            eprintln!("{info}");
        }
    }));
    let mut rng = Rng::new(9);
    for (from, to) in [(1, 2), (2, 1)] {
        let before = osnode(&mut rng, from, 3);
        let mut whole = before.clone();
        convert::convert(&mut whole, KCB, to).expect("converts");
        let stores = whole.stores() - before.stores();
        let step = if scaled(1) > 1 { 1 } else { 7 };
        for n in (0..stores).step_by(step) {
            let mut mem = before.clone();
            mem.crash_after(Some(n));
            let died = catch_unwind(AssertUnwindSafe(|| convert::convert(&mut mem, KCB, to)));
            assert!(died.is_err(), "store {n} of {stores}");
            mem.crash_after(None);
            assert_eq!(
                kcb_check(&mem, KCB, Isa::Arm, FEATURES),
                Ok(()),
                "store {n}"
            );
            undo::rollback(&mut mem, KCB).expect("rolls back");
            convert::resume(&mut mem, KCB).expect("resumes");
            convert::convert(&mut mem, KCB, to).expect("converts, if it had not begun");
            assert!(
                without_log(&mem) == without_log(&whole),
                "store {n} of {stores}"
            );
        }
    }
}

#[test]
fn what_would_lose_a_set_field_is_refused_untouched() {
    let mut rng = Rng::new(3);
    let mut lost = 0;
    for which in [0, 1] {
        for f in fields(2).unwrap()[which] {
            let o = find(fields(1).unwrap()[which], f.name);
            for i in o.map_or(0, |o| o.words)..f.words {
                let mut mem = osnode(&mut rng, 2, 2);
                let object = if which == 0 { KCB.0 } else { dcb(1).0 };
                let at = object.add(f.offset + 8 * i);
                mem.store(at, 1);
                let before = mem.clone();
                assert_eq!(
                    can_convert(&mem, KCB, 1),
                    Err(ConvertError::WouldLose(at)),
                    "{}",
                    f.name
                );
                assert_eq!(
                    convert::convert(&mut mem, KCB, 1),
                    Err(ConvertError::WouldLose(at))
                );
                assert_eq!(mem, before);
                lost += 1;
            }
        }
    }
    assert!(
        lost > 200,
        "{lost} words of format 2 have no place in format 1"
    );
}

#[test]
fn what_cannot_be_read_is_refused_untouched() {
    let good = osnode(&mut Rng::new(4), 2, 2);
    let refused = |change: &dyn Fn(&mut Arena), to, error| {
        let mut mem = good.clone();
        change(&mut mem);
        let before = mem.clone();
        assert_eq!(convert::convert(&mut mem, KCB, to), Err(error));
        assert_eq!(mem, before);
    };
    refused(&|_| (), 3, ConvertError::Format(3));
    refused(&|_| (), 0, ConvertError::Format(0));
    refused(&|m| KCB.set_format(m, 77), 1, ConvertError::Format(77));
    refused(&|m| KCB.set_undo_len(m, 1), 1, ConvertError::OpenLog);
    refused(
        &|m| KCB.set_conversion_from(m, 1),
        1,
        ConvertError::UnderWay,
    );
    refused(
        &|m| dcb(1).set_magic(m, 0),
        1,
        ConvertError::BadDcb(dcb(1).0),
    );
    refused(
        &|m| dcb(0).set_next(m, 0x1234),
        1,
        ConvertError::BadDcb(PhysAddr(0x1234)),
    );
    let looped = |m: &mut Arena| dcb(1).set_next(m, dcb(0).0.0);
    refused(&looped, 1, ConvertError::BadDcb(dcb(0).0));
}

#[test]
fn a_kcb_that_cannot_be_adopted_says_why() {
    let good = osnode(&mut Rng::new(4), 2, 1);
    let says = |change: &dyn Fn(&mut Arena), error| {
        let mut mem = good.clone();
        change(&mut mem);
        assert_eq!(kcb_check(&mem, KCB, Isa::Arm, FEATURES), Err(error));
    };
    says(&|m| KCB.set_magic(m, 5), KcbError::Magic(5));
    says(&|m| KCB.set_format(m, 3), KcbError::Format(3));
    says(&|m| KCB.set_format(m, 0), KcbError::Format(0));
    says(&|m| KCB.set_isa(m, 1), KcbError::Isa(1));
    says(&|m| KCB.set_features(m, 0b111), KcbError::Features(0b100));
    says(&|m| KCB.set_mem_size(m, 8), KcbError::Checksum);
    says(&|m| KCB.set_osnode(m, 8), KcbError::Checksum);
    says(
        &|m| KCB.set_undo_len(m, u64::MAX),
        KcbError::Undo(undo::UndoError::Length(u64::MAX)),
    );
    for at in [0, BASE + 8, BASE - 0x1000, BASE + 0x2000, u64::MAX - 0xfff] {
        let found = kcb_check(&good, Kcb(PhysAddr(at)), Isa::Arm, FEATURES);
        assert_eq!(found, Err(KcbError::Address), "{at:#x}");
    }
    let mut mem = good.clone();
    let mut t = Transaction::begin(&mut mem, KCB);
    KCB.set_checksum(&mut t, 1);
    assert_eq!(
        kcb_check(&mem, KCB, Isa::Arm, FEATURES),
        Ok(()),
        "the open transaction does not count"
    );
}

/// A format that was shipped never changes: what stands in memory was written by it.
#[test]
fn format_1_is_frozen() {
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for f in fields(1).unwrap().into_iter().flatten() {
        let line = format!("{} {:#x} {}\n", f.name, f.offset, f.words);
        for b in line.bytes() {
            h = (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(
        h, 0x0ac1_b2b8_88b4_6812,
        "the tables of format 1 have changed: {h:#x}"
    );
}
