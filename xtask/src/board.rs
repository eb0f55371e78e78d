//! Machines: what `boards/NAME/board.toml` says, and the QEMU words that follow from it.

use crate::plan::Isa;
use crate::workspace;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;

/// A machine that QEMU emulates.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Name of its folder.
    #[serde(skip)]
    pub name: String,
    pub title: String,
    pub isa: Isa,
    /// QEMU's program for it.
    pub program: String,
    /// The debugger that knows its ISA.
    pub gdb: String,
    pub memory_mib: u32,
    pub cores: u32,
    /// More than one: each is a NUMA node with its share of cores and memory.
    pub sockets: u32,
    /// Benches run on it if nobody names a board.
    #[serde(default)]
    pub reference: bool,
    /// Clusters of a socket (Arm).
    #[serde(default = "one")]
    pub clusters: u32,
    /// Relative distance from each node (row) to each node, 10 for itself; empty: QEMU's own.
    #[serde(default)]
    pub distances: Vec<Vec<u8>>,
    /// Device tree source in the board's folder that is laid over the tree that QEMU writes. It
    /// describes each core, so that such a board has no other number of them.
    pub overlay: Option<String>,
    /// Further words for QEMU.
    pub args: Vec<String>,
    pub exit: Exit,
}

fn one() -> u32 {
    1
}

/// QEMU's exit statuses for the two ways in which a guest can end a run.
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    pub success: i32,
    pub failure: i32,
}

impl Board {
    /// Reads `boards/NAME/board.toml`.
    pub fn load(name: &str) -> Result<Self> {
        let boards = workspace::root().join("boards");
        let path = boards.join(name).join("board.toml");
        if !path.is_file() {
            bail!(
                "there is no board {name:?}; boards: {}",
                names()?.join(", ")
            );
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut board: Self = toml::from_str(&text).with_context(|| workspace::shown(&path))?;
        name.clone_into(&mut board.name);
        board.check_distances()?;
        Ok(board)
    }

    /// A row for each node, and 10 for itself: QEMU would refuse anything else, less clearly.
    fn check_distances(&self) -> Result<()> {
        let nodes = self.sockets as usize;
        if self.distances.is_empty() {
            return Ok(());
        }
        let whole = self.distances.len() == nodes;
        if !whole || self.distances.iter().any(|row| row.len() != nodes) {
            bail!(
                "board {}: `distances` needs {nodes} rows of {nodes}",
                self.name
            );
        }
        for (node, row) in self.distances.iter().enumerate() {
            let sound = |(to, d): (usize, &u8)| if to == node { *d == 10 } else { *d > 10 };
            if !row.iter().enumerate().all(sound) {
                bail!(
                    "board {}: `distances` from node {node} are 10 to itself and more to others",
                    self.name
                );
            }
        }
        Ok(())
    }

    /// The same board with another overlay, whose path is from the root of the source tree.
    pub fn laid_over(&self, overlay: &str) -> Self {
        let mut board = self.clone();
        board.overlay = Some(format!("../../{overlay}"));
        board
    }

    /// Refuses numbers of cores that the board cannot have.
    pub fn check_cores(&self, cores: u32) -> Result<()> {
        if self.overlay.is_some() && cores != self.cores {
            bail!(
                "board {} has {} cores, not {cores}: its device tree describes each",
                self.name,
                self.cores
            );
        }
        Ok(())
    }

    /// Words for `cores` cores: memory, topology and NUMA nodes. A number of cores that the
    /// sockets cannot share equally gives one socket and one node.
    pub fn topology(&self, cores: u32) -> Vec<String> {
        let sockets = if cores.is_multiple_of(self.sockets) {
            self.sockets
        } else {
            1
        };
        let each = cores / sockets;
        let memory = self.memory_mib;
        let mut words: Vec<String> = ["-m", &format!("{memory}M"), "-smp"]
            .map(str::to_owned)
            .into();
        if self.sockets == 1 {
            words.push(if self.clusters > 1 {
                let (clusters, each) = (self.clusters, cores / self.clusters);
                format!("{cores},sockets=1,clusters={clusters},cores={each},threads=1")
            } else {
                cores.to_string()
            });
            return words;
        }
        words.push(format!("{cores},sockets={sockets},cores={each},threads=1"));
        for node in 0..sockets {
            let (first, last) = (node * each, (node + 1) * each - 1);
            words.push("-object".to_owned());
            words.push(format!(
                "memory-backend-ram,id=m{node},size={}M",
                memory / sockets
            ));
            words.push("-numa".to_owned());
            words.push(format!(
                "node,nodeid={node},cpus={first}-{last},memdev=m{node}"
            ));
        }
        if sockets == self.sockets {
            words.extend(self.distance_words());
        }
        words
    }

    fn distance_words(&self) -> impl Iterator<Item = String> {
        let rows = self.distances.iter().enumerate();
        let pairs = rows.flat_map(|(from, row)| {
            let others = row.iter().enumerate().filter(move |(to, _)| *to != from);
            others.map(move |(to, d)| format!("dist,src={from},dst={to},val={d}"))
        });
        pairs.flat_map(|pair| ["-numa".to_owned(), pair])
    }
}

/// Names of the boards that benches run on if nobody names one.
pub fn references() -> Result<Vec<String>> {
    let mut references = Vec::new();
    for name in names()? {
        if Board::load(&name)?.reference {
            references.push(name);
        }
    }
    Ok(references)
}

/// Names of all boards.
pub fn names() -> Result<Vec<String>> {
    let dir = workspace::root().join("boards");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("board.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_file_can_be_read() {
        let names = names().unwrap();
        assert!(names.iter().any(|name| name == "qemu-x86"));
        assert!(names.iter().any(|name| name == "qemu-arm"));
        for name in names {
            let board = Board::load(&name).unwrap();
            assert!(board.cores >= 1 && board.exit.success != board.exit.failure);
        }
    }

    #[test]
    fn benches_run_on_one_board_of_each_isa() {
        assert_eq!(references().unwrap(), ["qemu-arm", "qemu-x86"]);
    }

    #[test]
    fn distances_and_clusters_reach_qemu() {
        let board = Board::load("qemu-x86-numa8").unwrap();
        let words = board.topology(64).join(" ");
        assert!(words.contains("-smp 64,sockets=8,cores=8"), "{words}");
        assert!(words.contains("-numa dist,src=7,dst=0,val=28"), "{words}");
        assert!(!words.contains("src=3,dst=3"), "{words}");
        let odd = board.topology(9).join(" ");
        assert!(!odd.contains("dist"), "one node has no distances: {odd}");
        let board = Board::load("qemu-arm-big-little").unwrap();
        let words = board.topology(8).join(" ");
        assert!(words.contains("clusters=2,cores=4"), "{words}");
        assert!(board.check_cores(8).is_ok());
        let refused = board.check_cores(4).unwrap_err().to_string();
        assert!(refused.contains("has 8 cores, not 4"), "{refused}");
    }

    #[test]
    fn distances_that_are_none_are_refused() {
        let mut board = Board::load("qemu-x86-numa8").unwrap();
        board.distances[3][4] = 10;
        assert!(board.check_distances().is_err());
        board.distances[3].pop();
        assert!(board.check_distances().is_err());
        board.distances.clear();
        assert!(board.check_distances().is_ok());
    }

    #[test]
    fn an_unknown_board_names_the_known_ones() {
        let text = Board::load("qemu-mips").unwrap_err().to_string();
        assert!(
            text.contains("qemu-mips") && text.contains("qemu-arm"),
            "{text}"
        );
    }

    #[test]
    fn sockets_are_nodes_with_their_share() {
        let board = Board::load("qemu-x86").unwrap();
        let words = board.topology(4).join(" ");
        assert!(
            words.contains("-smp 4,sockets=2,cores=2,threads=1"),
            "{words}"
        );
        assert!(words.contains("id=m1,size=512M"), "{words}");
        assert!(
            words.contains("node,nodeid=1,cpus=2-3,memdev=m1"),
            "{words}"
        );
        let odd = board.topology(3).join(" ");
        assert!(
            odd.contains("sockets=1,cores=3") && odd.contains("cpus=0-2"),
            "{odd}"
        );
        assert!(!odd.contains("m1"), "{odd}");
    }
}
