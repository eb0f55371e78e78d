//! Starting and ending the other process of a measurement.

use alloc::format;
use alloc::string::{String, ToString};

use proto::Pid;
use proto::iface::spawn::{Place, SpawnReply, SpawnRequest};
use rt::chan::{Answer, Attach, Client};

/// A process that this one started.
pub struct Peer {
    spawn: Client,
    /// Its id.
    pub pid: Pid,
}

impl Peer {
    /// Starts `words` at `place` (`number`: the core, where a core is meant).
    pub async fn start(place: Place, number: u64, words: &[&str]) -> Result<Peer, String> {
        let spawn = Client::lookup("spawn").await.map_err(|e| e.to_string())?;
        let blob: String = words.iter().map(|w| format!("{w}\0")).collect();
        let request = SpawnRequest::Spawn {
            place,
            number,
            memory: 0,
        };
        let answer = spawn.request(&request, Attach::blob(blob.as_bytes())).await;
        let answer: Answer<SpawnReply> = answer.map_err(|e| e.to_string())?;
        match answer.message {
            SpawnReply::Spawned { pid, .. } => Ok(Peer { spawn, pid }),
            _ => Err(format!(
                "cannot start {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&answer.blob)
            )),
        }
    }

    /// Ends it.
    pub async fn end(self) {
        let request = SpawnRequest::Kill { pid: self.pid };
        // One that ended before is what is wanted.
        let _: Result<Answer<SpawnReply>, _> = self.spawn.request(&request, Attach::NONE).await;
    }
}
