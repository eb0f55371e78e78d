//! Random operations on capabilities of one pool of memory between three real cores, checked against a model.
//!
//! In each round each of three workers, one on a core, does one step at the same time as the others: it allocates,
//! copies, gives, retypes, deletes, revokes, maps, unmaps, writes or reads. The outcomes and what is then held must be
//! what some order of the steps brings in the model (`tests::pool`). Now and then a core gets another kernel meanwhile,
//! or is stopped and started.
//!
//! Arguments: rounds and seed. Cores that do not run are started for it, and stopped afterwards.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

#[path = "random/wire.rs"]
mod wire;
#[path = "random/worker.rs"]
mod worker;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::pin::Pin;

use proto::iface::cores::CoreOp;
use proto::iface::spawn::Place;
use rt::chan::{Answer, Attach, Client};
use rt::{env, task, time};
use tests::cores::{begin, operate};
use tests::pool::{Holdings, Number, Object, Outcome, Pool, Seen, Step, WORDS, Who};
use tests::{Child, Random, Suite};
use wire::{ENTRY, WorkerReply, WorkerRequest};

rt::entry!(main);

const SELF: &str = "t-random";
const PAGE: u64 = 4096;
/// Longer than any answer takes (system time).
const LONG_NS: u64 = 100_000_000_000;
/// Longest time for which something may be refused for now, and between two tries.
const FOR_NOW_NS: u64 = 5_000_000_000;
const AGAIN_NS: u64 = 2_000_000;
/// One round of so many has something done to a core.
const DISTURBED: u64 = 12;

/// Rounds if nobody says how many.
const FEW: u64 = 20;

/// What goes on at the same time.
type Part<'a> = Pin<Box<dyn Future<Output = Result<Option<Seen>, String>> + 'a>>;

fn main() -> i32 {
    let args: Vec<&str> = env::args().collect();
    match args[..] {
        [_, "worker", name] => task::block_on(worker::run(name)),
        [_, ref numbers @ ..] => {
            let number = |k: usize| numbers.get(k).and_then(|w| w.parse().ok());
            task::block_on(run(number(0).unwrap_or(FEW), number(1).unwrap_or(1)))
        }
        [] => 99,
    }
}

async fn run(rounds: u64, seed: u64) -> i32 {
    let mut suite = Suite::new("random");
    rt::println!("random: {rounds} rounds with seed {seed}");
    let mut begun = Vec::new();
    for core in 1..WORDS as u32 {
        match begin(core).await {
            Ok(true) => begun.push(core),
            Ok(false) => {}
            Err(e) => suite.report("begin", Err(e)),
        }
    }
    test(&mut suite, rounds, seed).await;
    for core in begun {
        let stopped = operate(core, CoreOp::Stop, "").await;
        if let Err(e) = stopped {
            suite.report("stop", Err(e));
        }
    }
    suite.failed()
}

async fn test(suite: &mut Suite, rounds: u64, seed: u64) {
    let mut system = match System::start(seed).await {
        Ok(system) => system,
        Err(e) => {
            suite.report("start", Err(e));
            return;
        }
    };
    let result = system.rounds(rounds).await;
    suite.report("rounds", result.map_err(|e| format!("seed {seed}, {e}")));
    suite.report("tally", system.tally(rounds));
    suite.report("end", system.end().await);
}

struct Worker {
    child: Child,
    client: Client,
}

/// What was counted of one kind of step: done, refused, for now.
#[derive(Default)]
struct Count([u64; 3]);

struct System {
    workers: Vec<Worker>,
    pool: Pool,
    random: Random,
    used: Number,
    counts: BTreeMap<&'static str, Count>,
    disturbed: u64,
}

impl System {
    /// A worker on each core, who know each other.
    async fn start(seed: u64) -> Result<System, String> {
        let mut workers = Vec::new();
        let name = |who: Who| format!("random{}.{who}", env::pid());
        for who in 0..WORDS {
            let words: [&str; 3] = [SELF, "worker", &name(who)];
            let child = Child::start_on(&words, Place::Core, who as u64).await?;
            let client = Client::lookup_on(child.pid.osnode, &name(who)).await;
            let client = client.map_err(|e| format!("worker {who}: {e}"))?;
            workers.push(Worker { child, client });
        }
        for (who, worker) in workers.iter().enumerate() {
            for (peer, other) in workers.iter().enumerate().filter(|(p, _)| *p != who) {
                let request = WorkerRequest::Meet {
                    peer: peer as u64,
                    osnode: other.child.pid.osnode,
                };
                let name = name(peer);
                worker.ask(&request, Attach::blob(name.as_bytes())).await?;
            }
        }
        Ok(System {
            workers,
            pool: Pool::default(),
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            used: 0,
            counts: BTreeMap::new(),
            disturbed: 0,
        })
    }

    async fn rounds(&mut self, rounds: u64) -> Result<(), String> {
        for k in 0..rounds {
            let round = self.round().await;
            round.map_err(|e| format!("round {k}: {e}"))?;
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<(), String> {
        let choice = self.pool.choice(&mut self.random);
        let mut steps = Vec::new();
        for who in 0..self.workers.len() {
            let peers: Vec<Who> = (0..self.workers.len()).filter(|p| *p != who).collect();
            let (random, used) = (&mut self.random, &mut self.used);
            steps.push(self.pool.choose(random, who, &peers, &choice, used));
        }
        let disturbance = self.disturbance();
        let mut parts: Vec<Part<'_>> = Vec::new();
        for (who, step) in steps.iter().enumerate() {
            let worker = &self.workers[who];
            parts.push(Box::pin(
                async move { worker.act(who, step).await.map(Some) },
            ));
        }
        if let Some((core, op, kernel)) = disturbance {
            self.disturbed += 1;
            parts.push(Box::pin(async move {
                operate(core, op, kernel).await?;
                if op == CoreOp::Stop {
                    operate(core, CoreOp::Start, "").await?;
                }
                Ok(None)
            }));
        }
        let mut seen = Vec::new();
        for part in task::join(parts).await {
            let context = |e| {
                format!(
                    "{e} (during {steps:x?}, {disturbance:?}, of {:x?})",
                    self.pool
                )
            };
            seen.extend(part.map_err(context)?);
        }
        self.settle(&seen).await
    }

    /// What is done to a core in this round.
    fn disturbance(&mut self) -> Option<(u32, CoreOp, &'static str)> {
        if self.random.below(DISTURBED) > 0 {
            return None;
        }
        let core = 1 + self.random.below(2) as u32;
        Some(match self.random.below(3) {
            0 => (core, CoreOp::Stop, ""),
            1 => (core, CoreOp::Update, "std"),
            _ => (core, CoreOp::Update, "trace"),
        })
    }

    /// Judges a round; what was refused for now is asked again, until it brings what it must.
    async fn settle(&mut self, seen: &[Seen]) -> Result<(), String> {
        let holdings = self.holdings().await?;
        let verdict = self.pool.judge(seen, &holdings)?;
        self.pool = verdict.pool;
        for (place, seen) in seen.iter().enumerate() {
            let now = verdict.again.contains(&place);
            self.count(&seen.step, &seen.outcome, now);
        }
        for place in verdict.again {
            self.again(&seen[place]).await?;
        }
        Ok(())
    }

    async fn again(&mut self, before: &Seen) -> Result<(), String> {
        let until = time::system_ns() + FOR_NOW_NS;
        loop {
            time::system_sleep(AGAIN_NS).await;
            let seen = self.workers[before.who]
                .act(before.who, &before.step)
                .await?;
            let verdict = self.pool.judge(&[seen], &self.holdings().await?)?;
            self.pool = verdict.pool;
            if verdict.again.is_empty() {
                self.count(&seen.step, &seen.outcome, false);
                return Ok(());
            }
            if time::system_ns() > until {
                return Err(format!("{seen:x?} is refused again and again"));
            }
        }
    }

    /// What all workers hold.
    async fn holdings(&self) -> Result<Holdings, String> {
        let mut all = Holdings::default();
        for (who, worker) in self.workers.iter().enumerate() {
            let answer = worker.ask(&WorkerRequest::Report {}, Attach::NONE).await?;
            for entry in answer.blob.chunks_exact(ENTRY) {
                let (words, _) = entry.as_chunks::<8>();
                let word = |k: usize| u64::from_le_bytes(words[k]);
                let (number, kind) = (word(0) as Number, word(0) >> 32);
                match kind {
                    wire::RAM | wire::FRAME => {
                        let object = Object {
                            ram: kind == wire::RAM,
                            base: word(1) / PAGE,
                            pages: word(2) / PAGE,
                        };
                        all.caps.insert((who, number), object);
                    }
                    wire::MAPPING => {
                        all.maps.insert((who, number));
                    }
                    _ => return Err(format!("{who}'s {number} is {:x?}", [word(1), word(2)])),
                }
            }
        }
        Ok(all)
    }

    fn count(&mut self, step: &Step, outcome: &Outcome, now: bool) {
        let count = self.counts.entry(name_of(step)).or_default();
        count.0[match outcome {
            _ if now => 2,
            Outcome::Done(_) => 0,
            Outcome::Refused(_) => 1,
        }] += 1;
    }

    /// Says what happened. Of many rounds each kind of step must have been done, and some refused.
    fn tally(&self, rounds: u64) -> Result<(), String> {
        let mut text = String::new();
        let mut refused = 0;
        for (name, Count([done, not, now])) in &self.counts {
            refused += not;
            text.push_str(&format!("{name} {done}/{not}/{now} "));
        }
        rt::println!("random: done/refused/refused for now: {text}");
        rt::println!(
            "random: {} rounds with something done to a core",
            self.disturbed
        );
        let missing = KINDS.iter().find(|k| {
            let count = self.counts.get(*k);
            count.is_none_or(|c| c.0[0] == 0)
        });
        match missing {
            _ if rounds < 100 => Ok(()),
            Some(name) => Err(format!("no {name} was done")),
            None if refused == 0 => Err("nothing was refused".to_string()),
            None => Ok(()),
        }
    }

    /// Everything is revoked and deleted: nobody holds anything any more.
    async fn end(&self) -> Result<(), String> {
        for worker in &self.workers {
            let until = time::system_ns() + FOR_NOW_NS;
            loop {
                let answer = worker.ask(&WorkerRequest::Clear {}, Attach::NONE).await?;
                match wire::outcome(&answer.message) {
                    Some(Outcome::Done(_)) => break,
                    _ if time::system_ns() < until => time::system_sleep(AGAIN_NS).await,
                    _ => return Err(format!("cannot be cleared: {:?}", answer.message)),
                }
            }
        }
        let left = self.holdings().await?;
        for worker in &self.workers {
            worker.child.kill().await?;
        }
        match left == Holdings::default() {
            true => Ok(()),
            false => Err(format!("left at the end: {left:x?}")),
        }
    }
}

impl Worker {
    async fn ask(
        &self,
        request: &WorkerRequest,
        with: Attach<'_>,
    ) -> Result<Answer<WorkerReply>, String> {
        let until = time::system_ns() + LONG_NS;
        let answer = self.client.request_until(request, with, until).await;
        let answer = answer.map_err(|e| format!("{request:x?}: {e}"))?;
        match answer.message {
            WorkerReply::Refused { error: 0 } => {
                let why = String::from_utf8_lossy(&answer.blob);
                Err(format!("{request:x?}: {why}"))
            }
            _ => Ok(answer),
        }
    }

    async fn act(&self, who: Who, step: &Step) -> Result<Seen, String> {
        let answer = self.ask(&wire::act(who, step), Attach::NONE).await;
        let answer = answer.map_err(|e| format!("{step:x?} of {who}: {e}"))?;
        let outcome = wire::outcome(&answer.message);
        let step = *step;
        Ok(Seen {
            who,
            step,
            outcome: outcome.ok_or_else(|| format!("{:?}", answer.message))?,
        })
    }
}

const KINDS: [&str; 11] = [
    "alloc", "copy", "send", "give", "retype", "delete", "revoke", "map", "unmap", "write", "read",
];

fn name_of(step: &Step) -> &'static str {
    KINDS[match step {
        Step::Alloc { .. } => 0,
        Step::Copy { .. } => 1,
        Step::Send { .. } => 2,
        Step::Give { .. } => 3,
        Step::Retype { .. } => 4,
        Step::Delete { .. } => 5,
        Step::Revoke { .. } => 6,
        Step::Map { .. } => 7,
        Step::Unmap { .. } => 8,
        Step::Write { .. } => 9,
        Step::Read { .. } => 10,
    }]
}
