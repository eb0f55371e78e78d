//! Moving an OSnode to another core.

use alloc::format;
use alloc::string::String;

use bootseq::{Failure, Input, Move, MoveAction, Moved, Op, Timing};
use capfmt::CoreStatus;
use proto::ServiceError;
use proto::iface::driver::Done;
use rt::{CapAddr, SysError, invoke, time};

use crate::Platform;
use crate::actions::{Running, status};
use crate::cores::{self, OP};
use crate::driver::{Driver, control, explain, target};
use crate::marks::Marks;
use crate::requests::{Refusal, refusal};

/// The OSnode to be moved.
struct Moving<'d, P: Platform> {
    driver: &'d Driver<P>,
    osnode: u64,
    here: Running<'d, P>,
    there: Running<'d, P>,
}

/// OSnode `osnode` goes from one core to another.
///
/// # Errors
/// Why not, and how it is now.
pub async fn move_osnode<P: Platform>(
    driver: &Driver<P>,
    osnode: u64,
    (from, to): (u32, u32),
    runs: bool,
    kernel: String,
) -> Result<Done, Refusal> {
    let start = time::system_ns();
    let kcb = driver.holdings.borrow().kcbs.get(&osnode).copied();
    let kcb = kcb.ok_or_else(|| {
        let text = format!("the KCB of o{osnode} is not known to the boot driver");
        refusal(driver, to, ServiceError::NoOsnode, text)
    })?;
    if control(driver, to).is_none() {
        let made = cores::make_core(driver, to).await;
        made.map_err(|text| refusal(driver, to, ServiceError::OutOfMemory, text))?;
    }
    let running = |core| Running::new(driver, core, kernel.clone(), 0, driver.groups.join(0));
    let mut moving = Moving {
        driver,
        osnode,
        here: running(from),
        there: running(to),
    };
    let (here, there) = (target(driver, from), target(driver, to));
    let sequence = Move::new(here, there, kcb.kcb, runs, Timing::DEFAULT);
    let end = moving.run(sequence, kcb.cap).await;
    // Wherever it was left without a kernel, its monitor answers.
    crate::osnode::care(driver, Some(kcb.kcb));
    let text = moving.text(end, (from, to), runs, &kernel);
    let text = text.map_err(|(error, text)| refusal(driver, to, error, text))?;
    Ok(Done {
        osnode,
        took_ns: time::system_ns() - start,
        switched: moving.there.switched,
        text: text.into_bytes(),
    })
}

impl<P: Platform> Moving<'_, P> {
    async fn run(&mut self, mut sequence: Move, kcb: CapAddr) -> Moved {
        let mut input = Input::Begin;
        let (mut marks_here, mut marks_there) = (Marks::default(), Marks::default());
        loop {
            let action = sequence.next(time::system_ns(), input);
            self.there.note(sequence.is_switching());
            input = match action {
                MoveAction::Here(action) => self.here.act(action, &mut marks_here).await,
                MoveAction::There(action) => self.there.act(action, &mut marks_there).await,
                MoveAction::InMotion => {
                    // A monitor that is gone keeps no list.
                    let _ = self.driver.system.moving(self.osnode);
                    Input::Done
                }
                MoveAction::Release => {
                    let there = control(self.driver, self.there.core()).unwrap_or(CapAddr::NULL);
                    match invoke::core_release(there, kcb) {
                        Ok(()) => Input::Done,
                        Err(e) => Input::Failed(e),
                    }
                }
                MoveAction::Finish(end) => {
                    self.here.leave(&mut marks_here);
                    self.there.leave(&mut marks_there);
                    return end;
                }
            };
        }
    }

    /// What came of it, for people.
    fn text(
        &self,
        end: Moved,
        (from, to): (u32, u32),
        runs: bool,
        kernel: &str,
    ) -> Result<String, (ServiceError, String)> {
        let o = self.osnode;
        let failed = |f: Failure, running: &Running<'_, P>, core: u32, text: &str| {
            let (error, why) = explain(f, running, core);
            let why = match f {
                // How the core was left is another matter here.
                Failure::Failed { reason, .. } => format!("{reason}"),
                Failure::Refused(_) => why,
            };
            let words = match running.epitaph.as_str() {
                "" => String::new(),
                epitaph => format!(" (its last words: {epitaph})"),
            };
            (error, text.replace("WHY", &format!("{why}{words}")))
        };
        let there = |f, text: &str| failed(f, &self.there, to, text);
        match end {
            Moved::There => Ok(format!(
                "o{o} moved from core {from} to core {to}, with kernel {kernel}"
            )),
            Moved::NotLeft(f) => {
                let (error, why) = explain(f, &self.here, from);
                Err((error, format!("o{o} does not leave core {from}: {why}")))
            }
            Moved::NotReady(f) => {
                let text = format!("core {to} cannot take o{o}: WHY; o{o} was not touched");
                Err(there(f, &text))
            }
            Moved::Back(f) => {
                let now = match runs {
                    true => format!("it runs on core {from} again"),
                    false => format!("it is kept by core {from} as before"),
                };
                let text = format!("o{o} does not start on core {to}: WHY; {now}");
                Err(there(f, &text))
            }
            Moved::Down { there: f, here } => {
                let text = match here {
                    Some(_) => format!("nor on core {from} again; core recover {from} may help"),
                    None => {
                        format!("and core {to} does not let go of it; core recover {to} may help")
                    }
                };
                let text = format!("o{o} does not start on core {to}: WHY; {text}");
                Err(there(f, &text))
            }
        }
    }
}

/// The KCB of an OSnode that was being moved away from a core, by an earlier driver.
pub fn left<P: Platform>(driver: &Driver<P>, core: u32) -> Option<u64> {
    let control = control(driver, core)?;
    let [op, _, kcb, ..] = invoke::core_read(control, OP).ok()?;
    (op == Op::Move as u64).then_some(kcb)
}

/// Whether another core than `but` runs this KCB. One that crashed with it lets go of it.
pub fn runs<P: Platform>(driver: &Driver<P>, kcb: u64, but: u32) -> bool {
    let (others, cap) = {
        let h = driver.holdings.borrow();
        let others = h.cores.iter().filter(|(core, _)| **core != but);
        let others: alloc::vec::Vec<CapAddr> = others.map(|(_, c)| c.control).collect();
        let of = h.kcbs.values().find(|k| k.kcb == kcb);
        (others, of.map_or(CapAddr::NULL, |k| k.cap))
    };
    let runs = |control: &CapAddr| {
        let info = invoke::core_info(*control);
        info.is_ok_and(|i| {
            let up = matches!(status(i.status), CoreStatus::Running | CoreStatus::Starting);
            up && i.kcb == kcb
        })
    };
    for control in &others {
        match invoke::core_release(*control, cap) {
            // It was not that one's, or it runs.
            Ok(()) | Err(SysError::Attached | SysError::BadCoreState) => {}
            Err(e) => rt::println!("boot driver: a core keeps a KCB: {}", e.message()),
        }
    }
    others.iter().any(runs)
}
