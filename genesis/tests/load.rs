//! Kernels in their areas, Core objects, the window: walked as the hardware would.

mod common;

use capfmt::{Core, CoreStatus, Isa, PhysAddr, PhysMap};
use common::elf::{KERNEL_BASE, sample};
use common::walk::{assert_same, pages, read};
use common::{Arena, Arm, Decode, X86};
use genesis::{
    CORE_DEVICES_OFFSET, CoreParams, DeviceRange, EntryRights, FirmwareEntry, IMAGE_AREA_BYTES,
    ImageError, KERNEL_STACK_BYTES, KernelImage, KernelParams, POISON, RamRange, WINDOW_INDEX,
    WindowError, build_core, build_window, load_kernel, poison, restore_kernel,
};

const BASE: u64 = 0x4000_0000;
const CORE: PhysAddr = PhysAddr(BASE + 0x3_0000);
const AREA: PhysAddr = PhysAddr(BASE + 0x10_0000);
const WINDOW: PhysAddr = PhysAddr(BASE + 0x1000);
const PAGE: u64 = 4096;
const PEN_DEVICES: [DeviceRange; 1] = [DeviceRange {
    base: PhysAddr(0x900_0000),
    bytes: 2 * PAGE,
}];

fn firmware<T: Decode>() -> FirmwareEntry {
    match T::ISA {
        Isa::X86 => FirmwareEntry::LowPage(PhysAddr(0x8000)),
        Isa::Arm => FirmwareEntry::PenOffset(0x40),
    }
}

fn core<T: Decode>(mem: &mut Arena) -> Core {
    let params = CoreParams {
        hw_id: 7,
        core_id: 3,
        node: 1,
        flags: Core::FLAG_PAUSE,
        holder: 2,
        counter_hz: 1_000_000_000,
        timer_hz: 62_500_000,
        mult: 5,
        shift: 6,
        isa_param: [11, 12, 13, 14, 15, 16, 17, 18],
        pen_code: b"\x90\x90pen",
        pen_kernel_entry: 2,
        firmware: firmware::<T>(),
        window_table: WINDOW,
        devices: &PEN_DEVICES,
    };
    build_core::<T>(mem, CORE, &params);
    Core(CORE)
}

fn arena() -> Arena {
    let mut mem = Arena::new(BASE, 0x30_0000);
    mem.zero(WINDOW, PAGE);
    mem
}

fn kernel_in_its_area<T: Decode>() {
    let mut mem = arena();
    core::<T>(&mut mem);
    let elf = sample(T::ISA);
    let file = elf.build();
    let image = KernelImage::parse(&file, T::ISA).expect("refused");
    let devices = [
        DeviceRange {
            base: PhysAddr(0xfee0_0000),
            bytes: PAGE,
        },
        DeviceRange {
            base: PhysAddr(0x800_0000),
            bytes: 0x1_0000,
        },
    ];
    let params = KernelParams {
        core: CORE,
        window_table: WINDOW,
        devices: &devices,
    };
    let before = mem.bytes(AREA.0 + IMAGE_AREA_BYTES, 0x1000);
    let r = load_kernel::<T>(&mut mem, AREA, &image, &params).expect("refused");
    assert_same(&mem.bytes(AREA.0 + IMAGE_AREA_BYTES, 0x1000), &before);
    assert_eq!(
        (r.phys, r.size, r.base_va),
        (AREA, IMAGE_AREA_BYTES, KERNEL_BASE)
    );
    assert_eq!(r.entry_va, KERNEL_BASE + 0x2010);
    assert_eq!(mem.load(r.root_table.add(8 * 511)), r.slot_entry);
    let window = mem.load(r.root_table.add(8 * WINDOW_INDEX));
    assert_eq!(window, T::table(WINDOW, false));

    let map = pages::<T>(&mem, r.root_table, &[WINDOW_INDEX]);
    let loaded = elf.loaded(KERNEL_BASE);
    check_image(&map);
    assert_same(&read(&mem, &map, KERNEL_BASE, 0x9000), &loaded);
    let bottom = r.stack_top - KERNEL_STACK_BYTES;
    assert!(
        read(&mem, &map, bottom, KERNEL_STACK_BYTES)
            .iter()
            .all(|b| *b == 0)
    );
    for guard in [bottom - PAGE, r.stack_top] {
        assert!(!map.contains_key(&guard), "no guard page at {guard:#x}");
    }
    assert_eq!(map[&r.device_va].phys, 0xfee0_0000);
    assert_eq!(map[&(r.device_va + PAGE)].phys, 0x800_0000);
    assert_eq!(map[&(r.device_va + 16 * PAGE)].phys, 0x800_f000);
    assert_eq!(map[&r.device_va].rights, EntryRights::KERNEL_DEVICE);
    check_core_mapping(&map);

    // The kernel ran: its data is not what it was.
    for off in (0..0x4000).step_by(8) {
        mem.store(PhysAddr(map[&(KERNEL_BASE + 0x5000)].phys + off), !off);
    }
    assert!(restore_kernel(&mut mem, AREA));
    assert_same(&read(&mem, &map, KERNEL_BASE, 0x9000), &loaded);

    poison(&mut mem, AREA);
    assert!(!restore_kernel(&mut mem, AREA));
    let all = mem.bytes(AREA.0, IMAGE_AREA_BYTES);
    assert!(all.iter().all(|b| *b == POISON));
    assert_same(&mem.bytes(AREA.0 + IMAGE_AREA_BYTES, 0x1000), &before);
}

/// The image's pages have their rights, and there are no more pages than were asked for.
fn check_image(map: &std::collections::BTreeMap<u64, common::walk::Page>) {
    let kinds = [
        (0, 0x2000, EntryRights::KERNEL_CONST),
        (0x2000, 0x2000, EntryRights::KERNEL_CODE),
        (0x4000, 0x1000, EntryRights::KERNEL_CONST),
        (0x5000, 0x4000, EntryRights::KERNEL_DATA),
    ];
    let mut expected = 18 + 17 + KERNEL_STACK_BYTES / PAGE;
    for (off, bytes, rights) in kinds {
        expected += bytes / PAGE;
        for page in (off..off + bytes).step_by(PAGE as usize) {
            assert_eq!(map[&(KERNEL_BASE + page)].rights, rights);
        }
    }
    assert_eq!(
        map.len() as u64,
        expected,
        "pages beside those that were asked for"
    );
}

fn check_core_mapping(map: &std::collections::BTreeMap<u64, common::walk::Page>) {
    for i in 0..16 {
        let page = map[&(abi::vaddr::CORE_VA + i * PAGE)];
        assert_eq!(page.phys, CORE.0 + i * PAGE);
        let rights = match i * PAGE {
            Core::PEN_CODE => EntryRights::KERNEL_CODE,
            _ => EntryRights::KERNEL_DATA,
        };
        assert_eq!(page.rights, rights);
    }
    let device = abi::vaddr::CORE_VA + CORE_DEVICES_OFFSET;
    for i in 0..2 {
        let page = map[&(device + i * PAGE)];
        assert_eq!(page.phys, PEN_DEVICES[0].base.0 + i * PAGE);
        assert_eq!(page.rights, EntryRights::KERNEL_DEVICE);
    }
    assert!(!map.contains_key(&(device + 2 * PAGE)));
}

#[test]
fn kernels_are_loaded_and_mapped() {
    kernel_in_its_area::<X86>();
    kernel_in_its_area::<Arm>();
}

#[test]
fn what_does_not_fit_is_refused_untouched() {
    let mut elf = sample(Isa::X86);
    elf.loads[3].mem = IMAGE_AREA_BYTES - 0x1_0000;
    let file = elf.build();
    let image = KernelImage::parse(&file, Isa::X86).expect("refused");
    let mut mem = arena();
    let before = mem.bytes(BASE, 0x30_0000);
    let params = KernelParams {
        core: CORE,
        window_table: WINDOW,
        devices: &[],
    };
    let e = load_kernel::<X86>(&mut mem, AREA, &image, &params).expect_err("accepted");
    assert!(matches!(e, ImageError::TooLarge { limit, .. } if limit == IMAGE_AREA_BYTES));
    let file = sample(Isa::X86).build();
    let image = KernelImage::parse(&file, Isa::X86).expect("refused");
    let devices = [DeviceRange {
        base: PhysAddr(0x800_0000),
        bytes: 0x20_0000,
    }];
    let params = KernelParams {
        devices: &devices,
        ..params
    };
    let e = load_kernel::<X86>(&mut mem, AREA, &image, &params).expect_err("accepted");
    assert!(matches!(
        e,
        ImageError::TooLarge {
            bytes: 0x20_0000,
            ..
        }
    ));
    assert!(mem.bytes(BASE, 0x30_0000) == before);
}

fn core_object<T: Decode>() {
    let mut mem = arena();
    let c = core::<T>(&mut mem);
    assert_eq!((c.magic(&mem), c.isa(&mem)), (Core::MAGIC, T::ISA as u64));
    assert_eq!((c.hw_id(&mem), c.core_id(&mem), c.node(&mem)), (7, 3, 1));
    assert_eq!((c.flags(&mem), c.holder(&mem)), (Core::FLAG_PAUSE, 2));
    assert_eq!((c.mult(&mem), c.shift(&mem)), (5, 6));
    assert_eq!((c.isa_param(&mem, 0), c.isa_param(&mem, 7)), (11, 18));
    assert_eq!(c.target_status(&mem), CoreStatus::Off as u64);
    assert_eq!((c.home_seq(&mem), c.target_seq(&mem)), (0, 0));
    assert_eq!(mem.bytes(CORE.0 + Core::PEN_CODE, 6), b"\x90\x90pen\0");
    assert_eq!(c.pen_entry(&mem), abi::vaddr::CORE_VA + Core::PEN_CODE + 2);
    let map = pages::<T>(&mem, PhysAddr(c.pen_root(&mem)), &[WINDOW_INDEX]);
    check_core_mapping(&map);
    let root = PhysAddr(c.pen_root(&mem));
    assert_eq!(
        mem.load(root.add(8 * WINDOW_INDEX)),
        T::table(WINDOW, false)
    );
    let identity = match T::ISA {
        Isa::X86 => {
            assert_eq!(c.pen_firmware_entry(&mem), 0x8000);
            assert_eq!((map.len(), c.pen_identity_root(&mem)), (19, 0));
            map[&0x8000]
        }
        Isa::Arm => {
            let page = CORE.0 + Core::PEN_CODE;
            assert_eq!(c.pen_firmware_entry(&mem), page + 0x40);
            assert_eq!(map.len(), 18);
            let map = pages::<T>(&mem, PhysAddr(c.pen_identity_root(&mem)), &[]);
            assert_eq!(map.len(), 1);
            assert_eq!(map[&page].phys, page);
            map[&page]
        }
    };
    assert_eq!(identity.rights, EntryRights::KERNEL_CODE);
}

#[test]
fn core_objects_hold_header_and_pen() {
    core_object::<X86>();
    core_object::<Arm>();
}

fn range(base: u64, bytes: u64) -> RamRange {
    RamRange {
        base: PhysAddr(base),
        bytes,
        node: 0,
    }
}

fn window<T: Decode>(gigabyte_pages: bool) {
    let mut mem = Arena::new(BASE, 0x10_0000);
    let mut next = BASE;
    let mut page = || {
        next += PAGE;
        Some(PhysAddr(next - PAGE))
    };
    // Ranges share 2-MiB and 1-GiB pieces and are out of order.
    let ram = [
        range(0x4000_0000, 0x8000_0000),
        range(0x1000, 0x9_e000),
        range(0x10_0000, 0x3fe0_1000),
        range(0x3ff8_0000, 0x3000),
    ];
    let top = build_window::<T>(&mut mem, &ram, gigabyte_pages, &mut page).expect("window");
    let root = PhysAddr(next);
    mem.zero(root, PAGE);
    mem.store(root.add(8 * WINDOW_INDEX), T::table(top, false));
    let map = pages::<T>(&mem, root, &[]);
    let mut total = 0;
    for (va, page) in &map {
        assert_eq!(va - abi::vaddr::WINDOW, page.phys);
        assert_eq!(page.rights, EntryRights::WINDOW);
        let inside =
            |r: &&RamRange| page.phys >= r.base.0 && page.phys + page.bytes <= r.base.0 + r.bytes;
        assert!(ram.iter().any(|r| inside(&r)), "{page:x?} is not RAM");
        total += page.bytes;
    }
    assert_eq!(total, ram.iter().map(|r| r.bytes).sum::<u64>());
    let largest = map.values().map(|p| p.bytes).max();
    let expected = if gigabyte_pages { 1 << 30 } else { 2 << 20 };
    assert_eq!(largest, Some(expected));
}

#[test]
fn the_window_shows_ram_and_nothing_else() {
    for gigabyte_pages in [false, true] {
        window::<X86>(gigabyte_pages);
        window::<Arm>(gigabyte_pages);
    }
}

#[test]
fn the_window_refuses_what_it_cannot_show() {
    let mut mem = Arena::new(BASE, 0x1_0000);
    let mut left = 2i64;
    let mut page = || {
        left -= 1;
        (left >= 0).then(|| PhysAddr(BASE + PAGE * left as u64))
    };
    let high = [range((1 << 39) - PAGE, 2 * PAGE)];
    let e = build_window::<Arm>(&mut mem, &high, true, &mut page);
    assert_eq!(e, Err(WindowError::TooHigh(high[0])));
    let e = build_window::<Arm>(&mut mem, &[range(PAGE, PAGE)], true, &mut page);
    assert_eq!(e, Err(WindowError::OutOfTables));
    left = 2;
    let mut page = || {
        left -= 1;
        Some(PhysAddr(BASE))
    };
    let odd = [range(0x800, PAGE)];
    let e = build_window::<X86>(&mut mem, &odd, true, &mut page);
    assert_eq!(e, Err(WindowError::Unaligned(odd[0])));
}
