//! Child processes of a test.

use alloc::format;
use alloc::string::{String, ToString};

use proto::Pid;
use proto::iface::spawn::{Place, ProcessState, SpawnReply, SpawnRequest};
use rt::chan::{Answer, Attach, Client};

/// How a child ended.
#[derive(Clone, Debug)]
pub struct End {
    /// State.
    pub state: ProcessState,
    /// Exit status.
    pub status: i32,
    /// Last report.
    pub report: String,
}

impl End {
    /// Whether it was ended by a fault whose report has this text.
    ///
    /// # Errors
    /// How it ended instead.
    pub fn expect_fault(&self, text: &str) -> Result<(), String> {
        if self.state == ProcessState::Faulted && self.report.contains(text) {
            return Ok(());
        }
        Err(format!(
            "{:?} {} \"{}\", not a fault with \"{text}\"",
            self.state, self.status, self.report
        ))
    }
    /// Whether it ended by itself with success.
    ///
    /// # Errors
    /// How it ended instead.
    pub fn expect_success(&self) -> Result<(), String> {
        match (self.state, self.status) {
            (ProcessState::Exited, 0) => Ok(()),
            (state, status) => Err(format!("{state:?} {status} \"{}\"", self.report)),
        }
    }
}

/// A child process.
#[derive(Debug)]
pub struct Child {
    spawn: Client,
    /// Its id.
    pub pid: Pid,
}

impl Child {
    /// Starts a program with arguments.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start(words: &[&str], place: Place) -> Result<Child, String> {
        Child::begin(words, place, 0, 0).await
    }

    /// As [`Child::start`], on the core or OSnode with this number.
    ///
    /// # Errors
    /// A sentence.
    pub async fn start_on(words: &[&str], place: Place, number: u64) -> Result<Child, String> {
        Child::begin(words, place, number, 0).await
    }

    /// Starts a program that may have at most so many bytes of memory (0 = no limit).
    ///
    /// # Errors
    /// A sentence.
    pub async fn start_limited(words: &[&str], place: Place, memory: u64) -> Result<Child, String> {
        Child::begin(words, place, 0, memory).await
    }

    async fn begin(
        words: &[&str],
        place: Place,
        number: u64,
        memory: u64,
    ) -> Result<Child, String> {
        let spawn = Client::lookup("spawn").await.map_err(|e| e.to_string())?;
        let blob: String = words.iter().map(|w| format!("{w}\0")).collect();
        let request = SpawnRequest::Spawn {
            place,
            number,
            memory,
        };
        let answer = spawn.request(&request, Attach::blob(blob.as_bytes())).await;
        let answer: Answer<SpawnReply> = answer.map_err(|e| e.to_string())?;
        match answer.message {
            SpawnReply::Spawned { pid, .. } => Ok(Child { spawn, pid }),
            _ => Err(String::from_utf8_lossy(&answer.blob).into_owned()),
        }
    }

    async fn ask(&self, request: &SpawnRequest) -> Result<End, String> {
        let answer = self.spawn.request(request, Attach::NONE).await;
        let answer: Answer<SpawnReply> = answer.map_err(|e| e.to_string())?;
        let report = String::from_utf8_lossy(&answer.blob).into_owned();
        match answer.message {
            SpawnReply::Ended { state, status } => Ok(End {
                state,
                status,
                report,
            }),
            _ => Err(report),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// A sentence.
    pub async fn wait(&self) -> Result<End, String> {
        self.ask(&SpawnRequest::Wait { pid: self.pid }).await
    }

    /// Asks it whether all is well; it answers when it is not busy with something else.
    ///
    /// # Errors
    /// A sentence.
    pub async fn check(&self) -> Result<(), String> {
        let request = SpawnRequest::Check { pid: self.pid };
        let answer = self.spawn.request(&request, Attach::NONE).await;
        let answer: Answer<SpawnReply> = answer.map_err(|e| e.to_string())?;
        match answer.message {
            SpawnReply::Checked { ok: true, .. } => Ok(()),
            _ => Err(String::from_utf8_lossy(&answer.blob).into_owned()),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn kill(&self) -> Result<End, String> {
        self.ask(&SpawnRequest::Kill { pid: self.pid }).await
    }

    /// Starts this very program with arguments and waits for its end.
    ///
    /// # Errors
    /// A sentence.
    pub async fn run(words: &[&str]) -> Result<End, String> {
        Child::start(words, Place::Here).await?.wait().await
    }
}
