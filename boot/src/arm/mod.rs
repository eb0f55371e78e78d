//! AArch64 machines: the door of the arm64 Image, the machine as the shared steps want it.
//!
//! Firmware enters [`entry.S`] at EL1 or EL2 with translation off. It stays off
//! until [`board`] has made the window and a mapping of the loader itself; until
//! then nothing here uses atomic read-modify-writes or unaligned accesses.
//! [`firmware`] reads the device tree, [`early`] makes the loader's own tables.

mod board;
mod early;
mod firmware;
mod map;
mod tables;

core::arch::global_asm!(
    include_str!("entry.S"),
    LOADER_ENTRY = const abi::marker::LOADER_ENTRY,
);

/// From `entry.S`, at EL1 with translation off: the device tree's address, the exception level that
/// firmware used, the counter at the entry.
#[unsafe(no_mangle)]
extern "C" fn loader_enter(tree: u64, el: u64, entered: u64) -> ! {
    let refuse = |why: &str| -> ! {
        board::print(format_args!("boot: {why}\n"));
        board::leave()
    };
    let (machine, tree) = match firmware::machine(tree) {
        Ok(found) => found,
        Err(why) => refuse(why),
    };
    let told = match firmware::read(&machine, tree) {
        Ok(told) => told,
        Err(why) => refuse(why),
    };
    match board::Machine::new(&told, el, entered) {
        Ok((mut board, handover)) => boot::handover::start(&mut board, handover),
        Err(why) => refuse(why),
    }
}
