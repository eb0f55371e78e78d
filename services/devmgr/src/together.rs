//! One operation on several cores at once.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use devmgr::{Operation, Plan, Refusal as Unplanned};
use proto::iface::cores::{self as said, CoreOp};
use proto::{Refusal, ServiceError};
use rt::{env, task, time};

use crate::operations::{Done, carry_out, plan, refused};
use crate::{Manager, queries};

/// Most operations of a group.
const MAX_GROUP: usize = 255;

type Outcome = Result<Done, Refusal>;
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// Kernel name and cores of an `OperateAll`.
fn parse(blob: &[u8]) -> Option<(String, Vec<u32>)> {
    let end = blob.iter().position(|b| *b == 0)?;
    let kernel = core::str::from_utf8(&blob[..end]).ok()?;
    let (cores, rest) = blob[end + 1..].as_chunks::<4>();
    let cores: Vec<u32> = cores.iter().map(|c| u32::from_le_bytes(*c)).collect();
    (rest.is_empty() && !cores.is_empty()).then(|| (String::from(kernel), cores))
}

/// Executes an operation on several cores. Those that this OSnode's boot driver can begin now go
/// together; the others follow as they can.
///
/// # Errors
/// The first error, and a sentence for each core.
pub async fn run(
    manager: &Manager,
    op: CoreOp,
    fresh: bool,
    kernel_and_cores: &[u8],
) -> Result<said::Done, Refusal> {
    let start = time::system_ns();
    let (kernel, cores) = parse(kernel_and_cores).ok_or(ServiceError::BadMessage)?;
    let wanted = |core| Operation {
        op,
        core,
        fresh,
        pause_ns: 0,
    };
    let mut plans: Vec<(Operation, Result<Plan, Unplanned>)> = Vec::new();
    for core in cores {
        queries::observe(manager, core).await;
        let planned = manager.state.borrow_mut().registry.plan(wanted(core));
        plans.push((wanted(core), planned));
    }
    let here = |p: &Plan| p.executor == env::osnode();
    let count = plans
        .iter()
        .flat_map(|(_, p)| p)
        .filter(|p| here(p))
        .count();
    let group = match count {
        2..=MAX_GROUP => next_group(manager) | count as u64,
        _ => 0,
    };
    let all = group != 0 && count == plans.len();
    let one = |(wanted, planned): (Operation, Result<Plan, Unplanned>)| -> Running<'_> {
        let kernel = kernel.as_str();
        Box::pin(async move {
            let (plan, group) = match planned {
                Ok(p) if here(&p) => (p, group),
                Ok(p) => (p, 0),
                Err(Unplanned::Busy(_)) => (plan(manager, wanted).await?, 0),
                Err(r) => return Err(refused(&r)),
            };
            carry_out(manager, plan, kernel, group).await
        })
    };
    let results = task::join(plans.into_iter().map(one).collect()).await;
    report(&results, time::system_ns() - start, all)
}

/// A number for a group, its low byte empty.
fn next_group(manager: &Manager) -> u64 {
    let mut s = manager.state.borrow_mut();
    s.last_group += 1;
    s.last_group << 8
}

fn report(results: &[Outcome], took_ns: u64, all_together: bool) -> Result<said::Done, Refusal> {
    let lines: Vec<&str> = results
        .iter()
        .map(|r| match r {
            Ok(done) => done.text.as_str(),
            Err(r) => r.text.as_str(),
        })
        .collect();
    let text = lines.join("\n");
    if let Some(first) = results.iter().find_map(|r| r.as_ref().err()) {
        return Err(Refusal::new(first.error, text));
    }
    let spans = || results.iter().flatten().map(|d| d.switched);
    let from = spans().map(|s| s.0).max().unwrap_or(0);
    let to = spans().map(|s| s.1).min().unwrap_or(0);
    let together_ns = match all_together {
        true => to.saturating_sub(from),
        false => 0,
    };
    let osnode = results.iter().flatten().map(|d| d.osnode).next();
    Ok(said::Done {
        osnode: osnode.unwrap_or(0),
        took_ns,
        together_ns,
        text: text.into_bytes(),
    })
}
