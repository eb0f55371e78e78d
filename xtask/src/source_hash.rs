//! A build id for kernels: a hash of everything of ours that goes into them, so that equal
//! sources give equal ids and a change elsewhere in the tree does not rebuild them.

use crate::metadata::{Package, Workspace};
use crate::plan::Recipe;
use crate::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// 40 hexadecimal digits for `package` built by `recipe`.
pub fn build_id(all: &Workspace, package: &Package, recipe: &Recipe) -> Result<String> {
    let root = workspace::root();
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    for dir in all.closure(package) {
        collect(&dir, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, recipe.target.as_bytes());
    add(&mut hasher, recipe.rustflags.as_bytes());
    add(&mut hasher, recipe.codegen.as_bytes());
    for file in files {
        let name = file.strip_prefix(&root).unwrap_or(&file);
        add(&mut hasher, name.as_os_str().as_encoded_bytes());
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        add(&mut hasher, &bytes);
    }
    Ok(hasher.finalize().to_hex()[..40].to_owned())
}

/// Adds a field with its length, so that fields cannot run into each other.
fn add(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Tests and editors' files do not go into an image.
        if name.starts_with('.') || name == "target" || name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Isa, Kind, recipe};

    #[test]
    fn equal_sources_give_equal_ids_and_targets_differ() {
        let all = Workspace::load().unwrap();
        let package = all.package("capfmt").unwrap();
        let id = |isa| build_id(&all, package, recipe(Kind::Kernel, isa)).unwrap();
        assert_eq!(id(Isa::X86), id(Isa::X86));
        assert_ne!(id(Isa::X86), id(Isa::Arm));
        assert_eq!(id(Isa::Arm).len(), 40);
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let hash = |fields: &[&str]| {
            let mut hasher = blake3::Hasher::new();
            fields
                .iter()
                .for_each(|field| add(&mut hasher, field.as_bytes()));
            hasher.finalize()
        };
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
