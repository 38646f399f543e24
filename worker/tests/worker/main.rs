//! The worker as its users see it: real processes, the real API.

mod greeter;
