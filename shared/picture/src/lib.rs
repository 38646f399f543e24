//! What is known of pictures without a decoder: which options there are, how large a result becomes, of which kind a
//! file is, what can go wrong, and what the worker and the process of the codecs say to each other.
//!
//! The codecs are C, and read strangers' bytes. They run in a process of their own (`caraway-pictures`), and the worker
//! links none of them. This crate is what both sides share, so it is pure: no I/O but on the reader and writer that it
//! is given, no clock, no codec.

#![warn(missing_docs)]

mod fault;
mod geometry;
mod jpeg;
mod kind;
mod options;
mod orientation;
#[cfg(feature = "utoipa")]
mod schema;
mod tiff;
mod wire;

pub use fault::Fault;
pub use geometry::{Plan, SIDE_MAX, Size, Window, plan};
pub use jpeg::{Coding, JpegHeader};
pub use kind::{Kind, Recognised, recognise};
pub use options::{Background, Fit, Format, Gravity, Metadata, Options, Rotation};
pub use orientation::Orientation;
pub use tiff::{ExtraSample, TiffHeader};
pub use wire::{Go, HEADER_BYTES_MAX, Made, Reply, Request, WireFault, frame, read_frame};
