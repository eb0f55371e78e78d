//! UMP channels: a Frame shared with another OSnode, polled for a while, then slept on.

use abi::SysError;
use proto::ump::{Line, RingError, Side};

use crate::Capability;

/// Why a channel call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UmpError {
    /// The ring says so.
    Ring(RingError),
    /// A system call failed.
    Sys(SysError),
}

/// One side of a channel.
#[derive(Debug)]
pub struct UmpChannel(());

impl UmpChannel {
    /// A notification channel of this process, for a channel's `own` (see [`UmpChannel::open`]).
    ///
    /// # Errors
    /// `TableFull` when all 64 of the process are in use.
    pub fn alloc_notification() -> Result<u64, SysError> {
        todo!()
    }
    /// Maps `frame` and becomes one side. `own`: notification channel that the peer signals
    /// (`None`: this side only polls). The Notify for the peer may come later.
    ///
    /// # Errors
    /// [`UmpError`].
    pub fn open(
        _frame: Capability,
        _bytes: u64,
        _side: Side,
        _own: Option<u64>,
    ) -> Result<UmpChannel, UmpError> {
        todo!()
    }
    /// Sets the capability with which the peer is notified.
    pub fn set_notify(&self, _notify: Capability) {
        todo!()
    }
    /// Sends if there is room.
    ///
    /// # Errors
    /// [`UmpError`]; `Full` when there is none.
    pub fn try_send(&self, _line: &Line) -> Result<(), UmpError> {
        todo!()
    }
    /// Sends, waiting for room.
    ///
    /// # Errors
    /// [`UmpError`].
    pub async fn send(&self, _line: &Line) -> Result<(), UmpError> {
        todo!()
    }
    /// Takes a message if one is there.
    ///
    /// # Errors
    /// [`UmpError`].
    pub fn try_receive(&self) -> Result<Option<Line>, UmpError> {
        todo!()
    }
    /// Takes a message, waiting for it.
    ///
    /// # Errors
    /// [`UmpError`].
    pub async fn receive(&self) -> Result<Line, UmpError> {
        todo!()
    }
    /// Closes this side.
    pub fn close(&self) {
        todo!()
    }
}
