//! The slot: a file that a worker process holds locked for as long as it lives. A restart that gets the lock knows that
//! the last holders are dead, and need not wait for their beats to be missed, also where the host has another name now, as
//! a container that was made again has.
//!
//! Invariant: every process has an id of its own, which stands in the file before a session bears it. So no two workers
//! ever declare each other dead in turn, not even where somebody has copied the file.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use anyhow::{Context, bail};
use uuid::Uuid;

/// Ids of earlier holders that are kept: the last one, and the one before, in case the last one died before it had a session.
const KEPT: usize = 2;

/// A locked slot file. The lock ends with the process, however it ends (flock(2)).
pub(crate) struct Slot {
    /// This process's id.
    pub(crate) id: String,
    /// Ids of earlier holders of the file, all of which are dead.
    pub(crate) replaces: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "held for its lock"))]
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
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
        let known: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let replaces = known.get(known.len().saturating_sub(KEPT)..).unwrap_or_default().to_vec();
        let id = Uuid::new_v4().to_string();
        write(&mut file, &replaces, &id).with_context(|| format!("cannot write {shown}"))?;
        Ok(Self { id, replaces, file })
    }
}

fn write(file: &mut File, replaces: &[String], id: &str) -> std::io::Result<()> {
    let text = replaces.iter().map(String::as_str).chain([id]).collect::<Vec<_>>().join("\n");
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len().try_into().unwrap_or(u64::MAX))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_the_next_one_knows_the_last_two() {
        let path = std::env::temp_dir().join(format!("caraway-slot-{}", Uuid::new_v4()));
        let mut before: Vec<String> = Vec::new();
        for _ in 0..4 {
            let slot = Slot::lock(&path).unwrap();
            assert!(Slot::lock(&path).is_err());
            assert_eq!(slot.replaces, before[before.len().saturating_sub(KEPT)..]);
            assert!(!before.contains(&slot.id));
            before.push(slot.id);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_copied_file_is_another_slot_from_then_on() {
        let path = std::env::temp_dir().join(format!("caraway-slot-{}", Uuid::new_v4()));
        let copy = path.with_extension("copy");
        drop(Slot::lock(&path).unwrap());
        std::fs::copy(&path, &copy).unwrap();
        let (first, second) = (Slot::lock(&path).unwrap(), Slot::lock(&copy).unwrap());
        assert!(!first.replaces.contains(&second.id) && !second.replaces.contains(&first.id));
        drop((first.file, second.file));
        let (again, other) = (Slot::lock(&path).unwrap(), Slot::lock(&copy).unwrap());
        assert!(!again.replaces.contains(&second.id) && !other.replaces.contains(&first.id));
        for path in [path, copy] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
