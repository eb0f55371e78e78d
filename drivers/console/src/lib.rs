//! What every console driver shares: the line editor, the queues, the service.
//!
//! - [`Editor`]: keys in, terminal output out (pure);
//! - [`take_interrupt`]: Ctrl-C among keys that nobody reads (pure);
//! - [`Output`]: bytes on their way out (pure);
//! - [`serve`]: the console service over any [`Uart`].
//!
//! Not here: registers of a particular UART (its driver).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod editor;
mod interrupt;
mod output;
mod service;

pub use editor::{Editor, Feedback};
pub use interrupt::take_interrupt;
pub use output::Output;
pub use service::{Uart, serve};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
