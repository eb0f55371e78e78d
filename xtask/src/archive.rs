//! The boot archive: `manifest` (one line `HASH LENGTH NAME` per file, the hash BLAKE3 in
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
    hash: blake3::Hash,
}

impl File {
    fn new(name: String, data: Vec<u8>) -> File {
        let hash = blake3::hash(&data);
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
    let mut files: Vec<File> = files
        .into_iter()
        .map(|(name, data)| File::new(name, data))
        .collect();
    // Kernels first: the loader needs one before anything else.
    files.sort_by_key(|file| !file.name.starts_with("kernel/"));
    Ok(files)
}

fn loadable(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    elf::strip(&bytes).with_context(|| format!("cannot strip {}", workspace::shown(path)))
}

/// The manifest's text for `files`.
fn manifest<'a>(files: impl Iterator<Item = &'a File>) -> String {
    let mut text = String::new();
    for File { name, data, hash } in files {
        writeln!(text, "{} {} {name}", hash.to_hex(), data.len()).expect("writing to a string");
    }
    text
}

/// The archive with `files`, the commands `exec` if there are any, and the manifest of all of them.
pub fn pack(files: &[File], exec: Option<&str>) -> Result<Vec<u8>> {
    let exec = exec.map(|text| File::new("exec".to_owned(), format!("{text}\n").into_bytes()));
    let all = || files.iter().chain(&exec);
    let manifest = manifest(all());
    let mut entries = vec![("manifest", manifest.as_bytes())];
    entries.extend(all().map(|file| (file.name.as_str(), file.data.as_slice())));
    cpio::write(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_comes_first_and_tells_hash_length_and_name() {
        let files = [File::new("bin/a".to_owned(), b"abc".to_vec())];
        let archive = pack(&files, Some("ps")).unwrap();
        let found = cpio::read(&archive).unwrap();
        assert_eq!(found[0].name, "manifest");
        let text = &archive[found[0].offset..found[0].offset + found[0].length];
        let text = std::str::from_utf8(text).unwrap();
        // The second word is the length of "abc", the first its BLAKE3 hash.
        let expected = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85 3 bin/a\n";
        let exec = text
            .strip_prefix(expected)
            .expect("the file's line comes first");
        assert!(exec.ends_with(" 3 exec\n") && exec.lines().count() == 1);
        assert_eq!((found[1].name.as_str(), found[1].length), ("bin/a", 3));
        assert_eq!((found[2].name.as_str(), found[2].length), ("exec", 3));
    }
}
