//! Building the server and running it until it is told to stop.
//!
//! Order of a start: bind (a taken port is told at once), serve `/livez`, prepare the database for as long as that
//! takes, become ready. Order of a stop: not ready, stop accepting connections, finish what runs, then the relay, the
//! publisher and the broker's connection.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::{
    App,
    dev::Server,
    middleware::from_fn,
    web::{self, Data},
};
use anyhow::Context as _;
use caraway_serving::{HttpServerConfig, http_server};
use caraway_shared::{
    broker::{HandOver, Link, Publisher, relay},
    cache::{self, Cache, CacheConfig},
    config::{Schema, prepare},
    coordination::{Coordination, Upkeep},
    ids::Ids,
    task::Cell,
    telemetry::Metrics,
};
use tokio::net::TcpSocket;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept::Acceptor,
    callers::Callers,
    config::Serve,
    health::Health,
    known::Known,
    middleware,
    pages::Contract,
    quotas::Keeper,
    routes,
    shutdown::Signals,
    state::{ApiState, SharedRoom},
    waiting::Waiting,
};

/// Connections that wait to be accepted: as many as Linux lets wait where nobody says otherwise (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// How long running requests may take to finish after the stop.
const SHUTDOWN_SECONDS: u64 = 30;
/// How long the relay and the publisher may take after that; what they leave is owed in its row.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(3);

/// A server that is bound, and not yet running.
pub(crate) struct Application {
    config: Serve,
    address: SocketAddr,
    server: Server,
    state: ApiState,
    publisher: Publisher,
    hand_over: HandOver,
    upkeep: Upkeep,
    /// Stops the HTTP server.
    closing: CancellationToken,
    /// Stops everything behind it.
    shutdown: CancellationToken,
}

impl Application {
    /// Binds, and prepares every handle; connects to nothing that could fail.
    pub(crate) fn build(config: Serve, metrics: Metrics) -> anyhow::Result<Self> {
        let (closing, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let common = &config.common;
        let store = common.store("caraway-api").context("the PostgreSQL URL")?;
        let caching = CacheConfig { off: config.no_cache, loads_max: common.postgres_connections / 2 };
        let cache = Cache::new(&common.redis_url, caching).context("the Redis URL")?;
        let link = Link::start(&common.broker(), "api", shutdown.clone());
        let publisher = Publisher::start(link.clone(), store.clone(), shutdown.clone());
        let (coordination, upkeep) = Coordination::start(store.clone(), cache.clone(), closing.clone());
        let callers = Callers::new(store.clone(), config.may_be_open().then(|| config.open_door()));
        let quotas = Keeper::new(store.clone(), cache.clone(), callers.clone(), common.postgres_connections / 2);
        let hand_over = HandOver::start(&link, &shutdown);
        let state = ApiState {
            callers,
            acceptor: Acceptor::start(&store, publisher.clone(), hand_over.clone(), quotas.clone()),
            quotas,
            coordination,
            known: Known::new(store.clone()),
            waiting: Waiting::new(store.clone(), cache.clone(), closing.clone()),
            health: Health::default(),
            metrics_open: config.metrics_open,
            item_bytes_max: config.item_mebibytes << 20,
            shares: SharedRoom::new(config.body_mebibytes.saturating_mul(1 << 20)),
            store,
            cache,
            ids: Ids::default(),
            link,
            metrics,
        };
        let (server, address) = listen(&config, state.clone(), closing.clone())?;
        Ok(Self { config, address, server, state, publisher, hand_over, upkeep, closing, shutdown })
    }

    /// The port that was bound.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Serves until a signal, or until the database turns out to be unfit. A second signal ends it at once.
    pub(crate) async fn run_until_stopped(self) -> anyhow::Result<()> {
        let mut signals = Signals::listen()?;
        tracing::info!(http.address = %self.address, http.port = self.port(), "listening");
        let health = self.state.health.clone();
        let background = TaskTracker::new();
        let mut serving = tokio::spawn(self.server);
        let redis_url = self.config.common.redis_url.clone();
        let coordination = self.state.coordination.clone();
        background.spawn(self.state.waiting.clone().keep_awake(redis_url, coordination, self.shutdown.clone()));
        let beside = (self.publisher, self.hand_over, self.upkeep);
        let work =
            work(self.state, beside, (self.config.schema(), self.config.common.cell), &background, &self.shutdown);
        let ended = tokio::select! {
            unfit = work => unfit,
            served = &mut serving => flat(served),
            () = signals.next() => Ok(()),
        };
        tracing::info!("stopping");
        health.set_stopping();
        self.closing.cancel();
        if !serving.is_finished() {
            tokio::select! {
                _ = serving => (),
                () = signals.next() => tracing::warn!("told to stop twice; what still runs is left"),
            }
        }
        self.shutdown.cancel();
        background.close();
        if tokio::time::timeout(BACKGROUND_TIMEOUT, background.wait()).await.is_err() {
            tracing::warn!("the relay did not stop in time; what it held stays owed");
        }
        tracing::info!("stopped");
        ended
    }
}

/// Prepares the database, then starts what runs beside HTTP. Returns only if the database is unfit.
async fn work(
    state: ApiState,
    (publisher, hand_over, upkeep): (Publisher, HandOver, Upkeep),
    (schema, cell): (Schema, Option<Cell>),
    background: &TaskTracker,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    state.cache.check().await.context("Redis cannot be used")?;
    let installation = prepare(&state.store, schema, cell).await.context("the database cannot be used")?;
    state.cache.belong_to(installation.id);
    state.ids.belong_to(installation.cell);
    state.callers.prepare().await?;
    background.spawn(relay::run(state.store.clone(), publisher, None, shutdown.clone()));
    background.spawn(hand_over.hear(installation.id, shutdown.clone()));
    background.spawn(state.known.clone().keep_fresh(shutdown.clone()));
    background.spawn(cache::watch::run(state.cache.clone(), state.store.clone(), shutdown.clone()));
    background.spawn(state.callers.clone().keep_fresh(shutdown.clone()));
    background.spawn(state.coordination.clone().keep(upkeep, shutdown.clone()));
    state.health.set_prepared();
    tracing::info!("ready");
    std::future::pending().await
}

fn flat(served: Result<std::io::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    served.context("the HTTP server was torn down")?.context("the HTTP server failed")
}

/// The server, over a socket of its own.
fn listen(config: &Serve, state: ApiState, closing: CancellationToken) -> anyhow::Result<(Server, SocketAddr)> {
    let (data, contract) = (Data::new(state), Data::new(Contract::default()));
    let origins = config.cors_origins.clone();
    let app = move || {
        App::new()
            .app_data(data.clone())
            .app_data(contract.clone())
            .configure(|api| drop(routes::all(api)))
            .default_service(web::to(routes::elsewhere))
            // the last one is the outermost
            .wrap(from_fn(middleware::answer))
            .wrap(from_fn(middleware::unread))
            .wrap(middleware::cors(&origins))
            .wrap(from_fn(middleware::observe))
    };
    let listener = bind(config.bind).with_context(|| {
        format!(
            "cannot listen on {}: another program may have this port (`ss -ltnp` tells which), or the address is not this \
             machine's; choose another with --bind or CARAWAY_BIND",
            config.bind
        )
    })?;
    let address = listener.local_addr()?;
    let config = HttpServerConfig { threads: config.http_threads.into(), shutdown_seconds: SHUTDOWN_SECONDS, closing };
    Ok((http_server(listener, config, app)?, address))
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}
