//! The "newc" archive format (cpio(5)): a 110-byte header of hexadecimal fields, the name, the
//! data, both padded to four bytes; an entry called `TRAILER!!!` ends it.

use anyhow::{Result, bail};

const MAGIC: &[u8] = b"070701";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";

/// Packs `files` (name, content) in the given order.
pub fn write<N: AsRef<str>, D: AsRef<[u8]>>(files: &[(N, D)]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (number, (name, data)) in files.iter().enumerate() {
        let (name, data) = (name.as_ref(), data.as_ref());
        if name.is_empty() || name == TRAILER || name.contains('\0') {
            bail!("{name:?} cannot be the name of a file in a boot archive");
        }
        if u32::try_from(data.len()).is_err() {
            bail!("{name} is larger than the 4 GiB that a boot archive can hold");
        }
        entry(&mut out, number + 1, 0o100_644, name, data);
    }
    entry(&mut out, 0, 0, TRAILER, &[]);
    Ok(out)
}

fn entry(out: &mut Vec<u8>, inode: usize, mode: usize, name: &str, data: &[u8]) {
    // inode, mode, uid, gid, links, mtime, size, device (4 words), name size, checksum
    let fields = [
        inode,
        mode,
        0,
        0,
        1,
        0,
        data.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    ];
    out.extend_from_slice(MAGIC);
    for field in fields {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Where one file of an archive lies.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    /// Offset of its data in the archive.
    pub offset: usize,
    pub length: usize,
}

/// Lists the files of `archive`; refuses anything that is not a whole archive.
pub fn read(archive: &[u8]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let Some(header) = archive.get(at..at + HEADER) else {
            bail!("the archive ends at {at} before its trailer");
        };
        if &header[..6] != MAGIC {
            bail!("there is no newc header at {at}");
        }
        let (length, name_size) = (field(header, 6)?, field(header, 11)?);
        let name_at = at + HEADER;
        let offset = (name_at + name_size).next_multiple_of(4);
        let Some((name, _)) = archive
            .get(name_at..name_at + name_size)
            .and_then(|bytes| bytes.split_last())
            .filter(|(last, _)| **last == 0)
            .map(|(_, name)| (String::from_utf8_lossy(name).into_owned(), ()))
        else {
            bail!("the name of the entry at {at} is damaged");
        };
        if name == TRAILER {
            return Ok(found);
        }
        if archive.len() < offset + length {
            bail!("{name} is cut off");
        }
        found.push(Found {
            name,
            offset,
            length,
        });
        at = (offset + length).next_multiple_of(4);
    }
}

fn field(header: &[u8], index: usize) -> Result<usize> {
    let digits = &header[6 + 8 * index..14 + 8 * index];
    let text = std::str::from_utf8(digits).unwrap_or("?");
    match u32::from_str_radix(text, 16) {
        Ok(value) => Ok(value as usize),
        Err(_) => bail!("{text:?} in a newc header is not a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(String, Vec<u8>)> {
        vec![
            ("manifest".into(), b"x".to_vec()),
            ("bin/empty".into(), Vec::new()),
            ("kernel/std".into(), vec![7; 4097]),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_in_order_and_aligned() {
        let archive = write(&sample()).unwrap();
        let found = read(&archive).unwrap();
        assert_eq!(found.len(), 3);
        for (file, (name, data)) in found.iter().zip(sample()) {
            assert_eq!(file.name, name);
            assert_eq!(file.offset % 4, 0);
            assert_eq!(archive[file.offset..file.offset + file.length], data);
        }
    }

    #[test]
    fn the_bytes_are_those_that_the_format_prescribes() {
        let archive = write(&[("a".to_owned(), b"hi".to_vec())]).unwrap();
        // Fields in the order of cpio(5), section "New ASCII Format"; 110 + 2 is a multiple of 4.
        let header = "070701000000010000\
                      81a40000000000000000000000010000000000000002000000000000000000000000\
                      000000000000000200000000";
        assert_eq!(std::str::from_utf8(&archive[..110]).unwrap(), header);
        assert_eq!(&archive[110..116], b"a\0hi\0\0");
        assert!(archive[116..].starts_with(b"070701"));
        assert!(archive.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let archive = write(&sample()).unwrap();
        for end in 0..archive.len() - 12 {
            assert!(read(&archive[..end]).is_err(), "cut at {end}");
        }
        for at in 0..archive.len() {
            let mut bad = archive.clone();
            bad[at] ^= 0x55;
            let _ = read(&bad);
        }
    }

    #[test]
    fn impossible_names_are_refused() {
        for name in ["", TRAILER, "a\0b"] {
            assert!(write(&[(name.to_owned(), Vec::new())]).is_err());
        }
    }
}
