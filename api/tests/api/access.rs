//! Who may do what, for every route that the OpenAPI document lists: without a key, without the scope, with the key of
//! somebody else. A route that forgets to ask fails here by being listed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    eventually::eventually_async,
    server::{Api, Setup},
};

/// What everybody may read who reaches the port.
const OPEN: [&str; 9] = [
    "get_root",
    "get_openapi",
    "get_docs",
    "get_docs_style",
    "list_problems",
    "get_problem",
    "get_liveness",
    "get_readiness",
    "get_metrics",
];
/// What only the operator may do.
const OPERATORS: [&str; 6] =
    ["create_user", "list_users", "set_user_quotas", "disable_user", "enable_user", "list_quarantine"];
const UNKNOWN: &str = "018f4b2e-7b1c-7000-8000-000000000001";

/// A documented operation.
struct Operation {
    id: String,
    method: Method,
    path: String,
    scope: Option<String>,
}

async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.json();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().into(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                scope: operation["security"][0]["api_key"][0].as_str().map(Into::into),
            });
        }
    }
    all
}

pub async fn ask(api: &Api, method: &Method, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = api.client.request(method.clone(), format!("{}{path}", api.url));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

pub async fn make_key(api: &Api, with: Option<&str>, wanted: Value) -> (String, i64) {
    let answer = ask(api, &Method::POST, "/v1/api-keys", with, Some(wanted)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let made = answer.json();
    (made["key"].as_str().unwrap().into(), made["id"].as_i64().unwrap())
}

pub async fn make_user(api: &Api, operator: &str, name: &str) -> i64 {
    let answer = ask(api, &Method::POST, "/v1/users", Some(operator), Some(json!({"name": name}))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()["id"].as_i64().unwrap()
}

/// What two refusals must have in common: all but the request's own id.
fn body(answer: &Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("instance");
    body
}

#[tokio::test]
async fn every_route_asks_for_a_key_and_for_its_scope() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let mut lacking = Vec::new();
    for (scope, others) in [
        ("submit", json!(["read", "cancel"])),
        ("read", json!(["submit", "cancel"])),
        ("cancel", json!(["submit", "read"])),
        ("admin", json!(["submit", "read", "cancel"])),
    ] {
        let (key, _) = make_key(&api, Some(&operator), json!({"name": scope, "scopes": others})).await;
        lacking.push((scope, key));
    }
    let (revoked, id) = make_key(&api, Some(&operator), json!({"name": "revoked", "scopes": ["admin"]})).await;
    let gone = ask(&api, &Method::DELETE, &format!("/v1/api-keys/{id}"), Some(&operator), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let past = json!({"name": "past", "scopes": ["admin"], "expires_at": "2020-01-01T00:00:00Z"});
    let (expired, _) = make_key(&api, Some(&operator), past).await;
    let (another, _) = make_key(&api, Some(&operator), json!({"name": "another", "scopes": ["admin"]})).await;
    // the id of one, the secret of the other; then the checksum of that
    let wrong = forged(&operator, &another);
    let cut = operator[..operator.len() - 1].to_owned();
    let bad = [None, Some(wrong.as_str()), Some(&expired), Some(&revoked), Some(&cut), Some("nonsense")];

    let (mut open, mut guarded) = (Vec::new(), 0);
    for operation in operations(&api).await {
        let path = operation.path.replace("{id}", UNKNOWN).replace("{code}", "not_found");
        let Some(scope) = operation.scope.as_deref() else {
            open.push(operation.id);
            continue;
        };
        guarded += 1;
        let mut bodies = Vec::new();
        for key in bad {
            let answer = ask(&api, &operation.method, &path, key, None).await;
            answer.assert_problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            bodies.push(body(&answer));
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{}: {bodies:?}", operation.id);
        let (_, without) = lacking.iter().find(|(lacks, _)| *lacks == scope).unwrap();
        let refused = ask(&api, &operation.method, &path, Some(without), None).await;
        assert_eq!(refused.assert_problem(403, "missing_scope")["scope"], scope, "{}", operation.id);
        let passed = ask(&api, &operation.method, &path, Some(&operator), None).await.status;
        assert!(![401, 403].contains(&passed.as_u16()), "{}: {passed}", operation.id);
    }
    open.sort_unstable();
    let mut expected = OPEN;
    expected.sort_unstable();
    assert_eq!(open, expected, "these ask for no key");
    println!("access: {guarded} guarded operations, {} keys refused alike by each", bad.len());
    api.stop().await;
}

/// A key with the id of the first and the secret of the second, whose checksum is right.
fn forged(first: &str, second: &str) -> String {
    use sha2::{Digest, Sha256};
    let part = |key: &str, at: usize| key.split('_').nth(at).unwrap().to_owned();
    let body = format!("cwy_{}_{}", part(first, 1), part(second, 2));
    format!("{body}_{}", hex::encode(&Sha256::digest(&body)[..4]))
}

#[tokio::test]
async fn what_belongs_to_another_does_not_exist() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let (alice, bob) = (make_user(&api, &operator, "alice").await, make_user(&api, &operator, "bob").await);
    let admin = |user: i64| json!({"name": "all", "scopes": ["admin"], "user_id": user});
    let (hers, her_key) = make_key(&api, Some(&operator), admin(alice)).await;
    let (his, _) = make_key(&api, Some(&operator), admin(bob)).await;
    let task = json!({"name": "add", "args": [1, 2], "tags": ["t"]});
    let task = ask(&api, &Method::POST, "/v1/tasks", Some(&hers), Some(task)).await.json()["id"].clone();
    let task = task.as_str().unwrap().to_owned();
    let item = api.client.post(format!("{}/items", api.url)).bearer_auth(&hers).body("hers").send().await.unwrap();
    let item = Answer::of(item).await.json()["id"].as_str().unwrap().to_owned();

    let mut seen = 0;
    for operation in operations(&api).await.into_iter().filter(|operation| operation.scope.is_some()) {
        if OPERATORS.contains(&operation.id.as_str()) {
            let path = operation.path.replace("{id}", &alice.to_string());
            ask(&api, &operation.method, &path, Some(&his), None).await.assert_problem(403, "missing_scope");
            continue;
        }
        if !operation.path.contains("{id}") {
            continue;
        }
        seen += 1;
        let (hers, unknown) = match operation.path.as_str() {
            path if path.starts_with("/v1/tasks/") => (task.clone(), UNKNOWN),
            path if path.starts_with("/v1/users/") => (alice.to_string(), "999"),
            path if path.starts_with("/v1/api-keys/") => (her_key.to_string(), "999"),
            _ => (item.clone(), UNKNOWN),
        };
        let at = |id: &str| operation.path.replace("{id}", id);
        let of_hers = ask(&api, &operation.method, &at(&hers), Some(&his), None).await;
        let of_nobodys = ask(&api, &operation.method, &at(unknown), Some(&his), None).await;
        assert_eq!(of_hers.status, 404, "{}: {}", operation.id, of_hers.text());
        assert_eq!(body(&of_hers), body(&of_nobodys), "{}", operation.id);
    }
    assert!(seen >= 10, "{seen} operations about one thing");
    named_elsewhere(&api, (&his, &hers), alice, &task).await;
    let still = ask(&api, &Method::GET, &format!("/v1/tasks/{task}"), Some(&hers), None).await;
    assert_eq!(still.json()["state"], "queued", "nothing of hers was touched");
    api.stop().await;
}

/// Ids of hers in bodies, filters and lists.
async fn named_elsewhere(api: &Api, (his, hers): (&str, &str), alice: i64, task: &str) {
    let post = async |path: &str, body: Value| ask(api, &Method::POST, path, Some(his), Some(body)).await;
    post("/v1/tasks", json!({"name": "add", "args": [1, 2], "parent_id": task}))
        .await
        .assert_problem(404, "task_not_found");
    let many = post("/v1/tasks/actions/retry", json!({"ids": [task]})).await.json();
    assert_eq!((&many["retried"], &many["tasks"][0]["status"]), (&json!(0), &json!(404)), "{many}");
    let key = json!({"name": "x", "scopes": vec!["read"; 5]});
    post("/v1/api-keys", key).await.assert_problem(422, "invalid_request");
    let key = json!({"name": "x", "scopes": ["read"], "user_id": alice});
    post("/v1/api-keys", key).await.assert_problem(404, "user_not_found");
    ask(api, &Method::GET, &format!("/v1/api-keys?user_id={alice}"), Some(his), None)
        .await
        .assert_problem(404, "user_not_found");
    for list in ["/v1/tasks", "/v1/tasks?tag=t", "/v1/tasks?state=queued"] {
        let (theirs, none) = (
            ask(api, &Method::GET, list, Some(hers), None).await.json(),
            ask(api, &Method::GET, list, Some(his), None).await.json(),
        );
        assert_eq!((theirs["data"].as_array().unwrap().len(), &none["data"]), (1, &json!([])), "{list}");
    }
}

#[tokio::test]
async fn a_key_for_some_queues_reaches_no_others() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let some = json!({"name": "some", "scopes": ["submit", "read", "cancel"], "queues": ["def*"]});
    let (some, _) = make_key(&api, Some(&operator), some).await;
    let tests =
        ask(&api, &Method::POST, "/v1/tasks", Some(&operator), Some(json!({"name": "add", "args": [1, 2]}))).await;
    let id = tests.json()["id"].as_str().unwrap().to_owned();
    let with =
        async |method: Method, path: &str, body: Option<Value>| ask(&api, &method, path, Some(&some), body).await;
    let add = |queue: &str| json!({"name": "add", "args": [1, 2], "queue": queue});

    assert_eq!(with(Method::POST, "/v1/tasks", Some(add("default"))).await.status, StatusCode::ACCEPTED);
    with(Method::POST, "/v1/tasks", Some(add("tests"))).await.assert_problem(403, "queue_forbidden");
    let batch = json!({"tasks": [add("default"), add("tests")]});
    let batch = with(Method::POST, "/v1/tasks/batch", Some(batch)).await.json();
    assert_eq!((&batch["tasks"][0]["status"], &batch["tasks"][1]["status"]), (&json!(202), &json!(403)));
    for (method, part) in [
        (Method::GET, ""),
        (Method::GET, "/result"),
        (Method::GET, "/attempts"),
        (Method::POST, "/cancel"),
        (Method::POST, "/retry"),
    ] {
        with(method, &format!("/v1/tasks/{id}{part}"), None).await.assert_problem(403, "queue_forbidden");
    }
    for list in ["/v1/tasks", "/v1/tasks?tag=x", "/v1/tasks?queue=tests"] {
        with(Method::GET, list, None).await.assert_problem(403, "queue_forbidden");
    }
    let mine = with(Method::GET, "/v1/tasks?queue=default", None).await.json();
    assert_eq!(mine["data"].as_array().unwrap().len(), 2);
    let admin = json!({"name": "x", "scopes": ["admin"], "queues": ["a"]});
    ask(&api, &Method::POST, "/v1/api-keys", Some(&operator), Some(admin)).await.assert_problem(422, "invalid_request");
    api.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_every_api_within_15_seconds_without_redis() {
    let mut setup = Setup::new().await;
    setup.redis_url = format!("redis://{}", crate::server::NOWHERE);
    let postgres_url = setup.postgres_url.clone();
    let api = setup.start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let (key, id) = make_key(&api, Some(&operator), json!({"name": "short", "scopes": ["read"]})).await;
    let mut beside = Setup::new().await;
    crate::database::drop_database(&beside.postgres_url).await;
    (beside.postgres_url, beside.redis_url) = (postgres_url, format!("redis://{}", crate::server::NOWHERE));
    let beside = beside.start().await;
    let queues = async |api: &Api, key: &str| ask(api, &Method::GET, "/v1/queues", Some(key), None).await.status;
    assert_eq!((queues(&api, &key).await, queues(&beside, &key).await), (StatusCode::OK, StatusCode::OK));
    let used = eventually_async("the time of its use", async || {
        let list = ask(&api, &Method::GET, "/v1/api-keys", Some(&operator), None).await.json();
        list["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"] == id && one["last_used_at"].is_string())
            .then_some(())
    });
    used.await;
    let revoked = ask(&api, &Method::DELETE, &format!("/v1/api-keys/{id}"), Some(&operator), None).await;
    let began = std::time::Instant::now();
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(queues(&api, &key).await, StatusCode::UNAUTHORIZED, "at once where it was revoked");
    eventually_async("the end of the key", async || {
        (queues(&beside, &key).await == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    println!("access: the other process refused a revoked key after {:?}", began.elapsed());
    assert!(began.elapsed() < std::time::Duration::from_secs(15));
    drop(beside);
    // the last key goes, and the service stays closed
    let list = ask(&api, &Method::GET, "/v1/api-keys", Some(&operator), None).await.json();
    for key in list["data"].as_array().unwrap() {
        ask(&api, &Method::DELETE, &format!("/v1/api-keys/{}", key["id"]), Some(&operator), None).await;
    }
    api.get("/v1/queues").await.assert_problem(401, "unauthorized");
    api.stop().await;
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_the_operator_stays() {
    let api = Api::start().await;
    let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
    let user = make_user(&api, &operator, "carol").await;
    let (key, _) = make_key(&api, Some(&operator), json!({"name": "k", "scopes": ["read"], "user_id": user})).await;
    let own = ask(&api, &Method::GET, &format!("/users/{user}"), Some(&key), None).await;
    assert_eq!((own.status.as_u16(), &own.json()["name"]), (200, &json!("carol")));
    let twice = ask(&api, &Method::POST, "/v1/users", Some(&operator), Some(json!({"name": "carol"}))).await;
    twice.assert_problem(409, "name_taken");
    let disable =
        async |id: i64| ask(&api, &Method::POST, &format!("/v1/users/{id}/disable"), Some(&operator), None).await;
    disable(1).await.assert_problem(409, "operator_stays");
    assert_eq!(disable(user).await.status, StatusCode::OK);
    eventually_async("the end of the keys", async || {
        let answer = ask(&api, &Method::GET, "/v1/queues", Some(&key), None).await;
        (answer.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    api.stop().await;
}

#[tokio::test]
async fn nobody_is_served_without_keys_where_strangers_could_come() {
    let setup = || async {
        let mut setup = Setup::new().await;
        setup.bind = "0.0.0.0:0".into();
        setup.await_ready = false;
        setup
    };
    let mut api = setup().await.start().await;
    assert_ne!(api.ended().await, Some(0));
    assert!(api.log.text().contains("api keys create --name"), "{}", api.log.text());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_api"))
        .args(["keys", "create", "--name", "first", "--scope", "admin", "--postgres-url", &api.postgres_url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = String::from_utf8(output.stdout).unwrap();
    let mut again = setup().await;
    crate::database::drop_database(&again.postgres_url).await;
    (again.postgres_url, again.await_ready) = (api.postgres_url.clone(), true);
    let again = again.start().await;
    assert_eq!(ask(&again, &Method::GET, "/v1/users", Some(key.trim()), None).await.status, StatusCode::OK);
    again.get("/v1/users").await.assert_problem(401, "unauthorized");
    again.stop().await;
}
