//! The slot: a file that a worker process holds locked for as long as it lives. A restart that gets the lock knows that
//! the last holder is dead, and need not wait for its beat to be missed.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, bail};
use uuid::Uuid;

/// A locked slot file. The lock ends with the process, however it ends (flock(2)).
pub(crate) struct Slot {
    /// What the file says: an id made when it was first used, so that two hosts never mean the same slot.
    pub(crate) id: String,
    #[expect(dead_code, reason = "held for its lock")]
    file: File,
}

impl Slot {
    /// Locks the file, which is made if it is not there. Fails when another process holds it.
    pub(crate) fn lock(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open the slot file {shown}"))?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => bail!("another worker holds the slot file {shown}; give each its own"),
            Err(TryLockError::Error(error)) => return Err(error).context(format!("cannot lock {shown}")),
        }
        let mut id = String::new();
        file.read_to_string(&mut id).with_context(|| format!("cannot read {shown}"))?;
        if id.trim().is_empty() {
            id = Uuid::new_v4().to_string();
            file.write_all(id.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {shown}"))?;
        }
        Ok(Self { id: id.trim().into(), file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_id_stays() {
        let path = std::env::temp_dir().join(format!("caraway-slot-{}", Uuid::new_v4()));
        let first = Slot::lock(&path).unwrap();
        assert!(Slot::lock(&path).is_err());
        let id = first.id.clone();
        drop(first);
        assert_eq!(Slot::lock(&path).unwrap().id, id);
        std::fs::remove_file(path).unwrap();
    }
}
