//! Names for addresses: guests report numbers, the files with symbols stay here.

use crate::build::Images;
use crate::guest_output::Backtrace;
use std::fmt::Write;

/// The lines of `trace`, innermost first, for a person.
pub fn describe(images: &Images, trace: &Backtrace) -> String {
    let loader = images.linked.get(&trace.bin).map(addr2line::Loader::new);
    let mut text = format!("backtrace of {}:\n", trace.bin);
    match &loader {
        None => writeln!(text, "  (no such file was built: addresses only)"),
        Some(Err(error)) => writeln!(text, "  (cannot read its symbols: {error})"),
        Some(Ok(_)) => Ok(()),
    }
    .expect("writing to a string");
    for (index, pc) in trace.pcs.iter().enumerate() {
        let address = pc.wrapping_sub(trace.base);
        // A return address points behind its call.
        let call = if index == 0 {
            address
        } else {
            address.wrapping_sub(1)
        };
        let places = match &loader {
            Some(Ok(loader)) => places(loader, call),
            _ => Vec::new(),
        };
        if places.is_empty() {
            writeln!(text, "  {index:2}: {pc:#x} (+{address:#x})").expect("writing to a string");
        }
        for place in places {
            writeln!(text, "  {index:2}: {place}").expect("writing to a string");
        }
    }
    text
}

/// The function at `address`, with those inlined there before it. A file that has tables of lines only says which
/// line, and its symbols which function.
fn places(loader: &addr2line::Loader, address: u64) -> Vec<String> {
    let symbol = || {
        let raw = loader.find_symbol(address)?;
        Some(addr2line::demangle_auto(raw.into(), None).into_owned())
    };
    let mut places = Vec::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref();
            let name = function.and_then(|function| function.demangle().ok());
            let name = name.map(|name| name.into_owned()).or_else(symbol);
            let name = name.unwrap_or_else(|| "?".to_owned());
            places.push(match frame.location {
                Some(at) => format!(
                    "{name} ({}:{})",
                    at.file.unwrap_or("?"),
                    at.line.unwrap_or_default()
                ),
                None => name,
            });
        }
    }
    if places.is_empty() {
        places.extend(symbol());
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn images() -> Images {
        let own = std::env::current_exe().unwrap();
        Images {
            boot: own.clone(),
            linked: BTreeMap::from([("bin/own".to_owned(), own)]),
            files: Vec::new(),
        }
    }

    #[inline(never)]
    fn landmark() -> u32 {
        std::hint::black_box(line!())
    }

    /// Address of `name`'s first instruction in this test's own file.
    fn address_of(name: &str) -> u64 {
        use object::{Object, ObjectSymbol};
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let symbol = file
            .symbols()
            .find(|s| s.name().is_ok_and(|n| n.contains(name)));
        symbol.expect("the test binary has symbols").address()
    }

    #[test]
    fn addresses_become_names_at_any_load_address() {
        let base = 0x7000_0000_0000;
        let trace = Backtrace {
            bin: "bin/own".into(),
            base,
            pcs: vec![base + address_of("8landmark")],
        };
        let text = describe(&images(), &trace);
        assert!(text.contains("landmark"), "{text}");
        assert!(
            text.contains(&format!("symbols.rs:{}", landmark() - 1)),
            "{text}"
        );
    }

    #[test]
    fn unknown_files_and_addresses_are_said_to_be_so() {
        let trace = |bin: &str| Backtrace {
            bin: bin.into(),
            base: 0,
            pcs: vec![0x7fff_0000_0000],
        };
        assert!(describe(&images(), &trace("bin/none")).contains("no such file"));
        assert!(describe(&images(), &trace("bin/own")).contains("0x7fff00000000"));
    }
}
