//! Which compiler builds what. The host's own (usually rustup's) builds host programs, and
//! guest targets that it has the library for, precompiled or as source; Debian's Rust with its
//! library source builds the rest.

use crate::plan::Recipe;
use crate::process;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's packages put a complete Rust.
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

/// A toolchain for one guest target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The host's toolchain with its precompiled library.
    HostPrecompiled,
    /// The host's toolchain, building the library from source.
    HostSource,
    /// Debian's toolchain, building the library from source.
    DebianSource,
}

/// What the machine offers for one target.
struct Offer {
    host_library: bool,
    host_source: bool,
    debian_source: bool,
}

fn choose(precompiled_allowed: bool, offer: &Offer) -> Option<Choice> {
    if precompiled_allowed && offer.host_library {
        Some(Choice::HostPrecompiled)
    } else if offer.host_source {
        Some(Choice::HostSource)
    } else if offer.debian_source {
        Some(Choice::DebianSource)
    } else {
        None
    }
}

/// The cargo for host programs.
pub fn host_cargo() -> Command {
    let chosen = std::env::var_os("NEKTON_HOST_CARGO");
    let mut command = Command::new(chosen.clone().unwrap_or_else(|| "cargo".into()));
    process::clean_env(&mut command, true);
    if let Some(cargo) = chosen {
        // A packaged cargo would otherwise find rustup's compiler first on the path.
        command.env("RUSTC", Path::new(&cargo).with_file_name("rustc"));
        command.env("RUSTDOC", Path::new(&cargo).with_file_name("rustdoc"));
    }
    command
}

/// `cargo SUBCOMMAND` of the host's toolchain for `fmt` or `clippy`, or Debian's where the
/// host has none.
pub fn host_tool(subcommand: &str) -> Result<Command> {
    let mut command = host_cargo();
    if process::capture(host_cargo().args([subcommand, "--version"])).is_ok() {
        command.arg(subcommand);
        return Ok(command);
    }
    let debian = format!("/usr/bin/cargo-{subcommand}");
    if !Path::new(&debian).exists() {
        bail!(
            "there is no cargo {subcommand}: run `rustup component add rustfmt clippy`, or as root on Debian: apt-get install rustfmt-web rust-web-clippy"
        );
    }
    Ok(debian_tool(&debian, subcommand))
}

/// `cargo fmt` and `cargo clippy` look for helpers in rustup's directory first: a packaged one
/// is called directly.
fn debian_tool(program: &str, subcommand: &str) -> Command {
    let mut command = Command::new(program);
    process::clean_env(&mut command, false);
    command
        .env("CARGO", DEBIAN_CARGO)
        .env("RUSTC", "/usr/bin/rustc");
    command.arg(subcommand);
    command
}

/// The toolchain for `recipe` on this machine.
pub fn for_guest(recipe: &Recipe) -> Result<Choice> {
    let offer = Offer {
        host_library: host_print(&["target-libdir", "--target", recipe.target])
            .is_some_and(|dir| dir.exists()),
        host_source: host_print(&["sysroot"]).is_some_and(|dir| {
            dir.join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .exists()
        }),
        debian_source: Path::new(DEBIAN_SOURCE).exists() && Path::new(DEBIAN_CARGO).exists(),
    };
    match choose(recipe.precompiled, &offer) {
        Some(choice) => Ok(choice),
        None => bail!(
            "no Rust here can build for {}: neither the host's toolchain nor Debian's has the \
             library source; run `rustup component add rust-src`, or as root `./nekton build`",
            recipe.target
        ),
    }
}

fn host_print(what: &[&str]) -> Option<PathBuf> {
    let chosen = std::env::var_os("NEKTON_HOST_CARGO");
    let rustc = match chosen {
        Some(cargo) => Path::new(&cargo).with_file_name("rustc"),
        None => PathBuf::from("rustc"),
    };
    let mut command = Command::new(rustc);
    process::clean_env(&mut command, true);
    command.arg("--print").args(what);
    let path = process::capture(&mut command).ok()?;
    Some(PathBuf::from(path.trim_end()))
}

impl Choice {
    /// A cargo call for `recipe`: `cargo SUBCOMMAND` with target and library flags.
    /// The subcommand is `build` or `clippy`.
    pub fn cargo(&self, subcommand: &str, recipe: &Recipe) -> Command {
        let mut command = self.program(subcommand);
        command.args(["--target", recipe.target]);
        if *self != Self::HostPrecompiled {
            command.env("RUSTC_BOOTSTRAP", "1");
            // About the library's own source, which is not ours to change.
            command.env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never");
            command.arg("-Zbuild-std=core,alloc");
            command.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        let codegen = if subcommand == "build" {
            recipe.codegen
        } else {
            ""
        };
        let flags = format!("{} {codegen}", recipe.rustflags);
        if !flags.trim().is_empty() {
            command.env("RUSTFLAGS", flags.trim());
        }
        command
    }

    fn program(&self, subcommand: &str) -> Command {
        if *self != Self::DebianSource {
            let mut command = host_cargo();
            command.arg(subcommand);
            return command;
        }
        match subcommand {
            "clippy" => debian_tool("/usr/bin/cargo-clippy", subcommand),
            _ => debian_tool(DEBIAN_CARGO, subcommand),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(host_library: bool, host_source: bool, debian_source: bool) -> Offer {
        Offer {
            host_library,
            host_source,
            debian_source,
        }
    }

    #[test]
    fn a_precompiled_library_comes_first_where_allowed() {
        let all = offer(true, true, true);
        assert_eq!(choose(true, &all), Some(Choice::HostPrecompiled));
        assert_eq!(choose(false, &all), Some(Choice::HostSource));
    }

    #[test]
    fn debian_builds_what_the_host_cannot() {
        assert_eq!(
            choose(true, &offer(false, false, true)),
            Some(Choice::DebianSource)
        );
        assert_eq!(
            choose(false, &offer(true, false, true)),
            Some(Choice::DebianSource)
        );
        assert_eq!(choose(false, &offer(true, false, false)), None);
    }
}
