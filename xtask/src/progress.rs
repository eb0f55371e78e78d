//! What a person sees while something takes long: a spinner on a terminal, plain lines
//! elsewhere. Colours only on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// True if standard error is a terminal that wants no plain text.
pub fn is_fancy() -> bool {
    stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none()
        && std::env::var("TERM").is_ok_and(|term| term != "dumb")
}

fn colour(code: &str, text: &str) -> String {
    if is_fancy() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// `text` in green on a terminal.
pub fn green(text: &str) -> String {
    colour("32", text)
}

/// `text` in red on a terminal.
pub fn red(text: &str) -> String {
    colour("31;1", text)
}

/// `text` in bold on a terminal.
pub fn bold(text: &str) -> String {
    colour("1", text)
}

/// One line to the person.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// One line that says why something failed.
pub fn error(text: &str) {
    eprintln!("{} {text}", red("error:"));
}

/// A heading before a group of steps.
pub fn heading(text: &str) {
    eprintln!("{}", bold(&format!("== {text}")));
}

/// A step that takes a while. Say `done` or `failed` at its end.
pub struct Step {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Starts the step called `name`.
    pub fn start(name: &str) -> Self {
        let bar = is_fancy().then(|| {
            let bar = ProgressBar::new_spinner();
            let style =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}")
                    .expect("the template is a constant");
            bar.set_style(style);
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            name: name.to_owned(),
            start: Instant::now(),
            bar,
        }
    }

    /// Says what the step does at the moment (terminals only).
    pub fn now(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// The step went well.
    pub fn done(self) {
        self.close(&green("ok"));
    }

    /// The step went well; not worth a line if there was next to nothing to do.
    pub fn done_unless_idle(self) {
        if self.start.elapsed() > Duration::from_secs(1) {
            self.done();
        } else if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The step failed; the reason is the caller's to print.
    pub fn failed(self) {
        self.close(&red("FAILED"));
    }

    fn close(self, verdict: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!(
            "{verdict} {} ({:.1} s)",
            self.name,
            self.start.elapsed().as_secs_f64()
        );
    }
}
