//! Who may do what, without any I/O: keys, and what they are good for.
//!
//! Invariants: a key's secret is shown once and kept nowhere; what is kept of it is an HMAC, and the two are compared in
//! constant time; a key that was cut or mistyped is known as such without asking anybody.

mod grant;
mod key;

pub use grant::{Grant, GrantError, Pattern, Scope};
pub use key::{Key, KeyId, KeySecret};
