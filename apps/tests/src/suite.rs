//! Results, one structured line each.

use alloc::format;
use alloc::string::String;

/// The tests of one program.
#[derive(Debug)]
pub struct Suite {
    name: &'static str,
    failed: i32,
}

/// A text inside a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

impl Suite {
    /// Tests named `name.…`.
    #[must_use]
    pub const fn new(name: &'static str) -> Suite {
        Suite { name, failed: 0 }
    }
    /// Reports one test.
    pub fn report(&mut self, test: &str, result: Result<(), String>) {
        let (ok, message) = match &result {
            Ok(()) => (true, ""),
            Err(e) => (false, e.as_str()),
        };
        self.failed += i32::from(!ok);
        let name = self.name;
        let message = quoted(message);
        rt::println!(
            "##nk {{\"k\":\"test\",\"name\":\"{name}.{test}\",\"ok\":{ok},\"msg\":\"{message}\"}}"
        );
        let word = if ok { "ok" } else { "FAILED" };
        rt::println!("{word:<7} {name}.{test} {message}");
    }
    /// Number of tests that failed: the program's exit status.
    #[must_use]
    pub const fn failed(&self) -> i32 {
        self.failed
    }
}
