//! Processor time, memory and steal, from `/proc`.
//!
//! A process counts with everything below it, what has ended there included: PostgreSQL's backends and Celery's pool are
//! processes. What the machine did beside all of ours is reported as `others`, because on a shared machine a figure
//! without it says little.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::Instant,
};

use anyhow::Context as _;

use crate::{numbers::real, program::Program};

/// What `/proc` counts time in (`man 5 proc`; 100 on every Linux that we know).
const TICKS_PER_SECOND: f64 = 100.0;
const KILOBYTES_PER_MEGABYTE: f64 = 1024.0;

/// Named roots of process trees; a name may have several.
#[derive(Clone, Default)]
pub(crate) struct Watched(Vec<(String, u32, Depth)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Tree,
    /// The generator: what it started is watched under other names.
    Alone,
}

impl Watched {
    pub(crate) fn with(mut self, name: &str, root: u32) -> Self {
        self.0.push((name.into(), root, Depth::Tree));
        self
    }

    /// One that has ended is left out.
    pub(crate) fn with_program(self, program: &Program) -> Self {
        match program.id() {
            Some(id) => self.with(&program.name, id),
            None => self,
        }
    }

    pub(crate) fn with_myself(mut self, name: &str) -> Self {
        self.0.push((name.into(), std::process::id(), Depth::Alone));
        self
    }

    /// Begins to watch.
    pub(crate) fn begin(&self) -> anyhow::Result<Watch> {
        Ok(Watch { watched: self.clone(), since: Instant::now(), before: self.look()? })
    }

    /// Megabytes in memory by name: each page divided among those that share it.
    pub(crate) fn memory_mb(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let all = processes()?;
        let mut memory = BTreeMap::new();
        for (name, root, depth) in &self.0 {
            let kilobytes: u64 = members(&all, *root, *depth).iter().filter_map(|pid| proportional_kb(*pid)).sum();
            *memory.entry(name.clone()).or_insert(0.0) += real(kilobytes) / KILOBYTES_PER_MEGABYTE;
        }
        Ok(memory)
    }

    fn look(&self) -> anyhow::Result<Look> {
        let (all, machine) = (processes()?, Machine::look()?);
        let mut ticks = BTreeMap::new();
        for (name, root, depth) in &self.0 {
            let of_all = members(&all, *root, *depth);
            let spent = of_all.iter().filter_map(|pid| all.get(pid)).map(|process| match depth {
                Depth::Tree => process.own + process.ended_children,
                Depth::Alone => process.own,
            });
            *ticks.entry(name.clone()).or_insert(0) += spent.sum::<u64>();
        }
        Ok(Look { ticks, machine })
    }
}

struct Look {
    ticks: BTreeMap<String, u64>,
    machine: Machine,
}

/// A span of time that is watched.
pub(crate) struct Watch {
    watched: Watched,
    since: Instant,
    before: Look,
}

/// What was seen in it.
pub(crate) struct Seen {
    /// Cores by process.
    pub(crate) cpu: BTreeMap<String, f64>,
    /// The share of the machine's processor time that the hypervisor gave to others.
    pub(crate) steal: f64,
}

impl Watch {
    pub(crate) fn end(&self) -> anyhow::Result<Seen> {
        let (after, seconds) = (self.watched.look()?, self.since.elapsed().as_secs_f64().max(0.001));
        let cores = |ticks: u64| real(ticks) / TICKS_PER_SECOND / seconds;
        let spent = |name: &str, now: u64| now.saturating_sub(self.before.ticks.get(name).copied().unwrap_or(0));
        let mut cpu: BTreeMap<String, f64> =
            after.ticks.iter().map(|(name, now)| (name.clone(), cores(spent(name, *now)))).collect();
        let ours: f64 = cpu.values().sum();
        let (busy, all, stolen) = after.machine.since(&self.before.machine);
        cpu.insert("others".into(), (cores(busy) - ours).max(0.0));
        Ok(Seen { cpu, steal: if all == 0 { 0.0 } else { real(stolen) / real(all) } })
    }
}

/// The machine's own account, in ticks since it started.
struct Machine {
    busy: u64,
    idle: u64,
    stolen: u64,
}

impl Machine {
    fn look() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("/proc/stat is empty")?;
        let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
        let at = |index: usize| fields.get(index).copied().unwrap_or(0);
        // user, nice, system, irq and softirq; idle and iowait; guests are in user already
        Ok(Self { busy: at(0) + at(1) + at(2) + at(5) + at(6), idle: at(3) + at(4), stolen: at(7) })
    }

    /// Busy, all and stolen ticks.
    fn since(&self, before: &Self) -> (u64, u64, u64) {
        let busy = self.busy.saturating_sub(before.busy);
        let stolen = self.stolen.saturating_sub(before.stolen);
        (busy, busy + stolen + self.idle.saturating_sub(before.idle), stolen)
    }
}

struct Process {
    parent: u32,
    own: u64,
    ended_children: u64,
}

fn processes() -> anyhow::Result<HashMap<u32, Process>> {
    let entries = fs::read_dir("/proc")?.filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // one that ended in between is not there
    Ok(pids
        .filter_map(|pid| Some((pid, Process::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect())
}

impl Process {
    /// The second field is the program's name in brackets, and may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            ended_children: ticks(13)? + ticks(14)?,
        })
    }
}

/// How long this process has run on a processor, in nanoseconds.
pub(crate) fn run_time(pid: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    text.split(' ').next().and_then(|time| time.parse().ok()).with_context(|| format!("{file} holds no time"))
}

fn members(all: &HashMap<u32, Process>, root: u32, depth: Depth) -> Vec<u32> {
    let mut found = vec![root];
    let mut looked = 0;
    while depth == Depth::Tree && looked < found.len() {
        let parent = found.get(looked).copied().unwrap_or(root);
        found.extend(all.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| *pid));
        looked += 1;
    }
    found
}

fn proportional_kb(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1";
        let process = Process::parse(stat).unwrap();
        assert_eq!((process.parent, process.own, process.ended_children), (3, 110, 15));
    }

    #[test]
    fn work_of_this_process_is_seen() {
        let watch = Watched::default().with_myself("me").begin().unwrap();
        let until = Instant::now() + std::time::Duration::from_millis(200);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let seen = watch.end().unwrap();
        assert!(seen.cpu["me"] > 0.1, "{:?}", seen.cpu);
        assert!(Watched::default().with_myself("me").memory_mb().unwrap()["me"] > 0.1);
    }
}
