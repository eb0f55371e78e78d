//! The first CNode of every process: root slot 0 holds the *task CNode* with these slots.

use crate::CapAddr;

const fn task(slot: u32) -> CapAddr {
    CapAddr::new(0, slot)
}
/// The process's own root CNode.
pub const ROOT_CNODE: CapAddr = task(1);
/// Its dispatcher.
pub const DISPATCHER: CapAddr = task(2);
/// Its root VNode.
pub const ROOT_VNODE: CapAddr = task(3);
/// Its dispatcher frame.
pub const DISP_FRAME: CapAddr = task(4);
/// Endpoint of whoever started it (process control; badge names the process).
pub const PARENT: CapAddr = task(5);
/// Endpoint of the memory service (badge names the client).
pub const MEMORY: CapAddr = task(6);
/// Kernel capability (log only, unless given more).
pub const KERNEL: CapAddr = task(7);
/// Own endpoint 0 (opened by the starter with 32 ring slots), full copy.
pub const SELF_ENDPOINT: CapAddr = task(8);
/// Frame with the start block (arguments), mapped at `vaddr::START_BLOCK`.
pub const START_BLOCK: CapAddr = task(9);
/// RAM given at start (for first needs before the memory service answers), or empty.
pub const START_RAM: CapAddr = task(10);
/// Domain capability naming the process.
pub const DOMAIN: CapAddr = task(11);
/// Notification page of the OSnode, or a Notify, or empty.
pub const NOTIFICATION: CapAddr = task(12);
/// Archive frame (read only), or empty.
pub const ARCHIVE: CapAddr = task(13);
/// Read-only frame of the OSnode's time page (mapped at `vaddr::TIME_PAGE`; copied to each new process).
pub const TIME_PAGE: CapAddr = task(14);
/// First slot for capabilities given by the starter (named in the start block).
pub const GIVEN: CapAddr = task(32);

/// Only in an OSnode's first process: all interrupt sources.
pub const IRQ_SOURCES: CapAddr = task(16);
/// First process only: all I/O ports (x86).
pub const IO_PORTS: CapAddr = task(17);
/// First process only: frame with the boot information.
pub const BOOT_INFO: CapAddr = task(18);
/// First process only: Core object of the core that the OSnode was made for (boot OSnode only).
pub const CORE: CapAddr = task(19);
/// First process only: frames of the boot core's two image areas (boot OSnode only): 20 and 21.
pub const CORE_IMAGES: CapAddr = task(20);
/// First process only: low page for the SIPI trampoline (x86 boot OSnode only).
pub const TRAMPOLINE: CapAddr = task(22);
/// First process only: frame shared with the home monitor (UMP), or empty.
pub const HOME_CHANNEL: CapAddr = task(23);
/// First process only: the PhysAddr capability over everything that is not RAM (device memory, ACPI tables).
pub const DEVICES: CapAddr = task(24);
/// First process only: `Kcb` capability of its own OSnode (boot OSnode only: the others' are with their makers).
pub const OWN_KCB: CapAddr = task(25);
/// First process only: Frame without rights over memory that nobody may have (the window's tables; boot OSnode only).
pub const RESERVED: CapAddr = task(26);
/// First process only: RAM capabilities, one or more, from this slot on (count in the boot information).
pub const RAM: CapAddr = task(64);
/// Root slot of the CNode that the runtime allocates slots from; 256 empty slots.
pub const FREE_CNODE: u32 = 1;
/// Root slot of the CNode with the page tables, frames and mappings that a process starts with.
pub const PAGE_CNODE: u32 = 2;
/// In the page CNode: VNode of level 2 under root entry 0 (user addresses below 512 GiB), which all
/// dispatchers of the process share.
pub const VNODE_LEVEL2: CapAddr = CapAddr::new(PAGE_CNODE, 0);
/// In the page CNode: VNode of level 1 for 0x4000_0000–0x7fff_ffff (first stack, image, heap).
pub const VNODE_LEVEL1: CapAddr = CapAddr::new(PAGE_CNODE, 1);
/// In the page CNode: VNode of level 2 under root entry 1: what the dispatcher has for itself.
pub const PRIVATE_LEVEL2: CapAddr = CapAddr::new(PAGE_CNODE, 2);
/// In the page CNode: VNode of level 1 for the first GiB from `vaddr::PRIVATE` on.
pub const PRIVATE_LEVEL1: CapAddr = CapAddr::new(PAGE_CNODE, 3);
/// In the page CNode: VNode of level 0 for the first 2 MiB from `vaddr::PRIVATE` on.
pub const PRIVATE_LEVEL0: CapAddr = CapAddr::new(PAGE_CNODE, 4);
/// In the page CNode: VNode of level 0 for 0x4000_0000–0x401f_ffff; those of the image's 2-MiB pieces
/// follow it in ascending order, then frames and Mappings in no order that may be relied on.
pub const VNODE_LEVEL0: CapAddr = CapAddr::new(PAGE_CNODE, 5);
/// In the page CNode: first slot that is empty at the start, for mappings made by the runtime.
pub const PAGE_FREE: u32 = 96;
/// First process of a non-boot OSnode: Frame of the channel on which its home monitor asks (on
/// [`HOME_CHANNEL`] it asks itself).
pub const HOME_REQUESTS: CapAddr = task(32);
/// First process of a non-boot OSnode: Notify of the home monitor for [`HOME_CHANNEL`].
pub const HOME_NOTIFY: CapAddr = task(33);
/// First process of a non-boot OSnode: Notify of the home monitor for [`HOME_REQUESTS`].
pub const HOME_REQUESTS_NOTIFY: CapAddr = task(34);
/// First process of a non-boot OSnode: four capabilities for each core of the boot information's
/// core list: CoreControl, Frame of image area 0, of image area 1, Kcb of the OSnode that runs there.
pub const CORE_RECORDS: CapAddr = task(36);
/// Capabilities of one core record.
pub const CORE_RECORD_SLOTS: u32 = 4;
