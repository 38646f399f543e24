//! Search: which tasks match, the newest first.
//!
//! | by | reads |
//! |---|---|
//! | nothing, queue, name; states with `succeeded` among them | `task_listed`, the newest of each combination of queue and name |
//! | failed, cancelled, expired; error code | `ended` |
//! | scheduled, waiting, queued | `backlog`, or `task_listed` where that is long: then what is queued is among the newest |
//! | running | `hold` |
//! | tag, batch | an index of its own |
//!
//! Invariant: a page reads [`READ_MAX`] rows at most that do not match, whatever the table holds. Where it had to give up it says
//! where the next page goes on.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Found, Search, Sought};
use crate::{
    store::{Store, StoreError, connection::Connection, tasks::backlog::IS_STILL},
    task::{State, TaskId},
};

/// Rows that a page reads at most.
const READ_MAX: i64 = 10_000;
/// So many times more rows are read at once when the last ones were not enough.
const WIDER: i64 = 8;

/// The newest tasks of an owner, `id` and whether each matches. Which combinations of queue and name exist is read along the
/// index, one probe each; then the newest of every one. With many combinations a page of each would be much to read for one page:
/// so first a few of each, which together are a page if there is one, and then only what is not older than the last of that.
const WALK: &str = "
    WITH RECURSIVE part(queue, name) AS (
        SELECT q.name, f.name
        FROM (SELECT DISTINCT name FROM queue WHERE $5::text IS NULL OR name = $5) q
        CROSS JOIN LATERAL (SELECT t.name FROM task_spec t WHERE t.owner_id = $1 AND t.queue = q.name
            ORDER BY t.name LIMIT 1) f
      UNION ALL
        SELECT p.queue, f.name FROM part p
        CROSS JOIN LATERAL (SELECT t.name FROM task_spec t WHERE t.owner_id = $1 AND t.queue = p.queue AND t.name > p.name
            ORDER BY t.name LIMIT 1) f
    ), parts AS MATERIALIZED (
        SELECT * FROM part p WHERE $6::text IS NULL OR p.name = $6
    ), head AS MATERIALIZED (
        SELECT f.id FROM parts p CROSS JOIN LATERAL (
            SELECT t.id FROM task_spec t
            WHERE t.owner_id = $1 AND t.queue = p.queue AND t.name = p.name AND uuid_send(t.id) < uuid_send($2)
                AND uuid_send(t.id) >= uuid_send($3)
            ORDER BY uuid_send(t.id) DESC LIMIT least($4, $4 / (SELECT count(*) FROM parts) + 1)) f
    ), floor AS MATERIALIZED (
        SELECT coalesce((SELECT id FROM head ORDER BY id DESC OFFSET $4 - 1 LIMIT 1), $3) AS id
    ), newest AS MATERIALIZED (
        SELECT f.id FROM parts p CROSS JOIN LATERAL (
            SELECT t.id FROM task_spec t
            WHERE t.owner_id = $1 AND t.queue = p.queue AND t.name = p.name AND uuid_send(t.id) < uuid_send($2)
                AND uuid_send(t.id) >= (SELECT uuid_send(id) FROM floor)
            ORDER BY uuid_send(t.id) DESC LIMIT $4) f
        ORDER BY f.id DESC LIMIT $4
    )
    SELECT n.id, {matches} AS matches FROM newest n ORDER BY n.id DESC";

/// A condition on the tasks `n` of [`WALK`]; `$7` are the states.
const IN_STATES: &str =
    "EXISTS (SELECT FROM task_run r WHERE r.id = n.id AND (r.state = ANY($7::text[]::task_state[])) IS TRUE)";

const NOT_RETRIED: &str = "NOT EXISTS (SELECT FROM task_spec o WHERE o.retry_of = {id})";

/// What ended in one of the states `$7`, `id` and whether each matches.
const ENDED: &str = "
    SELECT n.id, (($5::text IS NULL OR n.queue = $5) AND ($6::text IS NULL OR n.name = $6) AND {matches}) AS matches
    FROM unnest($7::text[]::task_state[]) AS s(state) CROSS JOIN LATERAL (
        SELECT e.id, e.queue, e.name FROM ended e WHERE e.owner_id = $1 AND e.state = s.state AND e.id < $2 AND e.id >= $3
        ORDER BY e.id DESC LIMIT $4) n
    ORDER BY n.id DESC LIMIT $4";

/// What failed with the code `$7`, likewise.
const ENDED_BY_CODE: &str = "
    SELECT n.id, (($5::text IS NULL OR n.queue = $5) AND ($6::text IS NULL OR n.name = $6) AND {matches}) AS matches
    FROM ended n WHERE n.owner_id = $1 AND n.error_code = $7 AND n.error_code <> '' AND n.id < $2 AND n.id >= $3
    ORDER BY n.id DESC LIMIT $4";

/// How many tasks stand in the rows of an owner, counted along no more than `$3` rows.
const BACKLOG_SIZE: &str = "
    SELECT coalesce(sum(cardinality(b.ids)), 0)::int8 + count(*) FILTER (WHERE b.number = $3) * $3 FROM (
        SELECT ids, queue, row_number() OVER () AS number FROM backlog
        WHERE owner_id = $1 AND queued = ANY($2::bool[]) LIMIT $3) b
    WHERE $4::text IS NULL OR b.queue = $4 OR b.number = $3";

/// What has not started and is in one of the states `$7`; all of it that stands in the rows.
const UNSTARTED: &str = "
    SELECT DISTINCT r.id FROM backlog b CROSS JOIN LATERAL unnest(b.ids) AS i(id)
    JOIN task_run r ON r.id = i.id AND {is_still} AND (r.state = ANY($7::text[]::task_state[])) IS TRUE
    WHERE b.owner_id = $1 AND b.queued = ANY($8::bool[]) AND ($5::text IS NULL OR b.queue = $5)
        AND i.id < $2 AND i.id >= $3
        AND ($6::text IS NULL OR EXISTS (SELECT FROM task_spec s WHERE s.id = i.id AND (s.name = $6) IS TRUE))
    ORDER BY r.id DESC LIMIT $4";

const RUNNING: &str = "
    SELECT DISTINCT r.id FROM hold h CROSS JOIN LATERAL unnest(h.ids) AS i(id)
    JOIN task_run r ON r.id = i.id AND (r.state = 'running' AND r.session_id = h.session_id AND r.owner_id = $1) IS TRUE
    JOIN task_spec s ON s.id = i.id AND (($5::text IS NULL OR s.queue = $5) AND ($6::text IS NULL OR s.name = $6)) IS TRUE
    WHERE i.id < $2 AND i.id >= $3
    ORDER BY r.id DESC LIMIT $4";

const BY_TAG: &str = "
    SELECT g.task_id AS id, true AS matches FROM task_tag g
    WHERE g.owner_id = $1 AND g.tag = $5 AND g.task_id < $2 AND g.task_id >= $3
    ORDER BY g.task_id DESC LIMIT $4";

const BY_BATCH: &str = "
    SELECT t.id, true AS matches FROM task_spec t
    WHERE t.owner_id = $1 AND t.batch_id = $5 AND t.id < $2 AND t.id >= $3
    ORDER BY t.id DESC LIMIT $4";

type Parameter<'a> = &'a (dyn ToSql + Sync);

/// Ids in descending order; below `floor`, where there is one, nothing was looked at.
#[derive(Default)]
struct Read {
    ids: Vec<Uuid>,
    floor: Option<Uuid>,
}

impl Store {
    /// The ids of one page.
    pub async fn find_tasks(&self, sought: &Sought) -> Result<Found<TaskId>, StoreError> {
        let db = self.connection().await?;
        // one more tells whether there is another page
        let wanted = usize::try_from(sought.limit).unwrap_or(1);
        let mut read = find(&db, sought, wanted + 1).await?;
        let next = if read.ids.len() > wanted {
            wanted.checked_sub(1).and_then(|last| read.ids.get(last).copied())
        } else {
            read.floor
        };
        read.ids.truncate(wanted);
        Ok(Found { tasks: read.ids.into_iter().map(TaskId).collect(), next })
    }
}

async fn find(db: &Connection, sought: &Sought, wanted: usize) -> Result<Read, StoreError> {
    let of_one = |by: &str| by.to_owned();
    match &sought.search {
        Search::Tag(tag) => windows(db, &of_one(BY_TAG), sought, &[tag], wanted).await,
        Search::Batch(batch) => windows(db, &of_one(BY_BATCH), sought, &[batch], wanted).await,
        Search::Parts { states, queue, name, error_code } => {
            let parts = Parts { db, sought, queue, name, wanted };
            match (error_code, states.as_slice()) {
                (Some(code), states) if states.is_empty() || states.contains(&State::Failed) => {
                    parts.failed(code).await
                }
                (Some(_), _) => Ok(Read::default()),
                (None, []) => parts.all().await,
                (None, states) => parts.in_states(states).await,
            }
        }
    }
}

/// A search by queue and name, and what else its method says.
struct Parts<'a> {
    db: &'a Connection,
    sought: &'a Sought,
    queue: &'a Option<String>,
    name: &'a Option<String>,
    wanted: usize,
}

impl Parts<'_> {
    async fn all(&self) -> Result<Read, StoreError> {
        let walk = WALK.replace("{matches}", &self.unretried("n.id"));
        windows(self.db, &walk, self.sought, &[self.queue, self.name], self.wanted).await
    }

    async fn failed(&self, code: &str) -> Result<Read, StoreError> {
        let ended = ENDED_BY_CODE.replace("{matches}", &self.unretried("n.id"));
        windows(self.db, &ended, self.sought, &[self.queue, self.name, &code], self.wanted).await
    }

    async fn in_states(&self, states: &[State]) -> Result<Read, StoreError> {
        let of = |some: &[State]| -> Vec<&str> {
            states.iter().filter(|state| some.contains(state)).map(|state| state.as_str()).collect()
        };
        let put_aside = of(&[State::Scheduled, State::Waiting]);
        let queued = of(&[State::Queued]);
        let backlogs: Vec<bool> = [(!queued.is_empty()).then_some(true), (!put_aside.is_empty()).then_some(false)]
            .into_iter()
            .flatten()
            .collect();
        if states.contains(&State::Succeeded) || (!backlogs.is_empty() && self.is_long(&backlogs).await?) {
            let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            let matches = format!("({IN_STATES} AND {})", self.unretried("n.id"));
            let walk = WALK.replace("{matches}", &matches);
            return windows(self.db, &walk, self.sought, &[self.queue, self.name, &words], self.wanted).await;
        }
        let mut read = Read::default();
        let ended = of(&[State::Failed, State::Cancelled, State::Expired]);
        if !ended.is_empty() {
            let statement = ENDED.replace("{matches}", &self.unretried("n.id"));
            read = windows(self.db, &statement, self.sought, &[self.queue, self.name, &ended], self.wanted).await?;
        }
        if !backlogs.is_empty() {
            let words: Vec<&str> = put_aside.into_iter().chain(queued).collect();
            let statement = UNSTARTED.replace("{is_still}", IS_STILL);
            read.add(self.ids(&statement, &[&words, &backlogs]).await?);
        }
        if states.contains(&State::Running) {
            read.add(self.ids(RUNNING, &[]).await?);
        }
        Ok(read.sorted(self.wanted))
    }

    /// Whether there is more in the backlog than is read for one page.
    async fn is_long(&self, backlogs: &[bool]) -> Result<bool, StoreError> {
        let size = self.db.prepare_cached(BACKLOG_SIZE).await?;
        let row = self.db.query_one(&size, &[&self.sought.owner.0, &backlogs, &READ_MAX, self.queue]).await?;
        Ok(row.try_get::<_, i64>(0)? > READ_MAX)
    }

    async fn ids(&self, statement: &str, more: &[Parameter<'_>]) -> Result<Vec<Uuid>, StoreError> {
        let limit = i64::try_from(self.wanted).unwrap_or(i64::MAX);
        let Sought { owner, before, from, .. } = self.sought;
        let mut parameters: Vec<Parameter<'_>> = vec![&owner.0, before, from, &limit, self.queue, self.name];
        parameters.extend(more);
        let statement = self.db.prepare_cached(statement).await?;
        self.db.query(&statement, &parameters).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    fn unretried(&self, id: &str) -> String {
        if self.sought.unretried { NOT_RETRIED.replace("{id}", id) } else { "true".into() }
    }
}

impl Read {
    fn add(&mut self, ids: Vec<Uuid>) {
        self.ids.extend(ids);
    }

    /// The newest of all that was added, as far down as every source was looked at.
    fn sorted(mut self, wanted: usize) -> Self {
        self.ids.sort_unstable_by(|one, other| other.cmp(one));
        self.ids.dedup();
        if let Some(floor) = self.floor {
            self.ids.retain(|id| *id >= floor);
        }
        self.ids.truncate(wanted);
        self
    }
}

/// Reads rows of `id` and `matches` from the newest on, in wider and wider windows, until enough of them match. `statement` takes
/// the owner, the window's bounds and its size, and then `rest`.
async fn windows(
    db: &Connection,
    statement: &str,
    sought: &Sought,
    rest: &[Parameter<'_>],
    wanted: usize,
) -> Result<Read, StoreError> {
    let statement = db.prepare_cached(statement).await?;
    let (mut read, mut before, mut rows_read) = (Read::default(), sought.before, 0);
    let mut window = i64::try_from(wanted).unwrap_or(READ_MAX).min(READ_MAX);
    loop {
        let mut parameters: Vec<Parameter<'_>> = vec![&sought.owner.0, &before, &sought.from, &window];
        parameters.extend(rest);
        let rows = db.query(&statement, &parameters).await?;
        let mut last = None;
        for row in &rows {
            let id: Uuid = row.try_get(0)?;
            last = Some(id);
            if read.ids.len() < wanted && row.try_get::<_, bool>(1)? {
                read.ids.push(id);
            }
        }
        let is_end = i64::try_from(rows.len()).is_ok_and(|count| count < window);
        let Some(last) = last.filter(|_| !is_end && read.ids.len() < wanted) else { return Ok(read) };
        rows_read += window;
        if rows_read >= READ_MAX {
            return Ok(Read { floor: Some(last), ..read });
        }
        before = last;
        window = (window * WIDER).min(READ_MAX - rows_read);
    }
}
