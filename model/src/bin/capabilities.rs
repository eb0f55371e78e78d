//! Puts the table of capability types, made from the schema, into `docs/book/capabilities.md`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

const BEGIN: &str = "<!-- table of types: made by cargo run -p model --bin capabilities -->\n";
const END: &str = "<!-- end of table -->\n";

fn main() -> ExitCode {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/book/capabilities.md");
    match rewrite(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{path}: {e}");
            ExitCode::FAILURE
        }
    }
}

fn rewrite(path: &str) -> Result<(), String> {
    let book = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let (before, rest) = book
        .split_once(BEGIN)
        .ok_or_else(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("no line {END}"))?;
    let mut table = String::new();
    capfmt::schema::write_markdown(&mut table).map_err(|e| e.to_string())?;
    std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).map_err(|e| e.to_string())
}
