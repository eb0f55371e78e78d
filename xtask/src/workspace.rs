//! Where things are: the source tree and the places that xtask writes to.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Root of the source tree: as `./nekton` says, else where this tool was compiled.
pub fn root() -> PathBuf {
    match std::env::var_os("NEKTON_ROOT") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask is a member of a workspace")
            .to_path_buf(),
    }
}

/// `path` as seen from the root, for messages.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Directory of images for boards, created if needed.
pub fn images() -> Result<PathBuf> {
    ensure(root().join("build/images"))
}

/// Directory of kept logs, created if needed.
pub fn logs() -> Result<PathBuf> {
    ensure(root().join("build/logs"))
}

/// Creates directory `path` with its parents.
pub fn ensure(path: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&path)
        .with_context(|| format!("cannot create directory {}", path.display()))?;
    Ok(path)
}

/// Files of one run of a machine (its archive, its sockets), removed when dropped.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A fresh directory. Leftovers of processes that no longer exist are removed on the way.
    pub fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let runs = ensure(root().join("build/runs"))?;
        remove_leftovers(&runs);
        let name = format!(
            "{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = ensure(runs.join(name))?;
        Ok(Self { path })
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Only disk space is lost if this fails, and the next run tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_leftovers(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_string_lossy();
        let pid = pid.split('-').next().unwrap_or_default();
        if !pid.is_empty() && !Path::new("/proc").join(pid).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
