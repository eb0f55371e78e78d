//! Device trees of boards that differ from QEMU's: QEMU writes its own for the same machine, and
//! the board's overlay is laid over it (`dtc`, `fdtoverlay`).

use crate::board::Board;
use crate::process;
use crate::workspace::{self, Scratch};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The device tree of `board` with `cores` cores; `None` if QEMU's own will do.
pub fn build(board: &Board, cores: u32, scratch: &Scratch) -> Result<Option<PathBuf>> {
    board.check_cores(cores)?;
    let Some(overlay) = &board.overlay else {
        return Ok(None);
    };
    let source = workspace::root()
        .join("boards")
        .join(&board.name)
        .join(overlay);
    let file = |name| scratch.file(name);
    let (own, layer, whole) = (file("own.dtb"), file("layer.dtbo"), file("machine.dtb"));
    process::output(&board.program, &dump_words(board, cores, &own))
        .with_context(|| format!("{} does not write its device tree", board.program))?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let needs = "is Debian's device-tree-compiler installed?";
    let dtc = ["-@", "-q", "-I", "dts", "-O", "dtb", "-o"].map(str::to_owned);
    let words = [&dtc[..], &[text(&layer), text(&source)]].concat();
    process::output("dtc", &words)
        .with_context(|| format!("cannot compile {}: {needs}", workspace::shown(&source)))?;
    let words = [
        "-i".to_owned(),
        text(&own),
        "-o".to_owned(),
        text(&whole),
        text(&layer),
    ];
    process::output("fdtoverlay", &words)
        .with_context(|| format!("cannot apply {}: {needs}", workspace::shown(&source)))?;
    Ok(Some(whole))
}

/// QEMU's words for the same machine, which writes its tree to `to` and ends.
fn dump_words(board: &Board, cores: u32, to: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none"]
        .map(str::to_owned)
        .into();
    let mut machine = false;
    for word in &board.args {
        words.push(if machine {
            format!("{word},dumpdtb={}", to.display())
        } else {
            word.clone()
        });
        machine = word == "-M";
    }
    words.extend(board.topology(cores));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_of_the_same_machine() {
        let board = Board::load("qemu-arm-big-little").unwrap();
        let words = dump_words(&board, 8, Path::new("x.dtb")).join(" ");
        assert!(
            words.contains("-M virt,gic-version=3,dtb-randomness=off,dumpdtb=x.dtb -cpu"),
            "{words}"
        );
        assert!(words.contains("-smp 8,sockets=1,clusters=2"), "{words}");
    }

    #[test]
    fn boards_without_overlay_have_qemus_tree() {
        let board = Board::load("qemu-arm").unwrap();
        let scratch = Scratch::new().unwrap();
        assert!(build(&board, 3, &scratch).unwrap().is_none());
    }
}
