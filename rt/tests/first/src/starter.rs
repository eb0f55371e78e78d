//! The first process: memory service, starter and client of its children.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use abi::{CapAddr, slots};
use archive::Archive;
use capfmt::CapType;
use proto::iface::memory::{MemoryReply, MemoryRequest};
use proto::iface::process::{FaultKind, ProcessNotice, ProcessRequest};
use proto::{Name, Pid, ServiceError, Wire};
use rt::cap::Capability;
use rt::chan::{Attach, Client, Request, Server};
use rt::spawn::{Process, Program, memory_needed};
use rt::{env, invoke, mem, task, time};

use crate::child::{EchoReply, EchoRequest};
use crate::names::{self, Names};
use crate::{check, local};

/// Hands out power-of-two blocks of one RAM range, lowest first; freed blocks by size.
pub struct Pool {
    range: CapAddr,
    base: u64,
    next: u64,
    end: u64,
    free: BTreeMap<u64, Vec<u64>>,
    out: u64,
}

impl Pool {
    fn new() -> Pool {
        let own = invoke::identify(slots::START_RAM).expect("START_RAM").cap;
        let all = (0..).map(|i| CapAddr(slots::RAM.0 + i));
        let all = all.map_while(|r| Some((r, invoke::identify(r).ok()?.cap)));
        let (range, cap) = all.max_by_key(|(_, cap)| cap.size).expect("RAM");
        let mut end = cap.base.0 + cap.size;
        if own.base.0 >= cap.base.0 && own.base.0 < end {
            end = own.base.0;
        }
        Pool { range, base: cap.base.0, next: cap.base.0, end, free: BTreeMap::new(), out: 0 }
    }
    pub fn take(&mut self, bytes: u64) -> Option<Capability> {
        let reused = self.free.get_mut(&bytes).and_then(Vec::pop);
        let at = match reused {
            Some(at) => at,
            None => {
                let at = self.next.next_multiple_of(bytes);
                if at + bytes > self.end {
                    return None;
                }
                self.next = at + bytes;
                at
            }
        };
        self.out += bytes;
        let ram = mem::retype_one(self.range, CapType::Ram, 0, at - self.base, bytes);
        if let Err(e) = &ram {
            rt::println!("pool: {:#x} at {at:#x}: {}", bytes, e.message());
        }
        ram.ok()
    }
    pub fn give_back(&mut self, ram: Capability) {
        let cap = invoke::identify(ram.addr()).expect("a block").cap;
        ram.delete().expect("delete a block");
        self.out -= cap.size;
        self.free.entry(cap.size).or_default().push(cap.base.0);
    }
}

/// Notices of children by introducer.
#[derive(Default)]
struct Books {
    notices: BTreeMap<u32, Vec<(ProcessNotice, String)>>,
    /// RAM given to them.
    given: BTreeMap<u32, Vec<Capability>>,
}

struct World {
    server: Server,
    pool: Rc<RefCell<Pool>>,
    books: Rc<RefCell<Books>>,
    names: Rc<Names>,
    image: &'static [u8],
    last: u32,
}

/// All checks; exit status of the machine.
pub fn run() -> i32 {
    rt::println!("first: OSnode {} core {} epoch {}, {} bytes of archive",
        env::osnode(), env::core(), env::epoch(), env::archive().map_or(0, <[u8]>::len));
    let pool = Rc::new(RefCell::new(Pool::new()));
    let source = pool.clone();
    mem::set_source(Box::new(move |bytes| source.borrow_mut().take(bytes)));
    let mut ok = local::run();
    ok &= match world(pool) {
        Some(world) => task::block_on(children(world)),
        None => check("archive has bin/monitor", false),
    };
    rt::println!("##nk {{\"k\":\"done\",\"ok\":{ok}}}");
    let code = u64::from(!ok);
    if let Err(e) = invoke::kernel_halt(slots::KERNEL, code) {
        rt::println!("halt: {}", e.message());
    }
    1
}

fn world(pool: Rc<RefCell<Pool>>) -> Option<World> {
    let image = Archive::open(env::archive()?).ok()?.file("bin/monitor")?;
    let server = Server::open().ok()?;
    let books = Rc::new(RefCell::new(Books::default()));
    let names = Rc::new(Names::default());
    task::spawn(serve(server.clone(), pool.clone(), books.clone(), names.clone()));
    Some(World { server, pool, books, names, image, last: 0 })
}

async fn serve(server: Server, pool: Rc<RefCell<Pool>>, books: Rc<RefCell<Books>>, names: Rc<Names>) {
    loop {
        let request = server.next().await;
        if let Ok(notice) = request.decode::<ProcessNotice>() {
            let mut books = books.borrow_mut();
            let of = books.notices.entry(request.introducer()).or_default();
            of.push((notice, request.text()));
            continue;
        }
        if request.interface() == proto::iface::names::NamesRequest::INTERFACE {
            task::spawn(names::answer(names.clone(), pool.clone(), request));
            continue;
        }
        answer_memory(&request, &pool, &books);
    }
}

fn answer_memory(request: &Request, pool: &RefCell<Pool>, books: &RefCell<Books>) {
    let reply = match request.decode::<MemoryRequest>() {
        Ok(MemoryRequest::Allocate { bytes }) => {
            let ram = pool.borrow_mut().take(bytes.next_power_of_two());
            match ram {
                Some(ram) => {
                    let with = Attach::cap(ram.addr());
                    let reply = MemoryReply::Allocated { base: 0, bytes };
                    request.answer(&reply, with).expect("answer");
                    let mut books = books.borrow_mut();
                    books.given.entry(request.introducer()).or_default().push(ram);
                    return;
                }
                None => MemoryReply::Refused { error: ServiceError::OutOfMemory },
            }
        }
        _ => MemoryReply::Refused { error: ServiceError::BadOperation },
    };
    request.answer(&reply, Attach::NONE).expect("answer");
}

impl World {
    async fn start(&mut self, args: &[&str], given: &[(Name, CapAddr)]) -> Option<(u32, Process)> {
        self.last += 1;
        let id = self.last;
        let parent = self.server.introduction(id).ok()?;
        let fault = self.server.fault_introduction(id).ok()?;
        let needed = memory_needed(self.image, 0);
        if let Err(e) = &needed {
            rt::println!("       {e}");
        }
        let bytes = needed.ok()?;
        let Some(ram) = self.pool.borrow_mut().take(bytes) else {
            rt::println!("       no block of {bytes:#x} bytes");
            return None;
        };
        let program = Program {
            image: self.image,
            args,
            given,
            pid: Pid { osnode: env::osnode(), number: id.into() },
            parent: parent.addr(),
            fault: fault.addr(),
            memory_service: parent.addr(),
            kernel: slots::KERNEL,
            archive: CapAddr::NULL,
            notification: CapAddr::NULL,
            flags: env::flags(),
        };
        let before = time::counter();
        match Process::build(&program, ram) {
            Ok(process) => {
                rt::println!("       built {args:?} in {} ticks", time::counter() - before);
                process.start().expect("start");
                Some((id, process))
            }
            Err(failed) => {
                rt::println!("       build: {}", failed.error);
                self.pool.borrow_mut().give_back(failed.ram);
                None
            }
        }
    }

    /// Waits for a notice that ends the process.
    async fn end_of(&self, id: u32) -> Option<(ProcessNotice, String)> {
        for _ in 0..5_000 {
            let found = {
                let books = self.books.borrow();
                let of = books.notices.get(&id).into_iter().flatten();
                let ends = |n: &ProcessNotice| {
                    matches!(n, ProcessNotice::Exited { .. } | ProcessNotice::Faulted { .. })
                };
                of.filter(|(n, _)| ends(n)).cloned().next_back()
            };
            if found.is_some() {
                return found;
            }
            time::sleep(1_000_000).await;
        }
        None
    }

    fn destroy(&self, id: u32, process: Process) -> bool {
        for ram in self.books.borrow_mut().given.remove(&id).unwrap_or_default() {
            if let Err(e) = invoke::revoke(ram.addr()) {
                rt::println!("       revoke: {}", e.message());
                return false;
            }
            self.pool.borrow_mut().give_back(ram);
        }
        match process.destroy() {
            Ok(ram) => {
                self.pool.borrow_mut().give_back(ram);
                true
            }
            Err((e, _)) => {
                rt::println!("       destroy: {}", e.message());
                false
            }
        }
    }

    async fn run(&mut self, role: &str) -> Option<(ProcessNotice, String)> {
        let (id, process) = self.start(&["first", role], &[]).await?;
        let end = self.end_of(id).await;
        rt::println!("       {role}: {end:?}");
        self.destroy(id, process).then_some(())?;
        end
    }
}

async fn children(mut w: World) -> bool {
    let mut ok = true;
    let before = w.pool.borrow().out;
    let end = w.run("local").await;
    ok &= check("a child runs and exits", matches!(end, Some((ProcessNotice::Exited { status: 0 }, _))));
    let faults = [
        ("null", FaultKind::PageFault),
        ("divide", FaultKind::Panic),
        ("undefined", FaultKind::Trap),
        ("overrun", FaultKind::StackOverrun),
        ("panic", FaultKind::Panic),
        ("deaf", FaultKind::Kernel),
    ];
    for (role, want) in faults {
        let end = w.run(role).await;
        let got = matches!(&end, Some((ProcessNotice::Faulted { kind, .. }, _)) if *kind == want);
        ok &= check(role, got);
    }
    ok &= check("control of a child", echo(&mut w).await);
    ok &= check("a service and its clients", services(&mut w).await);
    let after = w.pool.borrow().out;
    ok &= check("memory comes back", after == before);
    ok
}

async fn echo(w: &mut World) -> bool {
    let Some((id, process)) = w.start(&["first", "echo"], &[]).await else {
        return false;
    };
    let client = match Client::bind(process.endpoint()).await {
        Ok(client) => client,
        Err(e) => {
            rt::println!("       bind: {e}");
            return false;
        }
    };
    let mut ok = check("check over control", verdict(&client).await);
    // The echo service's own endpoint comes as a notice's capability would: asked over control.
    let blob: Vec<u8> = (0..3000u32).map(|i| (i * 7) as u8).collect();
    let asked = client
        .request::<_, EchoReply>(&EchoRequest::Echo { word: 41 }, Attach::blob(&blob))
        .await;
    ok &= check("control refuses other interfaces", asked.is_err());
    let stopped = client
        .request::<_, ProcessNotice>(&ProcessRequest::Stop {}, Attach::NONE)
        .await;
    ok &= check("stop", matches!(stopped, Ok(a) if a.message == ProcessNotice::Stopping {}));
    ok &= w.end_of(id).await.is_some();
    ok & w.destroy(id, process)
}

async fn verdict(client: &Client) -> bool {
    let started = time::counter();
    let mut good = true;
    for _ in 0..100 {
        let answer = client
            .request::<_, ProcessNotice>(&ProcessRequest::Check {}, Attach::NONE)
            .await;
        good &= match answer {
            Ok(a) => a.message == (ProcessNotice::Checked { ok: true, inside: 7 }) && a.blob == b"all is well",
            Err(e) => {
                rt::println!("       check: {e}");
                return false;
            }
        };
    }
    rt::println!("       100 checks in {} ticks", time::counter() - started);
    good
}

/// An echo service, a client of it over LMP, then one over UMP.
async fn services(w: &mut World) -> bool {
    let Some((id, service)) = w.start(&["first", "echo"], &[]).await else {
        return false;
    };
    let mut ok = true;
    for role in ["lmp", "ump"] {
        let end = w.run(role).await;
        let clean = matches!(end, Some((ProcessNotice::Exited { status: 0 }, _)));
        ok &= check(role, clean);
    }
    let client = match Client::bind(service.endpoint()).await {
        Ok(client) => client,
        Err(e) => {
            rt::println!("       bind: {e}");
            return false;
        }
    };
    let told = client
        .request::<_, ProcessNotice>(&ProcessRequest::Tell {}, Attach::blob(b"how many"))
        .await;
    if let Ok(a) = &told {
        rt::println!("       service: {}", String::from_utf8_lossy(&a.blob));
    }
    ok &= matches!(told, Ok(a) if a.message == ProcessNotice::Checked { ok: true, inside: 0 });
    // The service ends without a word: its clients must notice.
    ok &= check("destroy a running service", w.destroy(id, service));
    w.names.free_channels(&w.pool);
    let asked = client
        .request::<_, ProcessNotice>(&ProcessRequest::Check {}, Attach::NONE)
        .await;
    ok & check("its client is told", matches!(asked, Err(rt::PeerError::Gone)))
}
