//! Tells the linker how the loader's image is laid out.

use std::env;

fn main() {
    let dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let room = match arch.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm",
        other => panic!("there is no loader for {other}"),
    };
    let script = format!("{dir}/src/{room}/link.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bin=boot=-T{script}");
    if room == "x86" {
        // Firmware loads it at its link address: no relocations.
        println!("cargo:rustc-link-arg-bin=boot=--no-pie");
        println!("cargo:rustc-link-arg-bin=boot=-zmax-page-size=4096");
    } else {
        // Firmware loads it anywhere: it relocates itself.
        for arg in [
            "-pie",
            "--no-dynamic-linker",
            "-zmax-page-size=4096",
            "-znorelro",
            "-ztext",
            "--build-id=none",
            "--hash-style=sysv",
        ] {
            println!("cargo:rustc-link-arg-bin=boot={arg}");
        }
    }
}
