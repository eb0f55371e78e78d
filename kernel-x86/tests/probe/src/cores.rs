//! A second core, by hand: Core object, kernel, OSnode, INIT and SIPI, start, stop, start.

use crate::{Log, call, invoke, now};
use abi::{CapAddr, Op, Syscall, bootinfo, slots, vaddr};
use arch_x86::{context, fpu, paging, pen, registers, trampoline};
use capfmt::{CapType, Core, CoreCommand, CoreStatus, FORMAT_VERSION, Isa, PhysAddr, PhysMap, Rights};
use core::fmt::Write;
use genesis::*;

static KERNEL: &[u8] = include_bytes!(env!("PROBE_KERNEL"));
static SECOND: &[u8] = include_bytes!(env!("PROBE_SECOND"));

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 2 * MIB;
const REGION: u64 = 32 * MIB;
const WINDOW_VA: u64 = vaddr::HEAP;
const LOW_VA: u64 = vaddr::TIME_PAGE + 0x1f_0000;
const CORE_AT: u64 = vaddr::TIME_PAGE + 0x1d_0000;
const APIC: u64 = 1;

struct Mem {
    phys: u64,
    len: u64,
}
impl Mem {
    fn at(&self, at: PhysAddr) -> *mut u64 {
        assert!(at.0 >= self.phys && at.0 - self.phys < self.len && at.0 % 8 == 0, "{at:x?}");
        let off = at.0 - self.phys;
        // The Core object is mapped by pages of its own: it must be a frame of its exact size.
        (if off < BLOCK { CORE_AT + off } else { WINDOW_VA + off }) as *mut u64
    }
}
impl PhysMap for Mem {
    fn load(&self, at: PhysAddr) -> u64 {
        unsafe { self.at(at).read_volatile() }
    }
    fn store(&mut self, at: PhysAddr, v: u64) {
        unsafe { self.at(at).write_volatile(v) }
    }
    fn compare_exchange(&mut self, at: PhysAddr, old: u64, new: u64) -> Result<(), u64> {
        let found = self.load(at);
        if found != old {
            return Err(found);
        }
        self.store(at, new);
        Ok(())
    }
    fn covers(&self, at: PhysAddr, len: u64) -> bool {
        at.0 >= self.phys && at.0 + len <= self.phys + self.len
    }
}

struct Tables;
impl IsaTables for Tables {
    const ISA: Isa = Isa::X86;
    const ROOT_HOLDS_WINDOW: bool = true;
    const ARGUMENT_REGS: [u64; 4] = context::ARGUMENT_REGS;
    const USER_FLAGS: u64 = registers::RFLAGS_FRESH;
    const FRESH_FPU: &'static [(u64, u64)] = fpu::FRESH;
    fn leaf(level: u32, phys: PhysAddr, r: EntryRights) -> u64 {
        let r = paging::LeafRights { user: r.user, write: r.write, execute: r.execute, device: r.device };
        paging::leaf(level, phys.0, r)
    }
    fn table(phys: PhysAddr, user: bool) -> u64 {
        if user { paging::user_table(phys.0) } else { paging::kernel_table(phys.0) }
    }
}

fn free(n: u32) -> CapAddr {
    CapAddr::new(slots::FREE_CNODE, n)
}
const CORE_FRAME: u32 = 10;
const AREA_FRAME: u32 = 11;
const REGION_FRAME: u32 = 12;
const MAPPINGS: u32 = 20;
const CONTROL0: u32 = 30;
const CONTROL1: u32 = 31;

fn ok(what: &str, r: [u64; 8]) -> [u64; 8] {
    assert!(r[0] == 0, "{what}: status {}", r[0]);
    r
}

fn info(word: u64) -> u64 {
    unsafe { ((vaddr::BOOT_INFO + word) as *const u64).read_volatile() }
}

/// A frame of `bytes` at `offset` in RAM capability `ram`, into free slot `slot`, mapped at block `index`.
fn frame(ram: CapAddr, offset: u64, bytes: u64, slot: u32, index: u64) {
    let root = u64::from(slots::ROOT_CNODE.0);
    let kind = CapType::Frame as u64;
    ok("retype", invoke(Op::Retype, ram, &[offset, kind, bytes, 1, root, u64::from(free(slot).0)]));
    let (vnode, first, n) = match bytes {
        0x1_0000 => (slots::VNODE_LEVEL0, 0x1d0, 16),
        _ => (slots::VNODE_LEVEL1, 256 + index, bytes / BLOCK),
    };
    let rights = u64::from(Rights::READ.0 | Rights::WRITE.0) << 32;
    let mapping = u64::from(free(MAPPINGS + slot - CORE_FRAME).0);
    let f = u64::from(free(slot).0);
    ok("map", invoke(Op::Map, vnode, &[f, first, 0, n | rights, mapping]));
}

fn core_word(control: u32, offset: u64) -> u64 {
    ok("read", invoke(Op::CoreRead, free(control), &[offset]))[1]
}

fn spin_until(what: &str, limit_ns: u64, mut f: impl FnMut() -> bool) -> u64 {
    let t0 = now();
    while !f() {
        assert!(now() - t0 < limit_ns, "{what}: not in time");
        core::hint::spin_loop();
    }
    now() - t0
}

fn status() -> u64 {
    ok("info", invoke(Op::CoreInfo, free(CONTROL1), &[]))[1]
}

fn show_log() {
    let written = core_word(CONTROL1, 0x1000);
    let mut text = [0u8; 4032];
    let from = written.saturating_sub(300);
    let mut n = 0;
    for i in from..written {
        let at = 0x1040 + i % 4032;
        text[n] = (core_word(CONTROL1, at & !7) >> (8 * (at & 7))) as u8;
        n += 1;
    }
    let _ = writeln!(Log, "probe: log of core 1, {written} bytes: {:?}", core::str::from_utf8(&text[..n]));
}

pub fn second() {
    let count = info(bootinfo::word::RAM_COUNT);
    let record = |i: u64| (info(bootinfo::word::RAM_RECORDS + 16 * i), info(bootinfo::word::RAM_RECORDS + 16 * i + 8) << 8 >> 8);
    let best = (0..count).max_by_key(|i| record(*i).1).unwrap();
    let (base, bytes) = record(best);
    let _ = writeln!(Log, "probe: RAM {best} of {count}: {base:#x}, {bytes:#x}");
    let ram = CapAddr(slots::RAM.0 + best as u32);
    let start = base.next_multiple_of(BLOCK);
    frame(ram, start - base, 0x1_0000, CORE_FRAME, 0);
    frame(ram, start - base + BLOCK, BLOCK, AREA_FRAME, 1);
    frame(ram, start - base + 2 * BLOCK, REGION, REGION_FRAME, 2);
    let mut mem = Mem { phys: start, len: 2 * BLOCK + REGION };
    ok("mint", invoke(Op::CoreMint, slots::CORE, &[u64::from(free(CONTROL0).0)]));
    let word = |o| core_word(CONTROL0, o);
    let core = PhysAddr(start);
    let mut isa_param = [0; 8];
    for (i, p) in isa_param.iter_mut().enumerate() {
        *p = word(0x60 + 8 * i as u64);
    }
    let low = info(bootinfo::word::TRAMPOLINE);
    let window_table = PhysAddr(info(bootinfo::word::WINDOW_TABLE));
    let page = |base| DeviceRange { base: PhysAddr(base), bytes: 4096 };
    let params = CoreParams {
        hw_id: APIC, core_id: 1, node: 0, flags: word(0x30) & !Core::FLAG_BOOT, holder: 1,
        counter_hz: word(0x40), timer_hz: word(0x48), mult: word(0x50), shift: word(0x58), isa_param,
        pen_code: pen::code::bytes(), pen_kernel_entry: pen::code::kernel_entry(),
        firmware: FirmwareEntry::LowPage(PhysAddr(low)), window_table,
        devices: &[page(isa_param[0]), page(isa_param[1])],
    };
    build_core::<Tables>(&mut mem, core, &params);
    pen::install(vaddr::CORE_VA, core.0, &mut |o, w| mem.store(core.add(o), w));
    let features = registers::Features::read().mask();
    let needs = Requirements { isa: Isa::X86, core_features: features, kcb_format: FORMAT_VERSION, kcb_features: features };
    let image = verify_kernel(KERNEL, &needs).unwrap();
    let kp = KernelParams { core, window_table, devices: &[] };
    let rec = load_kernel::<Tables>(&mut mem, core.add(BLOCK), &image, &kp).unwrap();
    Core(core).set_image(&mut mem, 0, &rec);
    let spec = OsnodeSpec {
        osnode: 2, features, core: 1, node: 0, is_boot: false, home: 1,
        ram: &[RamRange { base: core.add(2 * BLOCK), bytes: REGION, node: 0 }],
        monitor: SECOND, name: b"second", start_block: &[], archive: (PhysAddr(0), 0), rsdp: 0, fdt: 0,
        trampoline: 0, entry_counter: 0, ram_end: info(bootinfo::word::RAM_END), window_table,
        cmdline: b"", cores: &[], system_offset_ns: 0, irq_sources: 0, io_ports: false,
        kernel_rights: Rights::ALL, given: &[],
    };
    let kcb = build_osnode::<Tables>(&mut mem, &spec).unwrap();
    let cnode = slots::ROOT_CNODE;
    for k in 0..3 {
        ok("unmap", invoke(Op::Delete, cnode, &[u64::from(free(MAPPINGS + k).0)]));
    }
    let seal = |slot: u32, kind: CapType, offset| {
        let words = [u64::from(free(slot).0), kind as u64, offset];
        ok("seal", invoke(Op::Seal, slots::KERNEL, &words));
    };
    seal(CORE_FRAME, CapType::Core, 0);
    seal(REGION_FRAME, CapType::Kcb, kcb.0 - start - 2 * BLOCK);
    ok("mint", invoke(Op::CoreMint, free(CORE_FRAME), &[u64::from(free(CONTROL1).0)]));
    let rights = u64::from(Rights::READ.0 | Rights::WRITE.0) << 32;
    let words = [u64::from(slots::TRAMPOLINE.0), 0x1f0, 0, 2 | rights, u64::from(free(40).0)];
    ok("map low", invoke(Op::Map, slots::VNODE_LEVEL0, &words));
    let target = vaddr::CORE_VA + Core::PEN_CODE + pen::code::firmware_entry();
    trampoline::install(low, core.0 + pen::SLOT_TABLE, target, &mut |o, w| unsafe {
        ((LOW_VA + o) as *mut u64).write_volatile(w);
    });
    let signal = |what: u64, page: u64| {
        let r = ok("signal", invoke(Op::CoreSignal, free(CONTROL1), &[what, page]));
        assert!(r[1] == 0, "signal {what} refused");
    };
    signal(3, 0);
    signal(4, u64::from(trampoline::sipi_page(low)));
    let t = spin_until("pen", 100_000_000, || status() == CoreStatus::Penned as u64);
    let _ = writeln!(Log, "probe: core 1 is in its pen after {t} ns");
    for round in 0..4 {
        let words = [CoreCommand::Start as u64, u64::from(free(REGION_FRAME).0), 0];
        let seq = ok("start", invoke(Op::CoreCommand, free(CONTROL1), &words))[1];
        let t = spin_until("run", 100_000_000, || status() == CoreStatus::Running as u64);
        let _ = writeln!(Log, "probe: start {seq}: runs after {t} ns");
        call([Syscall::Wait as u64, now() + 20_000_000, 0, 0, 0, 0, 0, 0]);
        if round == 2 {
            signal(2, 0);
            let t = spin_until("crash", 100_000_000, || status() == CoreStatus::Crashed as u64);
            let r = ok("info", invoke(Op::CoreInfo, free(CONTROL1), &[]));
            let _ = writeln!(Log, "probe: taken by NMI after {t} ns, epitaph {} at {:#x}", r[6], r[7]);
            continue;
        }
        ok("stop", invoke(Op::CoreCommand, free(CONTROL1), &[CoreCommand::Stop as u64]));
        let t = spin_until("stop", 100_000_000, || status() == CoreStatus::Penned as u64);
        let _ = writeln!(Log, "probe: stopped after {t} ns");
    }
    show_log();
}
