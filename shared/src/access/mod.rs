//! Who may do what, and how much, without any I/O: keys, what they are good for, quotas.
//!
//! Invariants: a key's secret is shown once and kept nowhere; what is kept of it is an HMAC, and the two are compared in
//! constant time; a key that was cut or mistyped is known as such without asking anybody.

mod grant;
mod key;
mod pace;
mod quotas;

pub use grant::{Grant, GrantError, Pattern, Scope};
pub use key::{Key, KeyId, KeySecret};
pub use pace::{Pace, Rate};
pub use quotas::{QuotaChange, Quotas};
