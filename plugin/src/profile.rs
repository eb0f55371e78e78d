//! Where the instructions between two markers go: how often each was executed, and by whom.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// vCPUs that are told apart; later ones count as the last.
const VCPUS: usize = 8;

/// One translated instruction.
struct Site {
    pc: u64,
    /// Where its bytes stand in QEMU: programs with the same addresses differ in it.
    host: u64,
    bytes: String,
    counts: [u64; VCPUS],
}

/// Counts of single instructions while it is switched on.
pub struct Profile {
    file: String,
    begin: u16,
    end: u16,
    on: AtomicBool,
    sites: Mutex<Vec<Site>>,
}

impl Profile {
    /// From `FILE:BEGIN:END`, with the numbers of the markers that switch it on and off.
    ///
    /// # Errors
    /// What is wrong with the words.
    pub fn from_words(words: &str) -> Result<Profile, String> {
        let wrong = || format!("profile={words}: give FILE:BEGIN:END, two numbers of markers");
        let mut parts = words.rsplitn(3, ':');
        let mut number = || parts.next()?.parse::<u16>().ok();
        let (end, begin) = (number().ok_or_else(wrong)?, number().ok_or_else(wrong)?);
        Ok(Profile {
            file: parts.next().ok_or_else(wrong)?.to_owned(),
            begin,
            end,
            on: AtomicBool::new(false),
            sites: Mutex::new(Vec::new()),
        })
    }

    /// An instruction was translated; its number.
    pub fn site(&self, pc: u64, host: u64, bytes: &[u8]) -> usize {
        let Ok(mut sites) = self.sites.lock() else {
            return 0;
        };
        let bytes = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let counts = [0; VCPUS];
        sites.push(Site {
            pc,
            host,
            bytes,
            counts,
        });
        sites.len() - 1
    }

    /// The instruction with this number is executed.
    pub fn executed(&self, vcpu: usize, site: usize) {
        if self.on.load(Ordering::Relaxed)
            && let Ok(mut sites) = self.sites.lock()
            && let Some(site) = sites.get_mut(site)
        {
            site.counts[vcpu.min(VCPUS - 1)] += 1;
        }
    }

    /// A marker was executed. The last one, at the end of the machine, writes the file.
    pub fn mark(&self, number: u16) {
        if number == self.begin {
            self.on.store(true, Ordering::Relaxed);
        } else if number == self.end {
            self.on.store(false, Ordering::Relaxed);
        }
        if number == abi::marker::END
            && let Err(e) = std::fs::write(&self.file, self.text())
        {
            eprintln!("nekton plugin: cannot write {}: {e}", self.file);
        }
    }

    /// One line for each executed instruction: address, host address, bytes, counts by vCPU.
    fn text(&self) -> String {
        let mut text = String::new();
        let Ok(sites) = self.sites.lock() else {
            return text;
        };
        for s in sites.iter().filter(|s| s.counts.iter().any(|n| *n > 0)) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{:x} {:x} {}", s.pc, s.host, s.bytes);
            for n in s.counts {
                let _ = write!(text, " {n}");
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_between_its_markers() {
        let p = Profile::from_words("a:b:16:17").unwrap();
        assert_eq!((p.file.as_str(), p.begin, p.end), ("a:b", 16, 17));
        let site = p.site(0x1000, 0x7f00, &[0x0f, 5]);
        p.executed(0, site);
        p.mark(16);
        p.executed(1, site);
        p.executed(99, site);
        p.mark(17);
        p.executed(1, site);
        assert_eq!(p.text(), "1000 7f00 0f05 0 1 0 0 0 0 0 1\n");
        assert!(Profile::from_words("file:x:1").is_err());
        assert!(Profile::from_words("1:2").is_err());
    }
}
