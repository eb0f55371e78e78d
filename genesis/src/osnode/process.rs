//! The first process: its frames, dispatcher and first context.

use abi::{disp, slots, vaddr};
use capfmt::{Cap, CapType, DCB_BYTES, Dcb, DcbState, EndpointRecord, PhysAddr, PhysMap, Rights};

use super::OsnodeSpec;
use super::builder::Builder;
use crate::PAGE;
use crate::isa::IsaTables;
use crate::user_image::UserImage;

/// Ring slots that endpoint 0 is opened with.
const ENDPOINT_SLOTS: u64 = 32;
/// Bytes of what this module allocates; the DCB takes a page with its alignment.
pub(super) const OBJECT_BYTES: u64 =
    2 * PAGE + disp::FRAME_BYTES + abi::bootinfo::BYTES + vaddr::STACK_BYTES + PAGE;

/// The frames that the first process is born with.
pub(super) struct Frames {
    /// The OSnode's time page; read only.
    pub time_page: Cap,
    /// Start block.
    pub start_block: Cap,
    /// Dispatcher frame.
    pub dispatcher: Cap,
    /// Boot information; read only.
    pub boot_info: Cap,
    /// First stack.
    pub stack: Cap,
}

impl Frames {
    /// Allocates all of them and places their capabilities; the stack's is placed with its mapping.
    pub fn allocate(b: &mut Builder<'_, impl PhysMap>) -> Frames {
        let mut frame = |bytes: u64, rights: Rights| Cap {
            rights,
            ..Cap::region(CapType::Frame, b.allocate(bytes, PAGE), bytes)
        };
        let read = Rights(Rights::READ.0 | Rights::GRANT.0);
        let frames = Frames {
            time_page: frame(PAGE, read),
            start_block: frame(PAGE, Rights::ALL),
            dispatcher: frame(disp::FRAME_BYTES, Rights::ALL),
            boot_info: frame(abi::bootinfo::BYTES, read),
            stack: frame(vaddr::STACK_BYTES, Rights::ALL),
        };
        b.place(slots::TIME_PAGE, &frames.time_page);
        b.place(slots::START_BLOCK, &frames.start_block);
        b.place(slots::DISP_FRAME, &frames.dispatcher);
        b.place(slots::BOOT_INFO, &frames.boot_info);
        frames
    }
}

/// Makes the dispatcher, runnable, and its first context.
pub(super) fn build<T: IsaTables, M: PhysMap>(
    b: &mut Builder<'_, M>,
    spec: &OsnodeSpec<'_>,
    image: &UserImage<'_>,
    frames: &Frames,
) {
    let (kcb, time) = (b.kcb, frames.time_page.base);
    kcb.set_time_page(b.mem, time.0);
    b.mem.store(time.add(vaddr::time_page::OSNODE), spec.osnode);
    b.mem.write_bytes(frames.start_block.base, spec.start_block);
    make_dispatcher(b, spec, frames);
    write_context::<T>(b.mem, frames.dispatcher.base, image.entry(vaddr::IMAGE));
}

fn make_dispatcher(b: &mut Builder<'_, impl PhysMap>, spec: &OsnodeSpec<'_>, frames: &Frames) {
    let dcb = Dcb(b.allocate(DCB_BYTES, DCB_BYTES));
    let id = b.next_id();
    dcb.set_magic(b.mem, Dcb::MAGIC);
    dcb.set_id(b.mem, id);
    dcb.set_state(b.mem, DcbState::Runnable as u64);
    // The first process of an OSnode is its monitor.
    dcb.set_flags(b.mem, Dcb::STARTED | Dcb::ANSWERS);
    dcb.set_wake_at_ns(b.mem, u64::MAX);
    let mut name = [0; 16];
    name[..spec.name.len()].copy_from_slice(spec.name);
    let [n0, n1] = [&name[..8], &name[8..]].map(word);
    dcb.set_name0(b.mem, n0);
    dcb.set_name1(b.mem, n1);
    let endpoint = EndpointRecord {
        ring: ENDPOINT_SLOTS << 32,
        ..EndpointRecord::default()
    };
    dcb.set_endpoint(b.mem, 0, &endpoint);
    b.kcb.set_dcb_head(b.mem, dcb.0.0);

    let root = b.root;
    b.place_at(dcb.cspace(), &root);
    let vspace = b.cap(slots::ROOT_VNODE);
    b.place_at(dcb.vspace(), &vspace);
    b.place_at(dcb.disp_frame(), &frames.dispatcher);
    let own = Cap::region(CapType::Dispatcher, dcb.0, DCB_BYTES);
    b.place(slots::DISPATCHER, &own);
    let endpoint = Cap::region(CapType::Endpoint, dcb.0, DCB_BYTES);
    b.place(slots::SELF_ENDPOINT, &endpoint);
    let domain = Cap {
        extra: b.next_id(),
        ..Cap::region(CapType::Domain, PhysAddr::NULL, 0)
    };
    b.place(slots::DOMAIN, &domain);
}

fn word(bytes: &[u8]) -> u64 {
    let mut w = [0; 8];
    w.copy_from_slice(bytes);
    u64::from_le_bytes(w)
}

/// The context that a kernel resumes: at the entry point, with upcalls off, stack pointer at
/// the end of the stack (16-byte aligned, as at a process's start, not as after a call),
/// first argument = dispatcher frame, second = start block.
fn write_context<T: IsaTables>(mem: &mut impl PhysMap, frame: PhysAddr, entry: u64) {
    mem.store(frame.add(disp::DISABLED), 1);
    let area = frame.add(disp::DISABLED_AREA);
    mem.store(area.add(disp::AREA_PC), entry);
    let stack = vaddr::STACK_BASE + vaddr::STACK_BYTES;
    mem.store(area.add(disp::AREA_SP), stack);
    mem.store(area.add(disp::AREA_FLAGS), T::USER_FLAGS);
    mem.store(area.add(T::ARGUMENT_REGS[0]), vaddr::DISP_FRAME);
    mem.store(area.add(T::ARGUMENT_REGS[1]), vaddr::START_BLOCK);
    // Every area: the first save of another one must not restore a wild FPU state either.
    for at in [disp::ENABLED_AREA, disp::DISABLED_AREA, disp::TRAP_AREA] {
        for (off, w) in T::FRESH_FPU {
            mem.store(frame.add(at + disp::AREA_FPU + off), *w);
        }
    }
}
