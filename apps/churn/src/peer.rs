//! The side of a rally that sends the ball back.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use core::cell::RefCell;

use churn::wire::{RallyReply, RallyRequest};
use churn::{Ball, Peer};
use rt::chan::{Attach, Server};
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
    let server = match Server::open() {
        Ok(s) => s,
        Err(e) => {
            rt::println!("churn: no endpoint for the peer: {}", e.message());
            return 1;
        }
    };
    if let Err(e) = server.register(name).await {
        rt::println!("churn: cannot register {name}: {e}");
        return 1;
    }
    loop {
        let request = server.next().await;
        let Ok(RallyRequest::Hit {
            number,
            hash,
            filling,
        }) = request.decode()
        else {
            continue;
        };
        let back = peer.borrow_mut().hit(Ball {
            number,
            hash,
            filling,
        });
        let reply = RallyReply::Back {
            number: back.number,
            hash: back.hash,
            filling: back.filling,
        };
        // An asker that is gone ends its side of the rally; its own check says so.
        let _ = request.answer(&reply, Attach::NONE);
    }
}
