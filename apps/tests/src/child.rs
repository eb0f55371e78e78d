//! Child processes of a test.

use alloc::format;
use alloc::string::{String, ToString};

use proto::iface::spawn::{Checked, Ended, Place, ProcessState, Spawn, SpawnClient, join_words};
use proto::{CallError, Pid};
use rt::chan::{Client, connect};

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

fn end_of(ended: Result<Ended, CallError>) -> Result<End, String> {
    let ended = ended.map_err(|e| e.to_string())?;
    Ok(End {
        state: ended.state,
        status: ended.status,
        report: String::from_utf8_lossy(&ended.report).into_owned(),
    })
}

/// A child process.
#[derive(Debug)]
pub struct Child {
    spawn: SpawnClient<Client>,
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
        let spawn = connect::<Spawn>("spawn").await.map_err(|e| e.to_string())?;
        let started = spawn.spawn(place, number, memory, &join_words(words)).await;
        let pid = started.map_err(|e| e.to_string())?.pid;
        Ok(Child { spawn, pid })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// A sentence.
    pub async fn wait(&self) -> Result<End, String> {
        end_of(self.spawn.wait(self.pid).await)
    }

    /// Asks it whether all is well; it answers when it is not busy with something else.
    ///
    /// # Errors
    /// A sentence.
    pub async fn check(&self) -> Result<(), String> {
        match self.spawn.check(self.pid, b"").await {
            Ok(Checked { ok: true, .. }) => Ok(()),
            Ok(not) => Err(String::from_utf8_lossy(&not.text).into_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// A sentence.
    pub async fn kill(&self) -> Result<End, String> {
        end_of(self.spawn.kill(self.pid).await)
    }

    /// Starts this very program with arguments and waits for its end.
    ///
    /// # Errors
    /// A sentence.
    pub async fn run(words: &[&str]) -> Result<End, String> {
        Child::start(words, Place::Here).await?.wait().await
    }
}
