//! Short histories of clients at three API processes, each of which must be one that a single object could have had, with
//! every operation at one moment between its request and its answer.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use caraway_testkit::{Launch, Place, Program, Stack};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use uuid::Uuid;

const CLIENTS: usize = 4;
const OPERATIONS: usize = 5;
const HISTORIES: usize = 60;
const PERMITS: u64 = 3;
const ROOM: usize = 2;
const PARTIES: usize = 3;

/// A number that nobody chooses, below `end`.
fn dice(end: u128) -> u128 {
    Uuid::new_v4().as_u128() % end
}

/// Leases of a semaphore; a lock is one of a single permit.
#[derive(Clone, Debug)]
struct Shares {
    permits: u64,
    held: BTreeMap<Uuid, u64>,
    fence: u64,
}

#[derive(Clone, Debug)]
enum ShareOp {
    Acquire(Uuid, u64),
    Release(Uuid),
}

#[derive(Clone, Debug, PartialEq)]
enum ShareRet {
    /// With this fence.
    Held(u64),
    Taken,
    Released,
}

impl SequentialSpec for Shares {
    type Op = ShareOp;
    type Ret = ShareRet;

    fn invoke(&mut self, op: &ShareOp) -> ShareRet {
        match op {
            ShareOp::Acquire(id, permits) if self.held.values().sum::<u64>() + permits <= self.permits => {
                self.held.insert(*id, *permits);
                ShareRet::Held(self.fence + 1)
            }
            ShareOp::Acquire(..) => ShareRet::Taken,
            ShareOp::Release(id) => {
                self.held.remove(id);
                ShareRet::Released
            }
        }
    }

    /// Any fence above the last one will do.
    fn is_valid_step(&mut self, op: &ShareOp, ret: &ShareRet) -> bool {
        match (self.invoke(op), ret) {
            (ShareRet::Held(least), ShareRet::Held(fence)) => {
                let rises = *fence >= least;
                self.fence = *fence;
                rises
            }
            (expected, ret) => expected == *ret,
        }
    }
}

/// A queue in which so many items fit, each gone when it is fetched; and whether it is shut down at once.
#[derive(Clone, Debug, Default)]
struct Items(VecDeque<Uuid>, bool);

#[derive(Clone, Debug)]
enum ItemOp {
    Put(Uuid),
    Get,
    Purge,
    /// Shut down at once, or opened again.
    Halt(bool),
}

#[derive(Clone, Debug, PartialEq)]
enum ItemRet {
    In,
    Full,
    Got(Uuid),
    Empty,
    Purged(usize),
    ShutDown,
    Done,
}

impl SequentialSpec for Items {
    type Op = ItemOp;
    type Ret = ItemRet;

    fn invoke(&mut self, op: &ItemOp) -> ItemRet {
        match op {
            ItemOp::Put(_) | ItemOp::Get if self.1 => ItemRet::ShutDown,
            ItemOp::Put(_) if self.0.len() >= ROOM => ItemRet::Full,
            ItemOp::Put(item) => {
                self.0.push_back(*item);
                ItemRet::In
            }
            ItemOp::Get => self.0.pop_front().map_or(ItemRet::Empty, ItemRet::Got),
            ItemOp::Purge => ItemRet::Purged(self.0.drain(..).count()),
            ItemOp::Halt(halted) => {
                self.1 = *halted;
                if *halted {
                    self.0.clear();
                }
                ItemRet::Done
            }
        }
    }
}

/// An event and its generation.
#[derive(Clone, Debug, Default)]
struct Flag(bool, u64);

#[derive(Clone, Debug)]
enum FlagOp {
    Set(bool),
    Look,
}

impl SequentialSpec for Flag {
    type Op = FlagOp;
    type Ret = (bool, u64);

    fn invoke(&mut self, op: &FlagOp) -> (bool, u64) {
        if let FlagOp::Set(flag) = op {
            self.1 += u64::from(*flag && !self.0);
            self.0 = *flag;
        }
        (self.0, self.1)
    }
}

/// A barrier of three, and whether each of those who came is in, has passed, or was refused.
#[derive(Clone, Debug, Default)]
struct Gate {
    broken: bool,
    generation: u64,
    here: Vec<Uuid>,
    passed: BTreeMap<Uuid, (u64, usize)>,
    refused: BTreeSet<Uuid>,
}

#[derive(Clone, Debug)]
enum GateOp {
    Arrive(Uuid),
    Leave(Uuid),
    Abort,
    Reset,
}

#[derive(Clone, Debug, PartialEq)]
enum GateRet {
    Passed(u64, usize),
    Here(usize),
    Broken,
    Left,
    Done,
}

impl Gate {
    fn is_told(&self, id: Uuid) -> Option<GateRet> {
        let passed = self.passed.get(&id).map(|(generation, index)| GateRet::Passed(*generation, *index));
        passed.or_else(|| self.refused.contains(&id).then_some(GateRet::Broken))
    }
}

impl SequentialSpec for Gate {
    type Op = GateOp;
    type Ret = GateRet;

    fn invoke(&mut self, op: &GateOp) -> GateRet {
        match op {
            GateOp::Arrive(id) => {
                if let Some(told) = self.is_told(*id) {
                    return told;
                }
                if self.broken {
                    return GateRet::Broken;
                }
                if !self.here.contains(id) {
                    self.here.push(*id);
                }
                if self.here.len() < PARTIES {
                    return GateRet::Here(self.here.len());
                }
                self.generation += 1;
                for (index, id) in self.here.drain(..).enumerate() {
                    self.passed.insert(id, (self.generation, index));
                }
                self.is_told(*id).unwrap_or(GateRet::Broken)
            }
            GateOp::Leave(id) => {
                if let Some(told) = self.is_told(*id) {
                    return told;
                }
                self.here.retain(|here| here != id);
                GateRet::Left
            }
            GateOp::Abort | GateOp::Reset => {
                self.refused.extend(self.here.drain(..));
                self.broken = matches!(op, GateOp::Abort);
                GateRet::Done
            }
        }
    }
}

/// Writes a history down, from all of its clients.
struct Recorder<S: SequentialSpec>(Mutex<LinearizabilityTester<usize, S>>);

impl<S> Recorder<S>
where
    S: SequentialSpec + Clone + Debug,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug + PartialEq,
{
    fn new(spec: S) -> Self {
        Self(Mutex::new(LinearizabilityTester::new(spec)))
    }

    async fn call(&self, client: usize, op: S::Op, ask: impl Future<Output = S::Ret>) -> S::Ret {
        self.lock().on_invoke(client, op).expect("one at a time");
        let ret = ask.await;
        self.lock().on_return(client, ret.clone()).expect("it was asked");
        ret
    }

    fn is_consistent(&self) -> bool {
        self.lock().is_consistent()
    }

    fn lock(&self) -> MutexGuard<'_, LinearizabilityTester<usize, S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Three API processes over one database.
struct Three {
    apis: Vec<Program>,
    client: reqwest::Client,
    _held: (Place, Stack),
}

impl Three {
    async fn start(name: &str) -> Arc<Self> {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let mut apis = Vec::new();
        for name in ["api-1", "api-2", "api-3"] {
            apis.push(Launch::new(&place, "api", name).arguments(["serve", "--http-threads", "1"]).start().await);
        }
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Arc::new(Self { apis, client, _held: (place, stack) })
    }

    async fn ask(&self, client: usize, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let url = self.apis[client % self.apis.len()].url();
        let answer = self.client.request(method, format!("{url}{path}")).json(&body).send().await.expect("an answer");
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }
}

/// Many histories, one after the other; `client` is one of the clients of one of them, at an object of its own.
async fn histories<S, C, F>(name: &str, spec: S, client: C)
where
    S: SequentialSpec + Clone + Debug,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug + PartialEq,
    C: Fn(usize, String, Arc<Recorder<S>>) -> F,
    F: Future<Output = ()>,
{
    for at in 0..HISTORIES {
        let recorder = Arc::new(Recorder::new(spec.clone()));
        join_all((0..CLIENTS).map(|number| client(number, format!("{name}-{at}"), Arc::clone(&recorder)))).await;
        assert!(recorder.is_consistent(), "no single {name} could have had this: {:#?}", recorder.lock());
    }
    println!(
        "coordination-linear: {HISTORIES} histories of a {name} with {CLIENTS} clients of three APIs are linearizable"
    );
}

/// Takes shares and gives back what it has.
async fn share(three: Arc<Three>, kind: &str, client: usize, name: String, recorder: Arc<Recorder<Shares>>) {
    let leases = format!("/v1/{kind}/{name}/leases");
    let mut held = Vec::new();
    for _ in 0..OPERATIONS {
        if let Some(id) = held.pop().filter(|_| dice(3) > 0) {
            let release = async {
                let (status, _) = three.ask(client, Method::DELETE, &format!("{leases}/{id}"), json!({})).await;
                assert_eq!(status, StatusCode::NO_CONTENT);
                ShareRet::Released
            };
            recorder.call(client, ShareOp::Release(id), release).await;
            continue;
        }
        let (id, permits) = (Uuid::new_v4(), if kind == "locks" { 1 } else { 1 + u64::try_from(dice(2)).unwrap_or(0) });
        let mut body = json!({"lease_id": id, "ttl": 600});
        if kind == "semaphores" {
            body["permits"] = json!(permits);
        }
        let acquire = async {
            let (status, lease) = three.ask(client, Method::POST, &leases, body).await;
            match status {
                StatusCode::OK => {
                    ShareRet::Held(lease["fence"].as_str().and_then(|fence| fence.parse().ok()).expect("a fence"))
                }
                StatusCode::CONFLICT => ShareRet::Taken,
                other => panic!("{other}: {lease}"),
            }
        };
        if let ShareRet::Held(_) = recorder.call(client, ShareOp::Acquire(id, permits), acquire).await {
            held.push(id);
        }
    }
}

#[tokio::test]
async fn locks_and_semaphores_are_linearizable() {
    let three = Three::start("linear-shares").await;
    let shares = |permits| Shares { permits, held: BTreeMap::new(), fence: 0 };
    let client = |client, name, recorder| share(Arc::clone(&three), "locks", client, name, recorder);
    histories("lock", shares(1), client).await;
    for at in 0..HISTORIES {
        let (status, _) =
            three.ask(0, Method::PUT, &format!("/v1/semaphores/semaphore-{at}"), json!({"permits": PERMITS})).await;
        assert_eq!(status, StatusCode::OK);
    }
    let client = |client, name, recorder| share(Arc::clone(&three), "semaphores", client, name, recorder);
    histories("semaphore", shares(PERMITS), client).await;
}

#[tokio::test]
async fn work_queues_are_linearizable() {
    let three = Three::start("linear-items").await;
    for at in 0..HISTORIES {
        let (status, _) =
            three.ask(0, Method::PUT, &format!("/v1/work-queues/queue-{at}"), json!({"maxsize": ROOM})).await;
        assert_eq!(status, StatusCode::OK);
    }
    let client = async |client: usize, name: String, recorder: Arc<Recorder<Items>>| {
        let queue = format!("/v1/work-queues/{name}");
        for _ in 0..OPERATIONS {
            let item = Uuid::new_v4();
            let put = async {
                let body = json!({"item_id": item, "payload": 1});
                match three.ask(client, Method::POST, &format!("{queue}/items"), body).await {
                    (StatusCode::CREATED, _) => ItemRet::In,
                    (StatusCode::CONFLICT, problem) if problem["code"] == "queue_full" => ItemRet::Full,
                    (StatusCode::CONFLICT, problem) if problem["code"] == "queue_shut_down" => ItemRet::ShutDown,
                    other => panic!("{other:?}"),
                }
            };
            let get = async {
                let (status, got) =
                    three.ask(client, Method::POST, &format!("{queue}/leases"), json!({"ack": "auto"})).await;
                match status {
                    StatusCode::OK => {
                        ItemRet::Got(got["item_id"].as_str().and_then(|id| id.parse().ok()).expect("an id"))
                    }
                    StatusCode::NO_CONTENT => ItemRet::Empty,
                    StatusCode::CONFLICT => ItemRet::ShutDown,
                    other => panic!("{other}: {got}"),
                }
            };
            let purge = async {
                let (_, purged) = three.ask(client, Method::POST, &format!("{queue}/purge"), json!({})).await;
                ItemRet::Purged(usize::try_from(purged["purged"].as_u64().expect("a number")).unwrap_or(usize::MAX))
            };
            let halt = async |halted: bool| {
                let (method, body) =
                    if halted { (Method::POST, json!({"immediate": true})) } else { (Method::DELETE, json!({})) };
                let (status, shut) = three.ask(client, method, &format!("{queue}/shutdown"), body).await;
                assert_eq!((status, &shut["immediate"]), (StatusCode::OK, &json!(halted)));
                ItemRet::Done
            };
            match dice(20) {
                0 => recorder.call(client, ItemOp::Purge, purge).await,
                1 => recorder.call(client, ItemOp::Halt(true), halt(true)).await,
                2 | 3 => recorder.call(client, ItemOp::Halt(false), halt(false)).await,
                even if even % 2 == 0 => recorder.call(client, ItemOp::Put(item), put).await,
                _ => recorder.call(client, ItemOp::Get, get).await,
            };
        }
    };
    histories("queue", Items::default(), client).await;
}

#[tokio::test]
async fn events_are_linearizable() {
    let three = Three::start("linear-events").await;
    let client = async |client: usize, name: String, recorder: Arc<Recorder<Flag>>| {
        let event = format!("/v1/events/{name}");
        for _ in 0..OPERATIONS {
            let (method, op) = match dice(3) {
                0 => (Method::PUT, FlagOp::Set(true)),
                1 => (Method::DELETE, FlagOp::Set(false)),
                _ => (Method::GET, FlagOp::Look),
            };
            let ask = async {
                let (status, shown) = three.ask(client, method, &event, json!({})).await;
                assert_eq!(status, StatusCode::OK, "{shown}");
                (shown["set"].as_bool().expect("a flag"), shown["generation"].as_u64().expect("a number"))
            };
            recorder.call(client, op, ask).await;
        }
    };
    histories("event", Flag::default(), client).await;
}

#[tokio::test]
async fn barriers_are_linearizable() {
    let three = Three::start("linear-gates").await;
    for at in 0..HISTORIES {
        let (status, _) =
            three.ask(0, Method::PUT, &format!("/v1/barriers/barrier-{at}"), json!({"parties": PARTIES})).await;
        assert_eq!(status, StatusCode::OK);
    }
    let client = async |client: usize, name: String, recorder: Arc<Recorder<Gate>>| {
        let barrier = format!("/v1/barriers/{name}");
        let mut mine = Uuid::new_v4();
        for _ in 0..OPERATIONS {
            let (method, path, op) = match dice(12) {
                0 => (Method::POST, format!("{barrier}/abort"), GateOp::Abort),
                1 | 2 => (Method::POST, format!("{barrier}/reset"), GateOp::Reset),
                3 | 4 => (Method::DELETE, format!("{barrier}/arrivals/{mine}"), GateOp::Leave(mine)),
                _ => (Method::POST, format!("{barrier}/arrivals"), GateOp::Arrive(mine)),
            };
            let ask = async {
                let (status, told) = three.ask(client, method, &path, json!({ "arrival_id": mine })).await;
                match status {
                    StatusCode::OK if told["open"] == true => {
                        let number = |name: &str| told[name].as_u64().expect("a number");
                        GateRet::Passed(number("generation"), usize::try_from(number("index")).unwrap_or(usize::MAX))
                    }
                    StatusCode::OK => GateRet::Done,
                    StatusCode::ACCEPTED => GateRet::Here(
                        told["arrived"].as_u64().and_then(|here| usize::try_from(here).ok()).expect("a number"),
                    ),
                    StatusCode::NO_CONTENT => GateRet::Left,
                    StatusCode::CONFLICT => GateRet::Broken,
                    other => panic!("{other}: {told}"),
                }
            };
            // an id that stands there is asked for again, and its end is heard of; then it is another one's turn
            if !matches!(recorder.call(client, op, ask).await, GateRet::Here(_) | GateRet::Done) {
                mine = Uuid::new_v4();
            }
        }
    };
    histories("barrier", Gate::default(), client).await;
}

/// What cannot have been is told: two that hold a lock, a fence that falls, an item out of turn, somebody at a broken barrier.
#[tokio::test]
async fn impossible_histories_are_refused() {
    let ids = [Uuid::new_v4(), Uuid::new_v4()];
    let acquire = |at: usize| ShareOp::Acquire(ids[at], 1);
    let lock = || Recorder::new(Shares { permits: 1, held: BTreeMap::new(), fence: 0 });
    let twice = lock();
    twice.call(0, acquire(0), async { ShareRet::Held(1) }).await;
    twice.call(1, acquire(1), async { ShareRet::Held(2) }).await;
    assert!(!twice.is_consistent());
    let falls = lock();
    falls.call(0, acquire(0), async { ShareRet::Held(2) }).await;
    falls.call(0, ShareOp::Release(ids[0]), async { ShareRet::Released }).await;
    falls.call(1, acquire(1), async { ShareRet::Held(1) }).await;
    assert!(!falls.is_consistent());
    let queue = Recorder::new(Items::default());
    queue.call(0, ItemOp::Put(ids[0]), async { ItemRet::In }).await;
    queue.call(0, ItemOp::Put(ids[1]), async { ItemRet::In }).await;
    queue.call(1, ItemOp::Get, async { ItemRet::Got(ids[1]) }).await;
    assert!(!queue.is_consistent());
    let gate = Recorder::new(Gate::default());
    gate.call(0, GateOp::Arrive(ids[0]), async { GateRet::Here(1) }).await;
    gate.call(1, GateOp::Abort, async { GateRet::Done }).await;
    gate.call(0, GateOp::Arrive(ids[0]), async { GateRet::Here(1) }).await;
    assert!(!gate.is_consistent());
}
