//! What owners and operators may do to what their clients hold: see it, break it, delete it, put it back; and who did it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::{ask, make_key, make_user},
    answer::Answer,
    coordination::fence,
    eventually::eventually_async,
    server::Api,
};

/// An operator, an owner with all scopes, the same one with all but `admin`, and a stranger.
struct World {
    api: Api,
    operator: String,
    owner: String,
    client: String,
    stranger: String,
    user: i64,
}

impl World {
    async fn new() -> Self {
        let api = Api::start().await;
        let (operator, _) = make_key(&api, None, json!({"name": "operator", "scopes": ["admin"]})).await;
        let (user, other) = (make_user(&api, &operator, "owner").await, make_user(&api, &operator, "other").await);
        let key = async |user: i64, scopes: Value| {
            make_key(&api, Some(&operator), json!({"name": "k", "scopes": scopes, "user_id": user})).await.0
        };
        let owner = key(user, json!(["admin"])).await;
        let client = key(user, json!(["submit", "read", "cancel"])).await;
        let stranger = key(other, json!(["admin"])).await;
        Self { api, operator, owner, client, stranger, user }
    }

    async fn client(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        ask(&self.api, &method, path, Some(&self.client), body).await
    }

    async fn names(&self, path: &str, key: &str) -> Vec<String> {
        let page = ask(&self.api, &Method::GET, path, Some(key), None).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.text());
        let page = page.json();
        page["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }
}

/// Everything there is one of, with the order that deletes it.
async fn make_one_of_each(world: &World) -> Vec<(&'static str, Method, &'static str)> {
    let lease = json!({"ttl": 600});
    fence(&world.client(Method::POST, "/v1/locks/one/leases", Some(lease)).await);
    for (path, settings) in [
        ("/v1/semaphores/one", json!({"permits": 1})),
        ("/v1/events/one", json!(null)),
        ("/v1/barriers/one", json!({"parties": 2})),
        ("/v1/work-queues/one", json!({})),
    ] {
        let made = world.client(Method::PUT, path, Some(settings).filter(|settings| !settings.is_null())).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    }
    vec![
        ("/v1/locks", Method::DELETE, "/v1/locks/one"),
        ("/v1/semaphores", Method::DELETE, "/v1/semaphores/one"),
        ("/v1/events", Method::POST, "/v1/events/one/delete"),
        ("/v1/barriers", Method::DELETE, "/v1/barriers/one"),
        ("/v1/work-queues", Method::DELETE, "/v1/work-queues/one"),
    ]
}

#[tokio::test]
async fn owners_and_operators_list_and_delete_and_nobody_else() {
    let world = World::new().await;
    for round in ["owner", "operator"] {
        let (key, suffix) = match round {
            "owner" => (&world.owner, String::new()),
            _ => (&world.operator, format!("?user_id={}", world.user)),
        };
        for (list, method, delete) in make_one_of_each(&world).await {
            assert_eq!(world.names(list, &world.client).await, ["one"], "{list}");
            assert_eq!(world.names(&format!("{list}{suffix}"), key).await, ["one"], "{list}");
            assert_eq!(world.names(list, &world.stranger).await, Vec::<String>::new());
            assert_eq!(world.names(list, &world.operator).await, Vec::<String>::new(), "its own");
            let as_stranger = async |path: &str| ask(&world.api, &method, path, Some(&world.stranger), None).await;
            as_stranger(&format!("{delete}?user_id={}", world.user)).await.assert_problem(404, "user_not_found");
            let refused = ask(&world.api, &method, delete, Some(&world.client), None).await;
            refused.assert_problem(403, "missing_scope");
            // of its own, which does not exist
            assert_eq!(as_stranger(delete).await.status, StatusCode::NO_CONTENT);
            assert_eq!(world.names(list, &world.client).await, ["one"], "{list}");
            for _ in 0..2 {
                let gone = ask(&world.api, &method, &format!("{delete}{suffix}"), Some(key), None).await;
                assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text());
            }
            assert_eq!(world.names(list, &world.client).await, Vec::<String>::new(), "{list}");
        }
        let log = ask(&world.api, &Method::GET, "/v1/audit", Some(&world.owner), None).await.json();
        let actions: Vec<&str> =
            log["data"].as_array().unwrap().iter().take(5).map(|one| one["action"].as_str().unwrap()).collect();
        let expected = ["work_queue.delete", "barrier.delete", "event.delete", "semaphore.delete", "lock.delete"];
        assert_eq!(actions, expected, "each once, as it was done once");
    }
    world.client(Method::GET, "/v1/audit", None).await.assert_problem(403, "missing_scope");
    let all = ask(&world.api, &Method::GET, "/v1/audit", Some(&world.operator), None).await.json();
    assert_eq!(all["data"].as_array().unwrap().len(), 10);
    let none = ask(&world.api, &Method::GET, "/v1/audit", Some(&world.stranger), None).await.json();
    assert_eq!(none["data"], json!([]));
    world.api.stop().await;
}

#[tokio::test]
async fn a_broken_lease_goes_to_who_waits() {
    let world = World::new().await;
    world.client(Method::PUT, "/v1/semaphores/b", Some(json!({"permits": 1}))).await;
    for object in ["/v1/locks/b", "/v1/semaphores/b"] {
        let (leases, held) = (format!("{object}/leases"), Uuid::new_v4());
        let old = fence(&world.client(Method::POST, &leases, Some(json!({"lease_id": held, "ttl": 600}))).await);
        let request = world.api.client.post(format!("{}{leases}?wait=30", world.api.url)).bearer_auth(&world.client);
        let waiter = tokio::spawn(request.json(&json!({"owner": "next"})).send());
        eventually_async("the waiter", async || {
            (world.client(Method::GET, object, None).await.json()["waiting"] == 1).then_some(())
        })
        .await;
        let suffix = format!("?user_id={}&reason=it%20hangs", world.user);
        let seen =
            ask(&world.api, &Method::GET, &format!("{object}?user_id={}", world.user), Some(&world.operator), None)
                .await
                .json();
        assert_eq!(seen["holders"][0]["fence"], old.to_string());
        let break_it = async |key: &str, suffix: &str, fence: String| {
            let path = format!("{object}/break{suffix}");
            ask(&world.api, &Method::POST, &path, Some(key), Some(json!({"fence": fence}))).await
        };
        break_it(&world.client, "", old.to_string()).await.assert_problem(403, "missing_scope");
        break_it(&world.stranger, "", old.to_string()).await.assert_problem(404, "lease_not_found");
        break_it(&world.operator, &suffix, "1".into()).await.assert_problem(404, "lease_not_found");
        let broken = break_it(&world.operator, &suffix, old.to_string()).await;
        assert_eq!(broken.status, StatusCode::NO_CONTENT, "{}", broken.text());
        let next = Answer::of(waiter.await.unwrap().unwrap()).await;
        assert!(fence(&next) > old);
        world.client(Method::PUT, &format!("{leases}/{held}"), None).await.assert_problem(410, "lease_lost");
        break_it(&world.operator, &suffix, old.to_string()).await.assert_problem(404, "lease_not_found");
        let log = ask(&world.api, &Method::GET, "/v1/audit?limit=1", Some(&world.operator), None).await.json();
        let entry = &log["data"][0];
        assert_eq!((&entry["object"], &entry["reason"]), (&json!("b"), &json!("it hangs")), "{entry}");
        assert_eq!((&entry["user_id"], &entry["owner_id"]), (&json!(1), &json!(world.user)), "{entry}");
        assert_eq!(entry["detail"], json!({"fence": old.to_string()}), "{entry}");
        assert!(entry["key_id"].is_i64() && entry["at"].is_string(), "{entry}");
    }
    world.api.stop().await;
}

/// Those who wait hear of it at once.
#[tokio::test]
async fn whoever_waits_for_what_is_deleted_is_told() {
    let world = World::new().await;
    make_one_of_each(&world).await;
    let held = json!({"ttl": 600});
    fence(&world.client(Method::POST, "/v1/semaphores/one/leases", Some(held)).await);
    for (object, path, body) in [
        ("/v1/locks/one", "/leases", json!({})),
        ("/v1/semaphores/one", "/leases", json!({})),
        ("/v1/barriers/one", "/arrivals", json!({"arrival_id": Uuid::new_v4()})),
        ("/v1/work-queues/one", "/leases", json!({})),
    ] {
        let url = format!("{}{object}{path}?wait=30", world.api.url);
        let waiter = tokio::spawn(world.api.client.post(url).bearer_auth(&world.client).json(&body).send());
        eventually_async("the waiter", async || {
            let lease = "SELECT count(*) FROM lease l JOIN coordination c ON c.id = l.object_id
                WHERE l.standing = 'waiting' OR (l.standing = 'held' AND c.kind = 'barrier')";
            (world.api.sql(lease, &[]).await[0].get::<_, i64>(0) == 1).then_some(())
        })
        .await;
        let gone = ask(&world.api, &Method::DELETE, object, Some(&world.owner), None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text());
        let told = Answer::of(waiter.await.unwrap().unwrap()).await;
        assert!([404, 409, 410].contains(&told.status.as_u16()), "{object}: {}", told.text());
    }
    world.api.stop().await;
}

#[tokio::test]
async fn dead_letters_come_back_and_a_queue_goes_with_all_its_items() {
    let world = World::new().await;
    let queue = "/v1/work-queues/q";
    world.client(Method::PUT, queue, Some(json!({"max_attempts": 1}))).await;
    let mut items = Vec::new();
    for payload in 0..3 {
        let item = Uuid::new_v4();
        let body = json!({"item_id": item, "payload": payload});
        world.client(Method::POST, &format!("{queue}/items"), Some(body)).await;
        let got = world.client(Method::POST, &format!("{queue}/leases"), None).await.json();
        let back = format!("{queue}/leases/{}/give-back", got["lease_id"].as_str().unwrap());
        assert_eq!(world.client(Method::POST, &back, None).await.status, StatusCode::NO_CONTENT);
        items.push(item);
    }
    let dead = async || world.client(Method::GET, queue, None).await.json()["dead"].as_i64().unwrap();
    assert_eq!(dead().await, 3);
    let put_back = async |key: &str, suffix: &str, body: Value| {
        let path = format!("{queue}/dead-letters/put-back{suffix}");
        ask(&world.api, &Method::POST, &path, Some(key), Some(body)).await
    };
    put_back(&world.stranger, "", json!({})).await.assert_problem(404, "not_configured");
    let one = put_back(&world.client, "", json!({"item_ids": [items[1], Uuid::new_v4()]})).await;
    assert_eq!(one.json()["put_back"], 1, "{}", one.text());
    let suffix = format!("?user_id={}", world.user);
    assert_eq!(put_back(&world.operator, &suffix, json!({})).await.json()["put_back"], 2);
    assert_eq!(put_back(&world.client, "", json!({})).await.json()["put_back"], 0);
    assert_eq!(dead().await, 0);
    let got = world.client(Method::POST, &format!("{queue}/leases"), None).await.json();
    assert_eq!((&got["payload"], &got["attempt"]), (&json!(0), &json!(1)), "in their old order: {got}");
    let log = ask(&world.api, &Method::GET, "/v1/audit", Some(&world.owner), None).await.json();
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "what did nothing is not logged: {log}");
    let gone = ask(&world.api, &Method::DELETE, queue, Some(&world.owner), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    world.client(Method::GET, queue, None).await.assert_problem(404, "not_configured");
    assert_eq!(world.api.sql("SELECT FROM work_item", &[]).await.len(), 0);
    world.api.stop().await;
}

#[tokio::test]
async fn lists_are_paged() {
    let world = World::new().await;
    let mut expected: Vec<String> = (0..7).map(|number| format!("e{number}")).collect();
    for name in &expected {
        world.client(Method::PUT, &format!("/v1/events/{name}"), None).await;
    }
    // used, and out of use
    world.client(Method::DELETE, "/v1/events/e3x", None).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.client(Method::GET, &format!("/v1/events?limit=3{cursor}"), None).await.json();
        seen.extend(page["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    expected.sort();
    assert_eq!(seen, expected);
    world.client(Method::GET, "/v1/locks?nothing=1", None).await.assert_problem(422, "unknown_parameter");
    world.api.stop().await;
}

#[tokio::test]
async fn workflows_are_listed_and_deleted_when_they_have_ended() {
    let world = World::new().await;
    let group = json!({"tasks": [{"name": "add", "args": [1, 2]}]});
    let mut ids = Vec::new();
    for _ in 0..3 {
        let made = world.client(Method::POST, "/v1/groups", Some(group.clone())).await;
        ids.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let list = world.client(Method::GET, "/v1/workflows?limit=2", None).await.json();
    let listed: Vec<&str> = list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&ids[2], &ids[1]]);
    let next = list["next_cursor"].as_str().unwrap();
    let rest = world.client(Method::GET, &format!("/v1/workflows?cursor={next}"), None).await.json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &json!(null)));
    let path = format!("/v1/workflows/{}", ids[0]);
    let delete = async |key: &str| ask(&world.api, &Method::DELETE, &path, Some(key), None).await;
    delete(&world.owner).await.assert_problem(409, "workflow_not_finished");
    world.client(Method::POST, &format!("{path}/cancel"), None).await;
    delete(&world.client).await.assert_problem(403, "missing_scope");
    delete(&world.stranger).await.assert_problem(404, "workflow_not_found");
    assert_eq!(delete(&world.owner).await.status, StatusCode::NO_CONTENT);
    delete(&world.owner).await.assert_problem(404, "workflow_not_found");
    world.client(Method::GET, &path, None).await.assert_problem(404, "workflow_not_found");
    assert_eq!(world.api.sql("SELECT FROM workflow_node", &[]).await.len(), 2);
    world.api.stop().await;
}

/// What is left out of a PUT stays as it is: of queues here, of quotas in `quotas.rs`; the others have nothing that can be left out.
#[tokio::test]
async fn a_put_changes_only_what_it_names() {
    let world = World::new().await;
    let queue = "/v1/work-queues/p";
    let put = async |settings: Value| world.client(Method::PUT, queue, Some(settings)).await;
    let all = json!({"order": "priority", "maxsize": 7, "max_attempts": 3});
    assert_eq!(put(all.clone()).await.json(), all);
    assert_eq!(put(json!({})).await.json(), all);
    assert_eq!(put(json!({"maxsize": 5})).await.json(), json!({"order": "priority", "maxsize": 5, "max_attempts": 3}));
    assert_eq!(put(json!({"maxsize": null})).await.json()["maxsize"], json!(null));
    let item = json!({"item_id": Uuid::new_v4(), "payload": "a"});
    let items = format!("{queue}/items");
    assert_eq!(world.client(Method::POST, &items, Some(item.clone())).await.status, StatusCode::CREATED);
    put(json!({"order": "fifo"})).await.assert_problem(409, "queue_not_empty");
    assert_eq!(put(json!({"order": "priority"})).await.status, StatusCode::OK);
    // the same id: with the same payload it was put in before, with another one it is used
    assert_eq!(world.client(Method::POST, &items, Some(item.clone())).await.status, StatusCode::OK);
    let other = json!({"item_id": item["item_id"], "payload": "b"});
    world.client(Method::POST, &items, Some(other)).await.assert_problem(409, "item_id_reused");
    world.api.stop().await;
}

#[tokio::test]
async fn a_producer_gives_up_its_place() {
    let world = World::new().await;
    let queue = "/v1/work-queues/w";
    let items = format!("{queue}/items");
    world.client(Method::PUT, queue, Some(json!({"maxsize": 1}))).await;
    let (first, second, third) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let put = async |item: Uuid, wait: &str| {
        let body = json!({"item_id": item, "payload": item.to_string()});
        world.client(Method::POST, &format!("{items}{wait}"), Some(body)).await
    };
    assert_eq!(put(first, "").await.status, StatusCode::CREATED);
    assert_eq!(put(second, "?wait=0.05").await.status, StatusCode::ACCEPTED);
    assert_eq!(put(third, "?wait=0.05").await.status, StatusCode::ACCEPTED);
    let withdraw = async |item: Uuid| world.client(Method::DELETE, &format!("{items}/{item}"), None).await;
    for _ in 0..2 {
        assert_eq!(withdraw(second).await.status, StatusCode::NO_CONTENT);
    }
    withdraw(first).await.assert_problem(409, "item_already_in");
    put(second, "").await.assert_problem(410, "lease_lost");
    let got = world.client(Method::POST, &format!("{queue}/leases"), Some(json!({"ack": "auto"}))).await.json();
    assert_eq!(got["item_id"], json!(first));
    assert_eq!(put(third, "").await.status, StatusCode::CREATED, "nobody stands before it");
    // before it was asked for: a request that is still on its way
    let late = Uuid::new_v4();
    assert_eq!(withdraw(late).await.status, StatusCode::NO_CONTENT);
    put(late, "").await.assert_problem(410, "lease_lost");
    world.api.stop().await;
}
