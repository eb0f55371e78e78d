//! A CD from which GRUB boots Nekton by Multiboot2: the loader's way in on machines with firmware.

use crate::process;
use crate::qemu::Launch;
use crate::workspace::Scratch;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// GRUB's directions: no menu, the loader with its words, the archive as a module.
fn config(line: &str) -> String {
    format!(
        "serial --unit=0 --speed=115200\nterminal_input serial\nterminal_output serial\n\
         set timeout=0\nmultiboot2 /boot/nekton {line}\nmodule2 /boot/archive archive\nboot\n"
    )
}

/// Makes the image for what `launch` would boot directly.
pub fn image(scratch: &Scratch, launch: &Launch<'_>) -> Result<PathBuf> {
    let root = scratch.file("cd");
    let boot = root.join("boot");
    fs::create_dir_all(boot.join("grub")).context("cannot make the CD's folders")?;
    fs::copy(launch.boot, boot.join("nekton")).context("cannot copy the loader")?;
    fs::copy(launch.archive, boot.join("archive")).context("cannot copy the archive")?;
    fs::write(boot.join("grub/grub.cfg"), config(&launch.command_line()))
        .context("cannot write GRUB's directions")?;
    let image = scratch.file("cd.iso");
    let (to, from) = (image.to_string_lossy(), root.to_string_lossy());
    let words = ["-d", "/usr/lib/grub/i386-pc", "-o", &to, &from];
    process::output("grub-mkrescue", &words).context("grub-mkrescue cannot make a CD")?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loader_gets_its_words() {
        let text = super::config("exec icount");
        assert!(
            text.contains("multiboot2 /boot/nekton exec icount\n"),
            "{text}"
        );
        assert!(text.ends_with("boot\n"));
    }
}
