//! Progress: the last thing a handler said of itself, written lazily and only while it runs under its epoch. Its very
//! last word comes with its outcome (`record.rs`), so none that is late can take its place.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    store::{Store, StoreError},
    task::{Epoch, TaskId},
};

const WRITE: &str = "
    UPDATE task_run t SET progress = p.progress, version = t.version + 1
    FROM unnest($1::uuid[], $2::int4[], $3::text[]) AS p(id, epoch, progress)
    WHERE t.id = p.id AND (t.epoch = p.epoch AND t.state = 'running') IS TRUE";

impl Store {
    /// Writes what these tasks said last.
    pub async fn write_progress(&self, mut said: Vec<(TaskId, Epoch, Box<RawValue>)>) -> Result<(), StoreError> {
        said.sort_by_key(|(id, ..)| *id);
        let ids: Vec<Uuid> = said.iter().map(|(id, ..)| id.0).collect();
        let epochs: Vec<i32> = said.iter().map(|(_, epoch, _)| epoch.0).collect();
        let values: Vec<&str> = said.iter().map(|(.., value)| value.get()).collect();
        let db = self.lazy().await?;
        let write = db.prepare_cached(WRITE).await?;
        db.execute(&write, &[&ids, &epochs, &values]).await?;
        Ok(())
    }
}
