//! The shell's connections, and what the running command has said so far.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::{Future, pending};

use proto::iface::console::Console;
use proto::iface::cores::{Cores, CoresClient};
use proto::iface::files::Files;
use proto::iface::registry::{Registry, RegistryClient};
use proto::iface::spawn::{Spawn, SpawnClient};
use proto::iface::system::SystemClient;
use proto::{CallError, PeerError, Pid, ServiceError};
use rt::chan::{Client, Lasting};
use rt::{env, time};
use shell::Record;

/// The machine is to be halted.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

/// Bytes of the largest `exec` file.
const MAX_EXEC: u64 = 64 * 1024;
/// How long a halt may take before the shell gives up (ns).
const HALT_NS: u64 = 5_000_000_000;
/// How often a text is tried to be printed when the console ends meanwhile.
const PRINT_TRIES: u32 = 4;

/// Nobody needs to know of a new connection.
const fn untold(_: &Client) {}

/// The shell's connections.
pub struct Session {
    console: Lasting<Console>,
    files: Lasting<Files>,
    cores: Lasting<Cores>,
    spawn: Lasting<Spawn>,
    registry: Lasting<Registry>,
    /// The monitor.
    pub system: SystemClient<Client>,
    output: String,
    /// The process that the running command waits for and is to end with it.
    pub foreground: Option<Pid>,
    /// Used memory of every OSnode when it was marked.
    pub used_marked: BTreeMap<u64, u64>,
}

impl Session {
    /// Connects to every service that the shell needs, waiting until they are there.
    pub async fn open() -> Result<Session, PeerError> {
        let console = Lasting::open("console", |c| rt::io::set_console(c.clone())).await?;
        let names = env::given("names").ok_or(PeerError::Gone)?;
        Ok(Session {
            console,
            files: Lasting::open("files", untold).await?,
            cores: Lasting::open("cores", untold).await?,
            spawn: Lasting::open("spawn", untold).await?,
            registry: Lasting::new("registry", untold),
            system: SystemClient(Client::bind(names).await?),
            output: String::new(),
            foreground: None,
            used_marked: BTreeMap::new(),
        })
    }

    /// The spawn service.
    ///
    /// # Errors
    /// A sentence.
    pub async fn spawn(&self) -> Result<SpawnClient<Client>, String> {
        let client = self.spawn.client().await;
        client.map_err(|e| of_spawn(e.into()))
    }

    /// Asks the spawn service something that may be asked twice: its next life, if it ends before it answers.
    ///
    /// # Errors
    /// What it says.
    pub async fn ask_spawn<T>(
        &self,
        ask: impl AsyncFn(SpawnClient<Client>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        self.spawn.ask(ask).await
    }

    /// The device manager.
    ///
    /// # Errors
    /// A sentence.
    pub async fn cores(&self) -> Result<CoresClient<Client>, String> {
        let client = self.cores.client().await;
        client.map_err(|e| of_cores(e.into()))
    }

    /// The registry.
    ///
    /// # Errors
    /// A sentence.
    pub async fn registry(&self) -> Result<RegistryClient<Client>, String> {
        let client = self.registry.client().await;
        client.map_err(|e| of_registry(e.into()))
    }

    /// Prints without keeping it for the command's record.
    pub async fn print(&self, text: &str) {
        for part in text.as_bytes().chunks(4096) {
            // Without a console there is nobody to tell.
            let _ = self.print_part(part).await;
        }
    }

    async fn print_part(&self, part: &[u8]) -> Result<(), PeerError> {
        let mut tries = PRINT_TRIES;
        loop {
            let client = self.console.client().await?;
            match client.write_text(part).await {
                Err(CallError::Peer(PeerError::Gone)) if tries > 1 => tries -= 1,
                done => return done.map(drop).map_err(PeerError::from),
            }
        }
    }
    /// Prints for the running command.
    pub async fn say(&mut self, text: &str) {
        self.output.push_str(text);
        self.print(text).await;
    }
    /// What the command has said; forgotten then.
    pub fn take_output(&mut self) -> String {
        core::mem::take(&mut self.output)
    }
    /// Prints a record.
    pub async fn record(&self, record: &Record) {
        let mut line = record.line();
        line.push('\n');
        self.print(&line).await;
    }
    /// Reads a line.
    pub async fn read_line(&self, prompt: &str) -> Result<String, PeerError> {
        let console = self.console.client().await?;
        let line = console.read_line(prompt.as_bytes()).await?;
        Ok(String::from_utf8_lossy(&line.text).into_owned())
    }

    /// Done when somebody types Ctrl-C while no line is read. Without a console that says so, never.
    pub async fn interrupt(&self) -> impl Future<Output = ()> + use<> {
        let console = self.console.client().await;
        async move {
            let told = match &console {
                Ok(console) => console.await_interrupt().await.is_ok(),
                Err(_) => false,
            };
            if !told {
                pending::<()>().await;
            }
        }
    }

    /// Cleans up after a command that was given up.
    pub async fn give_up(&mut self) {
        if let Some(pid) = self.foreground.take() {
            // It may have ended by itself meanwhile.
            let _ = self.ask_spawn(async |spawn| spawn.kill(pid).await).await;
        }
        self.take_output();
        self.print("interrupted\n").await;
    }

    /// The file `exec` of the archive, if it has one.
    pub async fn exec_file(&self) -> Result<Option<String>, String> {
        match self.read_file("exec").await {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err((ServiceError::NotFound, _)) => Ok(None),
            Err((_, text)) => Err(text),
        }
    }

    /// A whole file.
    pub async fn read_file(&self, name: &str) -> Result<Vec<u8>, (ServiceError, String)> {
        let mut bytes = Vec::new();
        let lost = |e: PeerError| (ServiceError::NoAnswer, e.to_string());
        let files = self.files.client().await.map_err(lost)?;
        loop {
            let read = files.read(bytes.len() as u64, 4096, name.as_bytes()).await;
            let got = read.map_err(|e| match e {
                CallError::Peer(e) => lost(e),
                CallError::Refused(r) => (r.error, r.to_string()),
            })?;
            bytes.extend_from_slice(&got.data);
            if got.bytes > MAX_EXEC {
                return Err((ServiceError::BadArgument, "it is too large".into()));
            }
            if got.data.is_empty() || bytes.len() as u64 >= got.bytes {
                return Ok(bytes);
            }
        }
    }

    /// Names in a directory of the archive with their sizes.
    pub async fn list_files(&self, dir: &str) -> Result<Vec<(String, u64)>, String> {
        let mut found = Vec::new();
        let files = self.files.client().await.map_err(|e| e.to_string())?;
        loop {
            match files.list(found.len() as u32, dir.as_bytes()).await {
                Ok(entry) => {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    found.push((name, entry.bytes));
                }
                Err(CallError::Refused(_)) => return Ok(found),
                Err(CallError::Peer(e)) => return Err(e.to_string()),
            }
        }
    }

    /// Halts the machine; returns only if nobody halts it.
    pub async fn halt(&self, status: u32) -> i32 {
        // Without a console nothing waits to leave.
        if let Ok(console) = self.console.client().await {
            let _ = console.flush().await;
        }
        let until = time::now_ns() + HALT_NS;
        let why = match time::timeout(until, self.system.halt(status)).await {
            Some(Err(e)) => e.to_string(),
            Some(Ok(_)) | None => "nobody did".into(),
        };
        self.print(&format!("shell: the machine cannot be halted: {why}\n"))
            .await;
        1
    }
}

/// What a service says, or what it says no more, as a sentence.
fn of(service: &str, e: CallError) -> String {
    match e {
        CallError::Peer(e) => format!("{service}: {e}"),
        CallError::Refused(r) => r.to_string(),
    }
}

/// What the spawn service says, or what it says no more, as a sentence.
pub fn of_spawn(e: CallError) -> String {
    of("spawn", e)
}

/// What the device manager says, or what it says no more, as a sentence.
pub fn of_cores(e: CallError) -> String {
    of("cores", e)
}

/// What the registry says, or what it says no more, as a sentence.
pub fn of_registry(e: CallError) -> String {
    of("registry", e)
}

/// An answer to a question with an index, `None` past the last.
///
/// # Errors
/// The device manager does not answer.
pub fn at_index<T>(answer: Result<T, CallError>) -> Result<Option<T>, String> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(CallError::Refused(_)) => Ok(None),
        Err(e) => Err(of_cores(e)),
    }
}
