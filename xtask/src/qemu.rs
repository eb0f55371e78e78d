//! A machine in QEMU: its command line, its life as a child process, its end by the clock.

use crate::board::Board;
use crate::process;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long QEMU may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What to start.
pub struct Launch<'a> {
    pub board: &'a Board,
    pub cores: u32,
    pub icount: bool,
    /// A person types: under `icount`, idle time then passes in real time.
    pub interactive: bool,
    pub boot: &'a Path,
    pub archive: &'a Path,
    /// Device tree instead of QEMU's own.
    pub device_tree: Option<&'a Path>,
    /// A CD to boot from instead, which has loader, archive and command line.
    pub cdrom: Option<&'a Path>,
    /// Words that load loader, archive and device tree in another way than QEMU's own.
    pub loads: Option<&'a [String]>,
    /// Words of the kernel command line.
    pub append: &'a [String],
    /// Words for QEMU after all others.
    pub extra: &'a [String],
}

impl Launch<'_> {
    /// QEMU's words, without the program's name.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["-nodefaults", "-no-user-config", "-display", "none"]
            .map(str::to_owned)
            .into();
        words.extend(
            [
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:console",
            ]
            .map(str::to_owned),
        );
        words.extend(self.board.args.iter().cloned());
        words.extend(self.board.topology(self.cores));
        words.extend(self.time());
        words.extend(match (self.cdrom, self.loads) {
            (Some(image), _) => {
                let image = image.to_string_lossy().into_owned();
                // Boards have no disks.
                ["-M", "sata=on", "-cdrom", &image]
                    .map(str::to_owned)
                    .to_vec()
            }
            (None, Some(loads)) => loads.to_vec(),
            (None, None) => self.direct(),
        });
        words.extend_from_slice(self.extra);
        words
    }

    /// The kernel command line.
    pub fn command_line(&self) -> String {
        let mut append = self.append.to_vec();
        append.push("emulated".to_owned());
        if self.icount {
            append.push("icount".to_owned());
        }
        append.join(" ")
    }

    /// QEMU loads loader and archive itself.
    fn direct(&self) -> Vec<String> {
        let boot = self.boot.to_string_lossy().into_owned();
        let archive = self.archive.to_string_lossy().into_owned();
        let line = self.command_line();
        let tree = self
            .device_tree
            .map(|t| ("-dtb", t.to_string_lossy().into_owned()));
        [("-kernel", boot), ("-initrd", archive), ("-append", line)]
            .into_iter()
            .chain(tree)
            .flat_map(|(name, value)| [name.to_owned(), value])
            .collect()
    }

    fn time(&self) -> Vec<String> {
        let sleep = if self.interactive { "on" } else { "off" };
        match self.icount {
            true => vec![
                "-accel".to_owned(),
                "tcg".to_owned(),
                "-icount".to_owned(),
                format!("shift=0,sleep={sleep}"),
                "-rtc".to_owned(),
                "clock=vm,base=2026-01-01".to_owned(),
                "-seed".to_owned(),
                "1".to_owned(),
            ],
            false => vec!["-accel".to_owned(), "tcg,thread=multi".to_owned()],
        }
    }

    /// Starts it. QEMU dies with the thread that calls this.
    pub fn start(&self) -> Result<Machine> {
        Machine::start(&self.board.program, &self.words())
    }
}

/// What came out of a machine.
pub enum Output {
    /// Bytes of its console.
    Console(Vec<u8>),
    /// What QEMU itself had to say.
    Complaint(Vec<u8>),
    /// Both streams are closed: QEMU is ending.
    End,
    /// The given moment came first.
    Late,
    /// The person wants to leave.
    Leave,
}

/// A running QEMU. Dropping it ends the process.
pub struct Machine {
    child: Child,
    output: Receiver<Output>,
    sender: Sender<Output>,
    /// Streams that have not ended.
    open: u32,
    /// Who types, and keeps the console's input open afterwards.
    typist: Option<JoinHandle<ChildStdin>>,
}

impl Machine {
    fn start(program: &str, words: &[String]) -> Result<Self> {
        // setpriv becomes QEMU (same process), which then dies with us even if we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", program]);
        if process::output("setpriv", &["--version"]).is_err() {
            command = Command::new(program);
        }
        let mut child = command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let (sender, output) = channel();
        let (send_console, send_complaints) = (sender.clone(), sender.clone());
        let console = child.stdout.take().expect("standard output was piped");
        let complaints = child.stderr.take().expect("standard error was piped");
        std::thread::spawn(move || pump(console, Output::Console, &send_console));
        std::thread::spawn(move || pump(complaints, Output::Complaint, &send_complaints));
        Ok(Self {
            child,
            output,
            sender,
            open: 2,
            typist: None,
        })
    }

    /// For others to add to what `next` returns.
    pub fn sender(&self) -> Sender<Output> {
        self.sender.clone()
    }

    /// The console's input, once.
    pub fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Types into the console, from a thread of its own: a guest that takes no keys must not keep its
    /// output and its time-out from being seen.
    pub fn type_in(&mut self, text: String) {
        if let Some(mut keys) = self.input() {
            self.typist = Some(std::thread::spawn(move || {
                // A guest that ended takes no more; how it ended, its exit status tells.
                let _ = keys.write_all(text.as_bytes()).and_then(|()| keys.flush());
                keys
            }));
        }
    }

    /// The next output, waiting until `deadline` (forever without one).
    pub fn next(&mut self, deadline: Option<Instant>) -> Output {
        loop {
            let got = match deadline {
                Some(at) => self
                    .output
                    .recv_timeout(at.saturating_duration_since(Instant::now())),
                None => self
                    .output
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match got {
                Ok(Output::End) if self.open > 1 => self.open -= 1,
                Ok(output) => return output,
                Err(RecvTimeoutError::Timeout) => return Output::Late,
                Err(RecvTimeoutError::Disconnected) => return Output::End,
            }
        }
    }

    /// Asks QEMU to end, and ends it if it does not.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended on its own meanwhile; wait() tells.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.wait(GRACE)
    }

    /// Waits for the end, at most `patience`; then kills.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for QEMU")? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.child.kill().context("cannot kill QEMU")?;
                return self.child.wait().context("cannot wait for QEMU");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Already ended in every orderly path: then both calls do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Nobody reads what it types any more, so it ends.
        let _ = self.typist.take().map(JoinHandle::join);
    }
}

fn pump(mut from: impl Read, wrap: fn(Vec<u8>) -> Output, to: &Sender<Output>) {
    let mut buffer = [0u8; 4096];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || to.send(wrap(buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    // Nobody listens any more if this fails.
    let _ = to.send(Output::End);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(board: &str, icount: bool, interactive: bool) -> String {
        let launch = Launch {
            cdrom: None,
            loads: None,
            board: &Board::load(board).unwrap(),
            cores: 4,
            icount,
            interactive,
            boot: Path::new("boot.img"),
            archive: Path::new("a.cpio"),
            device_tree: None,
            append: &["exec".to_owned()],
            extra: &["-d".to_owned(), "int".to_owned()],
        };
        launch.words().join(" ")
    }

    #[test]
    fn icount_is_deterministic_and_told_to_the_guest() {
        let line = words("qemu-arm", true, false);
        assert!(line.contains("-icount shift=0,sleep=off"), "{line}");
        assert!(
            line.contains("-rtc clock=vm,base=2026-01-01 -seed 1"),
            "{line}"
        );
        assert!(line.contains("-append exec emulated icount"), "{line}");
        assert!(words("qemu-arm", true, true).contains("sleep=on"));
    }

    #[test]
    fn without_icount_cores_run_in_parallel() {
        let line = words("qemu-x86", false, false);
        assert!(line.contains("-accel tcg,thread=multi"), "{line}");
        assert!(!line.contains("icount"), "{line}");
        assert!(line.ends_with("-append exec emulated -d int"), "{line}");
    }

    #[test]
    fn a_child_that_outlives_its_time_is_ended() {
        let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
        let words = ["-c".to_owned(), script.to_owned()];
        let mut machine = Machine::start("sh", &words).unwrap();
        let mut seen = Vec::new();
        let deadline = Instant::now() + Duration::from_millis(500);
        loop {
            match machine.next(Some(deadline)) {
                Output::Console(bytes) => seen.extend(bytes),
                Output::Late => break,
                _ => panic!("it ended on its own"),
            }
        }
        assert_eq!(seen, b"up\n");
        let status = machine.wait(Duration::from_millis(1)).unwrap();
        assert_eq!(status.code(), None, "killed by a signal");
    }
}
