//! The contenders, each with what it promises, and how one is started, asked, and known to have finished.
//!
//! Invariant: [`Running::done`] costs the servers next to nothing, because it is asked while they are measured; only
//! [`Running::verify`] counts, after the clock has stopped.

mod bullmq;
mod caraway;
mod celery;
mod limit;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use tokio::time::sleep;

pub(crate) use self::{
    bullmq::{Job, Producer},
    caraway::batch,
    celery::Caller,
};
use crate::{
    http::Connection,
    load::{Load, Requests, Until, closed},
    proc::Watched,
    program::Program,
    site::{Servers, Site},
};

/// Nothing accepted may take longer to be executed, without any progress in between.
const STALLED_AFTER: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum System {
    Caraway,
    /// Caraway whose worker takes tasks over at once
    CarawayHandOver,
    /// The programs of another commit (`--before`)
    #[value(skip)]
    CarawayBefore,
    Limit,
    CeleryDefault,
    CelerySafe,
    BullmqHttp,
    Bullmq,
    /// A bare actix server; no contender, but a yardstick of `status`
    #[value(skip)]
    Echo,
    /// The store of another working copy, in `statements`
    #[value(skip)]
    Beside,
}

impl System {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Caraway => "caraway",
            Self::CarawayHandOver => "caraway-hand-over",
            Self::CarawayBefore => "caraway-before",
            Self::Limit => "limit",
            Self::CeleryDefault => "celery-default",
            Self::CelerySafe => "celery-safe",
            Self::BullmqHttp => "bullmq-http",
            Self::Bullmq => "bullmq",
            Self::Echo => "echo",
            Self::Beside => "beside",
        }
    }

    /// What its answer is worth when something dies.
    pub(crate) const fn guarantee(self) -> &'static str {
        match self {
            Self::Caraway | Self::CarawayHandOver | Self::CarawayBefore | Self::Beside => {
                "202 after fsync; survives the loss of broker and Redis; results in PostgreSQL"
            }
            Self::Limit => "202 after fsync; no claim, no recovery: may lose work",
            Self::CeleryDefault => "no confirm, early ack: a crash loses tasks; results in Redis",
            Self::CelerySafe => {
                "confirmed publish, late ack, requeue when a worker is lost; classic queue; results in Redis"
            }
            Self::BullmqHttp | Self::Bullmq => "Redis AOF everysec: a crash loses up to a second; results in Redis",
            Self::Echo => "none",
        }
    }

    /// Whether it is Caraway, of whatever commit and with whatever settings.
    pub(crate) const fn is_caraway(self) -> bool {
        matches!(self, Self::Caraway | Self::CarawayHandOver | Self::CarawayBefore)
    }

    /// Why it cannot run here, if it cannot.
    pub(crate) fn missing(self, servers: &Servers) -> Option<String> {
        let installed = match self {
            Self::CeleryDefault | Self::CelerySafe => &servers.paths.python,
            Self::Bullmq | Self::BullmqHttp => &servers.paths.node,
            Self::Caraway | Self::CarawayHandOver | Self::CarawayBefore | Self::Limit | Self::Echo | Self::Beside => {
                return None;
            }
        };
        installed.strip_prefix("no: ").map(str::to_owned)
    }
}

/// How to start a contender.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    /// Of Caraway's worker.
    pub(crate) slots: Slots,
    /// Begin with a copy of the template database.
    pub(crate) template: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Slots {
    /// 1,000 for tasks that hardly do anything, as many as `limit` has in hand (`PREFETCH`); 4 for pictures, so that two can be
    /// at work while others wait for the database.
    Many,
    /// `--concurrency N`
    Concurrency(u32),
}

impl Default for Setup {
    fn default() -> Self {
        Self { workers: 1, slots: Slots::Many, template: false }
    }
}

/// A contender at work, on a site of its own.
pub(crate) struct Running {
    pub(crate) system: System,
    pub(crate) site: Site,
    pub(crate) api: Option<Program>,
    pub(crate) workers: Vec<Program>,
    setup: Setup,
    /// Tasks accepted ever on this site.
    pub(crate) submitted: u64,
    /// Of these, what workers that were stopped since have recorded.
    recorded_before: u64,
}

impl Running {
    /// Starts it, and lets it run a few tasks.
    pub(crate) async fn start(servers: &Servers, system: System, setup: Setup) -> anyhow::Result<Self> {
        let site = servers.site(system.name(), setup.template).await?;
        let mut running =
            Self { system, site, api: None, workers: Vec::new(), setup, submitted: 0, recorded_before: 0 };
        running.start_api(servers).await?;
        running.start_workers(servers).await?;
        running.await_first().await.with_context(|| format!("see {}", running.site.folder().display()))?;
        Ok(running)
    }

    async fn start_api(&mut self, servers: &Servers) -> anyhow::Result<()> {
        let mut api = match self.system {
            System::Caraway | System::CarawayHandOver | System::CarawayBefore => {
                caraway::api(servers, &self.site, self.system)?
            }
            System::Limit => limit::program(servers, &self.site, "api")?,
            System::CeleryDefault | System::CelerySafe => celery::api(servers, &self.site, self.system)?,
            System::BullmqHttp => bullmq::api(servers, &self.site)?,
            System::Bullmq | System::Echo | System::Beside => return Ok(()),
        };
        api.listening().await?;
        if self.system == System::Limit {
            limit::queue_made(servers, &self.site).await?;
        }
        self.api = Some(api);
        Ok(())
    }

    pub(crate) async fn start_workers(&mut self, servers: &Servers) -> anyhow::Result<()> {
        for number in 1..=self.setup.workers {
            let worker = match self.system {
                System::Caraway | System::CarawayHandOver | System::CarawayBefore => {
                    caraway::worker(servers, &self.site, self.system, number, self.setup.slots)?
                }
                System::Limit => limit::program(servers, &self.site, "worker")?,
                System::CeleryDefault | System::CelerySafe => celery::worker(servers, &self.site, self.system)?,
                System::BullmqHttp | System::Bullmq => bullmq::worker(servers, &self.site)?,
                System::Echo | System::Beside => return Ok(()),
            };
            self.workers.push(worker);
        }
        // the others have no such question; their first task tells
        if self.system.is_caraway() {
            for worker in &mut self.workers {
                worker.ready().await?;
            }
        }
        Ok(())
    }

    /// Ends the workers, which have nothing left to do.
    pub(crate) async fn stop_workers(&mut self) -> anyhow::Result<()> {
        self.recorded_before = self.submitted;
        for worker in self.workers.drain(..) {
            worker.stop().await?;
        }
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shut_down().await
    }

    /// Ends all its programs, and leaves the site.
    pub(crate) async fn shut_down(&mut self) -> anyhow::Result<()> {
        self.stop_workers().await?;
        if let Some(api) = self.api.take() {
            api.stop().await?;
        }
        Ok(())
    }

    /// What to watch while it is measured.
    pub(crate) fn watched(&self, servers: &Servers) -> anyhow::Result<Watched> {
        let programs = self.api.iter().chain(&self.workers);
        Ok(programs.fold(servers.watched()?, Watched::with_program))
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.api.as_ref().context("it has no HTTP")?.address)
    }

    /// A request for one no-op task that gives back its small argument.
    pub(crate) fn single(&self) -> Requests {
        let (path, body) = match self.system {
            System::Caraway | System::CarawayHandOver | System::CarawayBefore => ("/v1/tasks", caraway::ECHO),
            _ => ("/tasks", r#"{"name":"noop","args":{"n":1}}"#),
        };
        Requests::one(crate::http::post_json(path, body), 202)
    }

    /// A request for so many.
    pub(crate) fn bulk(&self, tasks: usize) -> Requests {
        let many = |one: &str| vec![one; tasks].join(",");
        match self.system {
            System::Caraway | System::CarawayHandOver | System::CarawayBefore => batch(&many(caraway::ECHO)),
            _ => Requests::one(
                crate::http::post_json("/bulk", &format!("[{}]", many(r#"{"name":"noop","args":{"n":1}}"#))),
                202,
            ),
        }
    }

    /// The first tasks: refused until a worker is known, and slow until every connection is open.
    async fn await_first(&mut self) -> anyhow::Result<()> {
        if matches!(self.system, System::Bullmq | System::Echo | System::Beside) {
            return Ok(());
        }
        let (address, request) = (self.address()?, self.single());
        let request = request.list.first().context("nothing to ask")?;
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let mut connection = Connection::open(address).await?;
            let answer = connection.ask(request).await?;
            if answer.status == 202 {
                break;
            }
            ensure!(Instant::now() < until, "the first task is not accepted: {} {}", answer.status, answer.text());
            sleep(Duration::from_millis(100)).await;
        }
        self.submitted += 1;
        self.drained().await?;
        Ok(())
    }

    /// A second of the load that follows, which is not measured.
    pub(crate) async fn warm_up(
        &mut self,
        connections: usize,
        requests: &Requests,
        tasks_each: u64,
    ) -> anyhow::Result<()> {
        let load = closed(self.address()?, connections, requests, Until::Elapsed(Duration::from_secs(1))).await?;
        self.submitted += load.accepted * tasks_each;
        self.drained().await?;
        Ok(())
    }

    /// Waits for the last result of a load; the load, and the time from its first request to that result.
    pub(crate) async fn carry(&mut self, load: Load, tasks_each: u64) -> anyhow::Result<(Load, Duration)> {
        self.submitted += load.accepted * tasks_each;
        let last = self.drained().await?;
        let whole = last.duration_since(load.started);
        Ok((load, whole))
    }

    /// Waits until everything submitted is recorded; the moment at which that was seen. Looks the more rarely the
    /// longer it takes: it sees the end within a two-hundredth of the time, and at least every quarter of a second.
    pub(crate) async fn drained(&mut self) -> anyhow::Result<Instant> {
        let (began, mut progress, mut since) = (Instant::now(), 0, Instant::now());
        loop {
            let done = self.done().await?;
            if done >= self.submitted {
                return Ok(Instant::now());
            }
            if done > progress {
                (progress, since) = (done, Instant::now());
            }
            for program in self.workers.iter_mut().chain(&mut self.api) {
                program.check()?;
            }
            ensure!(since.elapsed() < STALLED_AFTER, "stalled at {done} of {} tasks", self.submitted);
            sleep((began.elapsed() / 200).clamp(Duration::from_millis(5), Duration::from_millis(250))).await;
        }
    }

    /// How many results are recorded, as cheaply as it can be known.
    pub(crate) async fn done(&self) -> anyhow::Result<u64> {
        match self.system {
            System::Caraway | System::CarawayHandOver | System::CarawayBefore => {
                Ok(self.recorded_before + caraway::done(&self.workers).await?)
            }
            System::Limit => limit::done(&self.site, self.submitted).await,
            System::CeleryDefault | System::CelerySafe => celery::done(&self.site).await,
            System::BullmqHttp | System::Bullmq => bullmq::done(&self.site).await,
            System::Echo | System::Beside => Ok(self.submitted),
        }
    }

    /// Counts for certain: as many tasks as were accepted, each succeeded.
    pub(crate) async fn verify(&self) -> anyhow::Result<()> {
        let found = match self.system {
            System::Caraway | System::CarawayHandOver | System::CarawayBefore => caraway::count(&self.site).await?,
            System::Limit => limit::count(&self.site).await?,
            System::CeleryDefault | System::CelerySafe => celery::count(&self.site).await?,
            System::BullmqHttp | System::Bullmq => bullmq::done(&self.site).await?,
            System::Echo | System::Beside => return Ok(()),
        };
        ensure!(
            found == self.submitted,
            "{} accepted {} tasks, and {found} have succeeded",
            self.system.name(),
            self.submitted
        );
        Ok(())
    }
}
