//! A fresh OSnode, looked at as a kernel and as the hardware would.

mod common;

use abi::{CapAddr, bootinfo::word, disp, slots, vaddr};
use capfmt::{
    Attachment, Cap, CapType, Core, Cte, Dcb, DcbState, Kcb, MdbFlags, Notification, PhysAddr,
    PhysMap, Rights, cnode, mdb,
};
use common::elf::{Elf, sample};
use common::walk::{Page, assert_same, pages, read};
use common::{Arena, Arm, Decode, X86};
use genesis::{Given, OsnodeError, OsnodeSpec, RamRange, build_osnode};

const BASE: u64 = 0x1_0000_0000;
const BYTES: u64 = 32 << 20;
const WINDOW: PhysAddr = PhysAddr(0x7000);
const PAGE: u64 = 4096;

fn spec<'a>(monitor: &'a [u8], ram: &'a [RamRange]) -> OsnodeSpec<'a> {
    OsnodeSpec {
        osnode: 9,
        features: 0b11,
        core: 2,
        node: 1,
        is_boot: false,
        home: 1,
        ram,
        monitor,
        name: b"monitor",
        start_block: b"start",
        archive: (PhysAddr(0x3000_0123), 0x5000),
        rsdp: 21,
        fdt: 22,
        trampoline: 23,
        entry_counter: 24,
        ram_end: 25,
        window_table: WINDOW,
        cmdline: b"icount exec",
        cores: &[1, 3],
        system_offset_ns: 77,
        irq_sources: 64,
        io_ports: true,
        kernel_rights: Rights::READ,
        given: &[],
    }
}

fn region() -> [RamRange; 1] {
    [RamRange {
        base: PhysAddr(BASE),
        bytes: BYTES,
        node: 1,
    }]
}

/// An image of several 2-MiB pieces, whose data crosses one of their borders.
fn large_program<T: Decode>() -> Elf {
    let mut elf = sample(T::ISA);
    elf.loads[3].mem = 0x45_0000;
    elf
}

fn at(mem: &Arena, kcb: Kcb, addr: CapAddr) -> Cap {
    let root = kcb.root().cap(mem);
    cnode::slot(mem, &root, addr.0).expect("a slot").cap(mem)
}

fn build<T: Decode>(mem: &mut Arena, spec: &OsnodeSpec<'_>) -> Kcb {
    Kcb(build_osnode::<T>(mem, spec).expect("an OSnode"))
}

fn kcb_and_objects<T: Decode>() {
    let mut mem = Arena::new(BASE, BYTES);
    let file = sample(T::ISA).build();
    let (ram, file) = (region(), file);
    let kcb = build::<T>(&mut mem, &spec(&file, &ram));
    mdb::check_invariants(&mem, kcb).expect("MDB");
    assert_eq!(
        (kcb.magic(&mem), kcb.isa(&mem)),
        (Kcb::MAGIC, T::ISA as u64)
    );
    assert_eq!(kcb.format(&mem), capfmt::FORMAT_VERSION);
    assert_eq!((kcb.features(&mem), kcb.osnode(&mem)), (0b11, 9));
    assert_eq!(
        kcb.attachment(&mem),
        Some(Attachment::Detached { epoch: 0 })
    );
    assert_eq!(kcb.checksum(&mem), kcb.compute_checksum(&mem));
    assert_eq!((kcb.mem_base(&mem), kcb.mem_size(&mem)), (BASE, BYTES));
    assert_eq!(
        (kcb.peer_count(&mem), kcb.peer(&mem, 0), kcb.peer(&mem, 1)),
        (2, 9, 1)
    );
    assert_eq!((kcb.undo_len(&mem), kcb.op_kind(&mem)), (0, 0));
    assert_eq!(kcb.system_offset_ns(&mem), 77);
    let n = Notification(PhysAddr(kcb.notification(&mem)));
    assert_eq!((n.magic(&mem), n.osnode(&mem)), (Notification::MAGIC, 9));
    assert_eq!((n.location(&mem), n.summary(&mem)), (0, 0));
    assert_eq!(at(&mem, kcb, slots::NOTIFICATION).base, n.0);
    assert_eq!(at(&mem, kcb, slots::TIME_PAGE).base.0, kcb.time_page(&mem));
    assert_eq!(at(&mem, kcb, slots::ROOT_CNODE), kcb.root().cap(&mem));

    let d = Dcb(PhysAddr(kcb.dcb_head(&mem)));
    assert_eq!(
        (d.magic(&mem), d.state_of(&mem)),
        (Dcb::MAGIC, Some(DcbState::Runnable))
    );
    assert_eq!((d.next(&mem), d.prev(&mem), d.id(&mem)), (0, 0, 1));
    assert!(kcb.next_id(&mem) > at(&mem, kcb, slots::DOMAIN).extra);
    assert_eq!(d.name0(&mem), u64::from_le_bytes(*b"monitor\0"));
    assert_eq!(d.endpoint(&mem, 0).ring, 32 << 32);
    assert_eq!(d.cspace().cap(&mem), kcb.root().cap(&mem));
    assert_eq!(d.vspace().cap(&mem), at(&mem, kcb, slots::ROOT_VNODE));
    assert_eq!(d.disp_frame().cap(&mem), at(&mem, kcb, slots::DISP_FRAME));
    assert_eq!(d.fault_endpoint().cap(&mem).kind, CapType::Null);
    for slot in [slots::DISPATCHER, slots::SELF_ENDPOINT] {
        assert_eq!(at(&mem, kcb, slot).base, d.0);
    }
    rights_and_archive(&mem, kcb);
    boot_information(&mem, kcb);
}

fn rights_and_archive(mem: &Arena, kcb: Kcb) {
    let empty = Cte(kcb.root().cap(mem).base.add(64)).cap(mem);
    assert_eq!((empty.kind, empty.param), (CapType::CNode, 8), "free CNode");
    for i in 0..256 {
        assert_eq!(Cte(empty.base.add(64 * i)).cap(mem), Cap::NULL);
    }
    assert_eq!(at(mem, kcb, slots::KERNEL).rights, Rights::READ);
    assert_eq!(at(mem, kcb, slots::IRQ_SOURCES).size, 64);
    assert_eq!(at(mem, kcb, slots::IO_PORTS).size, 0x1_0000);
    for none in [slots::OWN_KCB, slots::CORE, slots::PARENT, slots::GIVEN] {
        assert_eq!(at(mem, kcb, none).kind, CapType::Null);
    }
    let root = kcb.root().cap(mem);
    let cte = cnode::slot(mem, &root, slots::ARCHIVE.0).expect("a slot");
    let archive = cte.cap(mem);
    assert_eq!((archive.base.0, archive.size), (0x3000_0000, 0x6000));
    assert!(!archive.rights.contains(Rights::WRITE));
    let node = cte.node(mem);
    assert_eq!((node.owner, node.flags), (1, MdbFlags::REMOTE_COPIES));
}

fn boot_information(mem: &Arena, kcb: Kcb) {
    let frame = at(mem, kcb, slots::BOOT_INFO).base;
    let w = |off: u64| mem.load(frame.add(off));
    assert_eq!(w(word::MAGIC), abi::bootinfo::MAGIC);
    assert_eq!(
        (w(word::ARCHIVE), w(word::ARCHIVE_BYTES)),
        (0x3000_0123, 0x5000)
    );
    assert_eq!(
        (w(word::RSDP), w(word::FDT), w(word::TRAMPOLINE)),
        (21, 22, 23)
    );
    assert_eq!((w(word::ENTRY_COUNTER), w(word::RAM_END)), (24, 25));
    assert_eq!((w(word::OSNODE), w(word::CORE), w(word::NODE)), (9, 2, 1));
    assert_eq!((w(word::IS_BOOT), w(word::HOME)), (0, 1));
    assert_eq!(w(word::WINDOW_TABLE), WINDOW.0);
    let line = mem.bytes(frame.0 + w(word::CMDLINE), w(word::CMDLINE_BYTES));
    assert_eq!(line, b"icount exec");
    let cores = [w(word::CORES), w(word::CORES + 8), w(word::CORES + 16)];
    assert_eq!(cores, [2, 1, 3]);
    assert_eq!(w(word::RAM_COUNT), 1);
    let ram = at(mem, kcb, slots::RAM);
    assert_eq!(
        (w(word::RAM_RECORDS), w(word::RAM_RECORDS + 8)),
        (ram.base.0, ram.size | 1 << 56)
    );
    assert_eq!(ram.base.0 + ram.size, BASE + BYTES);
}

#[test]
fn all_objects_are_there() {
    kcb_and_objects::<X86>();
    kcb_and_objects::<Arm>();
}

fn address_space<T: Decode>() {
    let mut mem = Arena::new(BASE, BYTES);
    let elf = large_program::<T>();
    let (file, ram) = (elf.build(), region());
    let kcb = build::<T>(&mut mem, &spec(&file, &ram));
    let root = at(&mem, kcb, slots::ROOT_VNODE).base;
    let window = mem.load(root.add(8 * 256));
    match T::ROOT_HOLDS_WINDOW {
        true => assert_eq!(window, T::table(WINDOW, false)),
        false => assert_eq!(window, 0),
    }
    let map = pages::<T>(&mem, root, &[256]);
    assert!(
        map.values()
            .all(|p| p.rights.user && !p.rights.device && !p.rights.global)
    );

    let span = 0x45_5008u64.next_multiple_of(PAGE);
    assert_same(
        &read(&mem, &map, vaddr::IMAGE, span),
        &elf.loaded(vaddr::IMAGE),
    );
    let rights = |va: u64| (map[&va].rights.write, map[&va].rights.execute);
    let kinds = [
        (0, false, false),
        (0x2000, false, true),
        (0x4000, false, false),
    ];
    for (off, write, execute) in kinds {
        assert_eq!(rights(vaddr::IMAGE + off), (write, execute));
    }
    assert_eq!(rights(vaddr::IMAGE + 0x40_0000), (true, false));
    let fixed = [
        (vaddr::TIME_PAGE, 1, false),
        (vaddr::START_BLOCK, 1, false),
        (vaddr::DISP_FRAME, 4, true),
        (vaddr::BOOT_INFO, 4, false),
        (vaddr::STACK_BASE, vaddr::STACK_BYTES / PAGE, true),
    ];
    let mut count = span / PAGE;
    for (va, n, write) in fixed {
        count += n;
        for i in 0..n {
            assert_eq!(rights(va + i * PAGE), (write, false));
        }
    }
    assert_eq!(
        map.len() as u64,
        count,
        "pages beside those that were asked for"
    );
    assert!(!map.contains_key(&(vaddr::STACK_BASE - PAGE)));
    assert_eq!(read(&mem, &map, vaddr::START_BLOCK, 6), b"start\0");
    first_context::<T>(&mem, &map);
    mappings_are_capabilities(&mem, kcb, root, 3);
}

fn first_context<T: Decode>(mem: &Arena, map: &std::collections::BTreeMap<u64, Page>) {
    let word = |off: u64| {
        let bytes = read(mem, map, vaddr::DISP_FRAME + off, 8);
        u64::from_le_bytes(bytes.try_into().expect("8 bytes"))
    };
    assert_eq!(word(disp::DISABLED), 1);
    let area = disp::DISABLED_AREA;
    assert_eq!(word(area + disp::AREA_PC), vaddr::IMAGE + 0x2010);
    assert_eq!(
        word(area + disp::AREA_SP),
        vaddr::STACK_BASE + vaddr::STACK_BYTES
    );
    assert_eq!(word(area + disp::AREA_FLAGS), T::USER_FLAGS);
    assert_eq!(word(area + T::ARGUMENT_REGS[0]), vaddr::DISP_FRAME);
    assert_eq!(word(area + T::ARGUMENT_REGS[1]), vaddr::START_BLOCK);
    for (off, w) in T::FRESH_FPU {
        assert_eq!(word(area + disp::AREA_FPU + off), *w);
    }
}

/// Every entry has a shadow word that names a Mapping of exactly this entry's target.
fn mappings_are_capabilities(mem: &Arena, kcb: Kcb, vnode: PhysAddr, level: u32) {
    for i in (0..512).filter(|i| (level, *i) != (3, 256)) {
        let (entry, shadow) = (
            mem.load(vnode.add(8 * i)),
            mem.load(vnode.add(PAGE + 8 * i)),
        );
        assert_eq!(entry == 0, shadow == 0, "entry and shadow differ");
        if entry == 0 {
            continue;
        }
        let m = Cte(PhysAddr(shadow)).cap(mem);
        assert_eq!(m.kind, CapType::Mapping);
        assert!(Cte(PhysAddr(shadow)).node(mem).level > 0, "not in the MDB");
        let (table, first) = (m.extra & !511, m.extra & 511);
        assert_eq!(table, vnode.0);
        assert!(first <= i && i < first + u64::from(m.param));
        let target = entry & 0x000f_ffff_ffff_f000;
        if level == 0 {
            assert_eq!(target, m.base.0 + (i - first) * PAGE);
            assert_eq!(m.size, u64::from(m.param) * PAGE);
        } else {
            assert_eq!(
                (target, m.size, m.param),
                (m.base.0, capfmt::VNODE_BYTES, 1)
            );
            mappings_are_capabilities(mem, kcb, PhysAddr(target), level - 1);
        }
        let mapped = mdb::ancestor(mem, kcb, Cte(PhysAddr(shadow))).expect("what it maps");
        let kind = if level == 0 {
            CapType::Frame
        } else {
            CapType::VNode
        };
        assert_eq!(mapped.cap(mem).kind, kind);
    }
}

#[test]
fn the_address_space_is_what_the_file_says() {
    address_space::<X86>();
    address_space::<Arm>();
}

#[test]
fn page_tables_stand_in_their_slots() {
    let mut mem = Arena::new(BASE, BYTES);
    let (file, ram) = (large_program::<X86>().build(), region());
    let kcb = build::<X86>(&mut mem, &spec(&file, &ram));
    let first = slots::VNODE_LEVEL0.0;
    let levels = [
        (slots::VNODE_LEVEL2.0, 2),
        (slots::VNODE_LEVEL1.0, 1),
        (slots::PRIVATE_LEVEL2.0, 2),
        (slots::PRIVATE_LEVEL1.0, 1),
        (slots::PRIVATE_LEVEL0.0, 0),
        (first, 0),
        (first + 1, 0),
        (first + 2, 0),
        (first + 3, 0),
    ];
    for (slot, level) in levels {
        let cap = at(&mem, kcb, CapAddr(slot));
        assert_eq!((cap.kind, cap.param, cap.extra), (CapType::VNode, level, 1));
    }
    let free = CapAddr::new(slots::PAGE_CNODE, slots::PAGE_FREE);
    assert_eq!(at(&mem, kcb, free).kind, CapType::Null);
}

#[test]
fn objects_and_ram_do_not_overlap() {
    let mut mem = Arena::new(BASE, BYTES);
    let (file, ram) = (sample(capfmt::Isa::Arm).build(), region());
    let kcb = build::<Arm>(&mut mem, &spec(&file, &ram));
    let free = at(&mem, kcb, slots::RAM);
    let mut cte = mdb::first(&mem, kcb);
    let mut seen = 0;
    while let Some(c) = cte {
        let cap = c.cap(&mem);
        let physical = cap.size > 0 && cap.base.0 >= BASE;
        if physical && cap.kind != CapType::Ram {
            assert!(cap.last() < free.base.0, "{cap:?} is also free RAM");
            seen += 1;
        }
        assert!(c.0.0 < free.base.0, "a slot in free RAM");
        cte = mdb::next(&mem, kcb, c);
    }
    assert!(seen > 30);
    // Memory that was not used was not touched.
    assert_eq!(mem.bytes(free.base.0, 8), [0xa5; 8]);
    // What the first process starts with is memory, not an object.
    let first = at(&mem, kcb, slots::START_RAM).size;
    assert!(free.size + first > 30 << 20, "objects take more than 2 MiB");
}

#[test]
fn the_boot_osnode_has_all_ranges() {
    let mut mem = Arena::new(BASE, BYTES);
    let range = |base, bytes, node| RamRange {
        base: PhysAddr(base),
        bytes,
        node,
    };
    // The first range is too small, the second on another node.
    let ram = [
        range(BASE + 0x1000, 0x2_f000, 1),
        range(BASE + 0x20_0000, 0x60_0000, 0),
        range(BASE + 0x100_0000, 0x80_1000, 1),
    ];
    let file = sample(capfmt::Isa::X86).build();
    let boot = OsnodeSpec {
        is_boot: true,
        home: 0,
        kernel_rights: Rights::ALL,
        ..spec(&file, &ram)
    };
    let kcb = build::<X86>(&mut mem, &boot);
    assert_eq!(kcb.0.0, BASE + 0x100_0000);
    assert_eq!(
        (kcb.mem_base(&mem), kcb.mem_size(&mem)),
        (BASE + 0x1000, 0x180_0000)
    );
    let own = at(&mem, kcb, slots::OWN_KCB);
    assert_eq!(
        (own.kind, own.base, own.extra),
        (CapType::Kcb, kcb.0, kcb.0.0)
    );
    for i in 0..2 {
        let cap = at(&mem, kcb, CapAddr(slots::RAM.0 + i));
        let r = ram[i as usize];
        assert_eq!(
            (cap.kind, cap.base, cap.size),
            (CapType::Ram, r.base, r.bytes)
        );
    }
    let rest = at(&mem, kcb, CapAddr(slots::RAM.0 + 2));
    assert!(rest.base > kcb.0 && rest.base.0 + rest.size == BASE + 0x180_1000);
    let archive = cnode::slot(&mem, &kcb.root().cap(&mem), slots::ARCHIVE.0).expect("a slot");
    assert_eq!(archive.node(&mem).owner, 0);
}

#[test]
fn given_capabilities_keep_their_owner() {
    let mut mem = Arena::new(BASE, BYTES);
    let (file, ram) = (sample(capfmt::Isa::X86).build(), region());
    let control = |slot, at| Given {
        slot: CapAddr(slot),
        cap: Cap::region(CapType::CoreControl, PhysAddr(at), Core::BYTES),
        owner: 1,
        flags: MdbFlags::REMOTE_COPIES,
    };
    let given = [
        control(slots::GIVEN.0, 0x10_0000),
        control(slots::GIVEN.0 + 1, 0x11_0000),
    ];
    let ok = OsnodeSpec {
        given: &given,
        ..spec(&file, &ram)
    };
    let kcb = build::<X86>(&mut mem, &ok);
    let cte = cnode::slot(&mem, &kcb.root().cap(&mem), slots::GIVEN.0 + 1).expect("a slot");
    assert_eq!((cte.cap(&mem), cte.node(&mem).owner), (given[1].cap, 1));

    let refused = |given: &[Given]| {
        let spec = OsnodeSpec {
            given,
            ..spec(&file, &ram)
        };
        build_osnode::<X86>(&mut Arena::new(BASE, BYTES), &spec).expect_err("accepted")
    };
    let twice = [given[0], given[0]];
    assert_eq!(refused(&twice), OsnodeError::BadGiven(slots::GIVEN));
    let elsewhere = [control(slots::VNODE_LEVEL1.0, 0x10_0000)];
    assert_eq!(
        refused(&elsewhere),
        OsnodeError::BadGiven(slots::VNODE_LEVEL1)
    );
    let odd = [control(slots::GIVEN.0, 0x10_1000)];
    assert_eq!(refused(&odd), OsnodeError::BadGiven(slots::GIVEN));
    let mut stolen = [given[0]];
    stolen[0].cap = Cap::region(CapType::Frame, PhysAddr(BASE + BYTES - PAGE), 2 * PAGE);
    assert!(matches!(refused(&stolen), OsnodeError::Invariant(_)));
}

#[test]
fn what_cannot_be_made_is_refused_by_name() {
    let file = sample(capfmt::Isa::X86).build();
    let ram = region();
    let refused = |spec: &OsnodeSpec<'_>| {
        let e = build_osnode::<X86>(&mut Arena::new(BASE, BYTES), spec).expect_err("accepted");
        e.to_string()
    };
    let mut small = region();
    small[0].bytes = 0x4_0000;
    let message = refused(&spec(&file, &small));
    assert!(
        message.starts_with("out of memory: the OSnode needs "),
        "{message}"
    );
    let mut odd = region();
    odd[0].base = PhysAddr(BASE + PAGE);
    assert!(refused(&spec(&file, &odd)).contains("not aligned"));
    let arm = sample(capfmt::Isa::Arm).build();
    assert!(refused(&spec(&arm, &ram)).starts_with("first process: other ISA"));
    let long = OsnodeSpec {
        name: b"more than sixteen",
        ..spec(&file, &ram)
    };
    assert_eq!(refused(&long), "the name is too long");
    let two = [ram[0], ram[0]];
    assert!(refused(&spec(&file, &two)).starts_with("2 ranges of RAM"));
    let mut huge = sample(capfmt::Isa::X86);
    huge.loads[3].mem = 33 << 20;
    assert!(refused(&spec(&huge.build(), &ram)).contains("too large"));
}

/// The bound that a range is chosen by is never exceeded, nor far off.
#[test]
fn the_budget_holds_for_every_size() {
    for mem_bytes in [0x3450, 0x10_0000, 0x1f_a000, 0x1f_b000, 0x80_0000] {
        let mut elf = sample(capfmt::Isa::X86);
        elf.loads[3].mem = mem_bytes;
        let file = elf.build();
        for skew in [0, 0x1000, 0x3000] {
            let mut ram = region();
            ram[0].base = PhysAddr(BASE + skew);
            ram[0].bytes = PAGE;
            let mut s = spec(&file, &ram);
            s.is_boot = true;
            let mut mem = Arena::new(BASE, BYTES);
            let e = build_osnode::<X86>(&mut mem, &s).expect_err("accepted");
            let OsnodeError::OutOfMemory { needed } = e else {
                panic!("{e:?}")
            };
            let mut enough = ram;
            enough[0].bytes = needed.next_multiple_of(PAGE);
            s.ram = &enough;
            let kcb = build::<X86>(&mut mem, &s);
            let rest = at(&mem, kcb, slots::RAM);
            assert!(rest.size <= 0x1_0000, "{:#x} bytes too many", rest.size);
        }
    }
}
