//! A service and its client, as small as they get: the example of `docs/book/channels.md`.
//!
//! `spawn tally serve` counts; `spawn tally add 5` counts on, `spawn tally add 5 2` does so, from
//! wherever it runs, at the one of OSnode o2.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;

use proto::{CallError, Refusal, ServiceError};
use rt::chan::{self, Request};
use rt::{env, task};

rt::entry!(main);

proto::interface! {
    /// Counts.
    pub interface Tally = 104, version 1, errors ServiceError;
    messages TallyRequest, TallyReply;
    stubs TallyClient, TallyServer;
    replies {
        /// The count now.
        Count = 0x8001 {
            /// How many.
            count: u64,
        };
    }
    requests {
        /// Counts on.
        Add = 1 add {
            /// By so many.
            amount: u64,
        } -> Count;
    }
}

struct Counted(Cell<u64>);

impl TallyServer<Request> for Counted {
    async fn add(&self, _: &Request, amount: u64) -> Result<Count, Refusal> {
        let sum = self.0.get().checked_add(amount);
        let count = sum.ok_or(ServiceError::BadArgument)?;
        self.0.set(count);
        Ok(Count { count })
    }
}

fn main() -> Result<(), String> {
    let args: Vec<&str> = env::args().skip(1).collect();
    task::block_on(run(&args))
}

async fn run(args: &[&str]) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| "that is no number");
    let (tally, amount) = match args {
        ["serve"] => {
            let served = chan::serve::<Tally, _>("tally", &Counted(Cell::new(0))).await;
            return served
                .map(|never| match never {})
                .map_err(|e| e.to_string());
        }
        ["add", amount] => (chan::connect::<Tally>("tally").await, number(amount)?),
        ["add", amount, osnode] => {
            let bound = chan::connect_on::<Tally>(number(osnode)?, "tally").await;
            (bound, number(amount)?)
        }
        _ => return Err("serve, or add AMOUNT [OSNODE]".into()),
    };
    let tally = tally.map_err(|e| e.to_string())?;
    let counted = tally
        .add(amount)
        .await
        .map_err(|e: CallError| e.to_string())?;
    rt::println!("{}", counted.count);
    Ok(())
}
