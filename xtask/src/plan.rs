//! What is built: one table, matched against the packages that exist.

use crate::metadata::{Package, Workspace};
use anyhow::{Result, bail};
use serde::Deserialize;
use std::fmt;

/// An instruction set that Nekton runs on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
pub enum Isa {
    #[serde(rename = "x86_64")]
    X86,
    #[serde(rename = "aarch64")]
    Arm,
}

impl Isa {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86, Self::Arm];

    /// Its name in file names and board files.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    /// True if people call it `name`: in full, or as its rooms are called (`arch/x86`).
    pub fn is_called(self, name: &str) -> bool {
        let short = match self {
            Self::X86 => "x86",
            Self::Arm => "arm",
        };
        name == self.name() || name == short
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::X86 => Self::Arm,
            Self::Arm => Self::X86,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a package's programs are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// The loader that firmware enters.
    Boot,
    /// A privileged image: `kernel/NAME` in the archive.
    Kernel,
    /// A user program: `bin/NAME` in the archive.
    User,
}

impl Kind {
    /// Cargo profile that such programs are built with.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Boot | Self::Kernel => "kernel",
            Self::User => "release",
        }
    }
}

/// How programs of one kind are compiled for one ISA.
pub struct Recipe {
    /// Rust's name of the target.
    pub target: &'static str,
    /// Flags for every crate of that target, the library included.
    pub rustflags: &'static str,
    /// Further ones for compiling, of which the compiler warns in each crate whatever it is told: its
    /// warnings are for `./nekton lint` to show, which does without them.
    pub codegen: &'static str,
    /// True if a precompiled library for the target may be used where there is one.
    pub precompiled: bool,
}

const BARE_X86: Recipe = Recipe {
    target: "x86_64-unknown-none",
    rustflags: "",
    codegen: "",
    precompiled: true,
};
/// Static by default; kernels are relocated to memory near their core.
const BARE_ARM: Recipe = Recipe {
    target: "aarch64-unknown-none-softfloat",
    rustflags: "-Crelocation-model=pic -Clink-arg=-pie",
    codegen: "",
    precompiled: true,
};
/// Frame pointers make backtraces whole; small pages keep programs small.
const USER_FLAGS: &str = "-Cforce-frame-pointers=yes -Clink-arg=-zmax-page-size=4096";
/// Hard float, static PIE, thread-local storage; "hermit" is only a name here.
const USER_X86: Recipe = Recipe {
    target: "x86_64-unknown-hermit",
    rustflags: USER_FLAGS,
    codegen: "",
    precompiled: false,
};
/// Unaligned accesses are allowed: the target's own setting makes every copy that is not aligned go
/// byte by byte. What they are not allowed to, device registers, is only accessed word by word.
const USER_ARM: Recipe = Recipe {
    target: "aarch64-unknown-hermit",
    rustflags: USER_FLAGS,
    codegen: "-Ctarget-feature=-strict-align -Awarnings",
    precompiled: false,
};

/// How programs of `kind` are compiled for `isa`.
pub fn recipe(kind: Kind, isa: Isa) -> &'static Recipe {
    match (kind, isa) {
        (Kind::Boot | Kind::Kernel, Isa::X86) => &BARE_X86,
        (Kind::Boot | Kind::Kernel, Isa::Arm) => &BARE_ARM,
        (Kind::User, Isa::X86) => &USER_X86,
        (Kind::User, Isa::Arm) => &USER_ARM,
    }
}

/// Rooms with guest programs. `dir/*` means the packages below `dir`.
const ROOMS: &[(&str, Kind, &[Isa])] = &[
    ("boot", Kind::Boot, &Isa::ALL),
    ("kernel-x86", Kind::Kernel, &[Isa::X86]),
    ("kernel-arm", Kind::Kernel, &[Isa::Arm]),
    ("monitor", Kind::User, &Isa::ALL),
    ("bootdrv-x86-sipi", Kind::User, &[Isa::X86]),
    ("bootdrv-arm-psci", Kind::User, &[Isa::Arm]),
    ("services/*", Kind::User, &Isa::ALL),
    ("drivers/*", Kind::User, &Isa::ALL),
    ("apps/*", Kind::User, &Isa::ALL),
];

/// One program to build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    pub isa: Isa,
    pub kind: Kind,
    pub package: String,
    /// Name of cargo's target.
    pub bin: String,
    /// Name in the boot archive (`kernel/std`, `bin/shell`), or `boot` for the loader.
    pub name: String,
}

impl Program {
    /// True if it belongs into test archives only.
    pub fn is_test(&self) -> bool {
        let last = self.name.rsplit('/').next().unwrap_or_default();
        last.starts_with("t-")
    }
}

/// Room rule of a package directory, if guest programs live there.
pub fn rule(room: &str) -> Option<(Kind, &'static [Isa])> {
    ROOMS
        .iter()
        .find(|(pattern, ..)| match pattern.strip_suffix("/*") {
            Some(dir) => room
                .strip_prefix(dir)
                .is_some_and(|rest| rest.starts_with('/')),
            None => room == *pattern,
        })
        .map(|(_, kind, isas)| (*kind, *isas))
}

/// ISAs that guest package `package` in `room` is built for, with their kind.
pub fn isas_of(package: &Package, room: &str) -> Result<Option<(Kind, Vec<Isa>)>> {
    let Some((kind, isas)) = rule(room) else {
        return Ok(None);
    };
    let Some(only) = package.nekton().isa else {
        return Ok(Some((kind, isas.to_vec())));
    };
    let known = isas.iter().find(|isa| isa.is_called(&only));
    match known {
        Some(isa) => Ok(Some((kind, vec![*isa]))),
        None => bail!(
            "package {}: metadata.nekton.isa = {only:?} is not an ISA that {room} can have",
            package.name
        ),
    }
}

/// All programs for `isa`, in a fixed order. Test programs only if `tests`.
pub fn programs(workspace: &Workspace, isa: Isa, tests: bool) -> Result<Vec<Program>> {
    let mut all = Vec::new();
    for package in &workspace.packages {
        let room = workspace.room(package);
        let Some((kind, isas)) = isas_of(package, &room)? else {
            continue;
        };
        if !isas.contains(&isa) {
            continue;
        }
        all.extend(package.bins().map(|bin| Program {
            isa,
            kind,
            package: package.name.clone(),
            bin: bin.to_owned(),
            name: archive_name(kind, &package.name, bin),
        }));
    }
    all.retain(|program| tests || !program.is_test());
    all.sort();
    match all.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => bail!(
            "packages {} and {} both build {} for {isa}: rename one program",
            pair[0].package,
            pair[1].package,
            pair[0].name
        ),
        None => Ok(all),
    }
}

/// Name in the archive of program `bin` of `package`. Kernels are named by their variant, so
/// that `core update 1 --kernel trace` means the same on every ISA: `kernel-x86`'s programs
/// `kernel-x86`, `std` and `kernel-x86-std` are all `kernel/std`.
fn archive_name(kind: Kind, package: &str, bin: &str) -> String {
    match kind {
        Kind::Boot => "boot".to_owned(),
        Kind::User => format!("bin/{bin}"),
        Kind::Kernel => {
            let variant = bin.strip_prefix(package).unwrap_or(bin);
            let variant = variant.strip_prefix("kernel").unwrap_or(variant);
            let variant = variant.trim_start_matches(['-', '_']);
            format!(
                "kernel/{}",
                if variant.is_empty() { "std" } else { variant }
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_match_whole_path_components() {
        assert_eq!(rule("apps/shell").map(|r| r.0), Some(Kind::User));
        assert_eq!(rule("kernel-arm").map(|r| r.1), Some(&[Isa::Arm][..]));
        for room in ["apps", "appsx/a", "kernel", "xtask", "boot/x86", "arch/x86"] {
            assert!(rule(room).is_none(), "{room}");
        }
    }

    #[test]
    fn kernels_are_named_by_variant() {
        for bin in ["kernel-x86", "std", "kernel-x86-std", "kernel-std"] {
            assert_eq!(archive_name(Kind::Kernel, "kernel-x86", bin), "kernel/std");
        }
        assert_eq!(
            archive_name(Kind::Kernel, "kernel-arm", "t-panic"),
            "kernel/t-panic"
        );
        assert_eq!(archive_name(Kind::User, "shell", "shell"), "bin/shell");
    }

    #[test]
    fn test_programs_are_known_by_their_name() {
        let named = |name: &str| Program {
            isa: Isa::X86,
            kind: Kind::User,
            package: "p".into(),
            bin: "b".into(),
            name: name.into(),
        };
        assert!(named("kernel/t-hang").is_test() && named("bin/t-wild").is_test());
        assert!(!named("bin/ticker").is_test());
    }
}
