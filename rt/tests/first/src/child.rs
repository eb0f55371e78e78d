//! The roles of children.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;

use rt::chan::{Attach, Client, Server};
use rt::control::Verdict;
use rt::{task, time};

use crate::local;

proto::messages! {
    /// Requests of the echo service.
    pub enum EchoRequest: 99 {
        /// Sends everything back, the word one larger.
        Echo = 1 {
            /// A word.
            word: u64,
        },
    }
}

proto::messages! {
    /// Its replies.
    pub enum EchoReply: 99 {
        /// The word, one larger.
        Echoed = 0x8001 {
            /// The word.
            word: u64,
        },
    }
}

/// Plays a role; exit status.
pub fn run(role: &str) -> i32 {
    match role {
        "local" => i32::from(!local::run()),
        "null" => {
            let at = core::hint::black_box(0x10u64);
            rt::println!("never: {}", volatile(at));
            1
        }
        "divide" => divide(),
        "undefined" => undefined(),
        "overrun" => deep(core::hint::black_box(1)) as i32,
        "panic" => panic!("as asked: \"{}\"", role),
        "deaf" => deaf(),
        "echo" => serve(),
        "lmp" => client(false),
        "ump" => client(true),
        _ => 2,
    }
}

/// Reads an address that is not mapped.
fn volatile(at: u64) -> u64 {
    // SAFETY: none: the fault is the point.
    unsafe { core::ptr::read_volatile(at as *const u64) }
}

fn divide() -> i32 {
    7 / core::hint::black_box(0)
}

fn undefined() -> i32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none: the trap is the point.
    unsafe {
        core::arch::asm!("ud2")
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: none: the trap is the point.
    unsafe {
        core::arch::asm!("udf #0")
    }
    1
}

/// Faults without wanting to know: the kernel ends the process.
fn deaf() -> i32 {
    let wanted = abi::vaddr::DISP_FRAME + abi::disp::UPCALLS_WANTED;
    // SAFETY: a word of the dispatcher page, which the user may write.
    unsafe { core::ptr::write_volatile(wanted as *mut u64, 0) };
    volatile(0x18) as i32
}

fn deep(n: u64) -> u64 {
    let pad = core::hint::black_box([n; 64]);
    if n == 0 { 0 } else { deep(n + 1) + pad[(n % 64) as usize] }
}

/// Serves echoes to everybody, and checks to the starter.
fn serve() -> i32 {
    rt::control::on_check(Box::new(|| Verdict { ok: true, text: "all is well".into(), inside: 7 }));
    let count = Rc::new(Cell::new(0u64));
    let shown = count.clone();
    rt::control::on_tell(Box::new(move |what| Verdict {
        ok: what == "how many",
        text: alloc::format!("{} requests", shown.get()),
        inside: 0,
    }));
    let served: Result<(), rt::PeerError> = task::block_on(async {
        let server = Server::open()?;
        server.register("echo").await?;
        loop {
            let request = server.next().await;
            count.set(count.get() + 1);
            let Ok(EchoRequest::Echo { word }) = request.decode() else {
                continue;
            };
            let cap = request.cap.as_ref().map(rt::Capability::addr);
            let with = Attach::with(&request.blob, cap);
            // A client that is gone needs no answer.
            let _ = request.answer(&EchoReply::Echoed { word: word + 1 }, with);
        }
    });
    rt::println!("echo: {served:?}");
    1
}

async fn ask(client: &Client, word: u64, with: Attach<'_>) -> Result<bool, rt::PeerError> {
    let answer = client.request::<_, EchoReply>(&EchoRequest::Echo { word }, with).await?;
    let same = answer.message == EchoReply::Echoed { word: word + 1 } && answer.blob == with.blob;
    let cap = match (answer.cap, with.cap) {
        (Some(got), Some(_)) => rt::invoke::identify(got.addr()).is_ok(),
        (None, None) => true,
        _ => false,
    };
    Ok(same && cap)
}

/// Asks the echo service in every way.
fn client(ump: bool) -> i32 {
    let result: Result<bool, rt::PeerError> = task::block_on(async {
        let client = match ump {
            true => Client::lookup_on(rt::env::osnode(), "echo").await?,
            false => Client::lookup("echo").await?,
        };
        let mut ok = true;
        let start = time::counter();
        for word in 0..200 {
            ok &= ask(&client, word, Attach::NONE).await?;
        }
        rt::println!("       200 echoes in {} ticks", time::counter() - start);
        let blob: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8).collect();
        ok &= ask(&client, 7, Attach::blob(&blob)).await?;
        // Between OSnodes goes what the monitors let: here, no dispatcher, but an endpoint.
        match ask(&client, 8, Attach::with(b"with it", Some(abi::slots::DISPATCHER))).await {
            Ok(same) => ok &= same && !ump,
            Err(e) => ok &= ump && e == rt::PeerError::Refused(rt::ServiceError::BadArgument),
        }
        for word in 0..50 {
            let cap = Some(abi::slots::SELF_ENDPOINT);
            ok &= ask(&client, word, Attach::with(b"with it", cap)).await?;
            ok &= ask(&client, word, Attach::NONE).await?;
        }
        // Many at a time, more than any ring holds.
        let clients: Vec<_> = (0..100).map(|i| (client.clone(), i)).collect();
        let done = Rc::new(Cell::new(0));
        for (client, i) in clients {
            let done = done.clone();
            task::spawn(async move {
                if matches!(ask(&client, i, Attach::NONE).await, Ok(true)) {
                    done.set(done.get() + 1);
                }
            });
        }
        let until = time::now_ns() + 10_000_000_000;
        while done.get() < 100 && time::now_ns() < until {
            time::sleep(1_000_000).await;
        }
        // Sleeping and being woken, by the service's answer only.
        for _ in 0..5 {
            time::sleep(3_000_000).await;
            ok &= ask(&client, 9, Attach::NONE).await?;
        }
        Ok(ok && done.get() == 100)
    });
    if result != Ok(true) {
        rt::println!("client: {result:?}");
    }
    i32::from(result != Ok(true))
}
