//! Deliberate damage to a boot archive, for the tests that a loader and a ramfs must pass.

use crate::cpio;
use anyhow::{Result, bail};

/// Applies `what` to `archive`: `flip:NAME` changes one byte in the middle of a file,
/// `hash:NAME` changes that file's hash in the manifest, `cut:NAME` ends the archive in the
/// middle of that file, `magic` spoils the first header, `empty` leaves nothing but a trailer;
/// `drop:NAME` leaves the file out, `unlist:NAME` its line in the manifest, `lose:NAME` both, and
/// `twice:NAME` has both twice.
pub fn apply(archive: &mut Vec<u8>, what: &str) -> Result<()> {
    match what.split_once(':') {
        Some(("flip", name)) => {
            let at = middle(archive, name)?;
            archive[at] ^= 0x20;
        }
        Some(("hash", name)) => {
            let at = hash_of(archive, name)?;
            archive[at] = if archive[at] == b'0' { b'1' } else { b'0' };
        }
        Some(("cut", name)) => {
            let at = middle(archive, name)?;
            archive.truncate(at);
        }
        Some((how @ ("drop" | "unlist" | "lose" | "twice"), name)) => {
            let (files, lines) = match how {
                "drop" => (0, 1),
                "unlist" => (1, 0),
                "lose" => (0, 0),
                _ => (2, 2),
            };
            *archive = repacked(archive, name, files, lines)?;
        }
        None if what == "magic" => archive[0] ^= 1,
        None if what == "empty" => *archive = cpio::write::<&str, &[u8]>(&[])?,
        _ => bail!(
            "unknown damage {what:?}: one of flip, hash, cut, drop, unlist, lose, twice, each with :NAME, or magic or empty"
        ),
    }
    Ok(())
}

/// The archive with `files` times the file `name`, and as many times `lines` its line in the manifest.
fn repacked(archive: &[u8], name: &str, files: usize, lines: usize) -> Result<Vec<u8>> {
    middle(archive, name)?;
    let mut all = Vec::new();
    for found in cpio::read(archive)? {
        let mut data = archive[found.offset..found.offset + found.length].to_vec();
        if found.name == "manifest" {
            let end = format!(" {name}");
            let text = String::from_utf8(data)?;
            let kept = text.lines().flat_map(|line| {
                let times = if line.ends_with(&end) { lines } else { 1 };
                std::iter::repeat_n(format!("{line}\n"), times)
            });
            data = kept.collect::<String>().into_bytes();
        }
        let times = if found.name == name { files } else { 1 };
        all.extend(std::iter::repeat_n((found.name, data), times));
    }
    cpio::write(&all)
}

/// Where the manifest's line about `name` begins, with its hash.
fn hash_of(archive: &[u8], name: &str) -> Result<usize> {
    let found = cpio::read(archive)?;
    let Some(manifest) = found.iter().find(|file| file.name == "manifest") else {
        bail!("the archive has no manifest");
    };
    let text = &archive[manifest.offset..manifest.offset + manifest.length];
    let mut at = manifest.offset;
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line
            .trim_ascii_end()
            .ends_with(format!(" {name}").as_bytes())
        {
            return Ok(at);
        }
        at += line.len();
    }
    bail!("the manifest has no line about {name}")
}

fn middle(archive: &[u8], name: &str) -> Result<usize> {
    let found = cpio::read(archive)?;
    match found
        .iter()
        .find(|file| file.name == name && file.length > 0)
    {
        Some(file) => Ok(file.offset + file.length / 2),
        None => bail!("cannot damage {name}: the archive has no such file, or it is empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        cpio::write(&[("a".to_owned(), vec![0; 9]), ("b".to_owned(), vec![0; 9])]).unwrap()
    }

    #[test]
    fn a_flip_changes_one_byte_of_that_file() {
        let mut bad = archive();
        apply(&mut bad, "flip:b").unwrap();
        let changed: Vec<usize> = (0..bad.len())
            .filter(|i| bad[*i] != archive()[*i])
            .collect();
        let b = &cpio::read(&archive()).unwrap()[1];
        assert_eq!(changed, [b.offset + 4]);
    }

    #[test]
    fn the_other_kinds_make_it_unreadable_or_empty() {
        for what in ["cut:a", "magic"] {
            let mut bad = archive();
            apply(&mut bad, what).unwrap();
            assert!(cpio::read(&bad).is_err(), "{what}");
        }
        for (what, names) in [
            ("drop:b", 1),
            ("lose:b", 1),
            ("unlist:b", 2),
            ("twice:b", 3),
        ] {
            let mut bad = archive();
            apply(&mut bad, what).unwrap();
            assert_eq!(cpio::read(&bad).unwrap().len(), names, "{what}");
        }
        let mut bad = archive();
        apply(&mut bad, "empty").unwrap();
        assert_eq!(cpio::read(&bad).unwrap(), []);
        assert!(apply(&mut bad, "flip:c").is_err());
        assert!(apply(&mut bad, "nonsense").is_err());
    }
}
