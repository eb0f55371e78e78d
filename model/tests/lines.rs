//! The two control lines of a core, word by word: a driver stops and starts it in every interleaving of the stores that
//! both sides make (`kernel::invoke::core::command` and its effect `PublishHome`; `kernel::attach::detach`,
//! `kernel::report_status`; `pen.S` of either ISA).

use std::fmt;

use model::explore::{Counterexample, Covered, System, explore, explore_some};

const LIMIT: usize = 1_000_000;

/// What the home line can say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Command {
    None,
    Stop,
    Start,
}

/// What the target line can say.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Status {
    Running,
    Detached,
    Penned,
    Crashed,
    Starting,
}

/// What a pen takes for new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum New {
    /// What the target line has not answered (Arm).
    Unanswered,
    /// What neither the pen nor the kernel that entered it has answered, which the kernel says (x86).
    Untaken,
    /// What the pen itself has not carried out: wrong, as the kernel answered the Stop.
    Undone,
}

/// The driver and its kernel, at the store or look that comes next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Driver {
    /// Writes what is commanded: the command, then which image, then the number.
    Command(Command),
    Image(Command),
    Number(Command),
    /// Looks whether the core is in its pen, or its kernel ended.
    AwaitsPen,
    /// The kernel did not stop in time: it is taken back, which only the pen answers.
    AwaitsNone,
    AwaitsKernel,
    Done,
}

/// The core.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Target {
    /// A kernel runs.
    Kernel,
    /// It detaches for the command of this number: said, then answered.
    Says(u8),
    Answers(u8),
    /// It crashes: which number it answers, said, answered.
    Crashes,
    CrashSays(u8),
    CrashAnswers(u8),
    /// In the pen, entered by a kernel that answered this number: says so, and (x86) answers once more.
    PenSays(u8),
    PenAnswers(u8),
    /// Looks at the home line.
    Looks,
    /// Takes the command of this number: which, and with which image.
    Takes(u8),
    Loads(u8),
    PenDone(u8),
    /// A new kernel with this image: reads the number, says Starting, Running.
    Enters(u8),
    Starts(u8, u8),
    Started(u8, u8),
    Says2(u8, u8),
    Runs(u8),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    driver: Driver,
    target: Target,
    home: (u8, Command, u8),
    said: (Status, u8),
    /// The pen's own note.
    taken: u8,
    /// The driver gave the kernel up.
    forced: bool,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Driver(Driver),
    Target(Target),
    TimeOut,
    Crash,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Driver(at) => write!(f, "driver: {at:?}"),
            Event::Target(at) => write!(f, "core: {at:?}"),
            Event::TimeOut => write!(f, "the kernel does not stop in time"),
            Event::Crash => write!(f, "the kernel crashes"),
        }
    }
}

/// One update of a core's kernel.
#[derive(Clone, Copy, Debug)]
struct Update {
    new: New,
    /// Whether the old kernel may crash, and be given up.
    faults: bool,
}

impl Update {
    fn looks_new(&self, s: &State) -> bool {
        let old = match self.new {
            New::Unanswered => s.said.1,
            New::Untaken | New::Undone => s.taken,
        };
        s.home.0 != old
    }

    /// Whether the driver's next look shows what it waits for.
    fn driver_goes(s: &State) -> bool {
        match s.driver {
            Driver::AwaitsPen => {
                s.said.0 == Status::Penned || s.said == (Status::Crashed, s.home.0)
            }
            Driver::AwaitsNone => {
                s.said == (Status::Crashed, s.home.0) || s.said == (Status::Penned, s.home.0)
            }
            Driver::AwaitsKernel => s.said == (Status::Running, s.home.0),
            Driver::Done => false,
            _ => true,
        }
    }

    fn target_goes(&self, s: &State) -> bool {
        match s.target {
            Target::Kernel => s.home.0 != s.said.1 && s.home.1 == Command::Stop,
            Target::Looks => self.looks_new(s),
            Target::Runs(_) => false,
            _ => true,
        }
    }

    fn drive(s: &mut State) {
        s.driver = match s.driver {
            Driver::Command(what) => {
                s.home.1 = what;
                Driver::Image(what)
            }
            Driver::Image(what) => {
                s.home.2 = u8::from(what == Command::Start);
                Driver::Number(what)
            }
            Driver::Number(what) => {
                s.home.0 += 1;
                match what {
                    Command::Stop => Driver::AwaitsPen,
                    Command::None => Driver::AwaitsNone,
                    Command::Start => Driver::AwaitsKernel,
                }
            }
            Driver::AwaitsPen | Driver::AwaitsNone => Driver::Command(Command::Start),
            Driver::AwaitsKernel | Driver::Done => Driver::Done,
        }
    }

    fn run(&self, s: &mut State) {
        s.target = match s.target {
            Target::Kernel => Target::Says(s.home.0),
            Target::Says(n) => {
                s.said.0 = Status::Detached;
                Target::Answers(n)
            }
            Target::Answers(n) | Target::CrashAnswers(n) => {
                s.said.1 = n;
                if self.new == New::Untaken {
                    s.taken = n;
                }
                Target::PenSays(n)
            }
            Target::Crashes => Target::CrashSays(s.home.0),
            Target::CrashSays(n) => {
                s.said.0 = Status::Crashed;
                Target::CrashAnswers(n)
            }
            Target::PenSays(n) => {
                if s.said.0 != Status::Crashed {
                    s.said.0 = Status::Penned;
                }
                Target::PenAnswers(n)
            }
            Target::PenAnswers(n) => {
                if self.new == New::Untaken {
                    s.said.1 = n;
                }
                Target::Looks
            }
            Target::Looks => Target::Takes(s.home.0),
            Target::Takes(n) => {
                s.taken = n;
                match s.home.1 {
                    Command::Start => Target::Loads(n),
                    Command::None | Command::Stop => Target::PenDone(n),
                }
            }
            Target::PenDone(n) => {
                s.said.1 = n;
                Target::Looks
            }
            Target::Loads(_) => Target::Enters(s.home.2),
            Target::Enters(image) => Target::Starts(image, s.home.0),
            Target::Starts(image, n) => {
                s.said.0 = Status::Starting;
                Target::Started(image, n)
            }
            Target::Started(image, n) => {
                s.said = (Status::Running, n);
                Target::Says2(image, n)
            }
            Target::Says2(image, n) => {
                s.said.1 = n;
                Target::Runs(image)
            }
            Target::Runs(image) => Target::Runs(image),
        }
    }
}

impl System for Update {
    type State = State;
    type Event = Event;

    fn initial(&self) -> State {
        State {
            driver: Driver::Command(Command::Stop),
            target: Target::Kernel,
            home: (1, Command::Start, 0),
            said: (Status::Running, 1),
            taken: 1,
            forced: false,
        }
    }

    fn events(&self, s: &State) -> Vec<Event> {
        let mut events = Vec::new();
        if Update::driver_goes(s) {
            events.push(Event::Driver(s.driver));
        }
        if self.target_goes(s) {
            events.push(Event::Target(s.target));
        }
        if self.faults && s.target == Target::Kernel {
            events.push(Event::Crash);
        }
        let waits = s.driver == Driver::AwaitsPen && !s.forced;
        if self.faults && waits && !Update::driver_goes(s) {
            events.push(Event::TimeOut);
        }
        events
    }

    fn next(&self, s: &State, event: &Event) -> Result<State, String> {
        let mut s = s.clone();
        match event {
            Event::Driver(_) => Update::drive(&mut s),
            Event::Target(_) => self.run(&mut s),
            Event::Crash => s.target = Target::Crashes,
            Event::TimeOut => {
                s.driver = Driver::Command(Command::None);
                s.forced = true;
            }
        }
        match (s.driver, s.target) {
            (Driver::Done, Target::Runs(0)) => Err("the old image runs".into()),
            _ => Ok(s),
        }
    }

    fn at_rest(&self, s: &State) -> Result<(), String> {
        let moves = Update::driver_goes(s) || self.target_goes(s);
        // A kernel that does not hear is taken back in the end.
        if moves || s.target == Target::Kernel && self.faults || s.driver == Driver::Done {
            return Ok(());
        }
        Err(format!(
            "{:?} for ever: {:?} stands there",
            s.driver, s.said
        ))
    }
}

fn check(
    new: New,
    look: fn(&Update, usize) -> Result<Covered, Counterexample>,
) -> Result<Covered, Counterexample> {
    let mut covered = Covered::default();
    for faults in [false, true] {
        covered.add(look(&Update { new, faults }, LIMIT)?);
    }
    Ok(covered)
}

#[test]
fn each_command_is_answered_with_its_number() {
    for new in [New::Unanswered, New::Untaken] {
        match check(new, explore) {
            Ok(covered) => println!("lines, {new:?}: {covered}"),
            Err(found) => panic!("{new:?}: {found}"),
        }
    }
}

#[test]
fn what_the_kernel_answered_is_not_new_to_the_pen() {
    let found = check(New::Undone, explore_some).expect_err("it goes wrong without");
    println!("without: {}", found.what);
}
