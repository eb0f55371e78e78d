//! Building a process from a program file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use abi::slots;
use archive::ArchiveError;
use proto::start::FLAG_AGAIN;
use proto::{Name, PeerError, Pid, Refusal, ServiceError};
use rt::spawn::{Failed, Member, Process, Program, SpawnError, member_memory, memory_needed};
use rt::{CapAddr, Capability, env, invoke};
use spawn::Slots;

use crate::service::{Account, Console, Live, Service};

/// Largest memory block of a process, in bytes.
const MAX_MEMORY: u64 = 1 << 30;

/// What a process is made from; enough to make it again.
pub struct Spec {
    /// Program name and arguments.
    pub words: Vec<String>,
    /// Bytes of memory (0 = the usual).
    pub memory: u64,
    /// Capabilities that it is given; it may add to them while it lives.
    pub kept: RefCell<Vec<Kept>>,
    /// It had something kept: the memory of that must outlive it.
    pub keeps: Cell<bool>,
    /// A memory account that an earlier process left, with memory in it.
    pub account: RefCell<Option<Account>>,
}

/// A capability that a program's processes are given.
pub struct Kept {
    /// Under this name.
    pub name: Name,
    pub cap: Capability,
    /// Where the ledger has it, if it is for more than one process.
    pub slot: Option<u32>,
}

impl Kept {
    /// For one process.
    pub const fn once(name: Name, cap: Capability) -> Kept {
        Kept {
            name,
            cap,
            slot: None,
        }
    }
}

impl Spec {
    /// What is given now. Capabilities that were revoked meanwhile are left out.
    fn given(&self) -> Vec<(Name, CapAddr)> {
        let kept = self.kept.borrow();
        let given = kept.iter().map(|k| (k.name, k.cap.addr()));
        given
            .filter(|(_, c)| invoke::identify(*c).is_ok())
            .collect()
    }
}

/// Starts a program here; its number, and whether it was given a console. `console` says whether
/// it needs one: then one that ended a moment ago is waited for. Until the caller writes ([`Service::write`]), the next life
/// takes the process for one that never was.
///
/// # Errors
/// The reason; nothing is left then.
pub async fn start(
    service: &Service,
    spec: &Spec,
    console: Console,
) -> Result<(u64, bool), Refusal> {
    let Spec { words, memory, .. } = spec;
    let name = words.first().cloned().unwrap_or_default();
    let image = program_file(service, &name)?;
    let bytes = block_bytes(image, *memory, &name)?;
    let what = What::Program(image);
    start_as(service, spec, what, bytes, console, None).await
}

/// Starts a further dispatcher of the process `of`; its number.
///
/// # Errors
/// The reason; nothing is left then.
pub async fn start_member(
    service: &Service,
    words: &[String],
    member: Member,
    of: Pid,
) -> Result<u64, Refusal> {
    let spec = Spec {
        words: words.to_vec(),
        memory: 0,
        kept: RefCell::default(),
        keeps: Cell::new(false),
        account: RefCell::default(),
    };
    let bytes = member_memory();
    let what = What::Member(member);
    let started = start_as(service, &spec, what, bytes, Console::Maybe, Some(of)).await;
    started.map(|(number, _)| number)
}

/// What is built.
#[derive(Clone, Copy)]
enum What {
    /// A process from this file.
    Program(&'static [u8]),
    /// A further dispatcher.
    Member(Member),
}

async fn start_as(
    service: &Service,
    spec: &Spec,
    what: What,
    bytes: u64,
    console: Console,
    of: Option<Pid>,
) -> Result<(u64, bool), Refusal> {
    let words = &spec.words;
    let again = matches!(console, Console::Had(_));
    let (mut account, ram, block) = take_memory(service, spec, bytes).await?;
    let console = service.console(console).await;
    let has_console = console.is_some();
    // The memory service may have been started again meanwhile.
    let refreshed = service.refresh(&mut account).await;
    let Some(endpoint) = refreshed.ok().and(account.endpoint.as_ref()) else {
        drop(ram);
        service.unkeep(block);
        give_up(service, spec, account).await;
        return Err(no_memory(words, bytes, PeerError::Gone));
    };
    let number = service.state.borrow_mut().table.add(words.clone());
    let built = build(
        service,
        number,
        words,
        what,
        ram,
        &spec.given(),
        console,
        endpoint.addr(),
        again,
    );
    match built.and_then(|process| run(service, block, process, &words[0])) {
        Ok((process, slots)) => {
            let number_of_account = account.number;
            let live = Live {
                process,
                account,
                slots,
                members: Vec::new(),
                of,
                control: None,
            };
            service.enter(number, live);
            let opening = &mut service.state.borrow_mut().opening;
            opening.remove(&number_of_account);
            Ok((number, has_console))
        }
        Err(e) => {
            service.unkeep(block);
            service.state.borrow_mut().table.remove(number);
            give_up(service, spec, account).await;
            Err(e)
        }
    }
}

fn no_memory(words: &[String], bytes: u64, e: PeerError) -> Refusal {
    let name = words.first().map_or("", String::as_str);
    let text = format!("no memory for {name} ({bytes} bytes): {e}");
    Refusal::new(ServiceError::OutOfMemory, text)
}

/// The account of a new process, its block, and where the ledger has that.
async fn take_memory(
    service: &Service,
    spec: &Spec,
    bytes: u64,
) -> Result<(Account, Capability, u32), Refusal> {
    let left = spec.account.take();
    let account = match left {
        Some(account) => account,
        None => {
            let opened = service.open_account(spec.memory, bytes).await;
            opened.map_err(|e| no_memory(&spec.words, bytes, e))?
        }
    };
    service.state.borrow_mut().opening.insert(account.number);
    let ram = service.allocate_for(account.number, bytes).await;
    let ram = ram.map_err(|e| no_memory(&spec.words, bytes, e));
    match ram.and_then(|ram| Ok((service.keep_block(&ram)?, ram))) {
        Ok((block, ram)) => Ok((account, ram, block)),
        Err(e) => {
            give_up(service, spec, account).await;
            Err(e)
        }
    }
}

/// Has the ledger keep what a process is watched by, and starts it.
fn run(
    service: &Service,
    block: u32,
    process: Process,
    name: &str,
) -> Result<(Process, Slots), Refusal> {
    let slots = service.keep_parts(block, &process)?;
    let Err(e) = process.start() else {
        return Ok((process, slots));
    };
    drop(process);
    slots
        .parts
        .into_iter()
        .for_each(|slot| service.unkeep(slot));
    let text = format!("{name} cannot be started: {}", e.message());
    Err(Refusal::new(ServiceError::Sys(e), text))
}

/// Leaves the account of a process that cannot be started to the next one, if that needs what is in it, or closes it.
async fn give_up(service: &Service, spec: &Spec, account: Account) {
    service.write();
    let number = account.number;
    if spec.keeps.get() {
        spec.account.replace(Some(account));
    } else {
        service.close_account(account).await;
    }
    service.state.borrow_mut().opening.remove(&number);
}

fn program_file(service: &Service, name: &str) -> Result<&'static [u8], Refusal> {
    let path = format!("bin/{name}");
    let entries = service.archive.entries().flatten();
    let mut entries = entries.filter(|e| e.name == path);
    let entry = entries.next().ok_or_else(|| {
        let text = format!("there is no program \"{name}\": ls bin lists them");
        Refusal::new(ServiceError::NotFound, text)
    })?;
    let verified = service.archive.verified(entry.name);
    verified.map_err(|e: ArchiveError<'_>| Refusal::new(ServiceError::BadProgram, e.to_string()))
}

/// Bytes that a process begins with.
fn block_bytes(image: &[u8], limit: u64, name: &str) -> Result<u64, Refusal> {
    let needed = memory_needed(image, 0).map_err(|e| failure(name, &e))?;
    if limit > 0 && limit < needed {
        let text =
            format!("{name} needs {needed} bytes to begin with: --memory {limit} is too little");
        return Err(Refusal::new(ServiceError::BadArgument, text));
    }
    if needed > MAX_MEMORY {
        let text = format!("{name}: {needed} bytes are more than a process may have");
        return Err(Refusal::new(ServiceError::BadArgument, text));
    }
    Ok(needed)
}

fn failure(name: &str, e: &SpawnError) -> Refusal {
    let error = match e {
        SpawnError::BadProgram(_) => ServiceError::BadProgram,
        SpawnError::TooBig { .. } => ServiceError::OutOfMemory,
        SpawnError::Start(_) => ServiceError::BadArgument,
        SpawnError::Sys(_, e) => ServiceError::Sys(*e),
    };
    Refusal::new(error, format!("{name}: {e}"))
}

#[expect(clippy::too_many_arguments, reason = "what a process is made of")]
fn build(
    service: &Service,
    number: u64,
    words: &[String],
    what: What,
    ram: Capability,
    kept: &[(Name, CapAddr)],
    console: Option<CapAddr>,
    memory_service: CapAddr,
    again: bool,
) -> Result<Process, Refusal> {
    let name = &words[0];
    let sys = |e: rt::SysError| Refusal::new(e.into(), format!("{name}: {}", e.message()));
    let badge = u32::try_from(number).map_err(|_| {
        let text = String::from("all process numbers are used up");
        Refusal::new(ServiceError::TableFull, text)
    })?;
    let parent = service.server.introduction(badge).map_err(sys)?;
    let fault = service.server.fault_introduction(badge).map_err(sys)?;
    let find = |key: &str| {
        let found = kept.iter().find(|(n, _)| n.as_str() == key);
        found.map(|(_, c)| *c)
    };
    let mut given: Vec<(Name, CapAddr)> = kept
        .iter()
        .filter(|(n, _)| n.as_str() != "archive")
        .copied()
        .collect();
    if find("names").is_none() {
        given.push((Name::truncated("names"), service.names));
    }
    if let (None, Some(console)) = (find("console"), console) {
        given.push((Name::truncated("console"), console));
    }
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    let program = Program {
        image: match what {
            What::Program(image) => image,
            What::Member(_) => &[],
        },
        args: &args,
        given: &given,
        pid: Pid {
            osnode: env::osnode(),
            number,
        },
        parent: parent.addr(),
        fault: fault.addr(),
        memory_service,
        kernel: slots::KERNEL,
        archive: find("archive").unwrap_or(CapAddr::NULL),
        notification: CapAddr::NULL,
        flags: match again {
            true => env::flags() | FLAG_AGAIN,
            false => env::flags(),
        },
    };
    let built = match what {
        What::Program(_) => Process::build(&program, ram),
        What::Member(member) => Process::build_member(&program, &member, ram),
    };
    // The block of a process that cannot be built comes back.
    built.map_err(|Failed { error, .. }| failure(name, &error))
}
