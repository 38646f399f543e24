//! The cache's promise: no reader sees a version older than one whose change had been answered when the read began. Readers and
//! writers on 50 keys, over three APIs and a slow database, while Redis is killed and loses the end of its file, forgets
//! everything again and again, and is out of one API's reach. Then the same with one rule of the cache broken, which must show.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use caraway_testkit::{Counters, Launch, Place, Program, Protocol, Proxy, Servers, Slowness, Stack, Way};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::wire::{Answer, Wire};

const KEYS: usize = 50;
const HOT: usize = 2;
const READERS: u64 = 12;
const WRITERS: u64 = 6;
const LASTS: Duration = Duration::from_secs(30);
const FORGET_EVERY: Duration = Duration::from_millis(200);
const SLOW: Slowness =
    Slowness { delay: Duration::from_millis(5), jitter: Duration::from_millis(90), slice: 0, bytes_per_second: 0 };

/// What happens meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Redis is killed twice, emptied, and out of reach of the third API.
    Redis,
    /// Redis is emptied again and again, the whole time: five seconds of it are too few to be sure of a hit.
    Forgetting,
    /// Nothing, but loads lag behind as a replica's would.
    Lag,
}

/// What readers and writers know in common.
#[derive(Default)]
struct Known {
    /// The highest version of each key whose change was answered.
    answered: Vec<AtomicI64>,
    stop: AtomicBool,
    reads: AtomicU64,
    hits: AtomicU64,
    writes: AtomicU64,
    failures: AtomicU64,
    violations: std::sync::Mutex<Vec<String>>,
}

struct World {
    stack: Stack,
    place: Place,
    apis: Vec<Program>,
    /// The third API's way to Redis.
    apart: Proxy,
}

/// What came of it.
struct Report {
    known: Arc<Known>,
    counters: Counters,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_less_than_was_answered() {
    let report = race("cache-race", Trouble::Redis, &[]).await;
    report.assert_clean();
    let counted = |name| report.counters.sum(name);
    assert!(counted("caraway_cache_fills_refused_total") > 0, "no fill was ever refused");
    assert!(counted("caraway_cache_invalidations_unconfirmed_total") > 0, "Redis was never away from a writer");
    assert!(counted("caraway_cache_invalidations_replayed_total") > 0, "nothing was ever replayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sees_less_where_loads_lag_behind() {
    race("cache-lag", Trouble::Lag, &["break.current-loads"]).await.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_fill_token_it_shows() {
    race("cache-no-token", Trouble::Forgetting, &["break.cache-token"]).await.assert_betrayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_version_floor_it_shows() {
    race("cache-no-floor", Trouble::Lag, &["break.current-loads", "break.cache-floor"]).await.assert_betrayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_look_at_the_outbox_it_shows() {
    race("cache-no-outbox", Trouble::Redis, &["break.cache-outbox"]).await.assert_betrayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_knowing_which_redis_it_is_it_shows() {
    race("cache-no-run", Trouble::Redis, &["break.cache-run"]).await.assert_betrayed();
}

impl Report {
    fn assert_clean(&self) {
        let violations = self.known.violations.lock().expect("no reader panics");
        assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
        let (reads, hits) = (self.known.reads.load(Ordering::Relaxed), self.known.hits.load(Ordering::Relaxed));
        let writes = self.known.writes.load(Ordering::Relaxed);
        assert!(reads > 2000 && writes > 100, "{reads} reads and {writes} changes prove little");
        assert!(hits > reads / 10, "only {hits} of {reads} reads were hits");
    }

    fn assert_betrayed(&self) {
        assert!(!self.known.violations.lock().expect("no reader panics").is_empty(), "the broken rule did not show");
    }
}

/// Runs for [`LASTS`], or to the first violation.
async fn race(name: &str, trouble: Trouble, broken: &[&str]) -> Report {
    let mut world = World::start(name, broken).await;
    let known = Arc::new(Known { answered: (0..KEYS).map(|_| AtomicI64::new(0)).collect(), ..Known::default() });
    let urls: Vec<String> = world.apis.iter().map(Program::url).collect();
    let mut clients = JoinSet::new();
    for seed in 0..READERS {
        clients.spawn(read(Arc::clone(&known), urls.clone(), StdRng::seed_from_u64(seed)));
    }
    for seed in 0..WRITERS {
        clients.spawn(write(Arc::clone(&known), urls.clone(), StdRng::seed_from_u64(1000 + seed)));
    }
    let began = Instant::now();
    match trouble {
        Trouble::Redis => make_trouble(&world, &known, began).await,
        Trouble::Forgetting => forget_often(&world.place.servers().redis_url, &known, began + LASTS).await,
        Trouble::Lag => until(&known, began + LASTS).await,
    }
    let lasted = began.elapsed();
    known.stop.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let mut counters = Counters::default();
    for api in &mut world.apis {
        counters.add(&api.counters().await);
    }
    let violations = known.violations.lock().expect("no reader panics").clone();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{name}: {lasted:.1?}, {} reads of which {} hits, {} changes, {} failures; fills refused {}, bypasses {}, coalesced {}, \
         unconfirmed {}, replayed {}; violations {}{}",
        count(&known.reads),
        count(&known.hits),
        count(&known.writes),
        count(&known.failures),
        counters.sum("caraway_cache_fills_refused_total"),
        counters.sum("caraway_cache_bypasses_total"),
        counters.sum("caraway_cache_coalesced_total"),
        counters.sum("caraway_cache_invalidations_unconfirmed_total"),
        counters.sum("caraway_cache_invalidations_replayed_total"),
        violations.len(),
        violations.first().map_or(String::new(), |first| format!(": {first}")),
    );
    Report { known, counters }
}

impl World {
    async fn start(name: &str, broken: &[&str]) -> Self {
        let stack = Stack::start(name).await;
        let place = Place::on(&stack, name).await;
        let servers = place.servers().clone();
        let database = Proxy::to(Proxy::address_in(&servers.postgres_url), Protocol::Bytes).await;
        let apart = Proxy::to(Proxy::address_in(&servers.redis_url), Protocol::Bytes).await;
        let slow = Servers { postgres_url: database.url(&servers.postgres_url), ..servers.clone() };
        let alone = Servers { redis_url: apart.url(&servers.redis_url), ..slow.clone() };
        let failpoints = broken.iter().map(|rule| format!("{rule}=return")).collect::<Vec<_>>().join(";");
        let mut apis = Vec::new();
        for (number, through) in [&slow, &slow, &alone].into_iter().enumerate() {
            let launch = Launch::new(&place, "api", &format!("api-{}", number + 1));
            let launch = launch.arguments(["serve", "--http-threads", "1"]).through(through);
            apis.push(launch.variable("FAILPOINTS", &failpoints).start().await);
        }
        database.set(Way::Slow(SLOW));
        std::mem::forget(database); // as long as the APIs
        Self { stack, place, apis, apart }
    }
}

/// By the clock of the test: what is to happen when.
async fn make_trouble(world: &World, known: &Known, began: Instant) {
    let at = |seconds: u64| began + Duration::from_secs(seconds);
    let redis_url = &world.place.servers().redis_url;
    for kill in [4, 22] {
        if kill == 22 {
            forget_often(redis_url, known, at(13)).await;
            for (from, way) in [(13, Way::Cut), (15, Way::Open), (16, Way::Stalled), (18, Way::Open)] {
                until(known, at(from)).await;
                world.apart.set(way);
            }
        }
        until(known, at(kill)).await;
        world.stack.kill("redis").await;
        world.stack.cut_append_only_file(32 << 10);
        until(known, at(kill + 2)).await;
        world.stack.start_server("redis").await;
        if kill == 4 {
            until(known, at(8)).await;
        }
    }
    until(known, began + LASTS).await;
}

/// Until then, or until somebody has seen a violation.
async fn until(known: &Known, then: Instant) {
    while Instant::now() < then && known.violations.lock().expect("no reader panics").is_empty() {
        sleep_until((Instant::now() + Duration::from_millis(50)).min(then)).await;
    }
}

/// Empties Redis now and then: often enough to meet a fill on its way, and seldom enough for what was filled to be seen.
async fn forget_often(redis_url: &str, known: &Known, then: Instant) {
    let address = Proxy::address_in(redis_url);
    let mut stream = TcpStream::connect(address).await.expect("Redis is there");
    let login = redis_url.rsplit_once('@').map_or("", |(login, _)| login);
    let password = login.rsplit(':').next().unwrap_or_default();
    stream.write_all(format!("AUTH {password}\r\n").as_bytes()).await.expect("Redis is there");
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.expect("Redis is there");
    assert_eq!(&answer, b"+OK\r\n");
    while Instant::now() < then && known.violations.lock().expect("no reader panics").is_empty() {
        stream.write_all(b"FLUSHALL\r\n").await.expect("Redis is there");
        let _ = stream.read(&mut [0; 64]).await.expect("Redis is there");
        sleep_until(Instant::now() + FORGET_EVERY).await;
    }
}

/// Connections to the three APIs, made anew after an error.
struct Wires {
    urls: Vec<String>,
    open: Vec<Option<Wire>>,
}

impl Wires {
    fn new(urls: Vec<String>) -> Self {
        Self { open: urls.iter().map(|_| None).collect(), urls }
    }

    async fn ask(&mut self, api: usize, key: usize, json: Option<&str>) -> io::Result<Answer> {
        let mut wire = match self.open[api].take() {
            Some(wire) => wire,
            None => Wire::open(&self.urls[api]).await?,
        };
        let answer = match json {
            None => wire.get(&format!("/cached-data/key-{key}")).await?,
            Some(json) => wire.put(&format!("/v1/data/key-{key}"), json).await?,
        };
        self.open[api] = Some(wire);
        Ok(answer)
    }
}

/// Half of all questions are about two of the keys.
fn pick(random: &mut StdRng) -> usize {
    let among = if random.random_bool(0.5) { HOT } else { KEYS };
    random.random_range(0..among)
}

async fn read(known: Arc<Known>, urls: Vec<String>, mut random: StdRng) {
    let mut wires = Wires::new(urls);
    while !known.stop.load(Ordering::Relaxed) {
        let (api, key) = (random.random_range(0..wires.urls.len()), pick(&mut random));
        let least = known.answered[key].load(Ordering::SeqCst);
        let began = Instant::now();
        let Ok(answer) = wires.ask(api, key, None).await else { continue };
        let version = match answer.status {
            200 => answer.version().expect("a value has a version"),
            404 => 0,
            503 => {
                known.failures.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            other => panic!("a read was answered with {other}"),
        };
        known.reads.fetch_add(1, Ordering::Relaxed);
        let from = answer.header("cache-status").unwrap_or("a 404");
        known.hits.fetch_add(u64::from(from.contains("; hit")), Ordering::Relaxed);
        if version < least {
            let told =
                format!("key-{key} from api-{}: {version} after {least}, {from}, in {:?}", api + 1, began.elapsed());
            known.violations.lock().expect("no reader panics").push(told);
        }
    }
}

async fn write(known: Arc<Known>, urls: Vec<String>, mut random: StdRng) {
    let mut wires = Wires::new(urls);
    while !known.stop.load(Ordering::Relaxed) {
        let (api, key) = (random.random_range(0..wires.urls.len()), pick(&mut random));
        let Ok(answer) = wires.ask(api, key, Some("{\"value\":\"x\"}")).await else { continue };
        match answer.status {
            200 => {
                let version = answer.version().expect("a change has a version");
                known.answered[key].fetch_max(version, Ordering::SeqCst);
                known.writes.fetch_add(1, Ordering::Relaxed);
            }
            503 => {
                known.failures.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("a change was answered with {other}"),
        }
    }
}
