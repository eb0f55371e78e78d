//! Directories over the flat list of names in the boot archive.
//!
//! Pure; `main.rs` serves it. Not here: reading and verifying the archive (`archive`).

#![no_std]
#![forbid(unsafe_code)]

/// The part of `path` that a listing of directory `dir` shows: the name of a file in it, or of the
/// directory below it through which `path` leads. `None` when `path` is not in `dir`.
#[must_use]
pub fn entry_in<'a>(dir: &str, path: &'a str) -> Option<&'a str> {
    let dir = dir.trim_matches('/');
    let inside = if dir.is_empty() {
        path
    } else {
        path.strip_prefix(dir)?.strip_prefix('/')?
    };
    let end = inside.find('/').unwrap_or(inside.len());
    let name = &inside[..end];
    (!name.is_empty()).then_some(name)
}

/// The `index`-th different name in a directory: (name, path of a file in or below it).
pub fn nth_entry<'a>(
    dir: &str,
    index: u32,
    paths: impl Iterator<Item = &'a str> + Clone,
) -> Option<(&'a str, &'a str)> {
    let named = || {
        let paths = paths.clone();
        paths.filter_map(|p| entry_in(dir, p).map(|name| (name, p)))
    };
    let is_first = |at: usize, name: &str| !named().take(at).any(|(n, _)| n == name);
    let firsts = named()
        .enumerate()
        .filter(|(at, (name, _))| is_first(*at, name));
    firsts.map(|(_, e)| e).nth(index as usize)
}

/// A path without leading slashes.
#[must_use]
pub fn normal(path: &str) -> &str {
    path.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    const PATHS: [&str; 5] = [
        "manifest",
        "kernel/std",
        "bin/shell",
        "bin/mem",
        "kernel/trace",
    ];

    fn list(dir: &str) -> Vec<&'static str> {
        let entry = |i| nth_entry(dir, i, PATHS.into_iter()).map(|(n, _)| n);
        (0..).map_while(entry).collect()
    }

    #[test]
    fn directories_are_listed_once() {
        assert_eq!(list(""), ["manifest", "kernel", "bin"]);
        assert_eq!(list("/bin/"), ["shell", "mem"]);
        assert_eq!(list("kernel"), ["std", "trace"]);
        assert_eq!(list("ker"), Vec::<&str>::new());
        assert_eq!(list("manifest"), Vec::<&str>::new());
    }

    #[test]
    fn a_path_may_begin_with_a_slash() {
        assert_eq!(normal("/bin/shell"), "bin/shell");
    }
}
