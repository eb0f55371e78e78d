//! Trees made by hand: a small writer of the flattened format, then what the loader reads of it.

extern crate std;
use super::*;
use crate::blob::total_bytes;
use std::string::String;
use std::vec::Vec;

/// Writes a tree: structure and strings.
#[derive(Default)]
struct Writer {
    structs: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn word(&mut self, w: u32) {
        self.structs.extend(w.to_be_bytes());
    }
    fn pad(&mut self) {
        self.structs
            .resize(self.structs.len().next_multiple_of(4), 0);
    }
    fn node(&mut self, name: &str, body: impl FnOnce(&mut Writer)) {
        self.word(1);
        self.structs.extend(name.as_bytes());
        self.structs.push(0);
        self.pad();
        body(self);
        self.word(2);
    }
    fn bytes(&mut self, name: &str, value: &[u8]) {
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.word(3);
        self.word(value.len() as u32);
        self.word(at);
        self.structs.extend(value);
        self.pad();
    }
    fn cells(&mut self, name: &str, value: &[u32]) {
        let bytes: Vec<u8> = value.iter().flat_map(|w| w.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }
    /// What firmware that edits a tree leaves behind: a token that means nothing.
    fn nop(&mut self) {
        self.word(4);
    }
    fn finish(mut self, reserved: &[(u64, u64)]) -> Vec<u8> {
        self.word(9);
        let mut map: Vec<u8> = Vec::new();
        for (base, len) in reserved.iter().chain(&[(0, 0)]) {
            map.extend(base.to_be_bytes());
            map.extend(len.to_be_bytes());
        }
        let structs_at = 40 + map.len();
        let strings_at = structs_at + self.structs.len();
        let total = strings_at + self.strings.len();
        let head = [
            0xd00d_feed,
            total as u32,
            structs_at as u32,
            strings_at as u32,
            40,
            17,
            16,
            0,
            self.strings.len() as u32,
            self.structs.len() as u32,
        ];
        let mut out: Vec<u8> = head.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        out.extend(map);
        out.extend(self.structs);
        out.extend(self.strings);
        out
    }
}

/// What a sound tree says.
fn sound(tree: &[u8]) -> Machine<'_> {
    read(tree, &mut |problem| panic!("{problem}")).unwrap()
}

/// What a damaged tree says, and what is complained about.
fn damaged(tree: &[u8]) -> (Option<Machine<'_>>, Vec<String>) {
    let mut problems = Vec::new();
    let machine = read(tree, &mut |problem| {
        problems.push(std::format!("{problem}"))
    });
    (machine, problems)
}

fn virt(gic: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.node("", |w| {
        w.cells("#address-cells", &[2]);
        w.cells("#size-cells", &[2]);
        w.nop();
        w.node("psci", |w| w.bytes("method", b"hvc\0"));
        w.node("memory@40000000", |w| {
            w.bytes("device_type", b"memory\0");
            w.cells("reg", &[0, 0x4000_0000, 0, 0x4000_0000]);
        });
        w.node("pl011@9000000", |w| {
            w.bytes("compatible", b"arm,pl011\0arm,primecell\0");
            w.cells("reg", &[0, 0x900_0000, 0, 0x1000]);
        });
        w.node("intc@8000000", gic);
        w.node("chosen", |w| {
            w.nop();
            w.bytes("stdout-path", b"/pl011@9000000\0");
            w.bytes("bootargs", b"icount klog\0");
            w.cells("linux,initrd-start", &[0x4800_0000]);
            w.cells("linux,initrd-end", &[0, 0x4801_2345]);
        });
    });
    w.finish(&[])
}

#[test]
fn a_virtual_machine_with_gic_3() {
    let tree = virt(|w| {
        w.bytes("compatible", b"arm,gic-v3\0");
        w.cells(
            "reg",
            &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000],
        );
    });
    let m = sound(&tree);
    assert_eq!(m.memory[..], [Range::new(0x4000_0000, 0x4000_0000)]);
    assert_eq!(m.bootargs, b"icount klog\0");
    assert_eq!(
        m.initrd,
        Range {
            base: 0x4800_0000,
            end: 0x4801_2345
        }
    );
    assert_eq!(m.psci_method, "hvc");
    assert_eq!(m.console, Some(0x900_0000));
    let want = Controller::V3 {
        distributor: 0x800_0000,
        redistributors: Range::new(0x80a_0000, 0xf6_0000),
    };
    assert_eq!(m.controller, Some(want));
    assert_eq!(
        total_bytes(tree[..8].try_into().unwrap()),
        Ok(tree.len() as u64)
    );
}

#[test]
fn gic_2_and_no_controller() {
    let tree = virt(|w| {
        w.bytes("compatible", b"arm,cortex-a15-gic\0");
        w.cells(
            "reg",
            &[0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000],
        );
    });
    let want = Controller::V2 {
        distributor: 0x800_0000,
        cpu: 0x801_0000,
    };
    assert_eq!(sound(&tree).controller, Some(want));
    let tree = virt(|w| w.bytes("compatible", b"somebody,else\0"));
    assert_eq!(sound(&tree).controller, None);
}

#[test]
fn a_board_with_buses_aliases_and_reserved_memory() {
    let mut w = Writer::default();
    w.node("", |w| {
        w.cells("#address-cells", &[1]);
        w.cells("#size-cells", &[1]);
        w.node("aliases", |w| {
            w.bytes("serial0", b"/soc/bus@1000/serial@40\0")
        });
        w.node("reserved-memory", |w| {
            w.cells("#address-cells", &[1]);
            w.cells("#size-cells", &[1]);
            w.bytes("ranges", b"");
            w.node("tee@100000", |w| w.cells("reg", &[0x10_0000, 0x2000]));
        });
        w.node("memory@0", |w| {
            w.cells("reg", &[0, 0x800_0000, 0x1000_0000, 0x100_0000])
        });
        w.node("soc", |w| {
            w.cells("#address-cells", &[1]);
            w.cells("#size-cells", &[1]);
            w.cells("ranges", &[0x7e00_0000, 0xfe00_0000, 0x180_0000]);
            w.node("bus@1000", |w| {
                w.cells("#address-cells", &[1]);
                w.cells("#size-cells", &[1]);
                w.cells("ranges", &[0, 0x7e20_1000, 0x1000]);
                w.node("serial@40", |w| {
                    w.bytes("compatible", b"arm,pl011\0");
                    w.cells("reg", &[0x40, 0x100]);
                });
            });
        });
        w.node("chosen", |w| w.bytes("stdout-path", b"serial0:115200n8\0"));
    });
    let tree = w.finish(&[(0x3000, 0x1000)]);
    let m = sound(&tree);
    assert_eq!(m.console, Some(0xfe20_1040));
    assert_eq!(m.memory.len(), 2);
    assert_eq!(
        m.reserved[..],
        [Range::new(0x3000, 0x1000), Range::new(0x10_0000, 0x2000)]
    );
    assert_eq!((m.initrd, m.psci_method), (Range::default(), ""));
}

#[test]
fn damage_is_no_panic() {
    let tree = virt(|w| {
        w.bytes("compatible", b"arm,gic-v3\0");
        w.cells("reg", &[0, 0x800_0000]);
    });
    let why = "reg of intc@8000000: it does not name the controller's parts: left out";
    let (machine, problems) = damaged(&tree);
    assert_eq!(
        (machine.unwrap().controller, &problems[..]),
        (None, &[why.into()][..])
    );
    for at in 0..tree.len() {
        let mut bad = tree.clone();
        bad[at] ^= 0xff;
        let _ = damaged(&bad);
    }
    for len in 0..tree.len() {
        assert!(!damaged(&tree[..len]).1.is_empty(), "{len} bytes");
    }
    assert_eq!(total_bytes(*b"\0\0\0\0\0\0\0\0"), Err(0));
    assert_eq!(
        total_bytes(*b"\xd0\x0d\xfe\xed\xff\xff\xff\xff"),
        Ok(2 << 20)
    );
}

fn put(tree: &mut [u8], at: usize, word: u32) {
    tree[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

fn place(tree: &[u8], of: &[u8]) -> usize {
    tree.windows(of.len())
        .position(|w| w == of)
        .expect("is there")
}

#[test]
fn what_stands_before_the_cut_is_used() {
    let whole = virt(|w| {
        w.bytes("compatible", b"arm,gic-v3\0");
        w.cells(
            "reg",
            &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000],
        );
    });
    // In the command line: memory, controller and console are known, the archive is not.
    let at = place(&whole, b"icount klog");
    let block = 56;
    let mut cut = whole.clone();
    put(&mut cut, 36, (at + 4 - block) as u32);
    let (machine, problems) = damaged(&cut);
    let why = "a property is longer than the block: the rest is not read";
    let want = std::format!(
        "structure block, byte {:#x} (in /chosen): {why}",
        at - 12 - block
    );
    assert_eq!(problems, [want]);
    let machine = machine.unwrap();
    assert_eq!(
        (machine.memory.len(), machine.console),
        (1, Some(0x900_0000))
    );
    assert!(machine.controller.is_some() && machine.initrd.bytes() == 0 && !machine.can_boot());
    // What names stand in is cut: properties without a name are left out, the rest stays.
    let mut cut = whole.clone();
    let strings = whole.len() - place(&whole, b"stdout-path\0bootargs");
    let strings = u32::from_be_bytes(whole[32..36].try_into().unwrap()) - strings as u32;
    put(&mut cut, 32, strings);
    let (machine, problems) = damaged(&cut);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].ends_with("(in /chosen): its name lies outside of the strings block: left out")
    );
    assert_eq!(
        problems[1],
        "strings block: 4 properties have no name in it"
    );
    assert_eq!(machine.unwrap().console, Some(0x900_0000));
}

#[test]
fn fields_of_the_header_are_named() {
    let whole = virt(|_| {});
    for (at, word, want) in [
        (4, 0xffff_fff0, "totalsize: 0xfffffff0: only "),
        (
            8,
            0x7fff_fff0,
            "off_dt_struct: 0x7ffffff0 lies outside of the tree",
        ),
        (
            12,
            0x7fff_fff0,
            "off_dt_strings: 0x7ffffff0 lies outside of the tree",
        ),
        (20, 3, "version: 3, compatible with 16: 16 and 17 are known"),
        (32, 0xffff_ffff, "size_dt_strings: 0xffffffff: only "),
        (36, 0xffff_ffff, "size_dt_struct: 0xffffffff: only "),
    ] {
        let mut bad = whole.clone();
        put(&mut bad, at, word);
        let (machine, problems) = damaged(&bad);
        assert!(problems[0].starts_with(want), "{problems:?}");
        assert_eq!(machine.is_some(), want.ends_with("only "), "{want}");
    }
    assert_eq!(damaged(&whole[..39]).1, ["header: 39 bytes are too few"]);
}

#[test]
fn memory_that_no_machine_has_is_left_out() {
    let mut w = Writer::default();
    w.node("", |w| {
        w.cells("#address-cells", &[2]);
        w.cells("#size-cells", &[2]);
        w.node("psci", |w| w.bytes("method", b"svc\0"));
        w.node("memory@0", |w| {
            let top = u32::MAX;
            let reg = [
                top,
                top,
                0,
                0x1000,
                0,
                0x4000_0000,
                0,
                0x1000_0000,
                0,
                0,
                0x80,
                1,
                0,
                1,
                0,
                0,
            ];
            w.cells("reg", &reg);
        });
    });
    let tree = w.finish(&[]);
    let (machine, problems) = damaged(&tree);
    assert_eq!(
        machine.unwrap().memory[..],
        [Range::new(0x4000_0000, 0x1000_0000)]
    );
    assert_eq!(
        problems,
        [
            "method of /psci: \"svc\" is neither smc nor hvc",
            "reg of /memory@0: 0x1000 bytes from 0xffffffffffffffff on: left out",
            "reg of /memory@0: 0x8000000001 bytes from 0x0 on: left out",
            "reg of /memory@0: 0x0 bytes from 0x1 on: left out",
        ]
    );
}
