//! Group commit: one task per kind of write takes whatever waits, writes it as one statement, one commit, and starts
//! again when that returned. No timer: idle, a batch is one request and adds no latency; loaded, batches grow by
//! themselves.
//!
//! Invariants: nobody in a batch hears success before its commit returned; one bad request never fails its neighbours;
//! rows are sorted by id inside every batch, so that two batches can never wait for each other in a circle; a write is
//! never cancelled by its caller, who may stop listening but not tear it in two.

use std::{future::Future, sync::Arc, time::Duration};

use deadpool_postgres::Object;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_postgres::Error as PgError;
use uuid::Uuid;

use super::{
    Store, WriteError,
    connection::Lender,
    error::{Verdict, chain, ends_connection, verdict},
};

/// Rows in one statement; a request that crosses the line still goes in whole.
const ROWS_MAX: usize = 256;
/// Bytes of bodies in one statement.
const BYTES_MAX: usize = 1 << 20;
/// Requests that may wait.
const WAITING_MAX: usize = 8192;
/// Bytes of bodies that may wait, or be written, at once.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// One statement, its commit included; past it the connection is dropped and the outcome unknown.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(25);
/// Deadlocks in a row before a batch gives up.
const ROLLBACKS_MAX: u32 = 3;
/// Between two tries of a batch that must get through.
const PAUSE: Duration = Duration::from_millis(200);

/// One kind of write: the statement, and what to do when nobody knows whether it happened.
pub trait Batched: Send + Sync + 'static {
    /// What is written.
    type Row: Send + Sync;
    /// What each row is told.
    type Answer: Send;
    /// For logs and metrics.
    const NAME: &'static str;
    /// Whether a batch is tried until the database takes it. Then [`write`](Self::write) must be safe to repeat.
    const PERSISTENT: bool;

    /// Rows are written in this order.
    fn key(row: &Self::Row) -> Uuid;

    /// How many rows of the table it stands for.
    fn weight(_row: &Self::Row) -> usize {
        1
    }

    /// Bytes of the row's bodies.
    fn bytes(_row: &Self::Row) -> usize {
        0
    }

    /// Writes all rows as one commit and answers each, in order. `again` is set when an earlier try of the same rows
    /// may have happened.
    fn write(
        &self,
        db: &mut Object,
        rows: &[&Self::Row],
        again: bool,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, PgError>> + Send;
}

struct Request<S: Batched> {
    rows: Vec<S::Row>,
    answer: oneshot::Sender<Result<Vec<S::Answer>, WriteError>>,
    /// What its bodies take of the room, until they are written.
    _room: OwnedSemaphorePermit,
}

/// The door to one group-committing writer. Cheap to clone; the writer ends when the last clone is dropped and
/// everything that waited is written.
pub struct Writer<S: Batched> {
    requests: mpsc::Sender<Request<S>>,
    /// In bytes of bodies.
    room: Arc<Semaphore>,
}

impl<S: Batched> Clone for Writer<S> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone(), room: Arc::clone(&self.room) }
    }
}

impl<S: Batched> Writer<S> {
    /// Starts the writer on the current runtime. It has a connection that nobody else can take.
    pub fn start(store: &Store, statement: S) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let commit = Commit { connection: store.of_writer(S::NAME), statement: Arc::new(statement) };
        tokio::spawn(run(commit, waiting));
        Self { requests, room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)) }
    }

    /// Writes these rows in one commit, together with whatever else waits; answers in their order. Waits for a place
    /// in the queue. Dropping the future leaves the write under way.
    pub async fn write(&self, rows: Vec<S::Row>) -> Result<Vec<S::Answer>, WriteError> {
        let (answer, answered) = oneshot::channel();
        let gone = || WriteError::Unavailable("the writer has stopped".into());
        let room = Arc::clone(&self.room).acquire_many_owned(room_of::<S>(&rows)).await.map_err(|_| gone())?;
        self.requests.send(Request { rows, answer, _room: room }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Like [`write`](Self::write), but refuses at once when too much waits already.
    pub async fn try_write(&self, rows: Vec<S::Row>) -> Result<Vec<S::Answer>, WriteError> {
        let (answer, answered) = oneshot::channel();
        let full = || WriteError::Unavailable("too many writes wait".into());
        let room = Arc::clone(&self.room).try_acquire_many_owned(room_of::<S>(&rows)).map_err(|_| full())?;
        self.requests.try_send(Request { rows, answer, _room: room }).map_err(|_| full())?;
        answered.await.map_err(|_| WriteError::Unavailable("the writer has stopped".into()))?
    }
}

async fn run<S: Batched>(commit: Commit<S>, mut waiting: mpsc::Receiver<Request<S>>) {
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        let (mut rows, mut bytes) = size(&batch);
        while rows < ROWS_MAX && bytes < BYTES_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            batch.push(next);
            let (more_rows, more_bytes) = batch.last().map_or((0, 0), |last| size(std::slice::from_ref(last)));
            rows += more_rows;
            bytes += more_bytes;
        }
        metrics::histogram!("caraway_batch_rows", "write" => S::NAME)
            .record(f64::from(u32::try_from(rows).unwrap_or(0)));
        commit.all(batch).await;
    }
}

/// What these rows take of the room; more than all of it is as good as all.
fn room_of<S: Batched>(rows: &[S::Row]) -> u32 {
    let bytes: usize = rows.iter().map(S::bytes).sum();
    u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX)
}

fn size<S: Batched>(requests: &[Request<S>]) -> (usize, usize) {
    let rows = requests.iter().flat_map(|request| &request.rows);
    rows.fold((0, 0), |(count, bytes), row| (count + S::weight(row), bytes + S::bytes(row)))
}

struct Commit<S> {
    /// Of this writer alone: batches are written one after the other, so one is enough.
    connection: Lender,
    statement: Arc<S>,
}

/// One try of one batch.
enum Tried<A> {
    Written(Vec<A>),
    NotWritten(Verdict, String),
}

impl<S: Batched> Commit<S> {
    /// Writes a batch. Where the database refuses data, or a lock is kept by somebody else, halves it until the request that
    /// it is about stands alone.
    async fn all(&self, batch: Vec<Request<S>>) {
        let mut stack = vec![(batch, false)];
        while let Some((mut batch, again)) = stack.pop() {
            match self.persist(&batch, again).await {
                Ok(answers) => tell(batch, answers),
                Err(WriteError::Refused(_) | WriteError::Contended(_)) if batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    stack.push((rest, true));
                    stack.push((batch, true));
                }
                Err(error) => {
                    tracing::warn!(write = S::NAME, requests = batch.len(), %error, "a batch was not written");
                    for request in batch {
                        let _ = request.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Tries a batch as often as its kind allows. After any failure a part of it may have happened: a write can be more
    /// than one statement.
    async fn persist(&self, batch: &[Request<S>], mut again: bool) -> Result<Vec<Vec<S::Answer>>, WriteError> {
        let mut rollbacks = 0;
        loop {
            let (verdict, text) = match self.once(batch, again).await {
                Tried::Written(answers) => return Ok(deal(batch, answers)),
                Tried::NotWritten(verdict, text) => (verdict, text),
            };
            match verdict {
                Verdict::Refused => return Err(WriteError::Refused(text)),
                Verdict::RolledBack if rollbacks < ROLLBACKS_MAX => {
                    again = true;
                    rollbacks += 1;
                }
                Verdict::Contended if !S::PERSISTENT => return Err(WriteError::Contended(text)),
                Verdict::Unknown if !S::PERSISTENT => return Err(WriteError::Unknown(text)),
                Verdict::NotNow | Verdict::RolledBack if !S::PERSISTENT => return Err(WriteError::Unavailable(text)),
                Verdict::ReadOnly if !S::PERSISTENT => return Err(WriteError::ReadOnly(text)),
                Verdict::Unknown | Verdict::NotNow | Verdict::ReadOnly | Verdict::Contended | Verdict::RolledBack => {
                    again = true;
                    metrics::counter!("caraway_batch_repeats_total", "write" => S::NAME).increment(1);
                    tracing::warn!(write = S::NAME, requests = batch.len(), error = text, "a batch is repeated");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn once(&self, batch: &[Request<S>], again: bool) -> Tried<S::Answer> {
        let mut db = match self.connection.lend().await {
            Ok(db) => db,
            Err(error) if error.is_read_only() => return Tried::NotWritten(Verdict::ReadOnly, error.to_string()),
            Err(error) => return Tried::NotWritten(Verdict::NotNow, error.to_string()),
        };
        let rows = in_order(batch);
        let rows: Vec<&S::Row> = rows.into_iter().map(|(_, row)| row).collect();
        fail::fail_point!(&format!("{}.writing", S::NAME), |_| std::process::abort());
        let written = tokio::time::timeout(COMMIT_TIMEOUT, self.statement.write(&mut db, &rows, again)).await;
        fail::fail_point!(&format!("{}.written", S::NAME), |_| std::process::abort());
        match written {
            Ok(Ok(answers)) => Tried::Written(answers),
            Ok(Err(error)) => {
                if ends_connection(&error) {
                    drop(db.take());
                }
                Tried::NotWritten(verdict(&error), chain(&error))
            }
            Err(_) => {
                drop(db.take()); // its answer would be read by the next statement's caller
                Tried::NotWritten(Verdict::Unknown, "no answer in time".into())
            }
        }
    }
}

/// All rows with the index of their request, sorted.
fn in_order<S: Batched>(batch: &[Request<S>]) -> Vec<(usize, &S::Row)> {
    let mut rows: Vec<_> = batch
        .iter()
        .enumerate()
        .flat_map(|(index, request)| request.rows.iter().map(move |row| (index, row)))
        .collect();
    rows.sort_by_key(|(_, row)| S::key(row)); // stable: equal ids keep their order, so `deal` finds them again
    rows
}

/// Gives each request the answers of its rows, in the order the request had them.
fn deal<S: Batched>(batch: &[Request<S>], answers: Vec<S::Answer>) -> Vec<Vec<S::Answer>> {
    let mut positions: Vec<(usize, usize, Uuid)> = batch
        .iter()
        .enumerate()
        .flat_map(|(request, content)| {
            content.rows.iter().enumerate().map(move |(row, content)| (request, row, S::key(content)))
        })
        .collect();
    positions.sort_by_key(|(_, _, key)| *key);
    let mut placed: Vec<(usize, usize, S::Answer)> =
        positions.into_iter().zip(answers).map(|((request, row, _), answer)| (request, row, answer)).collect();
    placed.sort_by_key(|(request, row, _)| (*request, *row));
    let mut dealt: Vec<Vec<S::Answer>> = batch.iter().map(|request| Vec::with_capacity(request.rows.len())).collect();
    for (request, _, answer) in placed {
        if let Some(answers) = dealt.get_mut(request) {
            answers.push(answer);
        }
    }
    dealt
}

fn tell<S: Batched>(batch: Vec<Request<S>>, answers: Vec<Vec<S::Answer>>) {
    for (request, answers) in batch.into_iter().zip(answers) {
        let _ = request.answer.send(Ok(answers)); // a caller that went away is told nothing
    }
}
