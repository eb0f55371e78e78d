//! The memory of a world, and the objects that are made of it.

use capfmt::{Cap, CapType, PhysAddr};
use monitor::agree::Object;

/// Bytes of a page.
const PAGE: u64 = 4096;

/// An object over some of the three pages of a world's memory.
#[must_use]
pub fn child_of_pages(kind: CapType, first: u64, pages: u64) -> Object {
    let base = PhysAddr((16 + first) * PAGE);
    Object::of(&Cap::region(kind, base, pages * PAGE))
}
/// The memory: three pages.
#[must_use]
#[allow(non_snake_case)]
pub fn P() -> Object {
    child_of_pages(CapType::Ram, 0, 3)
}
/// Two pages of it.
#[must_use]
#[allow(non_snake_case)]
pub fn F() -> Object {
    child_of_pages(CapType::Frame, 0, 2)
}
/// Two pages, one in common with [`F`].
#[must_use]
#[allow(non_snake_case)]
pub fn G() -> Object {
    child_of_pages(CapType::Frame, 1, 2)
}
/// One page of it: the first of a row.
#[must_use]
#[allow(non_snake_case)]
pub fn S() -> Object {
    child_of_pages(CapType::Frame, 0, 1)
}
/// The next of that row.
#[must_use]
#[allow(non_snake_case)]
pub fn T() -> Object {
    child_of_pages(CapType::Frame, 1, 1)
}
/// The memory of a channel, in the middle.
#[must_use]
#[allow(non_snake_case)]
pub fn U() -> Object {
    child_of_pages(CapType::UmpEndpoint, 1, 1)
}
/// A page table.
#[must_use]
#[allow(non_snake_case)]
pub fn V() -> Object {
    table(0)
}
/// A page table of another level at the same place: another object.
#[must_use]
#[allow(non_snake_case)]
pub fn W() -> Object {
    table(1)
}
/// Memory in the middle.
#[must_use]
#[allow(non_snake_case)]
pub fn R() -> Object {
    child_of_pages(CapType::Ram, 1, 1)
}
/// The right to make device frames of all of it.
#[must_use]
#[allow(non_snake_case)]
pub fn A() -> Object {
    child_of_pages(CapType::PhysAddr, 0, 3)
}
/// The block of an OSnode.
#[must_use]
#[allow(non_snake_case)]
pub fn K() -> Object {
    child_of_pages(CapType::Kcb, 0, 3)
}
fn table(level: u32) -> Object {
    let mut cap = child_of_pages(CapType::VNode, 0, 2).cap();
    (cap.param, cap.extra) = (level, 1);
    Object::of(&cap)
}
/// Short name of an object.
#[must_use]
pub fn name(object: &Object) -> &'static str {
    let all = [
        (P(), "P"),
        (F(), "F"),
        (G(), "G"),
        (S(), "S"),
        (T(), "T"),
        (U(), "U"),
        (V(), "V"),
        (W(), "W"),
        (R(), "R"),
        (A(), "A"),
        (K(), "K"),
    ];
    let named = all.iter().find(|(o, _)| o == object);
    named.map_or("?", |(_, name)| name)
}
/// Pages of an object, as bits.
#[must_use]
pub fn pages(base: u64, end: u64) -> u8 {
    let page = |at: u64| at / PAGE - 16;
    (page(base)..page(end)).fold(0, |bits, p| bits | 1 << p)
}
