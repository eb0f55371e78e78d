//! Core operations, as tests ask for them.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::cores::{CoreOp, CoreState, CoresReply, CoresRequest};
use rt::chan::{Answer, Attach, Client};

/// Has a core operated; `kernel`: its name, or empty. What is said of it.
///
/// # Errors
/// A sentence.
pub async fn operate(core: u32, op: CoreOp, kernel: &str) -> Result<String, String> {
    let cores = Client::lookup("cores").await.map_err(|e| e.to_string())?;
    let fresh = false;
    let request = CoresRequest::Operate { op, core, fresh };
    let with = Attach::blob(kernel.as_bytes());
    let a: Result<Answer<CoresReply>, _> = cores.request(&request, with).await;
    let a = a.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&a.blob).into_owned();
    match a.message {
        CoresReply::Done { .. } => Ok(text),
        CoresReply::Refused { error } => Err(format!("{op:?}: {error}: {text}")),
        other => Err(format!("{op:?}: {other:?}")),
    }
}

/// What a core does.
///
/// # Errors
/// A sentence.
pub async fn state(core: u32) -> Result<CoreState, String> {
    let cores = Client::lookup("cores").await.map_err(|e| e.to_string())?;
    let request = CoresRequest::Core { index: core };
    let a: Result<Answer<CoresReply>, _> = cores.request(&request, Attach::NONE).await;
    match a.map_err(|e| e.to_string())?.message {
        CoresReply::Core { state, .. } => Ok(state),
        _ => Err(format!("there is no core {core}")),
    }
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
