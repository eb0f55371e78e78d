//! `./nekton gdb`: a machine that waits before its first instruction, and a debugger on it.

use crate::board::Board;
use crate::build;
use crate::cli::GdbArgs;
use crate::qemu::{Launch, Machine, Output};
use crate::{archive, device_tree, process, progress, workspace};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long QEMU may take to open the debugger's socket.
const SOCKET_PATIENCE: Duration = Duration::from_secs(10);

/// `./nekton gdb`.
pub fn command(args: &GdbArgs) -> Result<bool> {
    let run = &args.run;
    let board = Board::load(&run.board)?;
    if process::output(&board.gdb, &["--version"]).is_err() {
        bail!(
            "{} is not here; on Debian, as root: apt-get install --no-install-recommends {}",
            board.gdb,
            board.gdb
        );
    }
    let images = build::images(board.isa, run.test_files)?;
    let scratch = workspace::Scratch::new()?;
    let (archive_path, socket) = (scratch.file("archive.cpio"), scratch.file("gdb"));
    let archive = archive::pack(&images.files, run.exec.as_deref())?;
    fs::write(&archive_path, archive).context("cannot write the archive")?;
    let cores = run.smp.unwrap_or(board.cores);
    let device_tree = device_tree::build(&board, cores, &scratch)?;
    let mut extra = vec![
        "-S".to_owned(),
        "-gdb".to_owned(),
        format!("unix:path={},server=on,wait=off", socket.display()),
    ];
    extra.extend_from_slice(&run.qemu_arg);
    let mut append = run.append.clone();
    append.extend(run.exec.as_ref().map(|_| "exec".to_owned()));
    let launch = Launch {
        cdrom: None,
        loads: None,
        cores,
        board: &board,
        icount: run.icount,
        interactive: true,
        boot: &images.boot,
        archive: &archive_path,
        device_tree: device_tree.as_deref(),
        append: &append,
        extra: &extra,
    };
    let console = workspace::logs()?.join(format!("gdb-{}.log", board.name));
    let mut log =
        File::create(&console).with_context(|| format!("cannot create {}", console.display()))?;
    let mut machine = launch.start()?;
    wait_for_socket(&mut machine, &socket)?;
    progress::say(&format!("console: tail -f {}", workspace::shown(&console)));
    for (name, path) in images
        .linked
        .iter()
        .filter(|(name, _)| name.as_str() != "boot")
    {
        let path = workspace::shown(path);
        progress::say(&format!("{name}: add-symbol-file {path} -o LOAD_ADDRESS"));
    }
    let mut debugger = debugger(&board, &images.linked["boot"], &socket, &args.commands);
    let mut gdb = debugger.spawn().context("cannot start the debugger")?;
    loop {
        match machine.next(Some(Instant::now() + Duration::from_millis(100))) {
            Output::Console(bytes) | Output::Complaint(bytes) => {
                log.write_all(&bytes)
                    .context("cannot write the console's log")?;
            }
            Output::Late | Output::Leave | Output::End => {}
        }
        if let Some(status) = gdb.try_wait().context("cannot wait for the debugger")? {
            machine.stop()?;
            return Ok(status.success());
        }
    }
}

fn wait_for_socket(machine: &mut Machine, socket: &Path) -> Result<()> {
    let deadline = Instant::now() + SOCKET_PATIENCE;
    while !socket.exists() {
        if Instant::now() > deadline {
            bail!("QEMU did not open its debugger socket");
        }
        match machine.next(Some(Instant::now() + Duration::from_millis(50))) {
            Output::Complaint(text) => progress::say(String::from_utf8_lossy(&text).trim_end()),
            Output::End => bail!("QEMU ended before the debugger could attach"),
            _ => {}
        }
    }
    Ok(())
}

fn debugger(board: &Board, loader: &Path, socket: &Path, commands: &[String]) -> Command {
    let mut command = Command::new(&board.gdb);
    command.args(["-q", "-ex", "set confirm off", "-ex", "set pagination off"]);
    command.args(["-ex", &format!("target remote {}", socket.display())]);
    if !commands.is_empty() {
        command.arg("-batch");
    }
    for line in commands {
        command.args(["-ex", line]);
    }
    command.arg(loader);
    command
}
