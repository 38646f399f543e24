//! What can go wrong with the database, sorted by what the caller may do about it.

use tokio_postgres::error::{Error as PgError, SqlState};

use crate::broken::Rule;

/// A read, or a write that is safe to repeat, did not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or refuses work now; try again later.
    #[error("the database is unavailable: {}", chain(.0.as_ref()))]
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// Others are changing the same thing, and it was not this one's turn in time. Nothing was changed.
    #[error("others are changing it")]
    Contended,
    /// As many edits go on as may, and none ended in time. Nothing was changed.
    #[error("too many edits wait for their turn")]
    Crowded,
    /// The connection ended while the commit was under way: done or not, nobody knows yet.
    #[error("the outcome of the commit is unknown: {}", chain(.0))]
    Unknown(PgError),
    /// The statement itself failed: a bug of ours.
    #[error("a statement failed: {}", chain(.0))]
    Statement(PgError),
    /// What came back is not what the schema promises: a bug of ours, or somebody changed rows by hand.
    #[error("unexpected data: {0}")]
    Data(String),
}

/// A batched write did not work, for this request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written: the database answers, and takes no writes now.
    #[error("the database is read-only: {0}")]
    ReadOnly(String),
    /// The connection ended while the commit was under way: written or not, nobody knows yet.
    #[error("the outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// Nothing was written: somebody else kept a lock that this request wants for too long.
    #[error("somebody else works on this: {0}")]
    Contended(String),
    /// The database refused this request's data, and only this request's.
    #[error("refused: {0}")]
    Refused(String),
}

/// tokio-postgres does not print an error's causes; people need them.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// What an error says about the statement it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The server rolled it back for a passing reason (deadlock, serialization).
    RolledBack,
    /// The server cannot work now, and this statement did not happen.
    NotNow,
    /// Another transaction kept a lock for longer than this statement was to wait; it did not happen.
    Contended,
    /// The server takes no writes now (a standby, or told so), and this statement did not happen.
    ReadOnly,
    /// The connection ended: it may have happened.
    Unknown,
    /// The statement or its data is wrong.
    Refused,
}

pub(super) fn verdict(error: &PgError) -> Verdict {
    let Some(code) = error.code() else {
        return if error.is_closed()
            || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
        {
            Verdict::Unknown
        } else {
            Verdict::Refused
        };
    };
    let class = code.code().get(..2).unwrap_or_default();
    match (class, code) {
        (_, &SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE) => Verdict::RolledBack,
        (_, &SqlState::LOCK_NOT_AVAILABLE) => Verdict::Contended,
        // 57P01–57P05: the server is going down, crashed, or not up yet; the answer of a commit may be lost with it
        ("08", _) | (_, &SqlState::ADMIN_SHUTDOWN | &SqlState::CRASH_SHUTDOWN) => Verdict::Unknown,
        (_, &SqlState::READ_ONLY_SQL_TRANSACTION) => Verdict::ReadOnly,
        // resources, operator intervention, object state, system and I/O errors
        ("53" | "57" | "55" | "58", _) => Verdict::NotNow,
        _ => Verdict::Refused,
    }
}

/// Whether a connection that gave this answer is not worth keeping. One to a server that takes no writes would answer every
/// later write like that, for as long as it lives; one whose server ends it may not have noticed yet.
pub(super) fn ends_connection(error: &PgError) -> bool {
    const SERVER_ENDS_IT: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::DATABASE_DROPPED,
        SqlState::IDLE_SESSION_TIMEOUT,
    ];
    let ends = |code: &SqlState| match *code {
        SqlState::READ_ONLY_SQL_TRANSACTION => !Rule::DropReadOnly.is_broken(),
        _ => SERVER_ENDS_IT.contains(code),
    };
    error.is_closed() || error.code().is_some_and(ends)
}

/// Whether the database refused because it takes no writes: a statement (25006), or a connection that has to be able to
/// write (`target_session_attrs=read-write`), for which tokio-postgres has no code, only these words.
fn takes_no_writes(error: &(dyn std::error::Error + 'static)) -> bool {
    const NO_WRITES: &str = "database does not allow writes";
    let here = match error.downcast_ref::<PgError>() {
        Some(error) => error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
        None => error.downcast_ref::<std::io::Error>().is_some_and(|error| error.to_string() == NO_WRITES),
    };
    here || error.source().is_some_and(takes_no_writes)
}

impl StoreError {
    /// Whether the database answers, and takes no writes now.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Unavailable(error) if takes_no_writes(error.as_ref()))
    }

    /// What an edit that failed means: one that waited too long for a lock is told so.
    pub(super) fn of_edit(error: Self) -> Self {
        let code = match &error {
            Self::Unavailable(cause) => cause.downcast_ref().and_then(PgError::code),
            Self::Contended | Self::Crowded | Self::Unknown(_) | Self::Statement(_) | Self::Data(_) => None,
        };
        if code == Some(&SqlState::LOCK_NOT_AVAILABLE) { Self::Contended } else { error }
    }

    /// What a commit that failed means.
    pub(super) fn of_commit(error: PgError) -> Self {
        if verdict(&error) == Verdict::Unknown { Self::Unknown(error) } else { error.into() }
    }
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        match verdict(&error) {
            Verdict::Refused => Self::Statement(error),
            Verdict::RolledBack | Verdict::NotNow | Verdict::ReadOnly | Verdict::Contended | Verdict::Unknown => {
                Self::Unavailable(Box::new(error))
            }
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Unavailable(_) if error.is_read_only() => Self::ReadOnly(text),
            StoreError::Unavailable(_) | StoreError::Crowded => Self::Unavailable(text),
            StoreError::Contended => Self::Contended(text),
            StoreError::Unknown(_) => Self::Unknown(text),
            StoreError::Statement(_) | StoreError::Data(_) => Self::Refused(text),
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
