//! What a key is good for: scopes, on queues.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::glob;

/// Stars in one pattern: the time of a match grows with a power of them.
const STARS_MAX: usize = 3;

/// A kind of action.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyScope)]
pub enum Scope {
    /// Make tasks; store and delete items.
    Submit,
    /// See tasks, results, items, and what exists.
    Read,
    /// Stop tasks.
    Cancel,
    /// Everything that its user may do, keys included. Of user 1, the operator, also other users and their keys.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Submit, Self::Read, Self::Cancel, Self::Admin];

    /// The name used in the database and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Cancel => "cancel",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What cannot be granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GrantError {
    /// No such scope.
    #[error("must be submit, read, cancel or admin")]
    Scope,
    /// No such pattern.
    #[error("must be 1 to 128 letters, digits, '_', '.', '-', and up to three '*', which stand for anything")]
    Pattern,
    /// A key without any scope is good for nothing.
    #[error("a key needs at least one scope")]
    Empty,
    /// Whoever may make keys could make one for all queues.
    #[error("the scope admin goes with all queues, and with no pattern")]
    AdminOfSome,
}

impl FromStr for Scope {
    type Err = GrantError;

    fn from_str(name: &str) -> Result<Self, GrantError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name).ok_or(GrantError::Scope)
    }
}

/// A glob over names of queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*".contains(&byte);
        let stars = text.bytes().filter(|byte| *byte == b'*').count();
        let is_pattern = (1..=128).contains(&text.len()) && stars <= STARS_MAX && text.bytes().all(good);
        if is_pattern { Ok(Self(text.into())) } else { Err(GrantError::Pattern) }
    }
}

/// Scopes, on the queues that match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    scopes: Vec<Scope>,
    queues: Vec<Pattern>,
}

impl Grant {
    /// Patterns that one key may have.
    pub const PATTERNS_MAX: usize = 20;

    /// These scopes, on queues that match one of the patterns; without any pattern, on all.
    pub fn new(mut scopes: Vec<Scope>, queues: Vec<Pattern>) -> Result<Self, GrantError> {
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(GrantError::Empty);
        }
        if scopes.contains(&Scope::Admin) && !queues.is_empty() {
            return Err(GrantError::AdminOfSome);
        }
        Ok(Self { scopes, queues })
    }

    /// Everything.
    pub fn all() -> Self {
        Self { scopes: vec![Scope::Admin], queues: Vec::new() }
    }

    /// The scopes, each once.
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The patterns; none where it is good for all queues.
    pub fn queues(&self) -> &[Pattern] {
        &self.queues
    }

    /// Whether it has this scope. `admin` has all.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether it is good for this queue.
    pub fn covers(&self, queue: &str) -> bool {
        self.covers_all() || self.queues.iter().any(|pattern| glob(&pattern.0, queue))
    }

    /// Whether it is good for every queue.
    pub fn covers_all(&self) -> bool {
        self.queues.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(scopes: &[Scope], queues: &[&str]) -> Result<Grant, GrantError> {
        Grant::new(scopes.to_vec(), queues.iter().map(|queue| queue.parse().unwrap()).collect())
    }

    #[test]
    fn scopes_on_queues() {
        let some = grant(&[Scope::Submit], &["mail.*", "images"]).unwrap();
        assert!(some.has(Scope::Submit) && !some.has(Scope::Read) && !some.has(Scope::Admin));
        assert!(some.covers("mail.out") && some.covers("images") && !some.covers("images2") && !some.covers("default"));
        let admin = grant(&[Scope::Admin], &[]).unwrap();
        assert!(Scope::ALL.into_iter().all(|scope| admin.has(scope)) && admin.covers("any"));
    }

    #[test]
    fn what_cannot_be_granted() {
        assert_eq!(grant(&[], &[]), Err(GrantError::Empty));
        assert_eq!(grant(&[Scope::Admin], &["a*"]), Err(GrantError::AdminOfSome));
        assert_eq!("root".parse::<Scope>(), Err(GrantError::Scope));
        for bad in ["", "a b", "ä", "a\0", "****", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Pattern>(), Err(GrantError::Pattern), "{bad}");
        }
    }
}
