//! Whether memory accounts and processes fit together.

use alloc::collections::{BTreeMap, BTreeSet};

/// What does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// So many bytes are on this account, which is no process's.
    NoProcess(u64, u32),
    /// A process has this account, which the memory server does not know.
    NoAccount(u32),
}

/// Compares the accounts (with the bytes on them) that the memory server told with those of the processes before and
/// after it was asked. Processes come and go meanwhile: who was there before or after may have an account, who was
/// there before and after must.
///
/// # Errors
/// The first that does not fit.
pub fn fit_together(
    before: &BTreeSet<u32>,
    held: &BTreeMap<u32, u64>,
    after: &BTreeSet<u32>,
) -> Result<(), Misfit> {
    let is_known = |a: &u32| before.contains(a) || after.contains(a);
    if let Some((account, bytes)) = held.iter().find(|(a, _)| !is_known(a)) {
        return Err(Misfit::NoProcess(*bytes, *account));
    }
    let mut always = before.intersection(after);
    match always.find(|a| !held.contains_key(a)) {
        Some(account) => Err(Misfit::NoAccount(*account)),
        None => Ok(()),
    }
}
