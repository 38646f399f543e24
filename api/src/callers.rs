//! Who asks. Every live key is kept in memory, because every request asks; nothing but the database is asked for them, so
//! Redis may be away.
//!
//! Invariants: what is older than [`LIFE`] lets nobody in, so a revoked key is refused by then whatever is slow; a key that
//! is not known is refused only by a read that began after the question, so a new key works at once; such reads are shared,
//! so that strangers cannot load the database; an installation that ever had a key is never open.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use actix_web::http::header::{self, HeaderMap};
use caraway_shared::{
    access::{Grant, Key, KeyId, KeySecret, Quotas, Scope},
    store::{Access, AuditAction, AuditOrder, LiveKey, Store, StoreError},
    task::OwnerId,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    open_door::OpenDoor,
    problem::{Code, Problem},
    routes::users::user_not_found,
    shared_read::SharedRead,
};

/// How old the memory is at most while the database answers.
const REFRESH_EVERY: Duration = Duration::from_secs(4);
/// How old it may get when the database does not.
const LIFE: Duration = Duration::from_secs(15);
/// Unknown keys make it read at most this often.
const READ_EVERY: Duration = Duration::from_millis(200);

/// Between two tries of the first read.
const PAUSE: Duration = Duration::from_secs(1);

/// On whose behalf a request acts, and what it may do.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The user who owns what is asked for and made.
    pub(crate) owner: OwnerId,
    /// How much that user may take.
    pub(crate) quotas: Quotas,
    /// None on an open installation.
    key: Option<(KeyId, Arc<LiveKey>)>,
}

impl Caller {
    /// An order of this caller's about an object of `owner`, for the audit log.
    pub(crate) fn order(&self, owner: OwnerId, action: AuditAction, object: &(impl ToString + ?Sized)) -> AuditOrder {
        let key = self.key.as_ref().map(|(id, _)| *id);
        AuditOrder { user: self.owner, key, owner, action, object: object.to_string(), reason: None, detail: None }
    }

    /// Whose objects are meant: the caller's own, where nobody else is named; somebody else's for the operator alone.
    pub(crate) fn whose(&self, named: Option<OwnerId>) -> Result<OwnerId, Problem> {
        let owner = named.unwrap_or(self.owner);
        if owner == self.owner || self.is_operator() { Ok(owner) } else { Err(user_not_found()) }
    }

    /// Whether it has this scope.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.key.as_ref().is_none_or(|(_, key)| key.grant.has(scope))
    }

    /// Whether it needs no key, because there is none.
    pub(crate) fn is_open(&self) -> bool {
        self.key.is_none()
    }

    /// Whether it runs the installation: user 1 with the scope `admin`.
    pub(crate) fn is_operator(&self) -> bool {
        self.owner == OwnerId::LOCAL && self.has(Scope::Admin)
    }

    /// Whether it is good for every queue.
    pub(crate) fn covers_all(&self) -> bool {
        self.key.as_ref().is_none_or(|(_, key)| key.grant.covers_all())
    }

    /// What it may touch, where that is not everything.
    pub(crate) fn restriction(&self) -> Option<Grant> {
        self.key.as_ref().map(|(_, key)| &key.grant).filter(|grant| !grant.covers_all()).cloned()
    }

    /// That it is good for this queue, or the problem that it is not.
    pub(crate) fn covers(&self, queue: &str) -> Result<(), Problem> {
        if self.key.as_ref().is_none_or(|(_, key)| key.grant.covers(queue)) {
            return Ok(());
        }
        Err(Problem::new(Code::QueueForbidden, format!("this key is not for the queue {queue}")).with("queue", queue))
    }
}

/// The keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Callers {
    store: Store,
    /// Whom an installation without keys serves; none where strangers could come.
    door: Option<Arc<OpenDoor>>,
    memory: Arc<watch::Sender<Memory>>,
    reads: Arc<SharedRead<()>>,
    used: Arc<Lock<HashSet<KeyId>>>,
}

#[derive(Default)]
struct Memory {
    access: Access,
    secret: Option<KeySecret>,
    /// When the read of it began.
    as_of: Option<Instant>,
}

/// What the memory says of a key.
enum Verdict {
    Known(Caller),
    /// Its secret is wrong.
    Wrong,
    /// There is none of this id, as far as is known.
    Unknown,
    /// What is known is too old.
    Stale,
}

impl Callers {
    /// Knows nobody yet.
    pub(crate) fn new(store: Store, door: Option<OpenDoor>) -> Self {
        let (memory, reads) = (watch::Sender::new(Memory::default()), SharedRead::new(READ_EVERY));
        Self { store, door: door.map(Arc::new), memory: Arc::new(memory), reads: Arc::new(reads), used: Arc::default() }
    }

    /// Reads for the first time, for as long as that takes. An error where nobody could ever be let in: without keys, where strangers could come.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        while let Err(problem) = self.read_since(Instant::now()).await {
            tracing::warn!(%problem, cause = problem.cause(), "the API keys cannot be read yet");
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::ensure!(
            self.door.is_some() || self.memory.borrow().access.has_keys,
            "this address can be reached from other machines, and there is no API key: make one with `api keys create --name \
             first --scope admin`, bind to 127.0.0.1, or give --insecure-open (CARAWAY_INSECURE_OPEN=true) if your network \
             keeps others out"
        );
        Ok(())
    }

    /// Reads now and then until shutdown, and writes down which keys were used.
    pub(crate) async fn keep_fresh(self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(REFRESH_EVERY);
        while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
            if let Err(problem) = self.read_since(Instant::now()).await {
                tracing::warn!(%problem, cause = problem.cause(), "the API keys cannot be read");
                continue;
            }
            let used: Vec<KeyId> = self.lock_used().drain().collect();
            if !used.is_empty()
                && let Err(error) = self.store.keys_used(&used).await
            {
                tracing::warn!(%error, "which keys were used cannot be written");
            }
        }
    }

    /// Who sent these headers.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        if let Some((local, door)) = self.local() {
            return door.admit(headers).map(|()| local);
        }
        let key = presented(headers).ok_or_else(unauthorized)?;
        let mut verdict = self.judge(&key);
        // a wrong secret waits as long as an unknown id, so that time does not tell which ids exist
        if !matches!(verdict, Verdict::Known(_)) {
            self.read_since(Instant::now()).await?;
            verdict = self.judge(&key);
        }
        match verdict {
            Verdict::Known(caller) => {
                self.lock_used().insert(key.id);
                Ok(caller)
            }
            Verdict::Wrong | Verdict::Unknown | Verdict::Stale => Err(unauthorized()),
        }
    }

    /// Returns when a read that began after `asked` is done, whoever did it.
    pub(crate) async fn read_since(&self, asked: Instant) -> Result<(), Problem> {
        Ok(self.reads.since(asked, async { self.read(Instant::now()).await }).await?)
    }

    /// Returns when this caller's key is known to be good no more.
    pub(crate) async fn until_gone(&self, caller: &Caller) {
        let Some((id, _)) = &caller.key else { return std::future::pending().await };
        // the sender is ours, so this ends with the key and not before
        let _ = self.memory.subscribe().wait_for(|memory| !memory.access.keys.contains_key(id)).await;
    }

    /// How many processes serve this API, as far as is known.
    pub(crate) fn processes(&self) -> u32 {
        self.memory.borrow().access.processes.max(1)
    }

    /// Who asks on an open installation: the local user, who may do everything; and whom its door lets in.
    fn local(&self) -> Option<(Caller, &OpenDoor)> {
        let memory = self.memory.borrow();
        let door = self.door.as_deref().filter(|_| memory.as_of.is_some() && !memory.access.has_keys)?;
        Some((Caller { owner: OwnerId::LOCAL, quotas: memory.access.local, key: None }, door))
    }

    fn judge(&self, key: &Key) -> Verdict {
        let memory = self.memory.borrow();
        if memory.as_of.is_none_or(|as_of| as_of.elapsed() > LIFE) {
            return Verdict::Stale;
        }
        match (memory.access.keys.get(&key.id), &memory.secret) {
            (Some(live), Some(secret)) if key.is(&live.hmac, secret) => {
                Verdict::Known(Caller { owner: live.owner, quotas: live.quotas, key: Some((key.id, Arc::clone(live))) })
            }
            (Some(_), Some(_)) => Verdict::Wrong,
            _ => Verdict::Unknown,
        }
    }

    async fn read(&self, began: Instant) -> Result<(), StoreError> {
        let access = self.store.access().await?;
        let known = self.memory.borrow().secret.clone();
        let secret = match known {
            Some(secret) => secret,
            None => self.store.key_secret().await?,
        };
        self.memory.send_replace(Memory { access, secret: Some(secret), as_of: Some(began) });
        Ok(())
    }

    fn lock_used(&self) -> std::sync::MutexGuard<'_, HashSet<KeyId>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `Authorization: Bearer cwy_…`, once.
fn presented(headers: &HeaderMap) -> Option<Key> {
    let mut values = headers.get_all(header::AUTHORIZATION);
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Key::parse(key.trim()))?
}

/// Whatever is wrong with a key, the answer is the same.
pub(crate) fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "send a valid API key as Authorization: Bearer cwy_…")
}
