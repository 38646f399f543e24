//! Who may do what, without any I/O: keys, what they are good for, and how much a user may take.
//!
//! Invariants: a key's secret is shown once and kept nowhere; what is kept of it is an HMAC, and the two are compared in
//! constant time; a key that was cut or mistyped is known as such without asking anybody.

mod grant;
mod key;
mod quotas;

pub use grant::{Grant, GrantError, Pattern, Scope};
pub use key::{Key, KeyId, KeySecret};
pub use quotas::Quotas;
