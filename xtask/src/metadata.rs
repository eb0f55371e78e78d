//! What `cargo metadata` says about this workspace: packages, their targets and dependencies.

use crate::{process, toolchain, workspace};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The workspace.
#[derive(Deserialize)]
pub struct Workspace {
    /// Its members.
    pub packages: Vec<Package>,
    workspace_default_members: Vec<String>,
    workspace_root: PathBuf,
}

/// One member.
#[derive(Deserialize, Clone)]
pub struct Package {
    pub name: String,
    id: String,
    manifest_path: PathBuf,
    pub dependencies: Vec<Dependency>,
    pub targets: Vec<Target>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// One direct dependency.
#[derive(Deserialize, Clone)]
pub struct Dependency {
    pub name: String,
    /// `None`: normal; else `dev` or `build`.
    pub kind: Option<String>,
    /// Set if it is ours.
    pub path: Option<PathBuf>,
}

/// One library, program or test.
#[derive(Deserialize, Clone)]
pub struct Target {
    pub name: String,
    pub kind: Vec<String>,
    pub src_path: PathBuf,
    /// `cargo test` runs its unit tests.
    pub test: bool,
}

#[derive(Deserialize, Clone)]
struct Metadata {
    nekton: Option<Nekton>,
}

/// `[package.metadata.nekton]` of a package.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub struct Nekton {
    /// The only ISA that this package is built for.
    pub isa: Option<String>,
}

impl Workspace {
    /// Asks cargo.
    pub fn load() -> Result<Self> {
        let mut command = toolchain::host_cargo();
        command
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(workspace::root());
        let text = process::capture(&mut command)?;
        serde_json::from_str(&text).context("cannot understand the output of cargo metadata")
    }

    /// The package called `name`, if it exists.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// True if a plain `cargo test` builds `package`: it is a portable one.
    pub fn is_default_member(&self, package: &Package) -> bool {
        self.workspace_default_members.contains(&package.id)
    }

    /// Directory of `package` relative to the root, like `services/memory`.
    pub fn room(&self, package: &Package) -> String {
        let dir = package.dir();
        dir.strip_prefix(&self.workspace_root)
            .unwrap_or(dir)
            .to_string_lossy()
            .into_owned()
    }

    /// Directories of `package` and of all of ours that it is built from.
    pub fn closure(&self, package: &Package) -> BTreeSet<PathBuf> {
        let mut dirs = BTreeSet::new();
        let mut open = vec![package];
        while let Some(package) = open.pop() {
            if !dirs.insert(package.dir().to_path_buf()) {
                continue;
            }
            let used = package.dependencies.iter();
            let used = used.filter(|edge| edge.kind.as_deref() != Some("dev"));
            open.extend(used.filter_map(|edge| self.by_path(edge.path.as_deref()?)));
        }
        dirs
    }

    fn by_path(&self, dir: &Path) -> Option<&Package> {
        self.packages.iter().find(|package| package.dir() == dir)
    }
}

impl Package {
    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.manifest_path
            .parent()
            .expect("a manifest is in a directory")
    }

    /// Names of its programs.
    pub fn bins(&self) -> impl Iterator<Item = &str> {
        self.targets
            .iter()
            .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
            .map(|target| target.name.as_str())
    }

    /// True if it has a library whose unit tests run on a host (a library that no host can
    /// compile says `test = false`).
    pub fn has_tested_lib(&self) -> bool {
        let is_lib = |target: &Target| target.kind.iter().any(|kind| kind.ends_with("lib"));
        self.targets
            .iter()
            .any(|target| is_lib(target) && target.test)
    }

    /// Its `[package.metadata.nekton]`.
    pub fn nekton(&self) -> Nekton {
        let metadata = self.metadata.clone();
        metadata.and_then(|all| all.nekton).unwrap_or_default()
    }
}
