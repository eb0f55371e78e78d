//! Tables of real machines, whole and damaged; tables made by hand.

mod acpi;
mod blobs;
mod processor;
mod tree;
