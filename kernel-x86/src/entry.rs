//! From the image's entry to the first dispatcher.

use crate::controller::{Controller, IoApicPlace};
use crate::log;
use crate::machine::X86Machine;
use crate::note::Note;
use crate::paging::AddressSpace;
use crate::run::{Kernel, Variant};
use crate::statics::{self, FSGSBASE, KernelCell, STACK_TOP, TABLES, XSAVE};
use crate::timer::Timer;
use crate::trap;
use crate::window::{CoreView, OWN_CORE, Window};
use abi::vaddr::CORE_VA;
use arch_x86::apic::{self, Lapic};
use arch_x86::paging::tlb;
use arch_x86::registers::{self, Features};
use arch_x86::{context, descriptors, fpu, pen};
use capfmt::{Core, CoreStatus, PhysAddr, PhysMap};
use core::arch::asm;
use core::sync::atomic::Ordering;
use kernel::care::Care;

core::arch::global_asm!(
    include_str!("entry.S"),
    SAVED_SP = sym statics::SAVED_SP,
    SAVED_RAX = sym statics::SAVED_RAX,
    PAGE = sym statics::PAGE,
    STACK_TOP = sym statics::STACK_TOP,
    LIVE_AREA = sym statics::LIVE_AREA,
    XSAVE = sym statics::XSAVE,
    FRESH_FPU = sym statics::FRESH_FPU,
    force_later = sym trap::force_later,
    kernel_fault = sym trap::kernel_fault,
    DISABLED = const abi::disp::DISABLED,
    ENABLED_AREA = const abi::disp::ENABLED_AREA,
    DISABLED_AREA = const abi::disp::DISABLED_AREA,
    PC = const abi::disp::AREA_PC,
    SP = const abi::disp::AREA_SP,
    FLAGS = const abi::disp::AREA_FLAGS,
    RAX = const context::RAX,
    RBX = const context::RBX,
    RCX = const context::RCX,
    RDX = const context::RDX,
    RSI = const context::RSI,
    RDI = const context::RDI,
    RBP = const context::RBP,
    QUICK = const context::QUICK,
    R8 = const context::R8,
    R9 = const context::R9,
    R10 = const context::R10,
    R11 = const context::R11,
    R12 = const context::R12,
    R13 = const context::R13,
    R14 = const context::R14,
    R15 = const context::R15,
    USER_FLAGS = const registers::RFLAGS_USER,
    SET_FLAGS = const registers::RFLAGS_FRESH,
    USER_DATA = const descriptors::USER_DATA,
    USER_CODE = const descriptors::USER_CODE,
    XCR0 = const fpu::XCR0,
);

unsafe extern "C" {
    static nekton_syscall: u8;
    static nekton_vectors: u8;
    static nekton_nmi_stack_top: u8;
    static nekton_fault_stack_top: u8;
}

/// Every flag of a user is cleared on entry.
const CLEARED_FLAGS: u64 = 0x3f_7fd5;
const NMI: usize = 2;
const BREAKPOINT: usize = 3;
/// Debug, double fault, machine check: on a stack of their own.
const CAREFUL: [usize; 3] = [1, 8, 18];

/// The kernel's life, from the moment that loader or pen jumped here (plan: "Kernel entry").
pub fn start<V: Variant>(
    cell: &'static KernelCell<V>,
    note: &'static Note,
    core: u64,
    kcb: u64,
    stack_top: u64,
) -> ! {
    statics::BASE.store(V::BASE, Ordering::Relaxed);
    STACK_TOP.store(stack_top, Ordering::Relaxed);
    let seq = OWN_CORE.home_seq(&CoreView);
    let (core, kcb) = (Core(PhysAddr(core)), PhysAddr(kcb));
    // SAFETY: the one window of this kernel, which was entered as the plan says.
    let window = unsafe { Window::new() };
    let root = PhysAddr(tlb::root());
    let window_entry = window.load(root.add(8 * genesis::WINDOW_INDEX));
    let slot_entry = window.load(root.add(8 * genesis::SLOT_INDEX));
    let features = Features::read();
    let mut machine = X86Machine::<V>::new(window, core.0, features.mask(), window_entry);
    core.set_features(&mut machine, features.mask());
    kernel::report_status(&mut machine, CoreStatus::Starting, kcb, seq);
    load_tables(stack_top);
    init_registers(&features);
    log::start();
    let apic = own_apic();
    let timer = Timer::new(apic, core.counter_hz(&machine), core.timer_hz(&machine));
    let controller = Controller::new(apic, io_apic(&machine, core));
    V::before_attach();
    let osnode = match kernel::attach(&mut machine, kcb, note.identity()) {
        Ok(osnode) => osnode,
        Err(e) => panic!("cannot adopt the KCB at {:#x}: {e:?}", kcb.0),
    };
    for (k, word) in (0..).zip(registers::own_processor()) {
        core.set_processor_word(&mut machine, k, word);
    }
    kernel::report_status(&mut machine, CoreStatus::Running, kcb, seq);
    log::line(format_args!(
        "kernel {} runs on core {}",
        genesis::kernel_name(&note.name()),
        core.core_id(&machine)
    ));
    // SAFETY: the image's one entry; neither user mode nor sleep has been.
    let kernel = unsafe {
        cell.init(Kernel {
            machine,
            osnode,
            care: Care::new(),
            space: AddressSpace::new(root, slot_entry),
            controller,
            timer,
        })
    };
    kernel.begin()
}

/// The local APIC as the Core object describes and maps it.
fn own_apic() -> Lapic {
    let x2 = OWN_CORE.flags(&CoreView) & Core::FLAG_X2APIC != 0;
    // SAFETY: whoever made the Core object looked at CPUID, and mapped the registers there
    // (`genesis::CoreParams::devices`).
    let apic = unsafe { Lapic::enable(x2, CORE_VA + pen::LAPIC_PAGE) };
    statics::set_apic(apic);
    apic
}

fn io_apic(m: &impl PhysMap, core: Core) -> Option<IoApicPlace> {
    let (base, lock) = (core.isa_param(m, 1), core.isa_param(m, 2));
    (base != 0 && lock != 0).then_some(IoApicPlace {
        registers: CORE_VA + pen::IOAPIC_PAGE,
        lock: PhysAddr(lock),
        pause: core.flags(m) & Core::FLAG_PAUSE != 0,
    })
}

/// Loads segments, task state and interrupt table of this image.
fn load_tables(stack_top: u64) {
    let nmi = (&raw const nekton_nmi_stack_top) as u64;
    let fault = (&raw const nekton_fault_stack_top) as u64;
    let tss = descriptors::tss(stack_top, [nmi, fault, 0, 0, 0, 0, 0]);
    let gdt = descriptors::gdt(TABLES.tss.get() as u64);
    let stubs = (&raw const nekton_vectors) as u64;
    let idt = core::array::from_fn(|vector| {
        let ist = match vector {
            NMI => 1,
            v if CAREFUL.contains(&v) => 2,
            _ => 0,
        };
        descriptors::gate(stubs + 16 * vector as u64, ist, vector == BREAKPOINT)
    });
    // SAFETY: the one write, before the processor is told (`Tables`).
    unsafe { TABLES.tss.get().write(tss) }
    // SAFETY: as before.
    unsafe { TABLES.gdt.get().write(gdt) }
    // SAFETY: as before.
    unsafe { TABLES.idt.get().write(idt) }
    let gdtr = descriptors::table_pointer(TABLES.gdt.get() as u64, 8 * descriptors::GDT_WORDS);
    let idtr = descriptors::table_pointer(TABLES.idt.get() as u64, 16 * 256);
    // SAFETY: the tables just written hold kernel code and data at the selectors loaded here, a
    // free TSS, and handlers for every vector.
    unsafe {
        asm!(
            "lgdt [{gdtr}]",
            "lidt [{idtr}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2: mov ss, {data:e}",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov fs, {zero:e}",
            "mov gs, {zero:e}",
            "ltr {tss:x}",
            gdtr = in(reg) &gdtr,
            idtr = in(reg) &idtr,
            code = const descriptors::KERNEL_CODE,
            scratch = out(reg) _,
            data = in(reg) u64::from(descriptors::KERNEL_DATA),
            zero = in(reg) 0u64,
            tss = in(reg) u64::from(descriptors::TSS),
        );
    }
}

/// Control registers and MSRs as kernels want them, whatever the last kernel or firmware left.
fn init_registers(features: &Features) {
    assert!(
        features.nx && features.syscall,
        "this processor has no NX or no SYSCALL"
    );
    // SAFETY: paging and protection as they are; FPU on.
    unsafe { registers::set_cr0(registers::CR0) }
    // SAFETY: `cr4` sets what CPUID has; the kernel touches no user page and executes none.
    unsafe { registers::set_cr4(features.cr4()) }
    if features.xsave_avx {
        // SAFETY: CR4.OSXSAVE was just set, and AVX is there.
        unsafe { fpu::state::enable_xsave() }
    }
    XSAVE.store(features.xsave_avx, Ordering::Relaxed);
    FSGSBASE.store(features.fsgsbase, Ordering::Relaxed);
    let entry = (&raw const nekton_syscall) as u64;
    for (msr, value) in [
        (
            registers::MSR_EFER,
            registers::read_msr(registers::MSR_EFER) | registers::EFER,
        ),
        (registers::MSR_STAR, descriptors::STAR),
        (registers::MSR_LSTAR, entry),
        (registers::MSR_FMASK, CLEARED_FLAGS),
        (registers::MSR_GS_BASE, 0),
    ] {
        // SAFETY: these registers exist with SYSCALL and NX (checked); entry and segments are this image's.
        unsafe { registers::write_msr(msr, value) }
    }
}

// What pen and entry code take for granted (`offsets-proved`).
const _: () = {
    use pen::layout as l;
    const fn offset(name: &str) -> u64 {
        let mut k = 0;
        loop {
            let f = Core::FIELDS[k];
            if same(f.name, name) {
                return f.offset;
            }
            k += 1;
        }
    }
    const fn same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let mut i = 0;
        while i < a.len() && i < b.len() && a[i] == b[i] {
            i += 1;
        }
        i == a.len() && i == b.len()
    }
    let fields = [
        ("hw_id", l::HW_ID),
        ("flags", l::FLAGS),
        ("home_seq", l::HOME_SEQ),
        ("home_cmd", l::HOME_CMD),
        ("home_kcb", l::HOME_KCB),
        ("home_image", l::HOME_IMAGE),
        ("target_seq", l::TARGET_SEQ),
        ("target_status", l::TARGET_STATUS),
        ("image_word", l::IMAGES),
        ("pen_root", l::PEN_ROOT),
        ("epitaph_kind", l::EPITAPH_KIND),
        ("epitaph_pc", l::EPITAPH_PC),
        ("epitaph_len", l::EPITAPH_LEN),
    ];
    let mut i = 0;
    while i < fields.len() {
        assert!(
            offset(fields[i].0) == fields[i].1,
            "the pen has another layout"
        );
        i += 1;
    }
    assert!(l::PEN_CODE == Core::PEN_CODE && l::PEN_DATA == Core::PEN_DATA);
    assert!(pen::ROOT_TABLE == Core::PEN_TABLES && pen::DEVICES == genesis::CORE_DEVICES_OFFSET);
    assert!(l::FLAG_BOOT == Core::FLAG_BOOT && l::FLAG_X2APIC == Core::FLAG_X2APIC);
    assert!(l::CMD_START == capfmt::CoreCommand::Start as u64);
    assert!(l::CMD_OFF == capfmt::CoreCommand::Off as u64);
    assert!(l::STATUS_OFF == CoreStatus::Off as u64);
    assert!(l::STATUS_PENNED == CoreStatus::Penned as u64);
    assert!(l::STATUS_CRASHED == CoreStatus::Crashed as u64);
    assert!(apic::VECTOR_FORCE as u64 == apic::VECTOR_TIMER as u64 + 1);
};
