//! The boot archive: `manifest` (one line `HASH LENGTH NAME` per file, the hash XXH3 in
//! hexadecimal), then `kernel/NAME`, `bin/NAME`, and `exec` when commands travel with it.

use crate::{cpio, elf, test_kernels, workspace};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A file in the archive.
#[derive(Clone, Debug)]
pub struct File {
    name: String,
    data: Vec<u8>,
    hash: u128,
}

impl File {
    fn new(name: String, data: Vec<u8>) -> File {
        let hash = archive::hash(&data);
        File { name, data, hash }
    }
}

/// The files that go into each archive: `linked` without what only the host needs (symbols, and the
/// loader), and what tests make of kernels if they are given the other ISA's.
pub fn files(linked: &BTreeMap<String, PathBuf>, foreign: Option<&Path>) -> Result<Vec<File>> {
    let mut files = BTreeMap::new();
    for (name, path) in linked.iter().filter(|(name, _)| name.as_str() != "boot") {
        files.insert(name.clone(), loadable(path)?);
    }
    if let Some(foreign) = foreign {
        test_kernels::make(&mut files, loadable(foreign)?)?;
    }
    let files = files.into_iter();
    Ok(files.map(|(name, data)| File::new(name, data)).collect())
}

fn loadable(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    elf::strip(&bytes).with_context(|| format!("cannot strip {}", workspace::shown(path)))
}

/// The manifest's text for `files`.
fn manifest(files: &[&File]) -> String {
    let mut text = String::new();
    for File { name, data, hash } in files {
        writeln!(text, "{hash:032x} {} {name}", data.len()).expect("writing to a string");
    }
    text
}

/// The archive, sorted by name, with `files`, the commands `exec` if there are any, and the manifest of all of them.
pub fn pack(files: &[File], exec: Option<&str>) -> Result<Vec<u8>> {
    let exec = exec.map(|text| File::new("exec".to_owned(), format!("{text}\n").into_bytes()));
    let mut all: Vec<&File> = files.iter().chain(&exec).collect();
    // The guest checks sorted ones in one pass.
    all.sort_by_key(|file| &file.name);
    let manifest = manifest(&all);
    let mut entries = vec![("manifest", manifest.as_bytes())];
    entries.extend(
        all.iter()
            .map(|file| (file.name.as_str(), file.data.as_slice())),
    );
    cpio::write(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_comes_first_and_tells_hash_length_and_name_in_order() {
        let files = ["kernel/b", "bin/a"].map(|name| File::new(name.to_owned(), b"abc".to_vec()));
        let archive = pack(&files, Some("ps")).unwrap();
        let found = cpio::read(&archive).unwrap();
        let names: Vec<_> = found.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["manifest", "bin/a", "exec", "kernel/b"]);
        assert!(found[1..].iter().all(|entry| entry.length == 3));
        let text = &archive[found[0].offset..found[0].offset + found[0].length];
        let lines: Vec<_> = std::str::from_utf8(text).unwrap().lines().collect();
        // The first word is the XXH3 hash of "abc", the second its length.
        let hash = "06b05ab6733a618578af5f94892f3950";
        assert_eq!(lines[0], format!("{hash} 3 bin/a"));
        assert_eq!(lines[2], format!("{hash} 3 kernel/b"));
        assert!(lines[1].ends_with(" 3 exec") && lines.len() == 3);
    }
}
