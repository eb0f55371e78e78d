//! Marker instructions of an operation (`abi::marker`): what it costs, and what of that is waiting.

use abi::marker;
use bootseq::{Action, Input};
use capfmt::{CoreCommand, CoreStatus};

/// What was commanded last, and whether the driver waits for the answer.
#[derive(Default)]
pub struct Marks {
    /// A command that is not answered, with its sequence number.
    asked: Option<(CoreCommand, u64)>,
    waiting: bool,
}

impl Marks {
    /// A request was taken up.
    pub fn begin(stops: bool) {
        if stops {
            rt::marker::<{ marker::STOP }>();
        } else {
            rt::marker::<{ marker::START }>();
        }
    }

    /// An action follows. From the first pause on, looking again is waiting, too.
    pub fn before(&mut self, action: &Action) {
        match action {
            Action::Wait { .. } if !self.waiting => {
                self.waiting = true;
                rt::marker::<{ marker::WAIT_BEGIN }>();
            }
            Action::Wait { .. } | Action::ReadLines => {}
            Action::Command {
                command: CoreCommand::Stop,
                ..
            } => rt::marker::<{ marker::SWITCH }>(),
            _ => self.end_wait(),
        }
    }

    /// What came of it.
    pub fn after(&mut self, action: &Action, input: &Input) {
        if let (Action::Command { command, .. }, Input::Commanded(seq)) = (action, input) {
            self.asked = Some((*command, *seq));
        }
        let (Input::Lines(lines), Some((command, seq))) = (input, self.asked) else {
            return;
        };
        let answered = match command {
            CoreCommand::Stop => lines.status == CoreStatus::Penned,
            CoreCommand::Start => lines.status == CoreStatus::Running && lines.target_seq == seq,
            _ => false,
        };
        if answered {
            self.asked = None;
            self.end_wait();
            match command {
                CoreCommand::Stop => rt::marker::<{ marker::STOPPED }>(),
                _ => rt::marker::<{ marker::STARTED }>(),
            }
        }
    }

    fn end_wait(&mut self) {
        if core::mem::take(&mut self.waiting) {
            rt::marker::<{ marker::WAIT_END }>();
        }
    }
}
