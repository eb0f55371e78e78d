//! Device trees.

use super::blobs::BIG_LITTLE;
use crate::tree::{Conduit, Controller, EnableMethod, Machine, Range, Uart};
use crate::tree::{read, total_bytes, used};
use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

fn problems(machine: &Machine) -> Vec<String> {
    machine.problems.iter().map(ToString::to_string).collect()
}

/// Writes a device tree, structure block token by token.
#[derive(Default)]
struct TreeWriter {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl TreeWriter {
    fn word(&mut self, w: u32) {
        self.structure.extend_from_slice(&w.to_be_bytes());
    }
    fn bytes(&mut self, b: &[u8]) {
        self.structure.extend_from_slice(b);
        let aligned = self.structure.len().next_multiple_of(4);
        self.structure.resize(aligned, 0);
    }
    fn node(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.word(1);
        self.bytes(&[name.as_bytes(), b"\0"].concat());
        inside(self);
        self.word(2);
        self.word(4); // FDT_NOP, as QEMU leaves them
    }
    fn property(&mut self, name: &str, value: &[u8]) {
        self.word(3);
        self.word(value.len() as u32);
        self.word(self.strings.len() as u32);
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        self.bytes(value);
    }
    fn words(&mut self, name: &str, words: &[u32]) {
        let value: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        self.property(name, &value);
    }
    fn core(&mut self, name: &str, id: u32, more: impl FnOnce(&mut Self)) {
        self.node(name, |t| {
            t.property("device_type", b"cpu\0");
            t.words("reg", &[id]);
            more(t);
        });
    }
    fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let structs = 40 + 16;
        let strings = structs + self.structure.len() as u32;
        let total = strings + self.strings.len() as u32;
        let header = [
            0xd00d_feed,
            total,
            structs,
            strings,
            40,
            17,
            16,
            0,
            self.strings.len() as u32,
            self.structure.len() as u32,
        ];
        let mut out: Vec<u8> = header.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        out.extend_from_slice(&[0; 16]);
        out.extend_from_slice(&self.structure);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// A tree with these things under its root, and under `/cpus`.
fn tree(root: impl FnOnce(&mut TreeWriter), cpus: impl FnOnce(&mut TreeWriter)) -> Vec<u8> {
    let mut t = TreeWriter::default();
    t.node("", |t| {
        t.words("#address-cells", &[2]);
        t.words("#size-cells", &[2]);
        t.node("cpus", |t| {
            t.words("#address-cells", &[1]);
            cpus(t);
        });
        t.node("intc@8000000", |t| {
            t.property("compatible", b"arm,gic-v3\0");
            let reg = [0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000];
            t.words("reg", &reg);
        });
        root(t);
    });
    t.finish()
}

#[test]
fn big_and_little() {
    assert_eq!(total_bytes(BIG_LITTLE), Some(BIG_LITTLE.len() as u64));
    let m = read(BIG_LITTLE);
    assert_eq!(problems(&m), [""; 0]);
    assert_eq!(m.cores.len(), 8);
    let mut roomy = BIG_LITTLE.to_vec();
    roomy.resize(1 << 20, 0);
    assert_eq!(used(&roomy), BIG_LITTLE);
    assert_eq!(used(&BIG_LITTLE[..30]), &BIG_LITTLE[..30]);
    for (i, core) in m.cores.iter().enumerate() {
        let little = i < 4;
        assert_eq!(core.hw_id, i as u64);
        assert_eq!(core.enable, EnableMethod::Psci);
        assert_eq!(core.cluster, Some(u32::from(!little)));
        assert_eq!(core.package, Some(0));
        let (capacity, power) = if little { (592, 110) } else { (1024, 550) };
        assert_eq!(core.capacity_dmips_mhz, Some(capacity));
        assert_eq!(core.power_coefficient, Some(power));
        let fastest = core.points.last().expect("has points");
        let (hz, microvolts) = if little { (1800, 1000) } else { (2400, 1100) };
        assert_eq!(
            (fastest.hz, fastest.microvolts),
            (hz * 1_000_000, microvolts * 1000)
        );
        assert_eq!(core.points.len(), 4);
    }
    assert_eq!(m.psci, Some(Conduit::Hvc));
    let redistributors = Range {
        base: 0x80a_0000,
        bytes: 0xf6_0000,
    };
    let controller = Controller::V3 {
        distributor: 0x800_0000,
        redistributors,
    };
    assert_eq!(m.controller, Some(controller));
    let console = Uart {
        base: 0x900_0000,
        interrupt: 33,
    };
    assert_eq!(m.console, Some(console));
    assert_eq!(m.memory.len(), 1);
    assert_eq!(
        (m.memory[0].range.base, m.memory[0].range.bytes),
        (1 << 30, 1 << 30)
    );
}

#[test]
fn numa_and_spin_tables() {
    let bytes = tree(
        |t| {
            for (base, node) in [(0x4000_0000, 0), (0x8000_0000, 1)] {
                t.node("memory", |t| {
                    t.property("device_type", b"memory\0");
                    t.words("reg", &[0, base, 0, 0x1000_0000]);
                    t.words("numa-node-id", &[node]);
                });
            }
            t.node("distance-map", |t| {
                t.property("compatible", b"numa-distance-map-v1\0");
                t.words("distance-matrix", &[0, 0, 10, 0, 1, 20, 1, 1, 11]);
            });
        },
        |t| {
            t.core("cpu@0", 0, |t| {
                t.property("enable-method", b"spin-table\0");
                t.words("cpu-release-addr", &[0, 0xd8]);
                t.words("numa-node-id", &[1]);
                t.words("operating-points", &[1_000_000, 900_000, 500_000, 800_000]);
            });
            t.core("cpu@1", 1, |t| t.property("status", b"disabled\0"));
        },
    );
    let m = read(&bytes);
    assert_eq!(
        problems(&m),
        ["device tree: distance-matrix of /distance-map, entry 2: 11 from 1 to 1: left out"]
    );
    assert_eq!(m.cores.len(), 1);
    assert_eq!(m.cores[0].enable, EnableMethod::SpinTable(0xd8));
    assert_eq!(m.cores[0].node, Some(1));
    assert_eq!(m.cores[0].points[1].hz, 1_000_000_000);
    assert_eq!(m.distances.get(&(1, 0)), Some(&20), "both directions");
    let nodes: Vec<_> = m.memory.iter().map(|r| r.node).collect();
    assert_eq!(nodes, [Some(0), Some(1)]);
}

#[test]
fn fields_are_named() {
    let bytes = tree(
        |t| {
            t.node("psci", |t| t.property("method", b"svc\0"));
            t.node("table", |t| {
                t.words("phandle", &[7]);
                t.property("compatible", b"operating-points-v2\0");
                t.node("opp-1", |t| t.words("opp-hz", &[0]));
            });
            t.node("other", |t| t.words("phandle", &[7]));
        },
        |t| {
            t.core("cpu@0", 0, |t| {
                t.words("operating-points-v2", &[7]);
                t.words("phandle", &[1]);
                t.property("enable-method", b"psci\0");
            });
            t.core("cpu@1", 0, |_| {});
            t.core("cpu@2", 2, |t| {
                t.words("operating-points-v2", &[1]);
                t.property("capacity-dmips-mhz", b"fast");
                t.property("numa-node-id", b"\0");
            });
            t.node("cpu-map", |t| {
                t.node("cluster0", |t| {
                    t.node("core0", |t| t.words("cpu", &[1]));
                    t.node("core1", |t| t.words("cpu", &[1]));
                    t.node("core2", |t| t.words("cpu", &[99]));
                });
                t.node("bogus", |_| {});
            });
        },
    );
    let m = read(&bytes);
    assert_eq!(
        problems(&m),
        [
            "device tree: phandle of /other: 0x7, as /table has: not used",
            "device tree: opp-hz of /table/opp-1: it is no frequency: left out",
            "device tree: reg of /cpus/cpu@1: 0x0 is another core's, too: the core is left out",
            "device tree: numa-node-id of /cpus/cpu@2: it is no 32-bit number: left out",
            "device tree: operating-points-v2 of /cpus/cpu@2: phandle 0x1 is no table of operating points",
            "device tree: cpu of /cpus/cpu-map/cluster0/core1: /cpus/cpu@0 has a place before: left out",
            "device tree: cpu of /cpus/cpu-map/cluster0/core2: it refers to no node",
            "device tree: /cpus/cpu-map/bogus: no part of a cpu-map: left out",
            "device tree: cpu-map, /cpus/cpu@2: the map does not have this core",
            "device tree: method of /psci: \"svc\" is neither smc nor hvc",
            "device tree: /psci: cores need it, and there is no usable one",
        ]
    );
    assert_eq!(m.cores.len(), 2);
}

#[test]
fn a_cut_tree_is_read_up_to_the_cut() {
    let whole = tree(|_| {}, |t| t.core("cpu@0", 3, |_| {}));
    let mut cut = whole.clone();
    // The structure block ends in the middle of the interrupt controller.
    let at = cut.windows(4).position(|w| w == b"intc").expect("is there") - 56;
    cut[36..40].copy_from_slice(&(at as u32 + 16).to_be_bytes());
    let m = read(&cut);
    assert_eq!(m.cores.len(), 1);
    assert!(m.controller.is_none());
    assert!(
        problems(&m)[0].ends_with("the block ends without FDT_END: the rest is not read"),
        "{:?}",
        m.problems
    );
    for (at, name) in [
        (0, "magic"),
        (20, "version"),
        (8, "off_dt_struct"),
        (12, "off_dt_strings"),
    ] {
        let mut bad = whole.clone();
        bad[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, if at == 20 { 0 } else { 0xf0 }]);
        if at == 20 {
            bad[at..at + 4].copy_from_slice(&[0, 0, 0, 3]);
        }
        let m = read(&bad);
        assert!(m.cores.is_empty());
        assert!(m.problems[0].field.starts_with(name), "{:?}", m.problems);
    }
    let mut rootless = BIG_LITTLE.to_vec();
    let block = u32::from_be_bytes([rootless[8], rootless[9], rootless[10], rootless[11]]);
    rootless[block as usize + 3] = 9;
    assert_eq!(
        problems(&read(&rootless)),
        ["device tree: structure block, byte 0x0 (in /): there is no root: the rest is not read"]
    );
    assert_eq!(
        problems(&read(b"not a tree")),
        ["device tree: header: 10 bytes are too few"]
    );
    assert_eq!(total_bytes(b"\xd0\x0d\xfe\xed"), None);
    let none = tree(|_| {}, |_| {});
    assert_eq!(
        problems(&read(&none)),
        ["device tree: /cpus: there is no usable core"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    /// Damage is survived, and ids stay distinct.
    #[test]
    fn damaged_trees_are_read(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>(), any::<bool>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut t = BIG_LITTLE.to_vec();
        for (at, with, word) in damage {
            // Whole words hit lengths, tokens and offsets.
            let i = at.index(t.len() - 4);
            let i = if word { i & !3 } else { i };
            let with = if word { [0, 0, 0, with[3]] } else { with };
            t[i..i + 4].copy_from_slice(&with);
        }
        if let Some(cut) = cut {
            t.truncate(cut.index(t.len()));
        }
        let m = read(&t);
        let mut ids: Vec<u64> = m.cores.iter().map(|c| c.hw_id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), m.cores.len());
        prop_assert!(!m.cores.is_empty() || !m.problems.is_empty(), "cores are lost without a word");
    }
}

#[test]
fn a_console_that_is_not_named_is_found() {
    let mut blob = BIG_LITTLE.to_vec();
    let sound = read(&blob).console;
    let name = b"stdout-path\0";
    let at = blob.windows(name.len()).position(|w| w == name);
    blob[at.expect("is there")] = b'x';
    let m = read(&blob);
    assert_eq!(m.console, sound);
    let why =
        "device tree: stdout-path of /chosen: it names no PL011: the one at 0x9000000 is used";
    assert_eq!(problems(&m), [why]);
}
