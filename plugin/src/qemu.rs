//! QEMU's side: the few functions of plugin API 4 that are used, declared by hand.
//!
//! No header is packaged by distributions; names and types follow QEMU 10's
//! documented plugin interface. The undefined symbols resolve when QEMU loads
//! the library, so nothing here runs in host tests (`cfg(test)` leaves it out).
#![cfg_attr(test, allow(dead_code))]
// UNSAFETY: a C interface; every call hands back handles that QEMU gave us.
#![allow(unsafe_code)]

use crate::marker;
use crate::record::Recorder;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};

type Id = u64;

#[repr(C)]
struct Version {
    min: c_int,
    cur: c_int,
}

/// Head of `qemu_info_t`: enough of it to read the target's name.
#[repr(C)]
struct Info {
    target_name: *const c_char,
    version: Version,
}

/// `qemu_plugin_u64`: one 64-bit counter per vCPU in a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
struct PerVcpu {
    score: *mut c_void,
    offset: usize,
}

const INLINE_ADD_U64: c_int = 0;
const CB_NO_REGS: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, cb: extern "C" fn(Id, *mut c_void));
    fn qemu_plugin_register_atexit_cb(
        id: Id,
        cb: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(tb: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(tb: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_data(insn: *const c_void, dest: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_scoreboard_new(element: usize) -> *mut c_void;
    fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn: *mut c_void,
        op: c_int,
        entry: PerVcpu,
        imm: u64,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        cb: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_u64_get(entry: PerVcpu, vcpu: c_uint) -> u64;
    fn qemu_plugin_num_vcpus() -> c_int;
}

struct Plugin {
    x86: bool,
    counter: PerVcpu,
    output: Mutex<(File, Recorder)>,
}

// SAFETY: `counter` is a handle that QEMU documents as usable from every vCPU
// thread; the file and the recorder stand behind a mutex.
unsafe impl Send for Plugin {}
// SAFETY: as for `Send`.
unsafe impl Sync for Plugin {}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// Oldest plugin API that this plugin works with; QEMU reads it before the install call.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 4;

/// Entry point: QEMU calls it once, with our `key=value` arguments.
///
/// # Safety
/// Called by QEMU with valid pointers to its information structure and `argc` C strings.
#[cfg(not(test))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes its own information structure, whose head `Info` mirrors.
    let target = unsafe { (*info.cast::<Info>()).target_name };
    // SAFETY: `target_name` is a C string that lives as long as QEMU.
    let x86 = unsafe { CStr::from_ptr(target) }.to_bytes() == b"x86_64";
    let mut path = None;
    for i in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: `argv` has `argc` elements.
        let arg = unsafe { *argv.add(i) };
        // SAFETY: each element is a C string.
        let arg = unsafe { CStr::from_ptr(arg) }.to_string_lossy();
        path = arg.strip_prefix("out=").map(str::to_owned).or(path);
    }
    let Some(path) = path else {
        eprintln!("nekton plugin: give the output file as out=FILE");
        return 1;
    };
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(e) => {
            eprintln!("nekton plugin: cannot create {path}: {e}");
            return 1;
        }
    };
    // SAFETY: plain call; the scoreboard is never freed.
    let score = unsafe { qemu_plugin_scoreboard_new(size_of::<u64>()) };
    let plugin = Plugin {
        x86,
        counter: PerVcpu { score, offset: 0 },
        output: Mutex::new((file, Recorder::new())),
    };
    if PLUGIN.set(plugin).is_err() {
        eprintln!("nekton plugin: loaded twice");
        return 1;
    }
    // SAFETY: `id` is the one QEMU gave us; the callback has the documented type.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate) };
    // SAFETY: as above.
    unsafe { qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut()) };
    0
}

/// A block is translated: count each of its instructions, call us at its markers.
extern "C" fn on_translate(_id: Id, tb: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: `tb` is valid during this callback.
    let count = unsafe { qemu_plugin_tb_n_insns(tb) };
    for i in 0..count {
        // SAFETY: `i` is below the number of instructions.
        let insn = unsafe { qemu_plugin_tb_get_insn(tb, i) };
        let mut bytes = [0u8; 16];
        // SAFETY: `bytes` has the length that is passed.
        let len = unsafe { qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), bytes.len()) };
        if let Some(number) = marker::decode(plugin.x86, &bytes[..len.min(bytes.len())]) {
            let data = usize::from(number) as *mut c_void;
            // SAFETY: `insn` belongs to this block; the data word is a number, never dereferenced.
            unsafe { qemu_plugin_register_vcpu_insn_exec_cb(insn, on_marker, CB_NO_REGS, data) };
        }
        // SAFETY: `insn` belongs to this block and the counter to our scoreboard.
        unsafe {
            qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                insn,
                INLINE_ADD_U64,
                plugin.counter,
                1,
            );
        };
    }
}

fn totals(counter: PerVcpu) -> Vec<u64> {
    // SAFETY: plain query.
    let vcpus = unsafe { qemu_plugin_num_vcpus() };
    (0..u32::try_from(vcpus).unwrap_or(0))
        .map(|vcpu| {
            // SAFETY: `vcpu` is below the number of vCPUs that QEMU reports.
            unsafe { qemu_plugin_u64_get(counter, vcpu) }
        })
        .collect()
}

extern "C" fn on_marker(vcpu: c_uint, data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let totals = totals(plugin.counter);
    let Ok(mut output) = plugin.output.lock() else {
        return;
    };
    let (file, recorder) = &mut *output;
    if let Some(line) = recorder.mark(vcpu as usize, data as usize as u16, &totals)
        && let Err(e) = file.write_all(line.as_bytes())
    {
        eprintln!("nekton plugin: cannot write the record: {e}");
    }
}

/// The machine ends: one last line with the totals, marker 65535.
extern "C" fn on_exit(_id: Id, _data: *mut c_void) {
    on_marker(0, usize::from(u16::MAX) as *mut c_void);
}
