//! The codecs as the worker meets them: the program itself, over its pipes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is a failed assertion, and what a test prints is shown only when it fails"
)]

mod cases;
mod codecs;
mod hostile;
mod options;
mod sealed;
mod variants;
