//! Capabilities over UMP: the sender has its monitor take one to the other OSnode before the
//! message goes, the receiver asks its own for it before the message is delivered.

use abi::CapAddr;
use proto::iface::names::NamesClient;
use proto::{PeerError, ServiceError, WireError};

use super::Client;
use crate::cap::Capability;

/// Word of a ring's line that says which capability goes with it (0 = none).
pub const WORD: usize = 6;

/// Sends a capability along binding `bind`: the number that the receiver takes it by.
///
/// # Errors
/// [`PeerError`]; `Refused` with what the monitors say.
pub async fn send(bind: u64, cap: CapAddr, give: bool) -> Result<u64, PeerError> {
    let names = NamesClient(Client::names().await?);
    match names.send_cap(bind, give, cap).await?.number {
        0 => Err(PeerError::BadAnswer(WireError::BadField)),
        number => Ok(number),
    }
}

/// Takes the capability with this number of a line, if there is one.
///
/// # Errors
/// [`PeerError`]; `Refused(Unsupported)` for a channel that no monitor knows.
pub async fn take(bind: Option<u64>, number: u64) -> Result<Option<Capability>, PeerError> {
    if number == 0 {
        return Ok(None);
    }
    let bind = bind.ok_or(PeerError::Refused(ServiceError::Unsupported))?;
    let names = NamesClient(Client::names().await?);
    Ok(Some(names.take_cap(bind, number).await?.cap))
}
