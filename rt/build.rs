//! Sets `nekton_user` when the build is for a user program of Nekton, not for the host's tests.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(nekton_user)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target.ends_with("-hermit") {
        println!("cargo::rustc-cfg=nekton_user");
    }
}
