//! A program built from the next version of `t-iface`'s interface: serves it for that test, and
//! tries to reach a service of the older version itself.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::spawn::Place;
use proto::{Refusal, ServiceError};
use rt::chan::{self, Request};
use rt::{env, task};
use tests::{Child, Suite};

rt::entry!(main);

const OLDER: &str = "t-iface";

proto::interface! {
    /// Adds and keeps; now with a currency.
    pub interface Keeper = 103, version 2, errors ServiceError;
    messages KeeperRequest, KeeperReply;
    stubs KeeperClient, KeeperServer;
    replies {
        /// What it has now.
        Sum = 0x8001 {
            /// Sum.
            sum: u64,
        };
    }
    requests {
        /// Adds.
        Add = 1 add {
            /// Of which.
            currency: u32,
            /// This.
            amount: u64,
        } -> Sum;
    }
}

struct Nothing;

impl KeeperServer<Request> for Nothing {
    async fn add(&self, _: &Request, _currency: u32, amount: u64) -> Result<Sum, Refusal> {
        Ok(Sum { sum: amount })
    }
}

fn main() -> i32 {
    let mut args = env::args().skip(1);
    match (args.next(), args.next()) {
        (Some("serve"), Some(name)) => task::block_on(serve(name)),
        _ => task::block_on(run()),
    }
}

async fn serve(name: &str) -> i32 {
    let served = chan::serve::<Keeper, _>(name, &Nothing).await;
    rt::println!("t-iface-next: {served:?}");
    1
}

async fn run() -> i32 {
    let mut suite = Suite::new("iface-next");
    suite.report("lmp", refused(Place::Here, "olds").await);
    suite.report("ump", refused(Place::Home, "uolds").await);
    suite.failed()
}

/// A service of the older version refuses this program.
async fn refused(place: Place, name: &str) -> Result<(), String> {
    let name = format!("{name}{}", env::pid());
    let child = Child::start(&[OLDER, "serve", &name], place).await?;
    let osnode = child.pid.osnode;
    let bound = match place {
        Place::Home => chan::connect_on::<Keeper>(osnode, &name).await,
        _ => chan::connect::<Keeper>(&name).await,
    };
    let text = match bound {
        Err(e) => e.to_string(),
        Ok(_) => return Err("a service of another version was bound".into()),
    };
    child.kill().await?;
    let expected = format!(
        "service \"{name}\" of OSnode o{osnode} speaks version 1 of interface Keeper, \
         this program version 2: rebuild the service, and start it again"
    );
    match text == expected {
        true => Ok(()),
        false => Err(format!("it says: {text}")),
    }
}
