//! Paces: how long tasks of each type run, and which workers have free slots, as workers said last. They decide only how many
//! pointers share a message, so they may be old or missing.

use std::time::Duration;

use super::{Store, StoreError};
use crate::task::{OwnerId, QueueName, SessionId, TaskName};

/// A column that people read, and that only a worker writes whose tasks run otherwise than it says.
const TELL: &str = "
    UPDATE task_type t SET run_ms = p.run_ms FROM unnest($2::text[], $3::float8[]) AS p(name, run_ms)
    WHERE t.owner_id = $1 AND t.name = p.name";

const SERVED: &str = "
    SELECT s.id, q->>'name', (q->>'slots')::int4, (q->>'busy')::int4 FROM session s, jsonb_array_elements(s.queues) q
    WHERE NOT s.dead AND NOT s.drain";

/// How fast tasks of a type are.
#[derive(Clone, PartialEq, Debug)]
pub struct TypePace {
    /// Which type.
    pub name: TaskName,
    /// Whether it burns CPU.
    pub burns_cpu: bool,
    /// How long an attempt took lately; `None` if nobody has seen one.
    pub run: Option<Duration>,
}

/// A queue as one living session serves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServedQueue {
    /// Whose.
    pub session: SessionId,
    /// Which queue.
    pub queue: QueueName,
    /// Tasks at once.
    pub slots: u32,
    /// Slots that were free at its last beat.
    pub free: u32,
}

impl Store {
    /// The pace of every task type.
    pub async fn type_paces(&self) -> Result<Vec<TypePace>, StoreError> {
        let db = self.connection().await?;
        let query = db.prepare_cached("SELECT name, cpu, run_ms FROM task_type").await?;
        let rows = db.query(&query, &[]).await?;
        rows.iter()
            .map(|row| {
                let (name, run_ms): (&str, Option<f64>) = (row.try_get(0)?, row.try_get(2)?);
                Ok(TypePace {
                    name: name.parse().map_err(|_| StoreError::Data(format!("task name {name:?}")))?,
                    burns_cpu: row.try_get(1)?,
                    run: run_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()),
                })
            })
            .collect()
    }

    /// Every queue of every living session that takes work.
    pub async fn served_queues(&self) -> Result<Vec<ServedQueue>, StoreError> {
        let db = self.connection().await?;
        let query = db.prepare_cached(SERVED).await?;
        let rows = db.query(&query, &[]).await?;
        rows.iter()
            .map(|row| {
                let (name, slots, busy): (&str, i32, i32) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                Ok(ServedQueue {
                    session: SessionId(row.try_get(0)?),
                    queue: name.parse().map_err(|_| StoreError::Data(format!("queue name {name:?}")))?,
                    slots: u32::try_from(slots).unwrap_or(0),
                    free: u32::try_from(slots.saturating_sub(busy)).unwrap_or(0),
                })
            })
            .collect()
    }

    /// Says how long attempts of these types took lately. Lazy: what is lost is said again.
    pub async fn tell_run_times(&self, types: &[(TaskName, Duration)]) -> Result<(), StoreError> {
        let names: Vec<&str> = types.iter().map(|(name, _)| name.as_str()).collect();
        let run_ms: Vec<f64> = types.iter().map(|(_, run)| run.as_secs_f64() * 1000.0).collect();
        let db = self.lazy().await?;
        let tell = db.prepare_cached(TELL).await?;
        db.execute(&tell, &[&OwnerId::LOCAL.0, &names, &run_ms]).await?;
        Ok(())
    }
}
