//! Every route of the OpenAPI document, cut by a FIN at random moments: within the head, within the body, behind it, and while an
//! answer is waited for. Places, permits, connections and quotas come back, and nothing is half written.
//!
//! The moments come from a seed, which is printed; `CARAWAY_CUTS_SEED` repeats a run.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::{ask, make_key, make_user},
    answer::Answer,
    eventually::eventually_async,
    hangup::waits,
    raw,
    server::Api,
};

/// How often each route is cut. More than there are places for workflows; there are 128 for uploads, which are cut oftener.
const CUTS: usize = 40;
/// Of an upload.
const BYTES: usize = 300_000;
/// The longest that a client waits before it goes: some answers are there by then, and some are not.
const LEAVES_WITHIN_MS: u64 = 25;

/// Random numbers of a seed (splitmix64), the same on every machine.
struct Dice(u64);

impl Dice {
    fn of_environment() -> Self {
        let seed = std::env::var("CARAWAY_CUTS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from_le_bytes(Uuid::new_v4().into_bytes()[..8].try_into().unwrap()));
        println!("cuts: CARAWAY_CUTS_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }
}

/// What the paths of a run name.
struct World {
    api: Api,
    key: String,
    user: i64,
    task: String,
    item: String,
    workflow: String,
}

impl World {
    async fn new() -> Self {
        let api = Api::start().await;
        let (key, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
        let user = make_user(&api, &key, "somebody").await;
        let post = async |path: &str, body: Value| {
            ask(&api, &reqwest::Method::POST, path, Some(&key), Some(body)).await.json()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let task = post("/v1/tasks", json!({"name": "add", "args": [1, 2], "delay": 3600})).await;
        let workflow = post("/v1/groups", json!({"tasks": [{"name": "add", "args": [1, 2]}]})).await;
        let item =
            api.client.post(format!("{}/items", api.url)).bearer_auth(&key).body("an item").send().await.unwrap();
        let item = item.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
        Self { api, key, user, task, item, workflow }
    }

    /// The path with something in the place of each parameter that is there to be asked for, where there can be.
    fn path(&self, pattern: &str, waits: bool) -> String {
        let id = match pattern {
            path if path.starts_with("/v1/tasks/") => self.task.clone(),
            path if path.starts_with("/v1/workflows/") => self.workflow.clone(),
            path if path.starts_with("/v1/users/") => self.user.to_string(),
            path if path.starts_with("/v1/api-keys/") => "999".into(),
            _ => self.item.clone(),
        };
        let path = pattern.replace("{id}", &id).replace("{name}", "cut").replace("{key}", "cut");
        let path = path.replace("{lease_id}", &Uuid::new_v4().to_string()).replace("{code}", "not_found");
        let path = path.replace("{item_id}", &Uuid::new_v4().to_string());
        let path = path.replace("{arrival_id}", &Uuid::new_v4().to_string());
        if waits { format!("{path}?wait=30") } else { path }
    }

    fn request(&self, operation: &Operation) -> Vec<u8> {
        let path = self.path(&operation.path, operation.waits);
        let (kind, body) = operation.body();
        let mut head = format!(
            "{} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n",
            operation.method,
            self.key,
            body.len()
        );
        if !kind.is_empty() {
            head.extend(["content-type: ", &kind, "\r\n"]);
        }
        [head.as_bytes(), b"\r\n", &body].concat()
    }
}

/// A documented operation.
struct Operation {
    method: String,
    path: String,
    waits: bool,
    /// Its media type, and an example where it is JSON.
    body: Option<(String, Option<Value>)>,
}

impl Operation {
    /// A body with ids of its own.
    fn body(&self) -> (String, Vec<u8>) {
        match &self.body {
            None => (String::new(), Vec::new()),
            Some((kind, Some(example))) => (kind.clone(), body(&self.path, example.clone())),
            Some((kind, None)) => (kind.clone(), vec![b'x'; BYTES]), // more than fits into one chunk
        }
    }
}

/// Every documented operation, with a body that it takes.
async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let waits = parameters.iter().any(|parameter| parameter["name"] == "wait" && parameter["in"] == "query");
            let content = operation["requestBody"]["content"].as_object();
            let body = content
                .and_then(|content| content.iter().next())
                .map(|(kind, content)| (kind.clone(), content.get("example").cloned()));
            all.push(Operation { method: method.to_uppercase(), path: path.clone(), waits, body });
        }
    }
    assert!(all.len() > 80, "{} operations", all.len());
    // what deletes or breaks comes last, or the others would find nothing
    let ends = |path: &str| ["/delete", "/abort"].iter().any(|order| path.ends_with(order));
    all.sort_by_key(|operation| operation.method == "DELETE" || ends(&operation.path));
    all
}

/// An example as it can be sent again and again: leases of this run are short.
fn body(path: &str, mut example: Value) -> Vec<u8> {
    let Some(fields) = example.as_object_mut() else { return example.to_string().into_bytes() };
    if path.ends_with("/leases") {
        fields.remove("lease_id"); // each has one of its own
        fields.insert("ttl".into(), json!(1));
    }
    for id in ["item_id", "arrival_id", "wait_id"] {
        if fields.contains_key(id) {
            fields.insert(id.into(), json!(Uuid::new_v4()));
        }
    }
    example.to_string().into_bytes()
}

/// Sends a part of a request, or all of it, and hangs up.
fn cut(port: u16, request: &[u8], dice: &mut Dice) {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (sent, stays) = match dice.below(5) {
        0 => (dice.below(head), 0),
        1 => (head + dice.below(request.len() - head), 0),
        2 => (request.len(), 0),
        _ => (request.len(), dice.below(usize::try_from(LEAVES_WITHIN_MS).unwrap())),
    };
    let mut stream = raw::connect(port);
    let _ = stream.write_all(&request[..sent]); // it may be refused before it was sent
    stream.set_read_timeout(Some(Duration::from_millis(1 + u64::try_from(stays).unwrap()))).unwrap();
    let _ = stream.read(&mut [0; 1]); // an answer, or the time that it stays
    let _ = stream.shutdown(Shutdown::Write);
    // the server ends the connection too; what it has written before is read, so that no reset follows the FIN
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    if let Err(error) = std::io::copy(&mut stream, &mut std::io::sink()) {
        let request = String::from_utf8_lossy(&request[..sent.min(head)]);
        let is_open = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!is_open, "the server holds on to a connection that its client has closed: {request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_cut_leaves_nothing_behind() {
    let world = World::new().await;
    let mut dice = Dice::of_environment();
    let operations = operations(&world.api).await;
    for path in ["/v1/semaphores/cut", "/v1/barriers/cut", "/v1/work-queues/cut"] {
        let settings = match path {
            "/v1/semaphores/cut" => json!({"permits": 2}),
            "/v1/barriers/cut" => json!({"parties": 1000}),
            _ => json!({"maxsize": 3}),
        };
        let made = ask(&world.api, &reqwest::Method::PUT, path, Some(&world.key), Some(settings)).await;
        assert_eq!(made.status, 200, "{}", made.text());
    }
    for operation in &operations {
        let count = if operation.path == "/items" { CUTS * 4 } else { CUTS };
        let requests: Vec<Vec<u8>> = (0..count).map(|_| world.request(operation)).collect();
        let (port, seed) = (world.api.port, u64::try_from(dice.below(usize::MAX)).unwrap());
        // several at once, or nothing would ever wait behind another
        let cuts = tokio::task::spawn_blocking(move || {
            std::thread::scope(|scope| {
                for (number, requests) in requests.chunks(count / 4).enumerate() {
                    let mut dice = Dice(seed.wrapping_add(u64::try_from(number).unwrap()));
                    scope.spawn(move || requests.iter().for_each(|request| cut(port, request, &mut dice)));
                }
            });
        });
        cuts.await.unwrap();
    }
    println!("cuts: {} operations, each cut {CUTS} times", operations.len());
    nothing_is_left(&world).await;
    every_route_answers(&world, &operations).await;
    world.api.stop().await; // with all connections of the pools
}

/// The statement counts what should not be there.
async fn none(api: &Api, what: &str, statement: &str) {
    eventually_async(what, async || {
        let count: i64 = api.sql(statement, &[]).await[0].get(0);
        (count == 0).then_some(())
    })
    .await;
}

async fn nothing_is_left(world: &World) {
    let api = &world.api;
    eventually_async("the end of all waits", async || (waits(api).await == 0.0).then_some(())).await;
    // an arrival counts for a day, whoever waits with it
    none(
        api,
        "places and leases",
        "SELECT count(*) FROM lease l JOIN coordination c ON c.id = l.object_id
         WHERE l.standing IN ('waiting', 'held') AND c.kind <> 'barrier'",
    )
    .await;
    none(api, "uploads under way", "SELECT count(*) FROM item WHERE sha256 IS NULL").await;
    none(
        api,
        "items without all their bytes",
        "SELECT count(*) FROM item i WHERE i.bytes <> (SELECT coalesce(sum(length(c.data)), 0) FROM item_chunk c WHERE c.item_id = i.id)",
    )
    .await;
    none(
        api,
        "chunks of no item",
        "SELECT count(*) FROM item_chunk c WHERE NOT EXISTS (SELECT FROM item i WHERE i.id = c.item_id)",
    )
    .await;
    none(
        api,
        "workflows without all their tasks",
        "SELECT count(*) FROM workflow w WHERE w.nodes <> (SELECT count(*) FROM workflow_node n JOIN task t ON t.id = n.task_id
         WHERE n.workflow_id = w.id)",
    )
    .await;
    none(
        api,
        "tasks of no workflow", // but those of the one that was deleted, which had ended
        "SELECT count(*) FROM task t WHERE t.workflow_id IS NOT NULL
         AND t.state NOT IN ('succeeded', 'failed', 'cancelled', 'expired')
         AND NOT EXISTS (SELECT FROM workflow w WHERE w.id = t.workflow_id)",
    )
    .await;
    none(
        api,
        "queued tasks that nobody owes",
        "SELECT count(*) FROM task t WHERE t.state = 'queued'
         AND NOT EXISTS (SELECT FROM owed o WHERE t.id = ANY(o.ids))",
    )
    .await;
    none(api, "items fetched by nobody", "SELECT count(*) FROM work_item WHERE state = 'leased'").await;
}

/// More uncut requests than there are places of any kind.
async fn every_route_answers(world: &World, operations: &[Operation]) {
    for operation in operations {
        let path = world.path(&operation.path, false);
        let mut request = world
            .api
            .client
            .request(operation.method.parse().unwrap(), format!("{}{path}", world.api.url))
            .bearer_auth(&world.key);
        if operation.body.is_some() {
            let (kind, body) = operation.body();
            request = request.header("content-type", kind).body(body);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        // RabbitMQ is out of reach here, which `/readyz` tells
        let is_well = !answer.status.is_server_error() || path == "/readyz";
        assert!(is_well, "{} {path}: {}", operation.method, answer.text());
    }
    let uploads = futures::future::join_all((0..120).map(|_| {
        world.api.client.post(format!("{}/items", world.api.url)).bearer_auth(&world.key).body("an item").send()
    }));
    for upload in uploads.await {
        assert_eq!(upload.unwrap().status(), 201);
    }
}
