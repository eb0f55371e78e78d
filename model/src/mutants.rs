//! Whether a checker notices when a machine lacks one of its rules.

use std::sync::Mutex;
use std::thread;

use monitor::agree::Rule;

/// Takes each of `rules` away in turn, on all processors, and asks `missed` what goes wrong then, in words
/// (`None`: nothing was found). Says so for each, and how many were caught, under the machine's name.
///
/// # Panics
/// If nothing goes wrong without one of them: it is not needed, or the checker is blind.
pub fn all_caught(
    machine: &str,
    rules: impl ExactSizeIterator<Item = Rule> + Send,
    missed: impl Fn(Rule) -> Option<String> + Sync,
) {
    let all = rules.len();
    let rules = Mutex::new(rules);
    let escaped = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = rules.lock().unwrap().next();
            let Some(rule) = next else { break };
            match missed(rule) {
                Some(what) => println!("without {rule:?}: {what}"),
                None => escaped.lock().unwrap().push(rule),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let escaped = escaped.into_inner().unwrap();
    println!("{machine}: {} of {all} mutants caught", all - escaped.len());
    assert!(escaped.is_empty(), "nothing goes wrong without {escaped:?}");
}
