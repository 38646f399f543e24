//! Locks and their kin against their specification: random requests, in batches, with a clock that the test moves, go to the
//! database and to an [`Object`] in memory that sees everything; both must answer the same, and both must have the same left.
//!
//! Fences and places in lines are other numbers here and there; that they stand in the same order is what is compared.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use bytes::Bytes;
use caraway_shared::{
    config::{Schema, prepare},
    coordination::{
        Address, Asker, Get, Grant, Kind, Millis, Object, Op, Order, Put, Reply, Share, Standing, Terms, put_ticket,
    },
    store::{
        Store, StoreConfig, Writer,
        coordination::{Change, Changes},
    },
    task::OwnerId,
};
use caraway_testkit::{Place, Stack};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio_postgres::NoTls;
use uuid::Uuid;

const CASES: u32 = 150;
const START: Millis = 1_000_000_000;

fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

fn share(number: u8) -> Share {
    Share { id: id(number), secret: None }
}

/// Mostly the first few, so that requests meet; sometimes enough for a line that does not fit into sight.
fn number() -> impl Strategy<Value = u8> {
    prop_oneof![3 => 0..6_u8, 1 => 0..24_u8]
}

fn wait() -> impl Strategy<Value = Millis> {
    prop_oneof![Just(0), Just(1_000), Just(20_000)]
}

/// Of a few requests, so that one that was abandoned is met.
fn asker() -> impl Strategy<Value = Asker> {
    (0..2_u8, wait()).prop_map(|(number, wait)| Asker { id: id(number), wait })
}

fn abandon(of: impl Strategy<Value = u8>) -> impl Strategy<Value = Op> {
    (of, 0..2_u8).prop_map(|(at, asker)| Op::Abandon { id: id(at), asker: id(asker) })
}

fn terms(permits: i32) -> impl Strategy<Value = Terms> {
    (1..=permits, 0..3_u8, any::<bool>(), prop_oneof![Just(1_000), Just(30_000)]).prop_map(
        |(permits, owner, reentrant, ttl_ms)| Terms {
            owner: owner.to_string(),
            permits,
            ttl_ms,
            reentrant,
            ..Terms::default()
        },
    )
}

fn acquire(permits: i32) -> impl Strategy<Value = Op> {
    (number(), terms(permits), asker()).prop_map(|(at, terms, asker)| Op::Acquire {
        id: id(at),
        terms,
        expect: None,
        asker,
    })
}

fn renew() -> impl Strategy<Value = Op> {
    let ttl = prop_oneof![Just(None), Just(Some(5_000))];
    (number(), ttl).prop_map(|(at, ttl_ms)| Op::Renew { share: share(at), ttl_ms })
}

fn release() -> impl Strategy<Value = Op> {
    number().prop_map(|at| Op::Release(share(at)))
}

/// None, and some that end before, with and after what else does.
fn time_limit() -> impl Strategy<Value = Option<Millis>> {
    prop_oneof![2 => Just(None), 1 => Just(Some(0)), 2 => (1..2_000_i64).prop_map(Some), 1 => Just(Some(20_000))]
}

fn of_lock() -> BoxedStrategy<Op> {
    let line = || prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let timeout = time_limit();
    let park = (number(), number(), line(), asker(), timeout).prop_filter_map(
        "itself",
        |(at, other, line, asker, timeout)| {
            (at != other).then(|| Op::Park { share: share(at), id: id(other), line, asker, timeout })
        },
    );
    let notify = (number(), line(), 1..4).prop_map(|(at, line, count)| Op::Notify { share: share(at), line, count });
    prop_oneof![
        40 => acquire(1),
        10 => renew(),
        30 => release(),
        15 => park,
        15 => notify,
        10 => abandon(number()),
        1 => Just(Op::Delete),
    ]
    .boxed()
}

fn of_semaphore() -> BoxedStrategy<Op> {
    prop_oneof![
        50 => acquire(3),
        10 => renew(),
        30 => release(),
        10 => (1..7).prop_map(Op::Resize),
        10 => abandon(number()),
        1 => Just(Op::Delete),
    ]
    .boxed()
}

fn of_barrier() -> BoxedStrategy<Op> {
    prop_oneof![
        60 => (number(), time_limit()).prop_map(|(at, timeout)| Op::Arrive { id: id(at), timeout }),
        15 => number().prop_map(|at| Op::Leave(id(at))),
        2 => Just(Op::Abort),
        6 => Just(Op::Reset),
        10 => (1..5).prop_map(Op::Resize),
        1 => Just(Op::Delete),
    ]
    .boxed()
}

fn of_queue() -> BoxedStrategy<Op> {
    let put = (100..140_u8, -2..3_i8, prop_oneof![4 => Just(0), 1 => Just(700)], asker()).prop_map(
        |(at, priority, delay, asker)| {
            let payload = Bytes::from(format!("{at}"));
            Op::Put(Put { id: id(at), priority: f64::from(priority), delay, payload, asker })
        },
    );
    let rarely = || prop::bool::weighted(0.2);
    let get = (number(), terms(1), rarely(), rarely(), asker()).prop_map(|(at, terms, leaves_empty, auto, asker)| {
        Op::Get(Get { id: id(at), terms: Terms { leaves_empty, ..terms }, auto, asker })
    });
    let order = prop_oneof![Just(Order::Fifo), Just(Order::Lifo), Just(Order::Priority)];
    let order = prop::option::of(order);
    let capacity = prop_oneof![Just(None), Just(Some(None)), (1..4).prop_map(|most| Some(Some(most)))];
    let configure = (capacity, order, prop::option::of(1..4))
        .prop_map(|(capacity, order, attempts_max)| Op::Configure { capacity, order, attempts_max });
    let back = (number(), prop_oneof![Just(0), Just(900)]).prop_map(|(at, delay)| Op::GiveBack(share(at), delay));
    let put_back = vec(100..140_u8, 1..4).prop_map(|items| Op::PutBack(items.into_iter().map(id).collect()));
    let tickets =
        (100..140_u8, 0..2_u8).prop_map(|(at, asker)| Op::Abandon { id: put_ticket(id(at)), asker: id(asker) });
    prop_oneof![
        60 => put,
        60 => get,
        40 => number().prop_map(|at| Op::Finish(share(at))),
        20 => back,
        10 => renew(),
        10 => configure,
        10 => prop::bool::weighted(0.3).prop_map(Op::Flag),
        1 => Just(Op::Halt),
        2 => Just(Op::Purge),
        10 => abandon(number()),
        10 => tickets,
        10 => (100..140_u8).prop_map(|at| Op::Withdraw(id(at))),
        10 => put_back,
        1 => Just(Op::Delete),
    ]
    .boxed()
}

/// How far the clock goes, and what is asked then, in one commit.
type Step = (Millis, Vec<Op>);

fn steps(op: BoxedStrategy<Op>) -> impl Strategy<Value = Vec<Step>> {
    let later = prop_oneof![
        4 => Just(0),
        3 => 1..600_i64,
        2 => Just(1_000),
        2 => Just(5_000),
        1 => Just(16_000),
        1 => Just(40_000),
    ];
    vec((later, vec(op, 1..5)), 1..40)
}

/// The database, and who steps there.
struct Engine {
    writer: Writer<Changes>,
    now: Arc<AtomicI64>,
    again: Arc<Mutex<Vec<Address>>>,
    client: tokio_postgres::Client,
    _held: (Place, Stack),
}

impl Engine {
    async fn start() -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, "coordination-model").await;
        let url = place.servers().postgres_url.clone();
        let store =
            Store::new(&StoreConfig { url: url.clone(), application: "model", connections: 2 }).expect("a store");
        prepare(&store, Schema::Migrate, None).await.expect("the database can be prepared");
        let (now, again) = (Arc::new(AtomicI64::new(START)), Arc::new(Mutex::new(Vec::new())));
        let (clock, more) = (Arc::clone(&now), Arc::clone(&again));
        let changes = Changes {
            tell: Box::new(move |told| more.lock().expect("no panic").extend(told.again)),
            clock: Some(Box::new(move || clock.load(Ordering::SeqCst))),
        };
        let writer = Writer::start(&store, changes);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the database answers");
        tokio::spawn(connection);
        Self { writer, now, again, client, _held: (place, stack) }
    }

    async fn ask(&self, address: &Address, ops: &[Op]) -> Vec<Reply> {
        let rows = ops.iter().map(|op| Change { address: address.clone(), op: op.clone(), order: None }).collect();
        self.writer.write(rows).await.expect("the database takes it")
    }

    /// Lets time have its way until there is nothing more to do, as the look does that every process takes.
    async fn settle(&self, address: &Address) {
        self.ask(address, &[Op::Pass(Vec::new())]).await;
        while self.again.lock().expect("no panic").pop().is_some() {
            self.ask(address, &[Op::Pass(Vec::new())]).await;
        }
    }

    /// What is left: leases and items, without the numbers of turns.
    async fn left(&self, address: &Address, now: Millis) -> BTreeMap<Uuid, String> {
        let leases =
            "SELECT id, standing::text, line, until_ms, claimed, item_id, alarm_ms FROM lease WHERE object_id = $1";
        let items = "SELECT id, state::text, priority, until_ms, attempt FROM work_item WHERE object_id = $1";
        let mut left = BTreeMap::new();
        for row in self.client.query(leases, &[&address.id()]).await.expect("rows") {
            let standing: String = row.get(1);
            let standing = Standing::named(&standing).expect("a standing");
            let text = lease_text(standing, row.get(2), row.get(3), row.get(4), row.get(5), now);
            left.insert(row.get(0), format!("{text} {:?}", row.get::<_, Option<i64>>(6)));
        }
        for row in self.client.query(items, &[&address.id()]).await.expect("rows") {
            let (state, priority, until): (String, f64, i64) = (row.get(1), row.get(2), row.get(3));
            left.insert(row.get(0), format!("{state} {priority} {until} {}", row.get::<_, i32>(4)));
        }
        left
    }
}

/// One that has run out and that nobody has looked at is as good as lost.
fn lease_text(standing: Standing, line: &str, until: Millis, claimed: bool, item: Option<Uuid>, now: Millis) -> String {
    let runs_out = matches!(standing, Standing::Waiting | Standing::Held);
    if standing == Standing::Lost || (runs_out && until <= now) {
        return "lost".into();
    }
    format!("{} {line:?} {until} {claimed} {item:?}", standing.as_str())
}

fn left_of(object: &Object) -> BTreeMap<Uuid, String> {
    let leases = object.leases.values().map(|lease| {
        let text = lease_text(lease.standing, &lease.line, lease.until, lease.claimed, lease.item, object.now);
        (lease.id, format!("{text} {:?}", lease.alarm))
    });
    let items = object
        .items
        .values()
        .map(|item| (item.id, format!("{} {} {} {}", item.state.as_str(), item.priority, item.until, item.attempt)));
    leases.chain(items).collect()
}

/// Fences of the specification, and those of the database for the same leases.
#[derive(Default)]
struct Fences(BTreeMap<i64, i64>);

impl Fences {
    /// Whether both have the same order so far.
    fn agree(&mut self, ours: i64, theirs: i64) -> bool {
        if let Some(known) = self.0.get(&ours) {
            return *known == theirs;
        }
        let below = self.0.range(..ours).next_back().is_none_or(|(_, fence)| *fence < theirs);
        let above = self.0.range(ours..).next().is_none_or(|(_, fence)| *fence > theirs);
        self.0.insert(ours, theirs);
        below && above
    }
}

/// Whether two answers are the same, but for what only those who see everything know.
fn same(fences: &mut Fences, expected: &Reply, got: &Reply) -> bool {
    let mut grants = |ours: &Grant, theirs: &Grant| ours.left == theirs.left && fences.agree(ours.fence, theirs.fence);
    match (expected, got) {
        (Reply::Held(ours), Reply::Held(theirs)) => grants(ours, theirs),
        (Reply::Woken { grant: ours, notified: was }, Reply::Woken { grant: theirs, notified }) => {
            was == notified && grants(ours, theirs)
        }
        (Reply::Fetched(ours), Reply::Fetched(theirs)) => {
            let same = (ours.item, ours.attempt) == (theirs.item, theirs.attempt);
            same && theirs.payload == format!("{}", ours.item.as_u128() - 1) && grants(&ours.grant, &theirs.grant)
        }
        (Reply::Waiting(_), Reply::Waiting(_)) | (Reply::WouldBlock(_), Reply::WouldBlock(_)) => true,
        _ => expected == got,
    }
}

async fn check(engine: &Engine, address: &Address, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut object = Object::new(address.kind(), START, (1, i64::MAX));
    let mut fences = Fences::default();
    engine.now.store(START, Ordering::SeqCst);
    for (later, ops) in steps {
        object.now += later;
        engine.now.store(object.now, Ordering::SeqCst);
        engine.settle(address).await;
        object.pass();
        // a larger semaphore may let in more than is in sight, and what follows in the same commit would see that
        let batches: Vec<&[Op]> = if ops
            .iter()
            .any(|op| matches!(op, Op::Resize(_) | Op::Configure { .. } | Op::Flag(_) | Op::Halt | Op::Delete))
        {
            ops.chunks(1).collect()
        } else {
            vec![ops]
        };
        for ops in batches {
            let expected: Vec<Reply> = ops.iter().map(|op| object.step(op)).collect();
            let got = engine.ask(address, ops).await;
            for ((op, expected), got) in ops.iter().zip(&expected).zip(&got) {
                prop_assert!(same(&mut fences, expected, got), "{op:?}\nexpected {expected:?}\ngot      {got:?}");
            }
            engine.settle(address).await;
            object.pass();
        }
        prop_assert_eq!(left_of(&object), engine.left(address, object.now).await, "after {:?}", ops);
    }
    Ok(())
}

async fn compare(kind: Kind, op: fn() -> BoxedStrategy<Op>) {
    let engine = Arc::new(Engine::start().await);
    let runtime = tokio::runtime::Handle::current();
    let compared = tokio::task::spawn_blocking(move || {
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        runner.run(&steps(op()), |steps| {
            let name = format!("case-{}", Uuid::new_v4().simple()).parse().expect("a name");
            runtime.block_on(check(&engine, &Address::new(OwnerId::LOCAL, kind, name), &steps))
        })
    });
    if let Err(error) = compared.await.expect("no panic") {
        panic!("{kind:?}: {error}");
    }
    println!("coordination-model: {CASES} histories of a {kind:?} are as specified");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_and_conditions_are_as_specified() {
    compare(Kind::Lock, of_lock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn semaphores_are_as_specified() {
    compare(Kind::Semaphore, of_semaphore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn barriers_are_as_specified() {
    compare(Kind::Barrier, of_barrier).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_queues_are_as_specified() {
    compare(Kind::WorkQueue, of_queue).await;
}
