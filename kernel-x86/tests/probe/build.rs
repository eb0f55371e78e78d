//! A static PIE whose segments have pages of their own.
fn main() {
    for arg in ["-pie", "--no-dynamic-linker", "-zmax-page-size=4096", "-znorelro", "-zseparate-loadable-segments", "-e_start", "--hash-style=sysv"] {
        println!("cargo:rustc-link-arg={arg}");
    }
}
