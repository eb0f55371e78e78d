//! The partner of tests with capabilities on two OSnodes (`t-shared NAME`), and how it is spoken to.

use alloc::format;
use alloc::string::String;

use rt::chan::{Answer, Attach, Client};
use rt::{CapAddr, SysError, time};

/// The program that plays it.
pub const SELF: &str = "t-shared";

proto::messages! {
    /// What the partner is asked. Each number names a capability that it was given or made.
    pub enum PartnerRequest: 103 {
        /// Keep the capability that comes along.
        Keep = 1 {
            /// Under this number.
            number: u64,
        },
        /// Map it and add the words of its first page; a word is written to the second one.
        Sum = 2 {
            /// Which.
            number: u64,
            /// Written to the first word of the second page, if it is not 0.
            write: u64,
        },
        /// Make a Frame or Ram of a part of it.
        Retype = 3 {
            /// Which.
            number: u64,
            /// Pages before the part | pages of the part << 32.
            part: u64,
            /// Number of what is made.
            made: u64,
            /// 0 = Frame, 1 = Ram.
            ram: u64,
        },
        /// Revoke it.
        Revoke = 4 {
            /// Which.
            number: u64,
        },
        /// Delete it.
        Delete = 5 {
            /// Which.
            number: u64,
        },
        /// Is it there?
        Look = 6 {
            /// Which.
            number: u64,
        },
        /// Make a Frame of two pages, the first with the words 1, 2, 3, …
        Make = 8 {
            /// Under this number.
            number: u64,
        },
        /// A copy of it, please.
        Give = 7 {
            /// Which.
            number: u64,
        },
    }
}
proto::messages! {
    /// Its answers.
    pub enum PartnerReply: 103 {
        /// It worked.
        Done = 0x8001 {
            /// Sum, or 1 if it is there and 0 if not.
            value: u64,
        },
        /// It did not.
        Failed = 0x8002 {
            /// A `SysError`, 0 if it is something else.
            error: u64,
        },
    }
}

/// Asks, and waits up to 20 s.
///
/// # Errors
/// Which request, and why.
pub async fn ask(
    client: &Client,
    request: PartnerRequest,
    with: Attach<'_>,
) -> Result<Answer<PartnerReply>, String> {
    let until = time::system_ns() + 20_000_000_000;
    let answer = client.request_until(&request, with, until).await;
    answer.map_err(|e| format!("{request:?}: {e}"))
}

/// As [`ask`], for what has no capability with it.
///
/// # Errors
/// As [`ask`], or what the partner says.
pub async fn done(client: &Client, request: PartnerRequest) -> Result<u64, String> {
    done_with(client, request, Attach::NONE).await
}

/// As [`done`], with a capability.
///
/// # Errors
/// As [`done`].
pub async fn done_with(
    client: &Client,
    request: PartnerRequest,
    with: Attach<'_>,
) -> Result<u64, String> {
    match ask(client, request, with).await?.message {
        PartnerReply::Done { value } => Ok(value),
        PartnerReply::Failed { error } => {
            let why = SysError::from_code(error as u16).map_or("?", SysError::message);
            Err(format!("{request:?}: {why}"))
        }
    }
}

/// Has the partner keep a copy.
///
/// # Errors
/// As [`done`].
pub async fn keep(client: &Client, number: u64, cap: CapAddr) -> Result<(), String> {
    let request = PartnerRequest::Keep { number };
    done_with(client, request, Attach::cap(cap))
        .await
        .map(|_| ())
}

/// Makes sure that the partner's capability is gone.
///
/// # Errors
/// As [`done`], or that it is there.
pub async fn is_gone(client: &Client, number: u64) -> Result<(), String> {
    match done(client, PartnerRequest::Look { number }).await? {
        0 => Ok(()),
        _ => Err(format!("the partner's capability {number} is there")),
    }
}
