//! Starting processes again: what the supervisor decides, done.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use proto::iface::spawn::{self as declared, Restart, ServiceState, pack_limit};
use proto::start::MAX_GIVEN;
use proto::{Name, Refusal};
use rt::chan;
use rt::{Capability, env, invoke, task, time};
use spawn::{End, Key, Rules, Verdict};

use crate::build::{self, Kept, Spec};
use crate::service::{Account, Console, Service};

/// How long the console may take for a message (ns of system time).
const SAY_NS: u64 = 5_000_000_000;

/// What a supervised process is made from.
pub struct Supervised {
    pub spec: Spec,
    /// It was given a console.
    pub has_console: bool,
}

impl Supervised {
    /// Its program's name.
    pub fn name(&self) -> &str {
        self.spec.words.first().map_or("", String::as_str)
    }
}

/// A process that was just started is supervised from now on.
pub fn enter(service: &Service, number: u64, rules: Rules, spec: Spec, has_console: bool) {
    let mut s = service.state.borrow_mut();
    let id = s.supervisor.enter(rules, number);
    service.keep_given(&spec);
    let made = Rc::new(Supervised { spec, has_console });
    s.specs.insert(id, made.clone());
    service.change(Key::Service(id));
    // Whose spec is gone will never be anything again.
    let is_over = |id: u64| !s.specs.contains_key(&id);
    service.news.entered(id, made.name(), is_over);
}

/// Most capabilities of a start block that a process may fill for the next one, or a client for a new one: names, console and
/// whatever else the spawn service gives find room, too.
pub const MAX_KEPT: usize = MAX_GIVEN - 4;

/// A process has something kept for its program's next process. Of one that is not supervised
/// there will be none.
pub fn keep(service: &Service, number: u64, name: Name, cap: Capability) {
    let Some((id, made)) = made(service, number) else {
        return;
    };
    let mut kept = made.spec.kept.borrow_mut();
    let over = kept.extract_if(.., |k| {
        k.name == name || invoke::identify(k.cap.addr()).is_err()
    });
    let over: Vec<Kept> = over.collect();
    let has_room = kept.len() < MAX_KEPT;
    if has_room {
        kept.push(Kept::once(name, cap));
    } else {
        let program = made.name();
        rt::io::log(format_args!(
            "spawn: {program} has too much kept: {name} is lost when it ends\n"
        ));
    }
    drop(kept);
    if has_room {
        service.keep_given(&made.spec);
        made.spec.keeps.set(true);
    }
    over.iter()
        .filter_map(|k| k.slot)
        .for_each(|slot| service.unkeep(slot));
    service.change(Key::Service(id));
    service.write();
}

/// The service that a process is, and what it was made from.
fn made(service: &Service, number: u64) -> Option<(u64, Rc<Supervised>)> {
    let s = service.state.borrow();
    let (id, _) = s.supervisor.of(number)?;
    let made = s.specs.get(&id).cloned()?;
    Some((id, made))
}

/// The account of a process that ended, unless its program's next process needs what is in it.
pub fn leave_account(service: &Service, number: u64, account: Account) -> Option<Account> {
    match made(service, number).filter(|(_, made)| made.spec.keeps.get()) {
        Some((id, made)) => {
            made.spec.account.replace(Some(account));
            service.change(Key::Service(id));
            None
        }
        None => Some(account),
    }
}

/// A process is not supervised any more; `None` if it was not.
pub fn release(service: &Service, number: u64) -> Option<()> {
    let mut s = service.state.borrow_mut();
    let id = s.supervisor.release(number)?;
    let spec = s.specs.remove(&id);
    drop(s);
    spec.into_iter().for_each(|made| close_left(service, &made));
    service.news.gone(id);
    service.write();
    Some(())
}

/// How a process is supervised.
pub fn describe(service: &Service, number: u64) -> Option<declared::Supervised> {
    let s = service.state.borrow();
    let (_, of) = s.supervisor.of(number)?;
    let within_ms = u32::try_from(of.rules.within_ns / 1_000_000).unwrap_or(u32::MAX);
    Some(declared::Supervised {
        restart: of.rules.restart,
        state: of.state,
        restarts: of.restarts,
        limit: pack_limit(of.rules.most, within_ms),
    })
}

/// A process ended, and everything of it is gone.
pub fn ended(service: &Service, number: u64, end: End) {
    let verdict = {
        let mut s = service.state.borrow_mut();
        s.supervisor.ended(number, end, time::system_ns())
    };
    tell_clients(service);
    act(service, number, end, verdict);
    service.write();
}

/// Clients of a service that ended learn it now, those on other OSnodes from the monitors.
pub fn tell_clients(service: &Service) {
    service.tell_to_look();
    let system = service.system.clone();
    task::spawn(async move {
        // Without a monitor there are no other OSnodes.
        let _ = system.service_ended().await;
    });
}

fn act(service: &Service, number: u64, end: End, verdict: Verdict) {
    if let Verdict::Finished { service: id }
    | Verdict::Again { service: id, .. }
    | Verdict::GivenUp { service: id } = verdict
    {
        service.change(Key::Service(id));
    }
    match verdict {
        Verdict::Unsupervised => {}
        Verdict::Finished { service: id } => {
            service.news.changed(id);
            forget(service, id);
        }
        Verdict::Fatal => {
            // What it held nobody can go on with.
            rt::println!(
                "spawn: process {number} {}: the OSnode ends with it",
                how(end)
            );
            rt::process::exit(declared::OSNODE_ENDS)
        }
        Verdict::Again {
            service: id,
            pause_ns,
        } => {
            service.news.changed(id);
            let service = service.clone();
            task::spawn(async move { again(&service, id, number, end, pause_ns).await });
        }
        Verdict::GivenUp { service: id } => {
            service.news.changed(id);
            // What was given or kept is needed if somebody starts it all the same.
            let made = service.state.borrow().specs.get(&id).cloned();
            let bare = |made: &Rc<Supervised>| made.spec.kept.borrow().is_empty();
            let spec = match made {
                Some(made) if !bare(&made) => Some(made),
                _ => forget(service, id),
            };
            let name = spec.as_deref().map_or("", Supervised::name);
            let rules = service.state.borrow().supervisor.get(id).map(|s| s.rules);
            let (most, ms) = rules.map_or((0, 0), |r| (r.most, r.within_ns / 1_000_000));
            let text = format!(
                "o{}.{number} ({name}) {}: given up after {most} restarts within {ms} ms; \
                 spawn {name} starts it again\n",
                env::osnode(),
                how(end)
            );
            say(text);
            forget_oldest(service);
        }
    }
}

/// Whom the supervisor has forgotten nobody can start again.
fn forget_oldest(service: &Service) {
    let gone: Vec<u64> = {
        let s = service.state.borrow();
        let is_gone = |id: &u64| s.supervisor.get(*id).is_none();
        s.specs.keys().copied().filter(is_gone).collect()
    };
    for id in gone {
        let _ = forget(service, id);
    }
}

/// Starts the service with this program again that was given up with what it had; `None` if there is none.
///
/// # Errors
/// Why it cannot be started; it is given up then, as before.
pub async fn revive(service: &Service, name: &str) -> Option<Result<u64, Refusal>> {
    let (id, made) = {
        let s = service.state.borrow();
        let given_up = |id| {
            s.supervisor
                .get(id)
                .is_some_and(|s| s.state == ServiceState::GivenUp)
        };
        let mut of = s
            .specs
            .iter()
            .filter(|(id, made)| made.name() == name && given_up(**id));
        of.next_back().map(|(id, made)| (*id, made.clone()))?
    };
    service.state.borrow_mut().supervisor.revive(id)?;
    let started = build::start(service, &made.spec, Console::Had(made.has_console)).await;
    let mut s = service.state.borrow_mut();
    let result = match started {
        Ok((next, _)) => {
            s.supervisor.restarted(id, next);
            Ok(next)
        }
        Err(why) => {
            s.supervisor.give_up(id);
            Err(why)
        }
    };
    drop(s);
    service.change(Key::Service(id));
    service.write();
    service.news.changed(id);
    Some(result)
}

fn forget(service: &Service, id: u64) -> Option<Rc<Supervised>> {
    let made = service.state.borrow_mut().specs.remove(&id)?;
    close_left(service, &made);
    Some(made)
}

/// Closes the account that a process left for one that will not come.
fn close_left(service: &Service, made: &Supervised) {
    // The memory of what is kept comes back.
    let kept = made.spec.kept.take();
    kept.iter()
        .filter_map(|k| k.slot)
        .for_each(|slot| service.unkeep(slot));
    if let Some(account) = made.spec.account.take() {
        let service = service.clone();
        task::spawn(async move { service.close_account(account).await });
    }
}

fn how(end: End) -> String {
    match end {
        End::Exited(status) => format!("ended with status {status}"),
        End::Faulted => String::from("ended by a fault"),
        End::Killed => String::from("was killed"),
    }
}

/// Starts a service's next process. If that fails, it counts as an end of that process.
pub async fn again(service: &Service, id: u64, number: u64, end: End, pause_ns: u64) {
    if pause_ns > 0 {
        time::system_sleep_until(time::system_ns().saturating_add(pause_ns)).await;
    }
    let spec = service.state.borrow().specs.get(&id).cloned();
    let Some(made) = spec else { return };
    let console = Console::Had(made.has_console);
    let osnode = env::osnode();
    let name = made.name();
    match build::start(service, &made.spec, console).await {
        Ok((next, _)) => {
            service.state.borrow_mut().supervisor.restarted(id, next);
            service.change(Key::Service(id));
            service.write();
            service.news.changed(id);
            let how = how(end);
            say(format!(
                "o{osnode}.{number} ({name}) {how}: started again as o{osnode}.{next}\n"
            ));
        }
        Err(why) => {
            say(format!("{name} cannot be started again: {why}\n"));
            let verdict = {
                let mut s = service.state.borrow_mut();
                let now = time::system_ns();
                s.supervisor.ended(number, End::Faulted, now)
            };
            act(service, number, End::Faulted, verdict);
            service.write();
        }
    }
}

/// Tells people: on the console when there is one, and in the kernel's log.
fn say(text: String) {
    rt::io::log(format_args!("{text}"));
    task::spawn(async move {
        let until = time::system_ns().saturating_add(SAY_NS);
        let printed = async {
            let console = chan::connect::<proto::iface::console::Console>("console").await?;
            console.write_text(text.as_bytes()).await?;
            Ok::<_, proto::PeerError>(())
        };
        // The log has it.
        let _ = time::system_timeout(until, printed).await;
    });
}

/// What a policy is called in records.
pub const fn restart_word(restart: Restart) -> &'static str {
    match restart {
        Restart::Never => "never",
        Restart::OnFailure => "on-failure",
        Restart::Always => "always",
        Restart::Vital => "vital",
    }
}

/// What a state is called in records.
pub const fn state_word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Running => "running",
        ServiceState::Restarting => "restarting",
        ServiceState::Finished => "finished",
        ServiceState::GivenUp => "given-up",
    }
}
