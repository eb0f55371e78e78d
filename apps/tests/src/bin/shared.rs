//! Capabilities on several OSnodes: copies, retypes, revokes, deletions and gifts.
//!
//! The partner runs on the OSnode that made this one. It keeps what it is given under a
//! number and does with it what it is asked to.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use capfmt::{CapType, MdbFlags};
#[path = "shared/estate.rs"]
mod estate;
#[path = "shared/heirs.rs"]
mod heirs;

use proto::iface::spawn::Place;
use rt::chan::{Attach, Client, Request, Server};
use rt::vspace::{self, Access, Mapped};
use rt::{CapAddr, Capability, SysError, cap, env, invoke, mem, task, time};
use tests::partner::{PartnerReply, PartnerRequest, SELF, ask, done, done_with, is_gone, keep};
use tests::{Child, Suite};

rt::entry!(main);

const PAGE: u64 = 4096;

#[derive(Default)]
struct Partner {
    caps: BTreeMap<u64, Capability>,
    maps: BTreeMap<u64, Mapped>,
}

impl Partner {
    fn cap(&self, number: u64) -> Result<CapAddr, SysError> {
        let cap = self.caps.get(&number).ok_or(SysError::NoCapability)?;
        Ok(cap.addr())
    }

    fn sum(&mut self, number: u64, write: u64) -> Result<u64, SysError> {
        let frame = self.cap(number)?;
        let mapped = match self.maps.remove(&number) {
            Some(mapped) => mapped,
            None => {
                let bytes = invoke::identify(frame)?.cap.size;
                vspace::map(frame, 0, bytes, Access::ReadWrite)?
            }
        };
        let mapped = self.maps.entry(number).or_insert(mapped);
        if write != 0 {
            mapped.store(PAGE, write);
        }
        Ok((0..PAGE / 8).fold(0, |sum: u64, i| sum.wrapping_add(mapped.load(8 * i))))
    }

    fn act(&mut self, request: &mut Request) -> Result<u64, SysError> {
        match request.decode().map_err(|_| SysError::BadCall)? {
            PartnerRequest::Keep { number } => {
                let cap = request.cap.take().ok_or(SysError::NoCapability)?;
                self.caps.insert(number, cap);
                Ok(0)
            }
            PartnerRequest::Sum { number, write } => self.sum(number, write),
            PartnerRequest::Retype {
                number,
                part,
                made,
                ram,
            } => {
                let kind = if ram == 0 {
                    CapType::Frame
                } else {
                    CapType::Ram
                };
                let (first, pages) = (part & 0xffff_ffff, part >> 32);
                let cap = self.cap(number)?;
                let new = mem::retype_one(cap, kind, 0, first * PAGE, pages * PAGE)?;
                self.caps.insert(made, new);
                Ok(0)
            }
            PartnerRequest::Revoke { number } => invoke::revoke(self.cap(number)?).map(|()| 0),
            PartnerRequest::Delete { number } => {
                self.maps.remove(&number);
                let cap = self.caps.remove(&number).ok_or(SysError::NoCapability)?;
                cap.delete().map(|()| 0)
            }
            PartnerRequest::Look { number } => {
                Ok(invoke::identify(self.cap(number)?).is_ok().into())
            }
            PartnerRequest::Make { number } => {
                let (frame, mapped) = frame(2).map_err(|_| SysError::BadCall)?;
                drop(mapped);
                self.caps.insert(number, frame);
                Ok(0)
            }
            PartnerRequest::Give { number } => self.cap(number).map(|_| 0),
        }
    }
}

async fn partner(name: &str) -> i32 {
    let Ok(server) = Server::open() else { return 1 };
    if server.register(name).await.is_err() {
        return 1;
    }
    let mut partner = Partner::default();
    loop {
        let mut request = server.next().await;
        let done = partner.act(&mut request);
        let given = match request.decode() {
            Ok(PartnerRequest::Give { number }) => partner.cap(number).ok(),
            _ => None,
        };
        let reply = match done {
            Ok(value) => PartnerReply::Done { value },
            Err(e) => PartnerReply::Failed { error: e as u64 },
        };
        // A client that is gone needs no answer.
        let _ = request.answer(&reply, Attach::with(&[], given));
    }
}

fn main() -> i32 {
    let args: alloc::vec::Vec<&str> = env::args().collect();
    let core = |word: &str| word.parse().unwrap_or(u64::MAX);
    match args[..] {
        [_, "heirs", dies, lives, ref how @ ..] => {
            let how = match how {
                ["ended"] => heirs::How::Ended,
                _ => heirs::How::Destroyed,
            };
            return task::block_on(heirs::run(core(dies), core(lives), how));
        }
        [_, "estate", dies, lives] => {
            return task::block_on(estate::run(core(dies), core(lives)));
        }
        _ => {}
    }
    if let Some(name) = env::args().nth(1) {
        return task::block_on(partner(name));
    }
    task::block_on(run())
}

async fn run() -> i32 {
    let mut suite = Suite::new("shared");
    let name = format!("partner{}", env::pid());
    let child = match Child::start(&[SELF, &name], Place::Home).await {
        Ok(c) => c,
        Err(e) => {
            suite.report("start", Err(e));
            return suite.failed();
        }
    };
    let client = match Client::lookup_on(child.pid.osnode, &name).await {
        Ok(c) => c,
        Err(e) => {
            suite.report("bind", Err(e.to_string()));
            return suite.failed();
        }
    };
    let elsewhere = child.pid.osnode != env::osnode();
    suite.report("copy", copy(&client, elsewhere).await);
    suite.report("revoke", revoke(&client).await);
    suite.report("revoke_by_holder", revoke_by_holder(&client).await);
    suite.report("retype", retype(&client).await);
    suite.report("delete", delete(&client).await);
    if elsewhere {
        suite.report("wrong_type", wrong_type(&client).await);
    }
    suite.report("give", give(&client).await);
    suite.report("back", back(&client).await);
    suite.report("gone", gone(&client).await);
    suite.report("partner_ends", partner_ends(&client, &child).await);
    suite.failed()
}

async fn refused(client: &Client, request: PartnerRequest, why: SysError) -> Result<(), String> {
    match ask(client, request, Attach::NONE).await?.message {
        PartnerReply::Failed { error } if error == why as u64 => Ok(()),
        other => Err(format!("{request:?} brought {other:?}, not {why:?}")),
    }
}

fn text(e: impl core::fmt::Debug) -> String {
    format!("{e:?}")
}

fn expect<T: PartialEq + core::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), String> {
    if is == should {
        return Ok(());
    }
    Err(format!("{what}: {is:?}, not {should:?}"))
}

/// A Frame of some pages whose first one has the words 1, 2, 3, …
fn frame(pages: u64) -> Result<(Capability, Mapped), String> {
    let frame = mem::alloc_frame(pages * PAGE).map_err(text)?;
    let mapped = vspace::map(frame.addr(), 0, pages * PAGE, Access::ReadWrite).map_err(text)?;
    for i in 0..PAGE / 8 {
        mapped.store(8 * i, i + 1);
    }
    Ok((frame, mapped))
}

const SUM: u64 = (PAGE / 8) * (PAGE / 8 + 1) / 2;

fn flags(cap: CapAddr) -> Result<MdbFlags, String> {
    invoke::identify(cap).map(|id| id.flags).map_err(text)
}

/// Waits until the kernel knows of no other holder.
async fn until_private(cap: CapAddr) -> Result<(), String> {
    for _ in 0..500 {
        if flags(cap)? == MdbFlags::default() {
            return Ok(());
        }
        time::sleep(2_000_000).await;
    }
    Err(format!("flags {:?} stay", flags(cap)?))
}

/// Both see the same memory, and the kernel here knows that somebody else does.
async fn copy(client: &Client, elsewhere: bool) -> Result<(), String> {
    let (frame, mapped) = frame(2)?;
    keep(client, 1, frame.addr()).await?;
    let request = PartnerRequest::Sum {
        number: 1,
        write: 77,
    };
    expect("sum", done(client, request).await?, SUM)?;
    expect("written there", mapped.load(PAGE), 77)?;
    let shared = flags(frame.addr())?.contains(MdbFlags::REMOTE_COPIES);
    expect("marked as shared", shared, elsewhere)?;
    done(client, PartnerRequest::Delete { number: 1 }).await?;
    until_private(frame.addr()).await
}

/// The owner revokes: copies and mappings elsewhere are gone when the call returns.
async fn revoke(client: &Client) -> Result<(), String> {
    let (frame, mapped) = frame(2)?;
    keep(client, 2, frame.addr()).await?;
    let sum = PartnerRequest::Sum {
        number: 2,
        write: 0,
    };
    expect("sum", done(client, sum).await?, SUM)?;
    drop(mapped);
    invoke::revoke(frame.addr()).map_err(text)?;
    is_gone(client, 2).await?;
    expect("own flags", flags(frame.addr())?, MdbFlags::default())?;
    // It is one's own again: what needs nobody's leave works.
    let part = mem::retype_one(frame.addr(), CapType::Frame, 0, PAGE, PAGE).map_err(text)?;
    part.delete().map_err(text)
}

/// Who holds a copy may revoke all others, the owner's among them.
async fn revoke_by_holder(client: &Client) -> Result<(), String> {
    let (frame, mapped) = frame(2)?;
    keep(client, 3, frame.addr()).await?;
    drop(mapped);
    done(client, PartnerRequest::Revoke { number: 3 }).await?;
    expect(
        "own copy",
        invoke::identify(frame.addr()).err(),
        Some(SysError::NoCapability),
    )?;
    expect(
        "its copy",
        done(client, PartnerRequest::Look { number: 3 }).await?,
        1,
    )?;
    done(client, PartnerRequest::Delete { number: 3 })
        .await
        .map(|_| ())
}

/// Of the same bytes only one makes something, wherever it stands.
async fn retype(client: &Client) -> Result<(), String> {
    let ram = mem::alloc_ram(16 * PAGE).map_err(text)?;
    keep(client, 4, ram.addr()).await?;
    let theirs = |first: u64, pages: u64, made| PartnerRequest::Retype {
        number: 4,
        part: first | pages << 32,
        made,
        ram: 0,
    };
    done(client, theirs(0, 4, 5)).await?;
    let ours = |first: u64, pages: u64| {
        mem::retype_one(ram.addr(), CapType::Frame, 0, first * PAGE, pages * PAGE)
    };
    expect("over theirs", ours(3, 2).err(), Some(SysError::Overlaps))?;
    let own = ours(4, 4).map_err(text)?;
    refused(client, theirs(7, 2, 6), SysError::Overlaps).await?;
    done(client, theirs(8, 1, 6)).await?;
    own.delete().map_err(text)?;
    done(client, theirs(4, 4, 7)).await?;
    expect(
        "given up, then theirs",
        ours(7, 1).err(),
        Some(SysError::Overlaps),
    )?;
    // With the memory everything made of it goes.
    invoke::revoke(ram.addr()).map_err(text)?;
    for number in 4..8 {
        is_gone(client, number).await?;
    }
    let all = ours(0, 16).map_err(text)?;
    drop(all);
    mem::free_ram(ram).map_err(text)
}

/// The owner's last copy goes; the holder's stays, and is a capability like any other.
async fn delete(client: &Client) -> Result<(), String> {
    let (frame, mapped) = frame(2)?;
    keep(client, 8, frame.addr()).await?;
    drop(mapped);
    frame.delete().map_err(text)?;
    let sum = PartnerRequest::Sum {
        number: 8,
        write: 0,
    };
    expect("sum", done(client, sum).await?, SUM)?;
    done(client, PartnerRequest::Delete { number: 8 })
        .await
        .map(|_| ())
}

/// What may not leave its OSnode stays, and says so.
async fn wrong_type(client: &Client) -> Result<(), String> {
    let cnode = abi::slots::ROOT_CNODE;
    match keep(client, 9, cnode).await {
        Err(e) if e.contains("another type") => Ok(()),
        other => Err(format!("a CNode went to another OSnode: {other:?}")),
    }
}

/// The giver has nothing left, and the other decides; the memory comes back to this OSnode in the end.
async fn give(client: &Client) -> Result<(), String> {
    let ram = mem::alloc_ram(4 * PAGE).map_err(text)?;
    let request = PartnerRequest::Keep { number: 10 };
    let with = Attach {
        give: true,
        ..Attach::cap(ram.addr())
    };
    done_with(client, request, with).await?;
    let made = PartnerRequest::Retype {
        number: 10,
        part: 2 << 32,
        made: 11,
        ram: 0,
    };
    done(client, made).await?;
    done(client, PartnerRequest::Revoke { number: 10 }).await?;
    is_gone(client, 11).await?;
    done(client, PartnerRequest::Delete { number: 10 })
        .await
        .map(|_| ())
}

/// There and back again: a copy that comes home is a copy like any other.
async fn back(client: &Client) -> Result<(), String> {
    let (frame, mapped) = frame(1)?;
    keep(client, 12, frame.addr()).await?;
    let answer = ask(client, PartnerRequest::Give { number: 12 }, Attach::NONE).await?;
    let copy = answer.cap.ok_or("no capability came back")?;
    let (a, b) = (
        invoke::identify(frame.addr()),
        invoke::identify(copy.addr()),
    );
    expect(
        "object",
        b.map_err(text)?.cap.base,
        a.map_err(text)?.cap.base,
    )?;
    drop(mapped);
    done(client, PartnerRequest::Delete { number: 12 }).await?;
    copy.delete().map_err(text)?;
    until_private(frame.addr()).await
}

/// What was revoked cannot go along with an answer: the asker hears so, and the channel goes on.
async fn gone(client: &Client) -> Result<(), String> {
    let (frame, mapped) = frame(1)?;
    keep(client, 14, frame.addr()).await?;
    drop(mapped);
    invoke::revoke(frame.addr()).map_err(text)?;
    for _ in 0..3 {
        match ask(client, PartnerRequest::Give { number: 14 }, Attach::NONE).await {
            Err(e) if e.contains("in time") || e.contains("is gone") => return Err(e),
            Err(_) => {}
            Ok(answer) => return Err(format!("it came: {answer:?}")),
        }
    }
    is_gone(client, 14).await?;
    let delete = PartnerRequest::Delete { number: 14 };
    done(client, delete).await.map(|_| ())
}

/// A process that ends holds nothing any more.
async fn partner_ends(client: &Client, child: &Child) -> Result<(), String> {
    let (frame, _mapped) = frame(2)?;
    keep(client, 13, frame.addr()).await?;
    let sum = PartnerRequest::Sum {
        number: 13,
        write: 0,
    };
    expect("sum", done(client, sum).await?, SUM)?;
    child.kill().await.map_err(text)?;
    until_private(frame.addr()).await?;
    let spare = cap::copy(frame.addr()).map_err(text)?;
    invoke::revoke(frame.addr()).map_err(text)?;
    expect(
        "a copy here",
        invoke::identify(spare.addr()).err(),
        Some(SysError::NoCapability),
    )
}
