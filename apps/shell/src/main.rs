//! The shell: lines from the console, or the commands of the archive's `exec` file.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod commands;
mod session;

use alloc::format;
use alloc::string::String;

use proto::ServiceError;
use rt::task::Either;
use rt::{PeerError, env, task, time};
use session::{Session, Stop};
use shell::{Record, Script, parse};

rt::entry!(main);

/// What only the monitor gives, and only to the shell of the console.
const CONSOLE_SHELL: &str = "console-shell";

fn main() {
    rt::process::exit(task::block_on(run()))
}

async fn run() -> i32 {
    if env::given(CONSOLE_SHELL).is_none() {
        rt::println!(
            "shell: the console has its shell: a second one would share its keys, or run its commands again"
        );
        return 1;
    }
    let mut session = match Session::open().await {
        Ok(s) => s,
        Err(e) => {
            rt::println!("shell: cannot reach its services: {e}");
            return 1;
        }
    };
    rt::marker::<{ abi::marker::PROMPT }>();
    let mut ready = Record::new("boot");
    ready.string("what", "prompt");
    session.record(&ready).await;
    match session.exec_file().await {
        Ok(Some(script)) => execute(&mut session, &script).await,
        Ok(None) => interact(&mut session).await,
        Err(e) => {
            session
                .print(&format!("shell: cannot read the file exec: {e}\n"))
                .await;
            finish(&mut session, 1).await
        }
    }
}

/// Runs the commands of the archive, with a record for each, then halts the machine.
async fn execute(session: &mut Session, text: &str) -> i32 {
    let script = match parse(text.trim()) {
        Ok(s) => s,
        Err(e) => {
            session.print(&format!("error: {e}\n")).await;
            return finish(session, 1).await;
        }
    };
    let mut failed = 0;
    for words in script.runner() {
        let line = words.join(" ");
        session.print(&format!("$ {line}\n")).await;
        let start = time::system_ns();
        let (ok, stop) = run_command(session, words).await;
        let mut record = Record::new("cmd");
        record.string("cmd", &line).flag("ok", ok);
        record.number("ms", (time::system_ns() - start) / 1_000_000);
        record.flag("emulated", env::is_emulated());
        let out = session.take_output();
        record.string("out", &out);
        session.record(&record).await;
        failed += u64::from(!ok);
        if stop.is_some() {
            break;
        }
    }
    finish(session, failed).await
}

/// The leak check and the last record, then the end of the machine.
async fn finish(session: &mut Session, failed: u64) -> i32 {
    let clean = check_memory(session).await;
    let mut done = Record::new("done");
    done.number("failed", failed);
    session.record(&done).await;
    session.halt(u32::from(failed > 0 || !clean)).await
}

/// Whether all memory is accounted for; what is wrong is printed.
async fn check_memory(session: &mut Session) -> bool {
    let checked = commands::info::check_memory(session).await;
    let clean = checked.is_ok();
    let text = match checked {
        Ok(text) => text,
        Err(text) => {
            session.print(&format!("error: memory: {text}\n")).await;
            text
        }
    };
    let mut record = Record::new("memory");
    record.flag("ok", clean).string("text", &text);
    session.record(&record).await;
    clean
}

/// Runs one command and prints its error; `! command` succeeds when the command fails.
async fn run_command(session: &mut Session, words: &[String]) -> (bool, Option<Stop>) {
    let (inverted, words) = match words.split_first() {
        Some((first, rest)) if first == "!" && !rest.is_empty() => (true, rest),
        _ => (false, words),
    };
    match commands::run(session, words).await {
        Ok(stop) => {
            if inverted {
                session
                    .say("error: the command was to fail, but succeeded\n")
                    .await;
            }
            (!inverted, stop)
        }
        Err(text) => {
            session.say(&format!("error: {text}\n")).await;
            (inverted, None)
        }
    }
}

/// Reads lines from the console until `halt`, or until the console is gone.
async fn interact(session: &mut Session) -> i32 {
    session
        .print("Nekton. \"help\" lists the commands.\n")
        .await;
    loop {
        let line = match session.read_line("nekton> ").await {
            Ok(line) => line,
            Err(PeerError::Refused(ServiceError::End)) => continue,
            Err(e) => {
                rt::println!("shell: the console is gone: {e}");
                return 1;
            }
        };
        let script = match parse(&line) {
            Ok(s) => s,
            Err(e) => {
                session.print(&format!("error: {e}\n")).await;
                continue;
            }
        };
        let interrupt = session.interrupt().await;
        match task::select(interrupt, run_line(session, &script)).await {
            Either::Left(()) => session.give_up().await,
            Either::Right(None) => {}
            Either::Right(Some(Stop)) => {
                let clean = check_memory(session).await;
                return session.halt(u32::from(!clean)).await;
            }
        }
    }
}

/// Runs the commands of a line until one fails, or says that the machine is to be halted.
async fn run_line(session: &mut Session, script: &Script) -> Option<Stop> {
    for words in script.runner() {
        let (ok, stop) = run_command(session, words).await;
        session.take_output();
        if stop.is_some() || !ok {
            return stop;
        }
    }
    None
}
