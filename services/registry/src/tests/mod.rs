//! What the registry promises, and the same against a slow, obvious model.

mod behaviour;
mod language;
mod model;
mod random;
