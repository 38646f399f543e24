//! Must-show 2: over three API processes, with clients that die and freeze, an API that is killed, PostgreSQL restarted and Redis
//! killed, the history that the database keeps of a lock, a semaphore and a queue is as promised.
//!
//! A trigger writes down every change of a lease with its transaction. All changes of one object are made under the lock of its
//! row, so they come in the order in which they hold; what counts is how things stand at the end of each transaction. Another
//! does so with items, by which each answer of `join` is judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use caraway_testkit::{Database, Place, Program, Stack, eventually};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::wire::Wire;

const LOCKERS: usize = 8;
const SHARERS: usize = 12;
const CONSUMERS: usize = 4;
const PERMITS: i64 = 3;
const ITEMS: usize = 300;
const LONG: Duration = Duration::from_mins(2);

const HISTORY: &str = "
    CREATE TABLE history (
        at bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tx text NOT NULL DEFAULT pg_current_xact_id()::text, name text,
        id uuid, standing text, line text, turn bigint, until_ms bigint, clock_ms bigint, permits int);
    CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO history (name, id, standing, line, turn, until_ms, clock_ms, permits)
        SELECT c.name, NEW.id, NEW.standing::text, NEW.line, NEW.turn, NEW.until_ms, c.clock_ms, NEW.permits
        FROM coordination c WHERE c.id = NEW.object_id;
        RETURN NULL; END $$;
    CREATE TRIGGER remember AFTER INSERT OR UPDATE ON lease FOR EACH ROW EXECUTE FUNCTION remember();
    CREATE TABLE item_history (
        at bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tx text NOT NULL DEFAULT pg_current_xact_id()::text, id uuid,
        state text);
    CREATE FUNCTION remember_item() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO item_history (id, state) SELECT NEW.id, NEW.state::text;
        RETURN NULL; END $$;
    CREATE TRIGGER remember AFTER INSERT OR UPDATE ON work_item FOR EACH ROW EXECUTE FUNCTION remember_item();";

/// A number that nobody chooses, below `end`.
fn dice(end: u128) -> u128 {
    Uuid::new_v4().as_u128() % end
}

/// A client that comes back after every outage, to another process.
struct Client {
    urls: Vec<String>,
    wire: Option<Wire>,
}

impl Client {
    fn new(apis: &[Program]) -> Self {
        Self { urls: apis.iter().map(Program::url).collect(), wire: None }
    }

    /// Until some process answers with other than 503; the status.
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> u16 {
        let began = Instant::now();
        loop {
            let at = usize::try_from(dice(3)).unwrap_or(0);
            if self.wire.is_none() {
                self.wire = Wire::open(&self.urls[at]).await.ok();
            }
            if let Some(wire) = &mut self.wire {
                match tokio::time::timeout(Duration::from_secs(20), wire.send(method, path, body)).await {
                    Ok(Ok(answer)) if answer.status != 503 => return answer.status,
                    Ok(Ok(_)) => {}
                    _ => self.wire = None,
                }
            }
            assert!(began.elapsed() < LONG, "nobody answers {method} {path}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Takes a share again and again; dies with it, or freezes over its time, now and then. How often it held, and how often it was
/// told that it had lost it.
async fn share(mut client: Client, leases: &'static str, done: Arc<AtomicBool>) -> (u32, u32) {
    let (mut held, mut lost) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let id = Uuid::new_v4();
        let body = format!("{{\"lease_id\":\"{id}\",\"ttl\":1.5}}");
        let mut status = 202;
        while status == 202 && !done.load(Ordering::Relaxed) {
            status = client.ask("POST", &format!("{leases}?wait=5"), &body).await;
        }
        // the place ran out while nobody answered: it starts again
        if status != 200 {
            assert!([202, 410].contains(&status), "{status}");
            continue;
        }
        held += 1;
        match dice(20) {
            0 => continue,                                 // it dies: nobody gives this back
            1 => sleep(Duration::from_millis(2500)).await, // it freezes
            _ => sleep(Duration::from_millis(u64::try_from(dice(40)).unwrap_or(0))).await,
        }
        match client.ask("DELETE", &format!("{leases}/{id}"), "").await {
            204 => (),
            410 => lost += 1,
            other => panic!("{other}"),
        }
    }
    (held, lost)
}

async fn consume(mut client: Client, queue: &'static str, done: Arc<AtomicBool>) -> (u32, u32) {
    let (mut finished, mut lost) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let id = Uuid::new_v4();
        let body = format!("{{\"lease_id\":\"{id}\",\"ttl\":1.5}}");
        // who asks with a new id each time leaves places behind, and each holds an item up for five seconds
        let mut got = 202;
        while got == 202 && !done.load(Ordering::Relaxed) {
            got = client.ask("POST", &format!("{queue}/leases?wait=1"), &body).await;
        }
        if got != 200 {
            assert!([202, 410].contains(&got), "{got}");
            continue;
        }
        if dice(20) == 0 {
            continue; // it dies with the item
        }
        match client.ask("DELETE", &format!("{queue}/leases/{id}"), "").await {
            204 => finished += 1,
            410 => lost += 1,
            other => panic!("{other}"),
        }
    }
    (finished, lost)
}

/// An answer of `join`: the last change of an item that was there before it was asked for, and the last one that was there when it
/// had come.
struct Joined {
    after: i64,
    before: i64,
    finished: bool,
}

/// Asks again and again whether everything is done.
async fn join(urls: Vec<String>, database: Database, done: Arc<AtomicBool>) -> Vec<Joined> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
    let mark = async || {
        let sql = "SELECT coalesce(max(at), 0) FROM item_history";
        loop {
            if let Ok(at) = database.try_number(sql).await {
                return at;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answers = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let url = &urls[usize::try_from(dice(3)).unwrap_or(0)];
        let after = mark().await;
        let answer = client.get(format!("{url}/v1/work-queues/jobs/join?wait=2")).send().await;
        let answer: Option<serde_json::Value> = match answer.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => answer.json().await.ok(),
            Err(_) => None,
        };
        match answer.and_then(|answer| answer["finished"].as_bool()) {
            Some(finished) => answers.push(Joined { after, before: mark().await, finished }),
            None => sleep(Duration::from_millis(50)).await, // that process is away, or the database
        }
    }
    answers
}

/// Nothing was unfinished at a moment of each answer that said so, and something at one of each that did not. How many of either.
async fn examine_joins(database: &Database, answers: &[Joined]) -> (usize, usize) {
    let rows = database.rows("SELECT at, tx, id, state FROM item_history ORDER BY at").await;
    let (mut open, mut before): (BTreeSet<Uuid>, BTreeSet<Uuid>) = (BTreeSet::new(), BTreeSet::new());
    // of each transaction: its last change, whether something is unfinished at its end, and whether everything that was so before
    // has been finished in it; for many requests share one, and a put may come behind the last item's end
    let mut moments = vec![(0_i64, false, true)];
    for (at, row) in rows.iter().enumerate() {
        let (id, state): (Uuid, String) = (row.get(2), row.get(3));
        if ["done", "taken", "dead"].contains(&state.as_str()) {
            open.remove(&id);
            before.remove(&id);
        } else {
            open.insert(id);
        }
        let tx: String = row.get(1);
        if rows.get(at + 1).is_none_or(|next| next.get::<_, String>(1) != tx) {
            moments.push((row.get(0), !open.is_empty(), before.is_empty()));
            before.clone_from(&open);
        }
    }
    for answer in answers {
        let first = moments.partition_point(|(at, ..)| *at <= answer.after).saturating_sub(1);
        let (_, was_open, _) = moments[first];
        let mut during = moments[first + 1..].iter().take_while(|(at, ..)| *at <= answer.before);
        let right = if answer.finished {
            !was_open || during.any(|(_, _, emptied)| *emptied)
        } else {
            was_open || during.any(|(_, open, _)| *open)
        };
        assert!(right, "join answered {} wrongly", answer.finished);
    }
    let finished = answers.iter().filter(|answer| answer.finished).count();
    (finished, answers.len() - finished)
}

async fn break_everything(stack: &Stack, apis: &mut [Program]) {
    sleep(Duration::from_secs(4)).await;
    stack.kill("redis").await;
    sleep(Duration::from_secs(4)).await;
    apis[0].kill().await;
    sleep(Duration::from_secs(2)).await;
    stack.kill("postgres").await;
    stack.start_server("postgres").await;
    sleep(Duration::from_secs(3)).await;
    apis[0].restart().await;
    stack.start_server("redis").await;
    apis[1].freeze();
    sleep(Duration::from_secs(4)).await;
    apis[1].thaw();
    stack.stop("postgres").await;
    stack.start_server("postgres").await;
    sleep(Duration::from_secs(5)).await;
}

#[derive(Clone)]
struct Seen {
    standing: String,
    line: String,
    turn: i64,
    until: i64,
    permits: i64,
}

/// What the history of one object shows: how many grants.
async fn examine(database: &Database, name: &str, permits: i64) -> usize {
    let sql = format!(
        "SELECT tx, id, standing, line, turn, until_ms, clock_ms, permits FROM history WHERE name = '{name}' ORDER BY at"
    );
    let rows = database.rows(&sql).await;
    let mut state: BTreeMap<Uuid, Seen> = BTreeMap::new();
    let (mut fence, mut grants, mut at) = (0, 0, 0);
    while at < rows.len() {
        let tx: String = rows[at].get(0);
        let before = state.clone();
        let mut now = 0;
        let mut touched = BTreeSet::new();
        while at < rows.len() && rows[at].get::<_, String>(0) == tx {
            let row = &rows[at];
            let seen = Seen {
                standing: row.get(2),
                line: row.get(3),
                turn: row.get(4),
                until: row.get(5),
                permits: i64::from(row.get::<_, i32>(7)),
            };
            now = row.get(6);
            touched.insert(row.get::<_, Uuid>(1));
            state.insert(row.get(1), seen);
            at += 1;
        }
        let held = state.values().filter(|lease| lease.standing == "held");
        let used: i64 = held.map(|lease| lease.permits).sum();
        assert!(used <= permits, "{name}: {used} permits are held after transaction {tx}");
        let was_held = |id: &Uuid| before.get(id).is_some_and(|lease| lease.standing == "held");
        let mut granted: Vec<i64> = Vec::new();
        let mut from: Vec<i64> = Vec::new();
        for id in touched.iter().filter(|id| !was_held(id)) {
            let lease = &state[id];
            if lease.standing == "held" || (lease.standing == "released" && lease.turn > 0 && !waited(&before, id)) {
                granted.push(lease.turn);
            }
            if lease.standing == "held" {
                from.extend(before.get(id).filter(|lease| lease.standing == "waiting").map(|lease| lease.turn));
            }
        }
        granted.sort_unstable();
        for next in &granted {
            assert!(*next > fence, "{name}: fence {next} after {fence}");
            fence = *next;
        }
        grants += granted.len();
        let passed_over = state.values().filter(|lease| {
            lease.standing == "waiting"
                && lease.line.is_empty()
                && lease.until > now
                && from.iter().any(|turn| lease.turn < *turn)
        });
        assert_eq!(passed_over.count(), 0, "{name}: somebody who lived was passed over in transaction {tx}");
    }
    grants
}

/// One that gave up its place in the line was never granted.
fn waited(before: &BTreeMap<Uuid, Seen>, id: &Uuid) -> bool {
    before.get(id).is_some_and(|lease| lease.standing == "waiting")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_as_promised_whatever_dies() {
    let stack = Stack::start("coordination-history").await;
    let place = Place::on(&stack, "coordination-history").await;
    let mut apis = Vec::new();
    for name in ["api-1", "api-2", "api-3"] {
        apis.push(
            caraway_testkit::Launch::new(&place, "api", name).arguments(["serve", "--http-threads", "1"]).start().await,
        );
    }
    let database = place.database().await;
    for statement in HISTORY.split_inclusive("$$;").flat_map(|part| part.split_inclusive(");\n")) {
        database.execute(statement, &[]).await.expect("the trigger can be made");
    }
    let mut client = Client::new(&apis);
    assert_eq!(client.ask("PUT", "/v1/semaphores/shared", &format!("{{\"permits\":{PERMITS}}}")).await, 200);
    assert_eq!(client.ask("PUT", "/v1/work-queues/jobs", "{\"max_attempts\":100}").await, 200);

    let done = Arc::new(AtomicBool::new(false));
    let start = |leases: &'static str, count: usize| -> Vec<JoinHandle<(u32, u32)>> {
        (0..count).map(|_| tokio::spawn(share(Client::new(&apis), leases, Arc::clone(&done)))).collect()
    };
    let lockers = start("/v1/locks/one/leases", LOCKERS);
    let sharers = start("/v1/semaphores/shared/leases", SHARERS);
    let queue = "/v1/work-queues/jobs";
    let consumers: Vec<_> =
        (0..CONSUMERS).map(|_| tokio::spawn(consume(Client::new(&apis), queue, Arc::clone(&done)))).collect();
    let urls = apis.iter().map(Program::url).collect();
    let joining = tokio::spawn(join(urls, place.database().await, Arc::clone(&done)));
    let mut producer = Client::new(&apis);
    let producing = tokio::spawn(async move {
        for _ in 0..ITEMS {
            let body = format!("{{\"item_id\":\"{}\",\"payload\":1}}", Uuid::new_v4());
            let put = producer.ask("POST", &format!("{queue}/items"), &body).await;
            assert!([200, 201].contains(&put), "{put}");
            sleep(Duration::from_millis(60)).await;
        }
    });
    break_everything(&stack, &mut apis).await;
    producing.await.expect("the producer does not panic");
    eventually(LONG, "every item is done", async || {
        let open =
            database.number("SELECT count(*) FROM work_item WHERE state IN ('ready', 'delayed', 'leased')").await;
        if open == 0 { Ok(()) } else { Err(format!("{open} are not")) }
    })
    .await;
    done.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for clients in [lockers, sharers, consumers] {
        let (mut held, mut lost) = (0, 0);
        for client in clients {
            let (more, fewer) = client.await.expect("no client panics");
            (held, lost) = (held + more, lost + fewer);
        }
        told.push((held, lost));
    }
    let items = database.number("SELECT count(*) FROM work_item WHERE state = 'done'").await;
    assert_eq!(usize::try_from(items), Ok(ITEMS), "an item is lost");
    let joins = joining.await.expect("who joins does not panic");
    let (finished, unfinished) = examine_joins(&database, &joins).await;
    let (locked, shared) = (examine(&database, "one", 1).await, examine(&database, "shared", PERMITS).await);
    println!(
        "coordination-history: a lock was granted {locked} times (its clients held it {}, and were told {} times that it was lost), a \
         semaphore of {PERMITS} {shared} times ({}, {}), {ITEMS} items all done ({} done by who fetched them, {} lost to others), \
         {finished} times join was right that nothing was unfinished, {unfinished} times that something was",
        told[0].0, told[0].1, told[1].0, told[1].1, told[2].0, told[2].1
    );
    assert!(locked > 50 && shared > 100, "too little happened");
    assert!(told[0].1 + told[1].1 > 0, "nobody ever froze");
    assert!(finished > 10, "join said too little");
}
