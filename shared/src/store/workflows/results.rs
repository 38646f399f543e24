//! Results: read in pieces, so that nobody ever holds those of a whole workflow.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::Row;
use uuid::Uuid;

use super::Member;
use crate::{
    store::{Store, StoreError},
    task::State,
    workflow::{Ended, RESOLVED_BYTES_MAX, result_entry},
};

/// As many nodes as have [`PIECE_BYTES_MAX`] together, and at least one.
const PIECE: &str = "
    WITH sized AS MATERIALIZED (
        SELECT s.node, s.task_id, sum(s.bytes) OVER (ORDER BY s.node) - s.bytes AS before FROM (
            SELECT n.node, n.task_id, coalesce(octet_length(t.result), octet_length(t.error), 0) AS bytes
            FROM workflow_node n LEFT JOIN task_run t ON t.id = n.task_id
            WHERE n.workflow_id = $1 AND n.node >= $2 ORDER BY n.node LIMIT $3) s
    )
    SELECT s.node, t.state::text, t.result, t.error FROM sized s LEFT JOIN task_run t ON t.id = s.task_id
    WHERE s.before < $4 ORDER BY s.node";

/// How large the results of all dependencies are together.
const SIZE: &str = "
    SELECT coalesce(sum(coalesce(octet_length(t.result), octet_length(t.error), 8)), 0)
    FROM workflow_node b CROSS JOIN LATERAL unnest(b.depends_on) AS d(node)
    JOIN workflow_node n ON n.workflow_id = b.workflow_id AND n.node = d.node
    LEFT JOIN task_run t ON t.id = n.task_id
    WHERE b.workflow_id = $1 AND b.node = $2 AND ($3::text[] IS NULL OR n.key = ANY($3))";

const DEPENDENCIES: &str = "
    SELECT n.key, t.state::text, t.result, t.error
    FROM workflow_node b CROSS JOIN LATERAL unnest(b.depends_on) WITH ORDINALITY AS d(node, place)
    JOIN workflow_node n ON n.workflow_id = b.workflow_id AND n.node = d.node
    LEFT JOIN task_run t ON t.id = n.task_id
    WHERE b.workflow_id = $1 AND b.node = $2 AND ($3::text[] IS NULL OR n.key = ANY($3)) ORDER BY d.place";

const PIECE_ROWS_MAX: i64 = 500;
const PIECE_BYTES_MAX: i64 = 512 << 10;
/// What single references may read together, before their paths choose what is wanted of it.
const REFERRED_BYTES_MAX: i64 = 16 << 20;

/// What stands for a node in the list of results.
#[derive(Debug)]
pub struct NodeResult {
    /// Its place.
    pub node: i32,
    /// JSON.
    pub entry: Bytes,
}

/// What a node's dependencies have left, as far as it was asked for.
#[derive(Debug)]
pub enum Left {
    /// By key, and the list of all their results.
    These(HashMap<String, Ended>, Option<String>),
    /// Together it is too large.
    TooLarge,
}

impl Store {
    /// The next results of a workflow that is known to be the owner's, from this place on; none at its end. About a MiB at
    /// most, and one result at least.
    pub async fn workflow_results(&self, id: Uuid, from: i32) -> Result<Vec<NodeResult>, StoreError> {
        let db = self.lookup().await?;
        let piece = db.prepare_cached(PIECE).await?;
        let rows = db.query(&piece, &[&id, &from, &PIECE_ROWS_MAX, &PIECE_BYTES_MAX]).await?;
        let read = |row: &Row| Ok(NodeResult { node: row.try_get("node")?, entry: entry(row)? });
        rows.iter().map(read).collect()
    }

    /// What the dependencies with these keys have left, and with `all` the list of the results of all.
    pub async fn dependencies(&self, of: Member, keys: &[String], all: bool) -> Result<Left, StoreError> {
        let (workflow, node) = (of.workflow, of.node);
        let db = self.lookup().await?;
        let (size, see) = (db.prepare_cached(SIZE).await?, db.prepare_cached(DEPENDENCIES).await?);
        let is_over = async |keys: Option<&[String]>, most: i64| -> Result<bool, StoreError> {
            let bytes: i64 = db.query_one(&size, &[&workflow, &node, &keys]).await?.try_get(0)?;
            Ok(bytes > most)
        };
        let all_max = i64::try_from(RESOLVED_BYTES_MAX).unwrap_or(i64::MAX);
        if is_over(Some(keys), REFERRED_BYTES_MAX).await? || (all && is_over(None, all_max).await?) {
            return Ok(Left::TooLarge);
        }
        let mut by_key = HashMap::new();
        for row in db.query(&see, &[&workflow, &node, &Some(keys)]).await? {
            by_key.insert(row.try_get("key")?, ended(&row)?);
        }
        let mut list = None;
        if all {
            let everybody: Option<&[String]> = None;
            let rows = db.query(&see, &[&workflow, &node, &everybody]).await?;
            let entries: Vec<Bytes> = rows.iter().map(entry).collect::<Result<_, _>>()?;
            list = Some(joined(&entries)?);
        }
        Ok(Left::These(by_key, list))
    }
}

fn joined(entries: &[Bytes]) -> Result<String, StoreError> {
    let mut list = String::from("[");
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            list.push(',');
        }
        list.push_str(str::from_utf8(entry).map_err(|error| StoreError::Data(error.to_string()))?);
    }
    list.push(']');
    Ok(list)
}

fn entry(row: &Row) -> Result<Bytes, StoreError> {
    let ended = ended(row)?;
    Ok(result_entry(ended.state, ended.result.as_deref(), ended.error.as_deref()).into_owned().into())
}

/// One whose task is no more has left nothing.
fn ended(row: &Row) -> Result<Ended, StoreError> {
    let state: Option<&str> = row.try_get("state")?;
    let state =
        state.unwrap_or(State::Expired.as_str()).parse().map_err(|_| StoreError::Data("a node's state".into()))?;
    let bytes = |column: &str| -> Result<Option<Bytes>, StoreError> {
        Ok(row.try_get::<_, Option<Vec<u8>>>(column)?.map(Bytes::from))
    };
    Ok(Ended { state, result: bytes("result")?, error: bytes("error")? })
}
