//! The boot archive: newc cpio whose entry `manifest` lists every other entry.
//!
//! A manifest line is `HASH LENGTH NAME`: [`hash`] in 32 hex digits, decimal
//! bytes, path. Directories and the trailer are not listed. Read by the loader
//! (before anything else runs) and by the services that hold the archive.
//! Not here: how an archive is made (the host tool).

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use twox_hash::XxHash3_128;

const HEADER: usize = 110;
const HASH_DIGITS: usize = 32;
/// Name of the entry that lists the others.
pub const MANIFEST: &str = "manifest";

/// The hash that the manifest has of a file: XXH3 with 128 bits. It finds damage; whoever forges a file can forge
/// the manifest as well.
#[must_use]
pub fn hash(data: &[u8]) -> u128 {
    XxHash3_128::oneshot(data)
}

/// What is wrong with an archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArchiveError<'a> {
    /// No cpio header stands at this offset.
    BadHeader(usize),
    /// The entry at this offset, or the trailer, is cut off.
    Truncated(usize),
    /// There is no manifest.
    NoManifest,
    /// This line of the manifest (from 1) cannot be read.
    BadLine(usize),
    /// Neither the manifest nor the archive knows such a file.
    NoFile(&'a str),
    /// Two files have this name.
    Twice(&'a str),
    /// The manifest lists a file that the archive lacks.
    Missing(&'a str),
    /// The archive holds a file that the manifest does not list.
    Unlisted(&'a str),
    /// The file has another length than the manifest says (name, found, listed).
    Length(&'a str, usize, usize),
    /// The file's bytes do not have the hash that the manifest says.
    Hash(&'a str),
}

impl fmt::Display for ArchiveError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHeader(at) => write!(f, "no archive entry at byte {at}"),
            Self::Truncated(at) => write!(f, "cut off in the entry at byte {at}"),
            Self::NoManifest => write!(f, "no file \"{MANIFEST}\""),
            Self::BadLine(n) => write!(f, "line {n} of the manifest cannot be read"),
            Self::NoFile(n) => write!(f, "it has no file \"{n}\""),
            Self::Twice(n) => write!(f, "it has two files \"{n}\""),
            Self::Missing(n) => write!(f, "\"{n}\" is in the manifest but not in the archive"),
            Self::Unlisted(n) => write!(f, "\"{n}\" is in the archive but not in the manifest"),
            Self::Length(n, found, listed) => {
                write!(f, "\"{n}\" has {found} bytes, the manifest says {listed}")
            }
            Self::Hash(n) => write!(f, "\"{n}\" is damaged: its hash is not the manifest's"),
        }
    }
}

/// One file of the archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Path.
    pub name: &'a str,
    /// Contents.
    pub data: &'a [u8],
}

/// A manifest line.
struct Listed<'a> {
    hash: u128,
    len: usize,
    name: &'a str,
}

/// An archive whose structure and manifest agree.
#[derive(Clone, Copy)]
pub struct Archive<'a> {
    bytes: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Checks that every entry can be read, and that names and lengths are those of the manifest.
    ///
    /// # Errors
    /// The first disagreement found.
    pub fn open(bytes: &'a [u8]) -> Result<Archive<'a>, ArchiveError<'a>> {
        let archive = Archive { bytes };
        if !archive.is_sorted_as_listed() {
            archive.check_each()?;
        }
        Ok(archive)
    }

    /// Whether all files stand in the order of the manifest and of their names, as in archives that the host tool
    /// makes: then they agree and none is there twice, which one pass tells.
    fn is_sorted_as_listed(&self) -> bool {
        let Ok(mut lines) = self.manifest() else {
            return false;
        };
        let mut manifests = 0;
        let mut before = "";
        for entry in self.entries() {
            let Ok(entry) = entry else {
                return false;
            };
            if entry.name == MANIFEST {
                manifests += 1;
                continue;
            }
            let Some(Ok(line)) = lines.next() else {
                return false;
            };
            if (line.name, line.len) != (entry.name, entry.data.len()) || entry.name <= before {
                return false;
            }
            before = entry.name;
        }
        manifests == 1 && lines.next().is_none()
    }

    /// Looks for each file among all others, in whatever order they are.
    fn check_each(&self) -> Result<(), ArchiveError<'a>> {
        for (i, entry) in self.entries().enumerate() {
            let name = entry?.name;
            let mut before = self.entries().flatten().take(i);
            if before.any(|e| e.name == name) {
                return Err(ArchiveError::Twice(name));
            }
        }
        let mut listed = 0;
        for line in self.manifest()? {
            let line = line?;
            let file = self
                .file(line.name)
                .ok_or(ArchiveError::Missing(line.name))?;
            if file.len() != line.len {
                return Err(ArchiveError::Length(line.name, file.len(), line.len));
            }
            listed += 1;
        }
        let files = self.entries().flatten();
        if files.filter(|e| e.name != MANIFEST).count() != listed {
            return Err(self.unlisted());
        }
        Ok(())
    }

    /// The files, in order; after an error nothing follows.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, ArchiveError<'a>>> + use<'a> {
        Entries {
            bytes: self.bytes,
            at: 0,
            done: false,
        }
    }

    /// The contents of the file `name`.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&'a [u8]> {
        self.entries()
            .flatten()
            .find(|e| e.name == name)
            .map(|e| e.data)
    }

    /// The contents of `name`, after comparing their hash with the manifest's.
    ///
    /// # Errors
    /// There is no such file, it is not listed, or it is damaged.
    pub fn verified(&self, name: &'a str) -> Result<&'a [u8], ArchiveError<'a>> {
        let data = self.file(name).ok_or(ArchiveError::NoFile(name))?;
        for line in self.manifest()? {
            let line = line?;
            if line.name == name {
                return if hash(data) == line.hash {
                    Ok(data)
                } else {
                    Err(ArchiveError::Hash(name))
                };
            }
        }
        Err(ArchiveError::Unlisted(name))
    }

    /// Compares every file with its hash.
    ///
    /// # Errors
    /// The first damaged file.
    pub fn verify_all(&self) -> Result<(), ArchiveError<'a>> {
        for line in self.manifest()? {
            self.verified(line?.name)?;
        }
        Ok(())
    }

    fn unlisted(&self) -> ArchiveError<'a> {
        let is_listed = |name: &str| {
            self.manifest()
                .is_ok_and(|mut m| m.any(|l| l.is_ok_and(|l| l.name == name)))
        };
        self.entries()
            .flatten()
            .find(|e| e.name != MANIFEST && !is_listed(e.name))
            .map_or(ArchiveError::NoManifest, |e| ArchiveError::Unlisted(e.name))
    }

    fn manifest(
        &self,
    ) -> Result<
        impl Iterator<Item = Result<Listed<'a>, ArchiveError<'a>>> + use<'a>,
        ArchiveError<'a>,
    > {
        let data = self.file(MANIFEST).ok_or(ArchiveError::NoManifest)?;
        let text = core::str::from_utf8(data).map_err(|_| ArchiveError::BadLine(1))?;
        Ok(text
            .lines()
            .enumerate()
            .map(|(i, line)| parse_line(line).ok_or(ArchiveError::BadLine(i + 1))))
    }
}

fn parse_line(line: &str) -> Option<Listed<'_>> {
    let mut words = line.split(' ');
    let (hash, len, name) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || name.is_empty() || hash.len() != HASH_DIGITS {
        return None;
    }
    Some(Listed {
        hash: u128::from_str_radix(hash, 16).ok()?,
        len: len.parse().ok()?,
        name,
    })
}

/// Walks the cpio entries; only regular files come out.
struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Entries<'a> {
    /// The entry at the current offset with its mode and the offset of the next.
    fn read(&self) -> Result<(Entry<'a>, u32, usize), ArchiveError<'a>> {
        let cut = ArchiveError::Truncated(self.at);
        let head = self.bytes.get(self.at..self.at + HEADER).ok_or(cut)?;
        if &head[..6] != b"070701" {
            return Err(ArchiveError::BadHeader(self.at));
        }
        let field = |i: usize| {
            let digits = core::str::from_utf8(&head[6 + 8 * i..14 + 8 * i]).ok()?;
            u32::from_str_radix(digits, 16).ok()
        };
        let bad = ArchiveError::BadHeader(self.at);
        let (mode, size) = (field(1).ok_or(bad)?, field(6).ok_or(bad)? as usize);
        let name_len = field(11).ok_or(bad)? as usize;
        let name_at = self.at + HEADER;
        let data_at = (name_at + name_len).next_multiple_of(4);
        let name = self.bytes.get(name_at..name_at + name_len).ok_or(cut)?;
        let data = self.bytes.get(data_at..data_at + size).ok_or(cut)?;
        let name = name.strip_suffix(b"\0").ok_or(bad)?;
        let name = core::str::from_utf8(name).map_err(|_| bad)?;
        let next = (data_at + size).next_multiple_of(4);
        Ok((Entry { name, data }, mode, next))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, ArchiveError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        const KIND: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        while !self.done {
            match self.read() {
                Err(e) => {
                    self.done = true;
                    return Some(Err(e));
                }
                Ok((entry, _, _)) if entry.name == "TRAILER!!!" => self.done = true,
                Ok((entry, mode, next)) => {
                    self.at = next;
                    if mode & KIND == REGULAR {
                        return Some(Ok(entry));
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
