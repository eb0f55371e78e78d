//! The roles of children.

use alloc::boxed::Box;

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

fn serve() -> i32 {
    rt::control::on_check(Box::new(|| Verdict { ok: true, text: "all is well".into() }));
    task::block_on(async {
        loop {
            time::sleep(10_000_000_000).await;
        }
    })
}
