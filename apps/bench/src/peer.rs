//! Starting and ending the other process of a measurement.

use alloc::format;
use alloc::string::{String, ToString};

use proto::Pid;
use proto::iface::spawn::{Place, Spawn, SpawnClient, join_words};
use rt::chan::{Client, connect};

/// A process that this one started.
pub struct Peer {
    spawn: SpawnClient<Client>,
    /// Its id.
    pub pid: Pid,
}

impl Peer {
    /// Starts `words` at `place` (`number`: the core, where a core is meant).
    pub async fn start(place: Place, number: u64, words: &[&str]) -> Result<Peer, String> {
        let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
        let started = spawn.spawn(place, number, 0, &join_words(words)).await;
        let started = started.map_err(|e| format!("cannot start {}: {e}", words.join(" ")))?;
        let pid = started.pid;
        Ok(Peer { spawn, pid })
    }

    /// Ends it.
    pub async fn end(self) {
        // One that ended before is what is wanted.
        let _ = self.spawn.kill(self.pid).await;
    }
}
