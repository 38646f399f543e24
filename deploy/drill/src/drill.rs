//! One drill: load, a fault in the middle of it, heal, quiesce, check.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use anyhow::Context as _;
use caraway_testkit::{Stack, repository};
use futures::FutureExt as _;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::{
    check::{Figures, Finding, Invariant, check, figures},
    client::Http,
    clock::now_ms,
    fault::Fault,
    history::History,
    load::Load,
    outcome::{Mark, Outcome},
    samples::Sampler,
    tasks::{Mix, Plan},
    timeline::timeline,
    world::{Setup, World, until},
};

/// Accepted, and ended, before a fault may hit.
const WARM: (u64, i64) = (120, 60);
/// The load goes on so long after the heal.
const AFTER_HEAL: Duration = Duration::from_secs(4);
/// From the end of the load until everything must have ended: an audit's minute, a lease, and a backlog.
const QUIESCE: Duration = Duration::from_mins(3);
/// How long it is waited for work to go on, whatever was promised.
const RECOVERY_MAX: Duration = Duration::from_mins(2);
/// Documents that are read again at the end.
const READ_AGAIN: usize = 60;

/// A drill under way, as a fault sees it.
pub(crate) struct Drill {
    pub(crate) world: Arc<World>,
    pub(crate) load: Mutex<Load>,
    pub(crate) random: Mutex<StdRng>,
    pub(crate) seed: u64,
    /// How long an open-ended fault lasts.
    pub(crate) lasts: Duration,
    /// What the fault explains, so that the checker need not wonder.
    pub(crate) explained: Mutex<Explained>,
    snapshots: Mutex<Vec<HashMap<Uuid, caraway_testkit::Ended>>>,
    /// What the fault itself wants to be told, and what it found.
    notes: Mutex<Vec<String>>,
    blames: Mutex<Vec<Finding>>,
    marks: Mutex<Vec<Mark>>,
}

/// Marks that a fault leaves on purpose.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Explained {
    pub(crate) quarantine: usize,
    pub(crate) rows: usize,
}

/// What a drill is run with.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) lasts: Duration,
    pub(crate) setup: Setup,
    /// Attempts of each task.
    pub(crate) attempts: u32,
    /// Whether to wait for everything to end; a negative control may break just that.
    pub(crate) quiesce: Duration,
}

impl Options {
    pub(crate) fn seeded(seed: u64) -> Self {
        let lasts = Duration::from_mins(1);
        Self { seed, lasts, setup: Setup::default(), attempts: 10, quiesce: QUIESCE }
    }
}

/// Counters that every drill reports.
const COUNTERS: [&str; 13] = [
    "caraway_claimed_total",
    "caraway_handed_over_total",
    "caraway_relay_published_total",
    "caraway_audit_owed_again_total",
    "caraway_rescued_total",
    "caraway_sessions_declared_dead_total",
    "caraway_records_refused_total",
    "caraway_stale_pointers_total",
    "caraway_batch_repeats_total",
    "caraway_broker_reconnects_total",
    "caraway_messages_unroutable_total",
    "caraway_poisoned_total",
    "caraway_unique_orphans_total",
];

/// Runs one fault to its verdict. A drill that fails to run is a finding too.
pub(crate) async fn run(fault: &Fault, stack: &Arc<Stack>, options: &Options) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome {
        id: fault.id.into(),
        name: fault.name.into(),
        seed: options.seed,
        hit: String::new(),
        figures: Figures::default(),
        recovered_s: None,
        within_s: fault.within.as_secs_f64(),
        took_s: 0.0,
        counters: Vec::new(),
        notes: Vec::new(),
        findings: Vec::new(),
        timelines: Vec::new(),
        samples: Vec::new(),
        marks: Vec::new(),
    };
    // the test kit fails by panicking
    let done = AssertUnwindSafe(run_in(fault, stack, options, &mut outcome)).catch_unwind().await;
    let failed = match done {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(panic) => Some(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "it panicked".into())),
    };
    if let Some(text) = failed {
        outcome.findings.push(Finding { invariant: Invariant::Drill, task: None, text });
    }
    outcome.took_s = began.elapsed().as_secs_f64();
    outcome
}

async fn run_in(fault: &Fault, stack: &Arc<Stack>, options: &Options, outcome: &mut Outcome) -> anyhow::Result<()> {
    let name = format!("drill-{}", fault.id.to_lowercase());
    let mut setup = options.setup.clone();
    setup.variables.extend(fault.variable.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let world = Arc::new(World::start(stack, &name, &setup).await?);
    let drill = Drill::start(world, fault, options).await?;
    let sampler = Sampler::start(fault.id, drill.world.rows.clone(), drill.load.lock().await.counter());
    let done = drill.through(fault, options, outcome).await;
    outcome.samples = sampler.stop().await;
    drill.load.lock().await.stop_now();
    done
}

impl Drill {
    async fn start(world: Arc<World>, fault: &Fault, options: &Options) -> anyhow::Result<Self> {
        let http = Http::new()?;
        let urls = world.urls().await;
        let picture = match (fault.mix, urls.first()) {
            (mix, Some(url)) if !matches!(mix, Mix::Backlog | Mix::Deaf) => {
                let rocket = std::fs::read(repository().join("deploy/photos/rocket.jpg")).context("a photograph")?;
                Some(http.upload(url, "image/jpeg", rocket).await?)
            }
            _ => None,
        };
        let queue = world.place.queue().to_owned();
        let plan = Plan { seed: options.seed, mix: fault.mix, queue, picture, attempts: options.attempts };
        let load = Mutex::new(Load::start(&http, urls, plan, fault.rate));
        Ok(Self {
            world,
            load,
            random: Mutex::new(StdRng::seed_from_u64(options.seed)),
            seed: options.seed,
            lasts: options.lasts,
            explained: Mutex::default(),
            snapshots: Mutex::default(),
            notes: Mutex::default(),
            blames: Mutex::default(),
            marks: Mutex::default(),
        })
    }

    /// The fault and everything after it.
    async fn through(&self, fault: &Fault, options: &Options, outcome: &mut Outcome) -> anyhow::Result<()> {
        self.warm().await?;
        let watched: Vec<&'static str> = [fault.rises, fault.stays, &COUNTERS].concat();
        let before = self.world.counters(&watched).await;
        if let Err(why) = self.busy().await {
            outcome.add(Invariant::Idle, why);
        }
        self.snapshot().await?;
        let from_ms = now_ms();
        let injected = (fault.inject)(self).await;
        self.world.heal().await;
        outcome.marks.append(&mut *self.marks.lock().await);
        if outcome.marks.is_empty() {
            outcome.marks.push(Mark { name: fault.id.into(), from_ms, to_ms: now_ms() });
        }
        let measured = match injected {
            Ok(hit) => {
                outcome.hit = format!("{} {}", hit.count, hit.what);
                if hit.count == 0 {
                    outcome.add(Invariant::Happened, format!("0 {}", hit.what));
                }
                hit.recovered
            }
            Err(error) => {
                outcome.add(Invariant::Happened, format!("the fault could not be made: {error:#}"));
                None
            }
        };
        outcome.notes.append(&mut *self.notes.lock().await);
        outcome.findings.append(&mut *self.blames.lock().await);
        self.recovered(fault, measured, outcome).await;
        self.snapshot().await?;
        sleep(AFTER_HEAL).await;
        self.load.lock().await.stop().await;
        let quiet = self.quiesce(options.quiesce).await;
        self.judge(fault, &watched, &before, outcome).await?;
        quiet.or_else(|error| if outcome.findings.is_empty() { Err(error) } else { Ok(()) })
    }

    /// Notes how long recovery took, and whether that was promised.
    async fn recovered(&self, fault: &Fault, measured: Option<Duration>, outcome: &mut Outcome) {
        let recovered = match measured {
            Some(recovered) => Ok(recovered),
            None => self.recovery().await,
        };
        match recovered {
            Ok(recovered) => {
                outcome.recovered_s = Some(recovered.as_secs_f64());
                if recovered > fault.within {
                    let text = format!("work went on after {recovered:.1?}, and {:?} was promised", fault.within);
                    outcome.add(Invariant::I17, text);
                }
            }
            Err(error) => outcome.add(Invariant::I17, format!("{error:#}")),
        }
    }

    /// Enough has been accepted and has ended that the fault hits a system at work.
    async fn warm(&self) -> anyhow::Result<()> {
        until(Duration::from_mins(1), "the system is at work", async || {
            let (accepted, counts) = (self.load.lock().await.accepted(), self.world.rows.counts().await?);
            Ok((accepted >= WARM.0 && counts.finished >= WARM.1).then_some(()))
        })
        .await
    }

    /// Whether tasks run and are accepted at this moment, more or less.
    async fn busy(&self) -> Result<(), String> {
        let running = until(Duration::from_secs(5), "a task runs", async || {
            let counts = self.world.rows.counts().await?;
            Ok((counts.running > 0).then_some(counts.running))
        });
        running.await.map_err(|error| error.to_string())?;
        let since = self.load.lock().await.since_accepted();
        if since < Duration::from_secs(2) { Ok(()) } else { Err(format!("nothing was accepted for {since:?}")) }
    }

    /// Something for the report.
    pub(crate) async fn note(&self, text: String) {
        self.notes.lock().await.push(text);
    }

    /// One of several faults was there from then until now.
    pub(crate) async fn mark(&self, name: String, from_ms: u64) {
        self.marks.lock().await.push(Mark { name, from_ms, to_ms: now_ms() });
    }

    /// Something that the fault itself found wrong.
    pub(crate) async fn blame(&self, invariant: Invariant, text: String) {
        self.blames.lock().await.push(Finding { invariant, task: None, text });
    }

    /// Remembers how everything that has ended stands now.
    pub(crate) async fn snapshot(&self) -> anyhow::Result<()> {
        let ended =
            until(Duration::from_mins(1), "the rows can be read", async || Ok(Some(self.world.rows.ended().await?)));
        self.snapshots.lock().await.push(ended.await?);
        Ok(())
    }

    /// From now until the first task that was started later has ended.
    pub(crate) async fn recovery(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let rows = &self.world.rows;
        let now = until(RECOVERY_MAX, "the database answers", async || Ok(Some(rows.now().await?))).await?;
        until(
            RECOVERY_MAX,
            "a task is started and ends",
            async || Ok((rows.done_since(&now).await? > 0).then_some(())),
        )
        .await?;
        Ok(began.elapsed())
    }

    /// Until everything has ended.
    async fn quiesce(&self, within: Duration) -> anyhow::Result<()> {
        until(within, "everything has ended", async || Ok((self.world.rows.counts().await?.open == 0).then_some(())))
            .await
    }

    /// Reads everything, and says what does not fit.
    async fn judge(
        &self,
        fault: &Fault,
        watched: &[&'static str],
        before: &HashMap<&'static str, u64>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let history = self.history().await?;
        outcome.findings.extend(check(&history));
        outcome.figures = figures(&history, &outcome.findings);
        for workflow in self.world.rows.miscounted().await? {
            outcome.add(Invariant::I9, format!("workflow {workflow}: a counter is not what it counts"));
        }
        let after = self.world.counters(watched).await;
        let rose = |name: &str| after.get(name).unwrap_or(&0).saturating_sub(*before.get(name).unwrap_or(&0));
        outcome.counters = COUNTERS.iter().map(|name| ((*name).to_owned(), rose(name))).collect();
        for name in fault.rises.iter().filter(|name| rose(name) == 0) {
            outcome.add(Invariant::Happened, format!("{name} did not rise"));
        }
        for name in fault.stays.iter().filter(|name| rose(name) > 0) {
            outcome.add(Invariant::Outcome, format!("{name} rose by {}, and nothing called for it", rose(name)));
        }
        let lost = |times: i32| history.rows.values().filter(|row| row.losses == times).count();
        if history.rows.values().any(|row| row.losses > 0) {
            let (once, twice, more) = (lost(1), lost(2), history.rows.values().filter(|row| row.losses > 2).count());
            outcome.notes.push(format!("tasks whose worker died: once {once}, twice {twice}, more often {more}"));
        }
        let mut guilty: Vec<Uuid> = outcome.findings.iter().filter_map(|finding| finding.task).collect();
        guilty.dedup();
        outcome.timelines = guilty.iter().take(3).map(|id| timeline(&history, *id)).collect();
        Ok(())
    }

    async fn history(&self) -> anyhow::Result<History> {
        let load = self.load.lock().await;
        load.read_again(READ_AGAIN).await;
        let reused = load.reuse_keys().await;
        let rows = &self.world.rows;
        let explained = *self.explained.lock().await;
        Ok(History {
            entries: load.entries(),
            rows: rows.all().await?,
            attempts: rows.attempts().await?,
            ledger: self.world.place.ledger().read(),
            ended_before: self.snapshots.lock().await.clone(),
            ended: rows.ended().await?,
            told: load.told(),
            quarantine: rows.quarantine().await?,
            quarantine_explained: explained.quarantine,
            reused,
            rows_explained: explained.rows,
        })
    }
}
