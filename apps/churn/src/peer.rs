//! The side of a rally that sends the ball back.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use core::cell::RefCell;

use churn::wire::{Back, Court, CourtServer};
use churn::{Ball, Peer};
use proto::Refusal;
use rt::chan::{self, Request};
use rt::control::{self, Verdict};

/// Registers under `name` and sends every ball back.
pub async fn serve(name: &str) -> i32 {
    let peer = Rc::new(RefCell::new(Peer::new()));
    let checked = peer.clone();
    control::on_check(Box::new(move || {
        let p = checked.borrow();
        match p.fault() {
            None => Verdict {
                ok: true,
                text: format!("{} balls returned", p.count()),
                ..Verdict::default()
            },
            Some(fault) => Verdict {
                ok: false,
                text: format!("{fault}"),
                ..Verdict::default()
            },
        }
    }));
    match chan::serve::<Court, _>(name, &Returning(peer)).await {
        Ok(never) => match never {},
        Err(e) => {
            rt::println!("churn: cannot serve as {name}: {e}");
            1
        }
    }
}

/// Sends every ball back.
struct Returning(Rc<RefCell<Peer>>);

impl CourtServer<Request> for Returning {
    async fn hit(
        &self,
        _: &Request,
        number: u64,
        hash: u64,
        filling: u64,
    ) -> Result<Back, Refusal> {
        let back = self.0.borrow_mut().hit(Ball {
            number,
            hash,
            filling,
        });
        Ok(Back {
            number: back.number,
            hash: back.hash,
            filling: back.filling,
        })
    }
}
