//! What a program does when its starter asks it to check itself, to stop, or tells it something.

use alloc::boxed::Box;
use alloc::string::String;

/// Result of a check or a command: clean or not, and text for people.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Every check is clean.
    pub ok: bool,
    /// Text.
    pub text: String,
}

/// Installs what answers `check`.
pub fn on_check(_f: Box<dyn FnMut() -> Verdict>) {
    todo!()
}
/// Installs what answers a command of the program's own (its text is the argument).
pub fn on_tell(_f: Box<dyn FnMut(&str) -> Verdict>) {
    todo!()
}
/// Installs what runs before the process ends at the starter's request.
pub fn on_stop(_f: Box<dyn FnMut()>) {
    todo!()
}
/// Tells the starter that start-up is over.
pub fn ready() {
    todo!()
}
