//! Link arguments of a kernel image, and its build id.
//!
//! NEKTON_BUILD_ID holds 40 hexadecimal digits, a hash of the sources; a build by hand has zeros.

use std::env;

fn main() {
    let dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("-T{dir}/kernel.ld");
    for arg in [
        script.as_str(),
        "-pie",
        "--no-dynamic-linker",
        "-zmax-page-size=4096",
        "-znorelro",
        "-ztext",
        "--build-id=none",
        "--hash-style=sysv",
    ] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
    let id = env::var("NEKTON_BUILD_ID").unwrap_or_else(|_| "0".repeat(40));
    println!("cargo:rustc-env=NEKTON_BUILD_ID={id}");
    println!("cargo:rerun-if-env-changed=NEKTON_BUILD_ID");
    println!("cargo:rerun-if-changed=kernel.ld");
    println!("cargo:rerun-if-changed=build.rs");
}
