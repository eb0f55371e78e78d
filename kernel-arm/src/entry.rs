//! From the image's entry to the first dispatcher.

use crate::context;
use crate::controller::{Controller, Interrupt};
use crate::log;
use crate::machine::ArmMachine;
use crate::note::Note;
use crate::paging::AddressSpaces;
use crate::run::{Kernel, Variant};
use crate::statics::{EMPTY_ROOT, KernelCell, LINK_BASE};
use crate::timer::Timer;
use crate::window::{CoreView, OWN_CORE, Window};
use abi::vaddr::CORE_VA;
use arch_arm::pen;
use arch_arm::psci::Conduit;
use arch_arm::registers::{self, Features};
use capfmt::{Core, CoreStatus, PhysAddr};
use core::sync::atomic::Ordering;
use kernel::Event;
use kernel::care::Care;

macro_rules! entry_code {
    ($($name:ident = $value:expr,)*) => {
        core::arch::global_asm!(
            $(concat!(".equ ", stringify!($name), ", {", stringify!($name), "}"),)*
            include_str!("entry.S"),
            $($name = const $value,)*
        );
    };
}
entry_code! {
    NK_DISABLED = abi::disp::DISABLED,
    NK_ENABLED_AREA = abi::disp::ENABLED_AREA,
    NK_AREA_BYTES = abi::disp::AREA_BYTES,
    NK_AREA_PC = abi::disp::AREA_PC,
    NK_AREA_FLAGS = abi::disp::AREA_FLAGS,
}

core::arch::global_asm!(include_str!("memory.S"));

// What entry.S takes for granted.
const _: () = {
    use abi::disp::*;
    assert!(DISABLED_AREA == ENABLED_AREA + AREA_BYTES);
    assert!(AREA_GPR == 0 && AREA_SP == AREA_PC + 8 && AREA_TLS == AREA_FLAGS + 8);
};

/// The kernel's life, from the moment that loader or pen jumped here (plan: "Kernel entry").
pub fn start<V: Variant>(
    cell: &'static KernelCell<V>,
    note: &'static Note,
    core: u64,
    kcb: u64,
    stack_top: u64,
) -> ! {
    LINK_BASE.store(V::BASE, Ordering::Relaxed);
    let seq = OWN_CORE.home_seq(&CoreView);
    let core = Core(PhysAddr(core));
    let kcb = PhysAddr(kcb);
    // SAFETY: the one window of this kernel, which was entered as the plan says.
    let window = unsafe { Window::new() };
    let features = Features::read();
    let mut machine = ArmMachine::<V>::new(window, core.0, features.mask());
    core.set_features(&mut machine, features.mask());
    kernel::report_status(&mut machine, CoreStatus::Starting, kcb, seq);
    assert!(features.fp, "this core has no FP and SIMD registers");
    // SAFETY: these values keep the mapping of image, stack and window as it is.
    unsafe { registers::init_kernel(&features) };
    log::start();
    let empty = registers::translate(&raw const EMPTY_ROOT as u64).expect("own image is mapped");
    let spaces = AddressSpaces::new(empty);
    let timer = Timer::new();
    let mut controller = own_controller();
    controller.init();
    // From here on the core can be taken back.
    context::unmask_interrupts();
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
    let conduit = Conduit::from_u64(core.isa_param(&machine, pen::PARAM_CONDUIT));
    // SAFETY: the image's one entry; EL0 has not run yet.
    let kernel = unsafe {
        cell.init(Kernel {
            machine,
            osnode,
            care: Care::new(),
            spaces,
            controller,
            timer,
            conduit,
            spsr_mask: features.user_spsr_mask(),
            stack_top,
            core,
            woken_by: Event::Idle,
        })
    };
    kernel.begin()
}

/// The controller as the Core object describes and maps it.
fn own_controller() -> Controller {
    // SAFETY: whoever made the Core object mapped the registers there (`genesis::CoreParams::devices`).
    unsafe { Controller::new(&CoreView, OWN_CORE, CORE_VA + pen::DEVICES) }
}

/// Takes the interrupt that passed the kernel's mask: whether the core is wanted back.
pub fn force_pending() -> bool {
    own_controller().take() == Interrupt::Force
}

/// The pen's machine code was written down with these offsets (`offsets-proved`).
const _: () = {
    const fn same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let mut i = 0;
        while i < a.len() && i < b.len() && a[i] == b[i] {
            i += 1;
        }
        i == a.len() && i == b.len()
    }
    let mut i = 0;
    while i < pen::FIELDS.len() {
        let (name, offset) = pen::FIELDS[i];
        let mut k = 0;
        while !same(Core::FIELDS[k].name, name) {
            k += 1;
        }
        assert!(
            Core::FIELDS[k].offset == offset,
            "the pen has another layout"
        );
        i += 1;
    }
    assert!(pen::CORE_VA == CORE_VA && pen::DEVICES == genesis::CORE_DEVICES_OFFSET);
    assert!(pen::PEN_CODE == Core::PEN_CODE && pen::PEN_DATA == Core::PEN_DATA);
    use capfmt::CoreCommand as C;
    use capfmt::CoreStatus as S;
    let numbers = [
        S::Off as u64,
        S::Penned as u64,
        S::Crashed as u64,
        C::Start as u64,
        C::Off as u64,
    ];
    let mut n = 0;
    while n < numbers.len() {
        assert!(pen::NUMBERS[n] == numbers[n], "the pen has other numbers");
        n += 1;
    }
};
