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
    /// Further words for QEMU.
    pub args: Vec<String>,
    pub exit: Exit,
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
        Ok(board)
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
            words.push(cores.to_string());
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
        words
    }
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
