//! Several cores update the same cache lines: directly, under a lock, or by messages to one core
//! that does it for them (Baumann et al., "The Multikernel", SOSP '09, figure 3).
//!
//! One process per core. The one that was started by hand is the *server*: it shares the lines,
//! says what is done next, and takes part on its own core. The others do what the messages of their
//! UMP channels say, and sleep between. A section of the record begins with a marker that says of
//! which kind it is; the order of the sections is fixed (`LINES`, then `CORES`, directly first).

use abi::marker;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::iface::spawn::Place;
use proto::ump::Line;
use rt::chan::{Answer, Attach, Client};
use rt::time::{self, spin_pause};
use rt::ump::UmpChannel;
use rt::vspace::{self, Access, Mapped};
use rt::{env, mem};

use crate::peer::Peer;
use crate::ump::{BenchReply, BenchRequest, accept};

/// Cache lines that an update changes.
pub const LINES: [u64; 4] = [1, 2, 4, 8];
/// Cores that take part.
const CORES: [usize; 5] = [1, 2, 4, 8, 16];
/// Updates of a core between two markers.
const UPDATES: u64 = marker::SHARE_UPDATES;
/// Bytes of a cache line.
const LINE_BYTES: u64 = 64;
/// Where the lock stands: in a line of its own.
const LOCK: u64 = 8 * LINE_BYTES;
/// Bytes of the shared lines.
const BYTES: u64 = 4096;
/// An answer that takes longer than this is lost.
const PATIENCE_NS: u64 = 1_000_000_000;

/// First word of what the server says.
const DIRECTLY: u64 = 1;
const BY_MESSAGES: u64 = 2;
const LEAVE: u64 = 3;
/// First word of what the others say.
const UPDATE: u64 = 10;
const DONE: u64 = 11;
/// First word of the answer to `UPDATE`.
const UPDATED: u64 = 12;

type Outcome<T = ()> = Result<T, String>;

/// The update: one word in each of `count` lines grows by one.
#[inline(always)]
fn update(lines: &Mapped, count: u64) {
    for i in 0..count {
        let at = i * LINE_BYTES;
        lines.store(at, lines.load(at).wrapping_add(1));
    }
}

/// The same, while nobody else does it.
#[inline(always)]
fn update_locked(lines: &Mapped, count: u64) {
    while lines.compare_exchange(LOCK, 0, 1).is_err() {
        rt::marker::<{ marker::WAIT_BEGIN }>();
        while lines.load(LOCK) != 0 {
            spin_pause();
        }
        rt::marker::<{ marker::WAIT_END }>();
    }
    update(lines, count);
    lines.store(LOCK, 0);
}

/// `rounds` times so many updates of the lines that all share.
fn directly(lines: &Mapped, count: u64, rounds: u64) {
    for _ in 0..rounds {
        rt::marker::<{ marker::SHARE_BEGIN }>();
        (0..UPDATES).for_each(|_| update_locked(lines, count));
        rt::marker::<{ marker::SHARE_END }>();
    }
}

fn line(words: [u64; 3]) -> Line {
    let mut all = [0; proto::ump::PAYLOAD_WORDS];
    all[..3].copy_from_slice(&words);
    Line {
        words: all,
        flags: 0,
    }
}

#[inline(always)]
fn say(channel: &UmpChannel, words: [u64; 3]) -> Outcome {
    let sent = channel.try_send(&line(words));
    sent.map_err(|e| format!("cannot send: {e:?}"))
}

/// Passes the time until `there`; the instructions count as waiting.
#[inline(always)]
fn wait(there: impl Fn() -> bool) -> Outcome {
    if there() {
        return Ok(());
    }
    rt::marker::<{ marker::WAIT_BEGIN }>();
    let late = time::system_ns() + PATIENCE_NS;
    let mut in_time = true;
    while in_time && !there() {
        spin_pause();
        in_time = time::system_ns() <= late;
    }
    rt::marker::<{ marker::WAIT_END }>();
    match in_time {
        true => Ok(()),
        false => Err("no message came in time".to_string()),
    }
}

#[inline(always)]
fn take(channel: &UmpChannel) -> Outcome<Option<[u64; 3]>> {
    let line = channel.try_receive();
    let line = line.map_err(|e| format!("a channel failed: {e:?}"))?;
    Ok(line.map(|l| [l.words[0], l.words[1], l.words[2]]))
}

/// `rounds` times so many updates that the server makes for this core, one after the other.
fn by_messages(server: &UmpChannel, count: u64, rounds: u64) -> Outcome {
    for _ in 0..rounds {
        rt::marker::<{ marker::SHARE_BEGIN }>();
        for _ in 0..UPDATES {
            say(server, [UPDATE, count, 0])?;
            wait(|| server.has_message())?;
            match take(server)? {
                Some([UPDATED, ..]) => {}
                other => return Err(format!("{other:?} came instead of an answer")),
            }
        }
        rt::marker::<{ marker::SHARE_END }>();
    }
    Ok(())
}

/// Makes the updates that `clients` ask for, `rounds` times as many as one round of all has. One that
/// is ahead says that it is done while others still ask: nothing is taken from it any more.
fn serve_updates(lines: &Mapped, clients: &[UmpChannel], rounds: u64) -> Outcome {
    let round = UPDATES * clients.len() as u64;
    let mut asking: Vec<(&UmpChannel, u64)> =
        clients.iter().map(|c| (c, rounds * UPDATES)).collect();
    let mut left = rounds * round;
    for after in (0..rounds).rev() {
        rt::marker::<{ marker::SHARE_BEGIN }>();
        while left > after * round {
            wait(|| asking.iter().any(|(c, owed)| *owed > 0 && c.has_message()))?;
            for (client, owed) in asking.iter_mut().filter(|(_, owed)| *owed > 0) {
                let Some(words) = take(client)? else { continue };
                let [UPDATE, count, _] = words else {
                    return Err(format!("{words:?} came instead of a request"));
                };
                update(lines, count.min(LINES[3]));
                say(client, [UPDATED, 0, 0])?;
                (*owed, left) = (*owed - 1, left - 1);
            }
        }
        rt::marker::<{ marker::SHARE_END }>();
    }
    Ok(())
}

/// One core's part, until the server says that it may leave.
pub async fn serve(name: &str) -> Outcome {
    let (server, lines) = accept_lines(name).await?;
    loop {
        let line = server.receive_blocking();
        let line = line.map_err(|e| format!("the channel failed: {e:?}"))?;
        let [what, count, rounds] = [line.words[0], line.words[1], line.words[2]];
        match what {
            DIRECTLY => directly(&lines, count.min(LINES[3]), rounds),
            BY_MESSAGES => by_messages(&server, count, rounds)?,
            LEAVE => return Ok(()),
            _ => return Err(format!("{what} is not understood")),
        }
        say(&server, [DONE, 0, 0])?;
    }
}

/// The server's channel, and the lines that came with its first message.
async fn accept_lines(name: &str) -> Outcome<(UmpChannel, Mapped)> {
    let (channel, frame) = accept(name, 1).await?;
    let frame = frame.ok_or("no lines came along")?;
    let lines = vspace::map(frame.addr(), 0, BYTES, Access::ReadWrite);
    let lines = lines.map_err(|e| format!("cannot map the lines: {}", e.message()))?;
    // Mapped for as long as this process lives.
    frame.leak();
    Ok((channel, lines))
}

/// The others, by core from 1 on.
struct Others {
    peers: Vec<Peer>,
    channels: Vec<UmpChannel>,
    clients: Vec<Client>,
}

impl Others {
    async fn start(&mut self, core: u64, frame: rt::CapAddr) -> Outcome {
        let name = format!("bench{}c{core}", env::pid());
        let peer = Peer::start(Place::Core, core, &["bench", "share-peer", &name]).await?;
        let osnode = peer.pid.osnode;
        self.peers.push(peer);
        let client = Client::lookup_on(osnode, &name).await;
        let client = client.map_err(|e| e.to_string())?;
        let begin = BenchRequest::Begin { count: 1 };
        let with = Attach::cap(frame);
        // Answered: nothing is sent behind this process's back while it measures.
        let begun = client.request(&begin, with).await;
        let _: Answer<BenchReply> =
            begun.map_err(|e| format!("core {core} cannot have the lines: {e}"))?;
        let channel = client.channel();
        self.channels
            .push(channel.ok_or("two cores share an OSnode")?);
        self.clients.push(client);
        Ok(())
    }

    /// Has the first `count` of them do something, while this core does `own`.
    fn side_by_side(
        &self,
        count: usize,
        words: [u64; 3],
        own: impl FnOnce(&[UmpChannel]) -> Outcome,
    ) -> Outcome {
        let channels = &self.channels[..count];
        for channel in channels {
            say(channel, words)?;
        }
        own(channels)?;
        for channel in channels {
            wait(|| channel.has_message())?;
            match take(channel)? {
                Some([DONE, ..]) => {}
                other => return Err(format!("{other:?} came instead of the end")),
            }
        }
        Ok(())
    }
}

/// Lines that only this core, or all cores, can reach; how often each was updated.
struct Counted {
    lines: Mapped,
    expected: [u64; 8],
}

impl Counted {
    fn new(frame: rt::CapAddr) -> Outcome<Counted> {
        let lines = vspace::map(frame, 0, BYTES, Access::ReadWrite);
        let lines = lines.map_err(|e| format!("cannot map lines: {}", e.message()))?;
        lines.zero(0, BYTES);
        Ok(Counted {
            lines,
            expected: [0; 8],
        })
    }

    fn expect(&mut self, count: u64, updates: u64) {
        let changed = &mut self.expected[..count as usize];
        changed.iter_mut().for_each(|n| *n += updates);
    }

    /// Whether every update is there, and none twice.
    fn check(&self, what: &str) -> Outcome {
        for (i, want) in self.expected.iter().enumerate() {
            let found = self.lines.load(i as u64 * LINE_BYTES);
            if found != *want {
                return Err(format!(
                    "{what}: line {i} was updated {found} times, not {want}"
                ));
            }
        }
        Ok(())
    }
}

/// All sections, for 1 to `cores` cores.
pub async fn measure(rounds: u64, cores: u64) -> Outcome {
    let frame = mem::alloc_frame(BYTES).map_err(|e| e.to_string())?;
    let own = mem::alloc_frame(BYTES).map_err(|e| e.to_string())?;
    let (mut shared, mut own) = (Counted::new(frame.addr())?, Counted::new(own.addr())?);
    let mut others = Others {
        peers: Vec::new(),
        channels: Vec::new(),
        clients: Vec::new(),
    };
    let mut result = Ok(());
    for core in 1..cores {
        result = others.start(core, frame.addr()).await;
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = sections(&others, &mut shared, &mut own, rounds);
    }
    for channel in &others.channels {
        // One that cannot be told is ended.
        let _ = say(channel, [LEAVE, 0, 0]);
    }
    for peer in others.peers {
        peer.end().await;
    }
    result?;
    shared.check("shared lines")?;
    own.check("the server's lines")
}

fn sections(others: &Others, shared: &mut Counted, own: &mut Counted, rounds: u64) -> Outcome {
    for count in LINES {
        for cores in CORES
            .into_iter()
            .filter(|n| *n <= others.channels.len() + 1)
        {
            let clients = cores - 1;
            rt::marker::<{ marker::SHARE_DIRECTLY }>();
            others.side_by_side(clients, [DIRECTLY, count, rounds], |_| {
                directly(&shared.lines, count, rounds);
                Ok(())
            })?;
            shared.expect(count, cores as u64 * rounds * UPDATES);
            rt::marker::<{ marker::SHARE_BY_MESSAGES }>();
            let updaters = clients.max(1) as u64;
            others.side_by_side(clients, [BY_MESSAGES, count, rounds], |channels| {
                if channels.is_empty() {
                    serve_itself(&own.lines, count, rounds);
                    return Ok(());
                }
                serve_updates(&own.lines, channels, rounds)
            })?;
            own.expect(count, updaters * rounds * UPDATES);
        }
    }
    Ok(())
}

/// A server without clients: its own updates need neither lock nor message.
fn serve_itself(lines: &Mapped, count: u64, rounds: u64) {
    for _ in 0..rounds {
        rt::marker::<{ marker::SHARE_BEGIN }>();
        (0..UPDATES).for_each(|_| update(lines, count));
        rt::marker::<{ marker::SHARE_END }>();
    }
}
