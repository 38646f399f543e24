//! The HTTP server under both programs, bounded where its clients could hold it up.
//!
//! actix-http limits how long the first head of a connection takes, and how long a connection idles. It has no limit for a
//! second head, none for an answer that nobody reads, and it takes as many pipelined requests as fit into its buffer. So
//! each connection is wrapped in a [`BoundedStream`], which knows from the service behind it (`Exchange`) whether a
//! request is being served, and ends the connection when its client takes too long. How many connections there may be
//! follows from the descriptors that the process may have.

mod bounds;
mod descriptors;
mod exchange;
mod server;
mod stream;

pub use self::{
    bounds::{ClientBounds, Crowd},
    server::{HttpServerConfig, http_server},
    stream::BoundedStream,
};
