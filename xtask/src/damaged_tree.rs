//! Damaged device trees: what an Arm loader and a device manager must cope with.
//!
//! The tree is QEMU's own for the same machine. QEMU edits each tree that it is given, and takes none that is malformed.
//! So QEMU loads files only, and a few instructions do what its own do: enter the loader with the tree's address.

use crate::process;
use crate::qemu::Launch;
use crate::workspace::Scratch;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Where the first instructions stand: above the tree that QEMU leaves at the start of RAM all the same.
const STUB: u64 = 0x4018_0000;
/// Where the loader stands.
const LOADER: u64 = 0x4020_0000;
/// Where the damaged tree stands.
const TREE: u64 = 0x47e0_0000;

/// QEMU's words that load what `launch` boots, but with a damaged tree (see [`damage`]).
pub fn words(launch: &Launch<'_>, what: &str, scratch: &Scratch) -> Result<Vec<String>> {
    let own = scratch.file("own.dtb");
    let mut words = launch.words();
    let machine = words.iter().position(|word| word == "-M");
    let machine = machine.context("the board has no -M")?;
    words[machine + 1].push_str(&format!(",dumpdtb={}", own.display()));
    let program = &launch.board.program;
    process::output(program, &words)
        .with_context(|| format!("{program} does not write its device tree"))?;
    let own = fs::read(&own).context("cannot read QEMU's device tree")?;
    let mut tree = Tree::read(&own).context("QEMU's device tree cannot be read")?;
    let archive = tree.number("/chosen", "linux,initrd-start");
    let archive = archive.context("QEMU's device tree names no archive")?;
    let bytes = damage(&mut tree, what)?;
    let mut loads = Vec::new();
    let mut load = |path: &Path, at: u64| {
        loads.push("-device".to_owned());
        let path = path.display();
        loads.push(format!("loader,file={path},addr={at:#x},force-raw=on"));
    };
    load(launch.boot, LOADER);
    load(launch.archive, archive);
    for (name, at, bytes) in [("damaged.dtb", TREE, bytes), ("stub", STUB, stub())] {
        let path = scratch.file(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        load(&path, at);
    }
    loads.extend(["-device".into(), format!("loader,addr={STUB:#x},cpu-num=0")]);
    Ok(loads)
}

/// `x0` = tree, all other arguments 0, then the loader (Linux, Documentation/arch/arm64/booting.rst).
fn stub() -> Vec<u8> {
    let code: [u32; 6] = [
        0x5800_00c0, // ldr x0, 24
        0xaa1f_03e1, // mov x1, xzr
        0xaa1f_03e2, // mov x2, xzr
        0xaa1f_03e3, // mov x3, xzr
        0x5800_0084, // ldr x4, 32
        0xd61f_0080, // br x4
    ];
    let code = code.iter().flat_map(|word| word.to_le_bytes());
    let words = [TREE, LOADER].into_iter().flat_map(u64::to_le_bytes);
    code.chain(words).collect()
}

/// Damages QEMU's tree:
/// - `sound`: not at all;
/// - `cut`: the structure block ends in the middle of the last core, behind what the loader needs;
/// - `cut-early`: it ends behind the first node, the memory;
/// - `strings`: the strings block ends before names that are used behind the cores only;
/// - `magic`, `structure`: the header's magic number is wrong, the structure block lies far outside;
/// - `total`, `sizes`: the tree, or its blocks, are longer than memory;
/// - `cores`: a core has the boot core's id;
/// - `map`: what a cpu-map refers to are its own nodes;
/// - `controller`: the interrupt controller has no `reg`;
/// - `memory`: beside the RAM, there are ranges that pass the end of all addresses, and that no machine has;
/// - `psci`: its `method` is none.
fn damage(tree: &mut Tree, what: &str) -> Result<Vec<u8>> {
    // What the loader cannot do without stands first, so that other things can be cut off.
    for name in ["cpus", "intc@", "pl011@", "psci", "chosen", "memory@"] {
        tree.root.first(name)?;
    }
    match what {
        "cores" => tree.at("/cpus/cpu@1")?.set("reg", &[0]),
        "map" => {
            let cluster = tree.at("/cpus/cpu-map/socket0/cluster0")?;
            cluster.set("phandle", &[0x7001]);
            cluster.at("core1")?.set("cpu", &[0x7001]);
            let core = cluster.at("core2")?;
            core.set("phandle", &[0x7002]);
            core.set("cpu", &[0x7002]);
        }
        "controller" => tree.at("/intc@")?.properties.retain(|(n, _)| n != "reg"),
        "memory" => {
            let memory = tree.at("/memory@")?;
            let top = u32::MAX;
            let more = [top, 0xffff_f000, 0, 0x2000, 0, 0x8000_0000, top, 0];
            let more = more.iter().flat_map(|word| word.to_be_bytes());
            memory.property("reg")?.extend(more);
        }
        "psci" => *tree.at("/psci")?.property("method")? = b"knock\0".to_vec(),
        _ => {}
    }
    let mut bytes = tree.write();
    let word = |field: usize| header(&bytes, field) as usize;
    let (structure, strings) = (word(STRUCTURE), word(STRINGS));
    let place = |name: &[u8]| {
        let at = bytes.windows(name.len()).position(|w| w == name);
        at.with_context(|| format!("no {:?} in it", String::from_utf8_lossy(name)))
    };
    let (field, value) = match what {
        "cut" => (STRUCTURE_BYTES, place(b"cpu@3\0")? + 24 - structure),
        "cut-early" => (STRUCTURE_BYTES, place(b"chosen\0")? + 2 - structure),
        "strings" => (STRINGS_BYTES, place(b"gpio-controller\0")? - strings),
        "magic" => (MAGIC, 0xfeed_d00d),
        "structure" => (STRUCTURE, 0x7fff_fff0),
        "total" => (TOTAL, 0xffff_fff0),
        "sizes" => {
            set_header(&mut bytes, STRUCTURE_BYTES, 0x7fff_ffff);
            (STRINGS_BYTES, 0xffff_ffff)
        }
        "sound" | "cores" | "map" | "controller" | "memory" | "psci" => return Ok(bytes),
        _ => bail!("unknown damage {what:?} of a device tree (see `damaged_tree::damage`)"),
    };
    set_header(&mut bytes, field, value);
    Ok(bytes)
}

/// Fields of the header (Devicetree Specification 0.4, 5.2).
const MAGIC: usize = 0;
const TOTAL: usize = 1;
const STRUCTURE: usize = 2;
const STRINGS: usize = 3;
const RESERVED: usize = 4;
const STRINGS_BYTES: usize = 8;
const STRUCTURE_BYTES: usize = 9;

fn header(blob: &[u8], field: usize) -> u32 {
    be32(blob, 4 * field).expect("a header has ten fields")
}

fn set_header(blob: &mut [u8], field: usize, value: usize) {
    let value = u32::try_from(value).expect("values are words");
    blob[4 * field..4 * field + 4].copy_from_slice(&value.to_be_bytes());
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

fn text(bytes: &[u8], at: usize) -> Option<&str> {
    let bytes = bytes.get(at..)?;
    let end = bytes.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&bytes[..end]).ok()
}

/// A node.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Node {
    name: String,
    properties: Vec<(String, Vec<u8>)>,
    children: Vec<Node>,
}

impl Node {
    /// Whether it is called `name`, which may end with `@` instead of a unit address.
    fn is(&self, name: &str) -> bool {
        self.name == name || name.ends_with('@') && self.name.starts_with(name)
    }

    fn child(&self, name: &str) -> Result<usize> {
        let found = self.children.iter().position(|n| n.is(name));
        found.with_context(|| format!("QEMU's tree has no {name} in {:?}", self.name))
    }

    fn at(&mut self, name: &str) -> Result<&mut Node> {
        let child = self.child(name)?;
        Ok(&mut self.children[child])
    }

    /// Puts a child before all others.
    fn first(&mut self, name: &str) -> Result<()> {
        let child = self.child(name)?;
        self.children[..=child].rotate_right(1);
        Ok(())
    }

    fn property(&mut self, name: &str) -> Result<&mut Vec<u8>> {
        let found = self.properties.iter_mut().find(|(n, _)| n == name);
        let found = found.with_context(|| format!("{:?} has no {name}", self.name))?;
        Ok(&mut found.1)
    }

    fn set(&mut self, name: &str, cells: &[u32]) {
        let value = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.properties.retain(|(n, _)| n != name);
        self.properties.push((name.to_owned(), value));
    }

    fn write(&self, structure: &mut Vec<u8>, strings: &mut Vec<u8>) {
        let word = |to: &mut Vec<u8>, word: usize| {
            to.extend(u32::try_from(word).expect("trees are small").to_be_bytes());
        };
        let pad = |to: &mut Vec<u8>| to.resize(to.len().next_multiple_of(4), 0);
        word(structure, 1);
        structure.extend(self.name.as_bytes());
        structure.push(0);
        pad(structure);
        for (name, value) in &self.properties {
            let name: Vec<u8> = name.bytes().chain([0]).collect();
            let known = strings.windows(name.len()).position(|w| w == name);
            let at = known.unwrap_or(strings.len());
            if known.is_none() {
                strings.extend(name);
            }
            for part in [3, value.len(), at] {
                word(structure, part);
            }
            structure.extend(value);
            pad(structure);
        }
        for child in &self.children {
            child.write(structure, strings);
        }
        word(structure, 2);
    }
}

/// A sound tree without reserved memory.
struct Tree {
    root: Node,
}

impl Tree {
    /// `None` if it is malformed.
    fn read(blob: &[u8]) -> Option<Self> {
        let (mut at, strings) = (be32(blob, 4 * STRUCTURE)?, be32(blob, 4 * STRINGS)?);
        let mut open: Vec<Node> = Vec::new();
        let word = |at: &mut u32| {
            *at += 4;
            be32(blob, *at as usize - 4)
        };
        loop {
            match word(&mut at)? {
                1 => {
                    let name = text(blob, at as usize)?.to_owned();
                    at = (at + u32::try_from(name.len()).ok()? + 1).next_multiple_of(4);
                    open.push(Node {
                        name,
                        ..Node::default()
                    });
                }
                2 => {
                    let node = open.pop()?;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Some(Self { root: node }),
                    }
                }
                3 => {
                    let (bytes, name) = (word(&mut at)?, word(&mut at)?);
                    let name = text(blob, (strings + name) as usize)?.to_owned();
                    let value = blob.get(at as usize..(at + bytes) as usize)?.to_vec();
                    at = (at + bytes).next_multiple_of(4);
                    open.last_mut()?.properties.push((name, value));
                }
                4 => {}
                _ => return None,
            }
        }
    }

    /// The node at a path.
    fn at(&mut self, path: &str) -> Result<&mut Node> {
        let mut steps = path.split('/').filter(|step| !step.is_empty());
        steps.try_fold(&mut self.root, |node, step| node.at(step))
    }

    fn number(&mut self, path: &str, property: &str) -> Result<u64> {
        let value = self.at(path)?.property(property)?;
        Ok(value.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Header, an empty list of reserved memory, structure block, strings block.
    fn write(&self) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.root.write(&mut structure, &mut strings);
        structure.extend(9u32.to_be_bytes());
        let (reserved, start) = (40, 56);
        let mut bytes = vec![0; start];
        let names = start + structure.len();
        for (field, value) in [
            (MAGIC, 0xd00d_feed),
            (TOTAL, names + strings.len()),
            (STRUCTURE, start),
            (STRINGS, names),
            (RESERVED, reserved),
            (5, 17),
            (6, 16),
            (STRINGS_BYTES, strings.len()),
            (STRUCTURE_BYTES, structure.len()),
        ] {
            set_header(&mut bytes, field, value);
        }
        bytes.extend(structure);
        bytes.extend(strings);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    /// QEMU's tree, with an archive.
    fn qemus() -> Tree {
        let path = workspace::root().join("boards/qemu-arm/tree.dtb");
        Tree::read(&fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut tree = qemus();
        let bytes = damage(&mut tree, "sound").unwrap();
        assert_eq!(Tree::read(&bytes).unwrap().root, tree.root);
        assert_eq!(header(&bytes, TOTAL) as usize, bytes.len());
        let names = tree.root.children.iter().map(|n| n.name.split('@').next());
        let first: Vec<_> = names.flatten().take(6).collect();
        assert_eq!(first, ["memory", "chosen", "psci", "pl011", "intc", "cpus"]);
    }

    #[test]
    fn every_damage_is_one() {
        let sound = damage(&mut qemus(), "sound").unwrap();
        for what in [
            "cut",
            "cut-early",
            "strings",
            "magic",
            "structure",
            "total",
            "sizes",
            "cores",
            "map",
            "controller",
            "memory",
            "psci",
        ] {
            assert_ne!(damage(&mut qemus(), what).unwrap(), sound, "{what}");
        }
        assert!(damage(&mut qemus(), "nonsense").is_err());
    }

    #[test]
    fn the_first_instructions_find_their_numbers() {
        let stub = stub();
        let word = |at| u64::from_le_bytes(stub[at..at + 8].try_into().unwrap());
        assert_eq!((word(24), word(32)), (TREE, LOADER));
    }
}
