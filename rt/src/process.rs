//! The process itself: its end.

/// What `main` may return.
pub trait Termination {
    /// Exit status: 0 = success.
    fn status(self) -> i32;
}
impl Termination for () {
    fn status(self) -> i32 {
        0
    }
}
impl Termination for i32 {
    fn status(self) -> i32 {
        self
    }
}

/// Ends the process; its starter learns the status, and all its memory goes back.
pub fn exit(_status: i32) -> ! {
    todo!()
}
/// Gives the core to another runnable dispatcher.
pub fn yield_core() {
    todo!()
}
/// The frame-pointer chain of the caller: program counters relative to the load address.
pub fn backtrace(_pcs: &mut [u64]) -> usize {
    todo!()
}
