//! Trees made by hand: a small writer of the flattened format, then what the loader reads of it.

extern crate std;
use super::*;
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
    let m = read(&tree).unwrap();
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
        Some(tree.len() as u64)
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
    assert_eq!(read(&tree).unwrap().controller, Some(want));
    let tree = virt(|w| w.bytes("compatible", b"somebody,else\0"));
    assert_eq!(read(&tree).unwrap().controller, None);
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
    let m = read(&tree).unwrap();
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
    assert_eq!(read(&tree).unwrap().controller, None);
    for at in 40..tree.len() {
        let mut bad = tree.clone();
        bad[at] ^= 0xff;
        let _ = read(&bad);
    }
    for len in 0..tree.len() {
        assert!(read(&tree[..len]).is_none(), "{len} bytes");
    }
    assert_eq!(total_bytes(*b"\0\0\0\0\0\0\0\0"), None);
}
