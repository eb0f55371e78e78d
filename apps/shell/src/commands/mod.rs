//! The commands: one function each, an error being a sentence that names the cause.

mod cores;
pub mod info;
mod process;
mod registry;
mod skb;

use alloc::format;
use alloc::string::{String, ToString};

use rt::{env, time};
use shell::{ArgError, Args, parse_ms};

use crate::session::{Session, Stop};

/// What a command does when it is done; errors are for people.
pub type Outcome = Result<Option<Stop>, String>;

const HELP: &str = "\
help                                    this list
cores                                   every core: state, node, running kernel, OSnode
core start N [--fresh] [--kernel K]     start core N with the OSnode stopped there, or a fresh one
core stop N                             stop core N; its OSnode is kept
core stop N --for MS                    and started again after that time: core 0, too
core update N [--kernel K]              another kernel for the OSnode on core N
core recover N [--kernel K]             a kernel for the OSnode of a crashed core
                                        N may be a list: core update 1,2-3
                                        --together: fail unless all were touched at the same time
core move A B [--kernel K]              the OSnode of core A, running or stopped, goes on core B
core destroy N                          the OSnode of core N, running, stopped or crashed, is gone for ever
osnodes                                 every OSnode and where it is
members                                 the OSnodes as the monitor here knows them
members tree [last]                     who passes an unmap on to whom; of the last one
spawn NAME [ARGS] [--on N]              start a program, on core N's OSnode
                                        --restart on-failure|always: and again when it ends
                                        --memory BYTES: it may have no more (2M, 512K)
ps                                      processes of all OSnodes
kill PID                                end a process (o1.3, or its name)
kill NAME --all                         end every process of that name
                                        --for-good: one that is started again, too
ticker check, churn check               ask every process of that name whether all is well
churn check --inside N                  and whether N kernel changes fell inside its revokes
mem                                     memory of every memory server, in bytes
mem mark                                remember what is used
mem check                               check all books; fail unless as much is used as was marked
skb query 'QUESTION'                    what follows from all that is known
skb assert|withdraw|load 'TEXT'         facts come, go; rules come
skb measure                             what a message takes between each two cores that run: as facts
registry get NAME, set 'RECORD'         a record; set takes --new, --merge, --ephemeral, --sequential
registry query|del|wait 'QUERY'         records that fit, as in 'job.* { size > 3 }'
registry watch 'QUERY', events          what happens to records that fit
registry lock NAME, unlock NAME         a lock that the shell holds
caps                                    the shell's own capabilities
log [N] [--until TEXT]                  what the kernels of core N logged (once TEXT is there)
ls [DIR], cat FILE                      files of the boot archive
test NAME, test all                     run an in-guest test
sleep MS                                wait
echo WORDS                              print
repeat N { COMMANDS }                   run commands several times
! COMMAND                               succeed if the command fails
halt                                    switch the machine off
";

/// Runs one command.
pub async fn run(session: &mut Session, words: &[String]) -> Outcome {
    let Some((name, rest)) = words.split_first() else {
        return Ok(None);
    };
    let mut args = Args::new(rest);
    match name.as_str() {
        "help" => {
            args.finish().map_err(usage)?;
            session.say(HELP).await;
        }
        "echo" => {
            let line = format!("{}\n", args.rest().join(" "));
            session.say(&line).await;
        }
        "sleep" => sleep(args).await?,
        "halt" => {
            args.finish().map_err(usage)?;
            return Ok(Some(Stop));
        }
        "cores" => cores::list(session, args).await?,
        "core" => cores::operate(session, args).await?,
        "osnodes" => cores::osnodes(session, args).await?,
        "members" => cores::members(session, args).await?,
        "log" => cores::log(session, args).await?,
        "spawn" => process::spawn(session, args).await?,
        "ps" => process::list(session, args).await?,
        "kill" => process::kill(session, args).await?,
        "test" => process::test(session, args).await?,
        "mem" => info::memory(session, args).await?,
        "skb" => skb::command(session, args).await?,
        "registry" => registry::command(session, args).await?,
        "caps" => info::capabilities(session, args).await?,
        "ls" => info::list_files(session, args).await?,
        "cat" => info::show_file(session, args).await?,
        _ if rest.first().is_some_and(|w| w == "check") => {
            process::check(session, name, Args::new(&rest[1..])).await?;
        }
        _ => return Err(format!("there is no command \"{name}\": help lists them")),
    }
    Ok(None)
}

/// What a printed time is counted in: nothing else tells an emulated machine's times from hardware's.
pub fn time_unit() -> &'static str {
    if env::is_emulated() {
        "emulated ms"
    } else {
        "ms"
    }
}

/// An argument error as text.
pub fn usage(e: ArgError) -> String {
    e.to_string()
}

/// Longest `sleep` (ms).
const MAX_SLEEP_MS: u64 = 3_600_000;

async fn sleep(mut args: Args) -> Result<(), String> {
    let text = args.next("a number of milliseconds").map_err(usage)?;
    args.finish().map_err(usage)?;
    let ms = parse_ms(&text, MAX_SLEEP_MS).map_err(usage)?;
    time::sleep(ms * 1_000_000).await;
    Ok(())
}
