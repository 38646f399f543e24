//! `/v1/workflows`, and what compiles to one: groups, chains, chords, maps. Each reads its own body into a [`sketch::Sketch`],
//! and `sketch.rs` does the rest for all of them.
//!
//! Invariant: groups, chains, chords and maps exist here only; what is stored, and runs, is a graph.

pub(crate) mod cancel;
pub(crate) mod chain;
pub(crate) mod chord;
pub(crate) mod delete;
pub(crate) mod group;
pub(crate) mod list;
pub(crate) mod map;
pub(crate) mod results;
pub(crate) mod retry;
pub(crate) mod show;
mod sketch;
pub(crate) mod submit;
mod taken;
