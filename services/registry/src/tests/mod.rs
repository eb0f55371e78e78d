//! What the registry promises, and the same against a slow, obvious model.

mod behaviour;
mod kept;
mod language;
mod model;
mod random;
