//! `./nekton sizes`: bytes of images, and source that outgrows the style guide (files over 500
//! lines, functions over 65). Growth is told, not forbidden.

use crate::plan::Isa;
use crate::{build, elf, lint, workspace};
use anyhow::{Context, Result};
use std::fs;
use syn::spanned::Spanned;
use syn::visit::Visit;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 65;

/// `./nekton sizes`.
pub fn command() -> Result<bool> {
    let large = large_source()?;
    for line in &large {
        println!("{line}");
    }
    println!("{} files or functions over the aim", large.len());
    for isa in Isa::ALL {
        let images = build::images(isa, false)?;
        println!(
            "{isa:8} {:24} {:>8} {:>9} {:>8} {:>8}",
            "image", "code", "read-only", "data", "zero"
        );
        for (name, path) in &images.linked {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let size = elf::sizes(&bytes).with_context(|| workspace::shown(path))?;
            println!(
                "{isa:8} {name:24} {:>8} {:>9} {:>8} {:>8}",
                size.code, size.read_only, size.data, size.zero
            );
        }
    }
    Ok(true)
}

/// One line per file and function that is too long.
fn large_source() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in lint::source_files()? {
        let lines = file.text.lines().count();
        if (file.path.ends_with(".rs") || file.path.ends_with(".S")) && lines > FILE_LINES {
            found.push(format!("{}: {lines} lines (aim: {FILE_LINES})", file.path));
        }
        if file.path.ends_with(".rs") {
            for (name, line, length) in long_functions(&file.text) {
                found.push(format!(
                    "{}:{line}: function {name} has {length} lines (aim: {FUNCTION_LINES})",
                    file.path
                ));
            }
        }
    }
    Ok(found)
}

/// Name, first line and length of each function over the aim.
fn long_functions(text: &str) -> Vec<(String, usize, usize)> {
    struct Finder(Vec<(String, usize, usize)>);
    impl Finder {
        fn look(&mut self, signature: &syn::Signature, block: &syn::Block) {
            let first = signature.span().start().line;
            let length = block.span().end().line + 1 - first;
            if length > FUNCTION_LINES {
                self.0.push((signature.ident.to_string(), first, length));
            }
        }
    }
    impl<'ast> Visit<'ast> for Finder {
        fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
            self.look(&item.sig, &item.block);
            syn::visit::visit_item_fn(self, item);
        }
        fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
            self.look(&item.sig, &item.block);
            syn::visit::visit_impl_item_fn(self, item);
        }
    }
    let mut finder = Finder(Vec::new());
    // A file that does not parse fails the build, not this report.
    if let Ok(file) = syn::parse_file(text) {
        finder.visit_file(&file);
    }
    finder.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_methods_are_measured() {
        let body = "    let _ = 1;\n".repeat(70);
        let text = format!("fn short() {{}}\nimpl X {{\nfn long() {{\n{body}}}\n}}\n");
        let found = long_functions(&text);
        assert_eq!(found, [("long".to_owned(), 3, 72)]);
    }
}
