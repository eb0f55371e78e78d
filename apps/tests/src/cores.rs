//! Core operations, as tests ask for them.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::cores::{CoreOp, CoreState, Cores, CoresClient};
use rt::chan::{self, Client};

/// The device manager.
///
/// # Errors
/// A sentence.
pub async fn manager() -> Result<CoresClient<Client>, String> {
    chan::connect::<Cores>("cores")
        .await
        .map_err(|e| e.to_string())
}

/// Has a core operated; `kernel`: its name, or empty. What is said of it.
///
/// # Errors
/// A sentence.
pub async fn operate(core: u32, op: CoreOp, kernel: &str) -> Result<String, String> {
    let cores = manager().await?;
    let done = cores.operate(op, core, false, kernel.as_bytes()).await;
    let done = done.map_err(|e| format!("{op:?}: {e}"))?;
    Ok(String::from_utf8_lossy(&done.text).into_owned())
}

/// What a core does.
///
/// # Errors
/// A sentence.
pub async fn state(core: u32) -> Result<CoreState, String> {
    let found = manager().await?.core_at(core).await;
    let found = found.map_err(|e| format!("core {core}: {e}"))?;
    Ok(found.state)
}

/// Has a core run; whether it did not before.
///
/// # Errors
/// A sentence.
pub async fn begin(core: u32) -> Result<bool, String> {
    match state(core).await? {
        CoreState::Running => Ok(false),
        _ => operate(core, CoreOp::Start, "").await.map(|_| true),
    }
}
