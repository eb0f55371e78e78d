//! QEMU's side: the few functions of plugin API 4 that are used, declared by hand.
//!
//! No header is packaged by distributions; names and types follow QEMU 10's
//! documented plugin interface. The undefined symbols resolve when QEMU loads
//! the library, so nothing here runs in host tests (`cfg(test)` leaves it out).
#![cfg_attr(test, allow(dead_code))]
// UNSAFETY: a C interface; every call hands back handles that QEMU gave us.
#![allow(unsafe_code)]

use crate::marker;
use crate::profile::Profile;
use crate::record::Recorder;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Most vCPUs that are counted.
const VCPUS: usize = 512;

/// Instructions of one vCPU, on a cache line of its own. Only that vCPU's thread writes it.
#[repr(align(64))]
struct Counter(AtomicU64);

/// What every vCPU executed.
///
/// Not QEMU's inline counters: in QEMU 10.0 a block with more than one of them scales the vCPU's
/// index again for each, so that all vCPUs but the first count in foreign memory (seen to crash).
/// One counter per block would not do: a block that is left in its middle counts too much.
static EXECUTED: [Counter; VCPUS] = [const { Counter(AtomicU64::new(0)) }; VCPUS];

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
    fn qemu_plugin_insn_vaddr(insn: *const c_void) -> u64;
    fn qemu_plugin_insn_haddr(insn: *const c_void) -> *mut c_void;
    fn qemu_plugin_insn_data(insn: *const c_void, dest: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut c_void,
        cb: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_num_vcpus() -> c_int;
}

struct Plugin {
    x86: bool,
    profile: Option<Profile>,
    output: Mutex<(File, Recorder)>,
}

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
    let (mut path, mut profile) = (None, None);
    for i in 0..usize::try_from(argc).unwrap_or(0) {
        // SAFETY: `argv` has `argc` elements.
        let arg = unsafe { *argv.add(i) };
        // SAFETY: each element is a C string.
        let arg = unsafe { CStr::from_ptr(arg) }.to_string_lossy();
        path = arg.strip_prefix("out=").map(str::to_owned).or(path);
        profile = arg.strip_prefix("profile=").map(str::to_owned).or(profile);
    }
    let profile = match profile.as_deref().map(Profile::from_words).transpose() {
        Ok(profile) => profile,
        Err(e) => {
            eprintln!("nekton plugin: {e}");
            return 1;
        }
    };
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
    let plugin = Plugin {
        x86,
        profile,
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
        if let Some(profile) = &plugin.profile {
            // SAFETY: `insn` belongs to this block.
            let pc = unsafe { qemu_plugin_insn_vaddr(insn) };
            // SAFETY: as before; where the code stands in QEMU's memory tells programs apart.
            let host = unsafe { qemu_plugin_insn_haddr(insn) } as u64;
            let site = profile.site(pc, host, &bytes[..len.min(bytes.len())]);
            let data = site as *mut c_void;
            // SAFETY: `insn` belongs to this block; the data word is a number, never dereferenced.
            unsafe { qemu_plugin_register_vcpu_insn_exec_cb(insn, on_site, CB_NO_REGS, data) };
        }
        // SAFETY: `insn` belongs to this block.
        unsafe {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, CB_NO_REGS, std::ptr::null_mut());
        };
    }
}

/// An instruction is about to be executed. At a marker, this comes second.
extern "C" fn on_insn(vcpu: c_uint, _data: *mut c_void) {
    if let Some(Counter(n)) = EXECUTED.get(vcpu as usize) {
        // A vCPU has one thread at a time: no other writer can come between.
        n.store(n.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// As `on_insn`, of the instruction with this number in the profile.
extern "C" fn on_site(vcpu: c_uint, data: *mut c_void) {
    if let Some(profile) = PLUGIN.get().and_then(|p| p.profile.as_ref()) {
        profile.executed(vcpu as usize, data as usize);
    }
}

fn totals() -> Vec<u64> {
    // SAFETY: plain query.
    let vcpus = unsafe { qemu_plugin_num_vcpus() };
    let counters = EXECUTED.iter().take(usize::try_from(vcpus).unwrap_or(0));
    counters.map(|c| c.0.load(Ordering::Relaxed)).collect()
}

extern "C" fn on_marker(vcpu: c_uint, data: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    let totals = totals();
    if let Some(profile) = &plugin.profile {
        profile.mark(data as usize as u16);
    }
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
