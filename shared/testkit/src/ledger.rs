//! The execution ledger: one line for every start and every end of a run, written by the handlers themselves into a file
//! outside the system under test. How often a task ran is counted there, and not in our own tables.
//!
//! A line: `task epoch start|end monotonic_ms pid`.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use caraway_worker::Context;
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// The file. All processes of a test write the same one.
pub struct Ledger {
    path: PathBuf,
}

/// A run that has begun.
pub struct Run {
    task: Uuid,
    epoch: i32,
    file: File,
}

/// One run, as the ledger tells it. Times are of the machine's monotonic clock, the same for all processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Execution {
    /// The claim that it ran under.
    pub epoch: i32,
    /// The process.
    pub pid: u32,
    /// Its start, milliseconds.
    pub start_ms: u64,
    /// Its end, unless it never came to that.
    pub end_ms: Option<u64>,
}

impl Ledger {
    /// The variable that names the file to a ledger worker.
    pub const VARIABLE: &'static str = "CARAWAY_LEDGER";

    /// The ledger in that file, which need not be there yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that a run began. One `write` in append mode: lines of several processes never mix.
    pub fn begin(&self, context: &Context) -> io::Result<Run> {
        let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        let mut run = Run { task: context.task_id().0, epoch: context.epoch().0, file };
        run.write("start")?;
        Ok(run)
    }

    /// Every run of every task.
    pub fn read(&self) -> BTreeMap<Uuid, Vec<Execution>> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let mut tasks: BTreeMap<Uuid, Vec<Execution>> = BTreeMap::new();
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        for line in whole.lines() {
            let read = enter(&mut tasks, line);
            assert!(read.is_some(), "{}: not a line of a ledger: {line:?}", self.path.display());
        }
        tasks
    }
}

impl Run {
    /// Writes that it ended.
    pub fn end(mut self) -> io::Result<()> {
        self.write("end")
    }

    fn write(&mut self, word: &str) -> io::Result<()> {
        let line = format!("{} {} {word} {} {}\n", self.task, self.epoch, monotonic_ms(), process::id());
        self.file.write_all(line.as_bytes())
    }
}

impl Execution {
    /// Whether both ran at the same time, as far as is known.
    pub fn overlaps(&self, other: &Self) -> bool {
        let before = |one: &Self, two: &Self| one.end_ms.is_none_or(|end| end <= two.start_ms);
        !before(self, other) && !before(other, self)
    }
}

fn enter(tasks: &mut BTreeMap<Uuid, Vec<Execution>>, line: &str) -> Option<()> {
    let mut words = line.split(' ');
    let task = words.next()?.parse().ok()?;
    let epoch = words.next()?.parse().ok()?;
    let word = words.next()?;
    let ms = words.next()?.parse().ok()?;
    let pid = words.next()?.parse().ok()?;
    let runs = tasks.entry(task).or_default();
    if word == "start" {
        runs.push(Execution { epoch, pid, start_ms: ms, end_ms: None });
    } else {
        runs.iter_mut().find(|run| (run.epoch, run.pid) == (epoch, pid))?.end_ms = Some(ms);
    }
    Some(())
}

fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_runs_and_overlaps() {
        let path = std::env::temp_dir().join(format!("caraway-ledger-{}", Uuid::new_v4()));
        let task = Uuid::from_u128(7);
        let lines = [
            (1, "start", 10, 100),
            (2, "start", 30, 200),
            (1, "end", 40, 100),
            (2, "end", 50, 200),
            (3, "start", 60, 300),
        ];
        let lines = lines.map(|(epoch, word, ms, pid)| format!("{task} {epoch} {word} {ms} {pid}\n"));
        std::fs::write(&path, lines.concat()).unwrap();
        let runs = Ledger::at(&path).read().remove(&task).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(
            runs.iter().map(|run| (run.start_ms, run.end_ms)).collect::<Vec<_>>(),
            [(10, Some(40)), (30, Some(50)), (60, None)]
        );
        assert!(runs[0].overlaps(&runs[1]) && !runs[1].overlaps(&runs[2]) && !runs[2].overlaps(&runs[0]));
    }
}
