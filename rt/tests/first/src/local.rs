//! What one process can check alone.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use rt::task::{block_on, spawn, yield_now};
use rt::{cap, invoke, mem, time, tls, vspace};

use crate::check;

/// All checks; whether all are clean.
pub fn run() -> bool {
    let mut ok = true;
    ok &= check("heap", heap());
    ok &= check("thread-local words", thread_local());
    ok &= check("floating point", floats());
    ok &= check("clocks go on", clocks());
    ok &= check("tasks and timers", tasks());
    ok &= check("capability slots", slots());
    ok &= check("mapping", mapping());
    ok
}

fn heap() -> bool {
    let mut map = BTreeMap::new();
    for i in 0u64..5_000 {
        map.insert(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), alloc::vec![i as u8; (i % 97) as usize]);
    }
    let sum: usize = map.values().map(Vec::len).sum();
    let big = alloc::vec![7u8; 300 << 10];
    let text: String = map.keys().take(3).map(|k| alloc::format!("{k:x} ")).collect();
    sum == (0..5_000u64).map(|i| (i % 97) as usize).sum::<usize>()
        && big.iter().all(|b| *b == 7)
        && !text.is_empty()
}

fn thread_local() -> bool {
    let fresh = (0..tls::WORDS).all(|i| tls::get(i) == 0);
    (0..tls::WORDS).for_each(|i| tls::set(i, 1 << i));
    fresh && (0..tls::WORDS).all(|i| tls::get(i) == 1 << i)
}

fn floats() -> bool {
    let mut x = 0.3f64;
    for _ in 0..1000 {
        x = 3.9 * x * (1.0 - x);
        rt::process::yield_core();
    }
    let mut y = 0.3f64;
    for _ in 0..1000 {
        y = 3.9 * y * (1.0 - y);
    }
    x.to_bits() == y.to_bits() && x > 0.0 && x < 1.0
}

fn clocks() -> bool {
    let (a, s) = (time::now_ns(), time::system_ns());
    block_on(time::sleep(2_000_000));
    let (b, t) = (time::now_ns(), time::system_ns());
    rt::println!("       slept {} ns, system {} ns", b - a, t - s);
    b - a >= 2_000_000 && t - s >= 2_000_000
}

fn tasks() -> bool {
    let log = alloc::rc::Rc::new(core::cell::RefCell::new(Vec::new()));
    let start = time::now_ns();
    for (n, ns) in [(3, 3_000_000), (1, 1_000_000), (2, 2_000_000)] {
        let log = log.clone();
        spawn(async move {
            time::sleep_until(start + ns).await;
            log.borrow_mut().push(n);
        });
    }
    block_on(async {
        while log.borrow().len() < 3 {
            yield_now().await;
            time::sleep(100_000).await;
        }
    });
    *log.borrow() == [1, 2, 3]
}

fn slots() -> bool {
    let mut held = Vec::new();
    for _ in 0..600 {
        match cap::copy(abi::slots::DISPATCHER) {
            Ok(copy) => held.push(copy),
            Err(e) => {
                rt::println!("       copy {}: {}", held.len(), e.message());
                return false;
            }
        }
    }
    let last = held.last().map(|c| invoke::identify(c.addr()).is_ok());
    let addr = held.last().map(|c| c.addr());
    held.clear();
    let gone = addr.is_some_and(|a| invoke::identify(a).is_err());
    last == Some(true) && gone
}

fn mapping() -> bool {
    let frame = match mem::alloc_frame(64 << 10) {
        Ok(frame) => frame,
        Err(e) => {
            rt::println!("       frame: {e}");
            return false;
        }
    };
    let one = vspace::map(frame.addr(), 0, 64 << 10, vspace::Access::ReadWrite);
    let two = vspace::map(frame.addr(), 0x1000, 0x1000, vspace::Access::Read);
    let (Ok(one), Ok(two)) = (one, two) else {
        return false;
    };
    let zeroed = (0..one.bytes()).step_by(8).all(|at| one.load(at) == 0);
    one.write(0x1003, b"the same page twice");
    let mut back = [0; 19];
    two.read(3, &mut back);
    zeroed && &back == b"the same page twice"
}
