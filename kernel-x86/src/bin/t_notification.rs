//! `t-notification`: a test kernel that loses one notification of each process of `churn`, and logs it.

#![no_std]
#![no_main]

use capfmt::{Dcb, PhysMap};
use kernel::{Loss, OneNotification, WakeUp};

struct Logged;

impl Loss for Logged {
    const WHAT: WakeUp = OneNotification::WHAT;
    const OF: [u8; 8] = OneNotification::OF;

    fn matters(m: &impl PhysMap, dcb: Dcb) -> bool {
        OneNotification::matters(m, dcb)
    }

    fn lost() {
        kernel_x86::log_line(format_args!("t-notification lost a notification"));
    }
}

struct Test;

impl kernel_x86::Variant for Test {
    type Policy = kernel::Erring<kernel::Losing<Logged>>;
    const NAME: &'static str = "t-notification";
    const BASE: u64 = abi::vaddr::IMAGE_SLOT;
}

kernel_x86::kernel!(Test);
