//! Archives made by hand, whole and damaged.

extern crate std;
use super::*;
use std::format;
use std::string::String;
use std::vec::Vec;

fn push(out: &mut Vec<u8>, name: &str, mode: u32, data: &[u8]) {
    let z = 0;
    let (size, name_len) = (data.len(), name.len() + 1);
    let head = format!(
        "070701{z:08X}{mode:08X}{z:08X}{z:08X}{z:08X}{z:08X}{size:08X}{z:08X}{z:08X}{z:08X}{z:08X}{name_len:08X}{z:08X}"
    );
    assert_eq!(head.len(), HEADER);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn archive(files: &[(&str, &[u8])], manifest: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, MANIFEST, 0o100_644, manifest.as_bytes());
    push(&mut out, "kernel", 0o040_755, &[]);
    for (name, data) in files {
        push(&mut out, name, 0o100_644, data);
    }
    push(&mut out, "TRAILER!!!", 0, &[]);
    out
}

fn line(name: &str, data: &[u8]) -> String {
    format!("{:032x} {} {name}\n", hash(data), data.len())
}

const FILES: &[(&str, &[u8])] = &[("kernel/std", b"the kernel"), ("bin/monitor", b"mon")];

fn good() -> Vec<u8> {
    let manifest: String = FILES.iter().map(|(n, d)| line(n, d)).collect();
    archive(FILES, &manifest)
}

#[test]
fn a_whole_archive_is_read() {
    let bytes = good();
    let a = Archive::open(&bytes).unwrap();
    a.verify_all().unwrap();
    assert_eq!(a.verified("kernel/std"), Ok(&b"the kernel"[..]));
    assert_eq!(a.verified("x"), Err(ArchiveError::NoFile("x")));
}

/// What the reference implementation says (xxHash 0.8.1, `XXH3_128bits`).
#[test]
fn hashes_are_those_of_xxh3() {
    assert_eq!(hash(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    assert_eq!(hash(b"abc"), 0x06b0_5ab6_733a_6185_78af_5f94_892f_3950);
    let long: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    assert_eq!(hash(&long), 0x077f_8d86_a61f_4d74_39cf_9d03_5d60_ad58);
}

#[test]
fn a_changed_byte_names_the_file() {
    let mut bytes = good();
    let at = bytes.windows(10).position(|w| w == b"the kernel").unwrap();
    bytes[at] ^= 1;
    let a = Archive::open(&bytes).unwrap();
    assert_eq!(
        a.verified("kernel/std"),
        Err(ArchiveError::Hash("kernel/std"))
    );
    assert_eq!(a.verify_all(), Err(ArchiveError::Hash("kernel/std")));
    a.verified("bin/monitor").unwrap();
}

#[test]
fn manifest_and_files_must_agree() {
    let open = |bytes: Vec<u8>| Archive::open(bytes.leak()).err();
    let (k, m) = (
        line("kernel/std", b"the kernel"),
        line("bin/monitor", b"mon"),
    );
    assert_eq!(
        open(archive(FILES, &k)),
        Some(ArchiveError::Unlisted("bin/monitor"))
    );
    assert_eq!(
        open(archive(&FILES[..1], &format!("{k}{m}"))),
        Some(ArchiveError::Missing("bin/monitor"))
    );
    let short = format!("{k}{}", line("bin/monitor", b"monitor"));
    assert_eq!(
        open(archive(FILES, &short)),
        Some(ArchiveError::Length("bin/monitor", 3, 7))
    );
    assert_eq!(
        open(archive(FILES, &format!("{k}rubbish\n"))),
        Some(ArchiveError::BadLine(2))
    );
    assert_eq!(open(good()[112..].into()), Some(ArchiveError::BadHeader(0)));
    let mut none = Vec::new();
    push(&mut none, "TRAILER!!!", 0, &[]);
    assert_eq!(open(none), Some(ArchiveError::NoManifest));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = good();
    let trailer = HEADER + "TRAILER!!!".len() + 1;
    for len in 0..bytes.len().next_multiple_of(4) - trailer.next_multiple_of(4) {
        assert!(Archive::open(&bytes[..len]).is_err(), "{len} bytes");
    }
}

/// All lists of up to three of `of`.
fn lists<T: Copy>(of: &[T]) -> Vec<Vec<T>> {
    let mut all = Vec::from([Vec::new()]);
    let mut from = 0;
    for _ in 0..3 {
        let until = all.len();
        for i in from..until {
            for more in of {
                let mut longer = all[i].clone();
                longer.push(*more);
                all.push(longer);
            }
        }
        from = until;
    }
    all
}

#[test]
fn one_pass_says_yes_only_where_looking_for_each_does() {
    let some: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b"22"), ("a", b"22"), (MANIFEST, b"")];
    let mut sorted = 0;
    for files in lists(&some) {
        for listed in lists(&some) {
            let manifest: String = listed.iter().map(|(n, d)| line(n, d)).collect();
            let bytes = archive(&files, &manifest);
            let a = Archive { bytes: &bytes };
            if a.is_sorted_as_listed() {
                sorted += 1;
                assert_eq!(a.check_each(), Ok(()), "{files:?} listed as {listed:?}");
            }
        }
    }
    // Nothing; each of three alone; a and b with either length of a.
    assert_eq!(sorted, 6);
}
