//! Parts of a state, shared by the states that have them in common.

use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::explore::digest;

/// A part of the state with its digest, shared by the states that have it in common.
#[derive(Clone, Debug)]
pub struct Part<T>(Rc<(T, u128)>);

impl<T: Hash + Clone> Part<T> {
    /// With its digest.
    pub fn new(value: T) -> Part<T> {
        let digest = digest(&value);
        Part(Rc::new((value, digest)))
    }
    /// Another one, changed.
    pub fn change<O>(&mut self, change: impl FnOnce(&mut T) -> O) -> O {
        let mut value = self.0.0.clone();
        let out = change(&mut value);
        *self = Part::new(value);
        out
    }
}
impl<T> std::ops::Deref for Part<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.0
    }
}
impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.1.hash(state);
    }
}
