//! The boot archive: `manifest` (one line `HASH LENGTH NAME` per file, the hash BLAKE3 in
//! hexadecimal), then `kernel/NAME`, `bin/NAME`, and `exec` when commands travel with it.

use crate::build::Images;
use crate::{cpio, elf};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;

/// A file in the archive: its name and its bytes.
pub type File = (String, Vec<u8>);

/// The files of an archive with `images`, without the manifest. Kernel and program files carry
/// what loading needs and no symbols: those stay on the host.
pub fn files(images: &Images, exec: Option<&str>) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for (name, path) in images
        .linked
        .iter()
        .filter(|(name, _)| name.as_str() != "boot")
    {
        files.push((name.clone(), loadable(path)?));
    }
    if let Some(foreign) = &images.foreign_kernel {
        add_bad_kernels(&mut files, loadable(foreign)?);
    }
    // Kernels first: the loader needs one before anything else.
    files.sort_by_key(|(name, _)| (!name.starts_with("kernel/"), name.clone()));
    if let Some(commands) = exec {
        files.push(("exec".to_owned(), format!("{commands}\n").into_bytes()));
    }
    Ok(files)
}

fn loadable(path: &std::path::Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    elf::strip(&bytes).with_context(|| format!("cannot strip {}", path.display()))
}

/// Adds kernel files that must be refused: the other ISA's, and one that is cut off.
fn add_bad_kernels(files: &mut Vec<File>, foreign: Vec<u8>) {
    let standard = files.iter().find(|(name, _)| name == "kernel/std");
    if let Some((_, bytes)) = standard {
        let short = bytes[..bytes.len() / 2].to_vec();
        files.push(("kernel/t-short".to_owned(), short));
    }
    files.push(("kernel/t-isa".to_owned(), foreign));
}

/// The manifest's text for `files`.
pub fn manifest(files: &[File]) -> String {
    let mut text = String::new();
    for (name, data) in files {
        let hash = blake3::hash(data).to_hex();
        writeln!(text, "{hash} {} {name}", data.len()).expect("writing to a string");
    }
    text
}

/// The archive with `files` and their manifest.
pub fn pack(files: &[File]) -> Result<Vec<u8>> {
    let mut all = vec![("manifest".to_owned(), manifest(files).into_bytes())];
    all.extend_from_slice(files);
    cpio::write(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_comes_first_and_tells_hash_length_and_name() {
        let files = vec![("bin/a".to_owned(), b"abc".to_vec())];
        let archive = pack(&files).unwrap();
        let found = cpio::read(&archive).unwrap();
        assert_eq!(found[0].name, "manifest");
        let text = &archive[found[0].offset..found[0].offset + found[0].length];
        // The second word is the length of "abc", the first its BLAKE3 hash.
        let expected = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85 3 bin/a\n";
        assert_eq!(std::str::from_utf8(text).unwrap(), expected);
        assert_eq!(found[1].name, "bin/a");
    }

    #[test]
    fn bad_kernels_are_made_from_good_ones() {
        let mut files = vec![("kernel/std".to_owned(), vec![1; 100])];
        add_bad_kernels(&mut files, vec![2; 10]);
        let named = |name: &str| files.iter().find(|f| f.0 == name).map(|f| f.1.len());
        assert_eq!(named("kernel/t-short"), Some(50));
        assert_eq!(named("kernel/t-isa"), Some(10));
    }
}
