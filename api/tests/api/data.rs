//! Cached data: the cheatsheet's two calls, versions and conditions, and what Redis has to do with it.

use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    answer::Answer,
    eventually::eventually_async,
    server::{Api, NOWHERE, Setup},
};

/// A key of this test's own: Redis is shared.
pub(crate) fn key() -> String {
    format!("key-{}", Uuid::new_v4().simple())
}

async fn put(api: &Api, key: &str, body: &Value, condition: Option<(&str, &str)>) -> Answer {
    let mut request = api.client.put(format!("{}/v1/data/{key}", api.url)).json(body);
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    Answer::of(request.send().await.unwrap()).await
}

async fn delete(api: &Api, key: &str, tag: Option<&str>) -> Answer {
    let mut request = api.client.delete(format!("{}/v1/data/{key}", api.url));
    if let Some(tag) = tag {
        request = request.header(header::IF_MATCH, tag);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// Until a read is a hit: right after its start a process knows nothing of the outbox and trusts no copy.
async fn warm(api: &Api, key: &str) -> Answer {
    eventually_async("a hit", async || {
        let answer = api.get(&format!("/cached-data/{key}")).await;
        answer.header("cache-status").starts_with("caraway; hit; ttl=").then_some(answer)
    })
    .await
}

#[tokio::test]
async fn the_two_calls_of_the_cheatsheet() {
    let (api, key) = (Api::start().await, key());
    api.get(&format!("/cached-data/{key}")).await.assert_problem(404, "data_not_found");
    let updated = api.post(&format!("/update-data/{key}?new_value=hello%20there"), "", "").await;
    assert_eq!(updated.status, StatusCode::OK, "{updated:?}");
    assert_eq!(updated.json(), json!({"message": "Data updated and cache invalidated"}));
    assert_eq!(api.get(&format!("/cached-data/{key}")).await.json(), json!({"value": "hello there"}));
    assert_eq!(warm(&api, &key).await.json(), json!({"value": "hello there"}));
    for body in [r#"{"new_value": {"a": [1, null, "x"]}}"#, r#"{"new_value": null}"#, r#"{"new_value": 1e2}"#] {
        let updated = api.post_json(&format!("/update-data/{key}"), body).await;
        assert_eq!(updated.status, StatusCode::OK, "{updated:?}");
        let read = api.get(&format!("/cached-data/{key}")).await.text();
        assert_eq!(read, body.replace("{\"new_value\": ", "{\"value\":"), "byte for byte, and at once");
    }
    api.stop().await;
}

#[tokio::test]
async fn versions_rise_and_conditions_hold() {
    let (api, key) = (Api::start().await, key());
    let path = format!("/v1/data/{key}");
    let body = |value: i32| json!({ "value": value });
    put(&api, &key, &body(0), Some(("if-match", "*"))).await.assert_problem(412, "precondition_failed");
    let first = put(&api, &key, &body(1), Some(("if-none-match", "*"))).await;
    let (tag, version) = (first.header(header::ETAG).to_owned(), first.json()["version"].as_i64().unwrap());
    assert_eq!((first.status, tag.as_str()), (StatusCode::OK, format!("\"v{version}\"").as_str()));
    put(&api, &key, &body(2), Some(("if-none-match", "*"))).await.assert_problem(412, "precondition_failed");
    put(&api, &key, &body(2), Some(("if-none-match", &tag))).await.assert_problem(422, "invalid_request");
    let read = api.get(&path).await;
    assert_eq!(
        (read.json(), read.header(header::ETAG)),
        (json!({"key": key, "version": version, "value": 1}), tag.as_str())
    );
    let request = api.client.get(format!("{}{path}", api.url)).header(header::IF_NONE_MATCH, &tag);
    let same = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0));

    let second = put(&api, &key, &body(2), Some(("if-match", &tag))).await;
    assert!(second.json()["version"].as_i64().unwrap() > version);
    put(&api, &key, &body(3), Some(("if-match", &tag))).await.assert_problem(412, "precondition_failed");
    delete(&api, &key, Some(&tag)).await.assert_problem(412, "precondition_failed");
    assert_eq!(api.get(&path).await.json()["value"], 2);
    assert_eq!(delete(&api, &key, Some(second.header(header::ETAG))).await.status, StatusCode::NO_CONTENT);
    api.get(&path).await.assert_problem(404, "data_not_found");
    delete(&api, &key, None).await.assert_problem(404, "data_not_found");
    let again = put(&api, &key, &body(4), Some(("if-none-match", "*"))).await;
    assert!(again.json()["version"].as_i64().unwrap() > second.json()["version"].as_i64().unwrap());
    assert_eq!(api.get(&path).await.json()["value"], 4, "the 404 was kept for a while, and is gone");
    api.stop().await;
}

#[tokio::test]
async fn installations_that_share_a_redis_do_not_meet() {
    let (one, other, key) = (Api::start().await, Api::start().await, key());
    put(&one, &key, &json!({"value": "mine"}), None).await;
    warm(&one, &key).await;
    other.get(&format!("/cached-data/{key}")).await.assert_problem(404, "data_not_found");
    // a floor of the one would be too high for the other, whose versions begin again
    put(&other, &key, &json!({"value": "theirs"}), None).await;
    assert_eq!(warm(&other, &key).await.json(), json!({"value": "theirs"}));
    assert_eq!(warm(&one, &key).await.json(), json!({"value": "mine"}));
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (api, key) = (Api::start().await, key());
    let update = format!("/update-data/{key}");
    api.post(&update, "", "").await.assert_problem(422, "invalid_request");
    api.post_json(&format!("{update}?new_value=x"), r#"{"new_value": 1}"#).await.assert_problem(422, "invalid_request");
    api.post_json(&update, r#"{"value": 1}"#).await.assert_problem(422, "invalid_request");
    api.post(&format!("{update}?value=x"), "", "").await.assert_problem(422, "unknown_parameter");
    api.post_json(&update, "[1]").await.assert_problem(422, "invalid_request");
    api.post_json(&update, "{").await.assert_problem(400, "malformed_json");
    let large = format!(r#"{{"new_value": "{}"}}"#, "x".repeat(1 << 20));
    api.post_json(&update, large).await.assert_problem(413, "body_too_large");
    for key in ["%7Ba%7D", "a%20b", "a%2Fb", ".", "%C3%A4", &"k".repeat(256)] {
        let answer = api.get(&format!("/cached-data/{key}")).await;
        assert!([404, 422].contains(&answer.status.as_u16()), "{key}: {answer:?}");
    }
    put(&api, &key, &json!({"value": 1}), Some(("if-match", "v1"))).await.assert_problem(400, "bad_request");
    api.stop().await;
}

#[tokio::test]
async fn without_redis_rows_are_read_and_a_change_takes_a_second() {
    let mut setup = Setup::new().await;
    setup.redis_url = format!("redis://{NOWHERE}");
    let (api, key) = (setup.start().await, key());
    let began = std::time::Instant::now();
    assert_eq!(put(&api, &key, &json!({"value": 1}), None).await.status, StatusCode::OK);
    assert!(began.elapsed().as_secs_f64() >= 1.0, "others might still be shown what was before");
    let read = api.get(&format!("/cached-data/{key}")).await;
    assert_eq!((read.json(), read.header("cache-status")), (json!({"value": 1}), "caraway; fwd=bypass; detail=away"));
    api.stop().await;
}

#[tokio::test]
async fn the_cache_can_be_switched_off() {
    let mut setup = Setup::new().await;
    setup.flags.push("--no-cache".into());
    let (api, key) = (setup.start().await, key());
    put(&api, &key, &json!({"value": 1}), None).await;
    for _ in 0..2 {
        let read = api.get(&format!("/cached-data/{key}")).await;
        assert_eq!(
            (read.json(), read.header("cache-status")),
            (json!({"value": 1}), "caraway; fwd=bypass; detail=off")
        );
    }
    api.stop().await;
}

/// Every API looks at the outbox: what one owes when it dies, another pays.
#[tokio::test]
async fn an_invalidation_that_was_not_made_is_made_by_another() {
    let (api, key) = (Api::start().await, key());
    put(&api, &key, &json!({"value": "old"}), None).await;
    warm(&api, &key).await;
    // as a process that died right after its commit leaves it
    api.sql(
        "WITH changed AS (
            UPDATE data SET value = '\"new\"', version = nextval('data_version') WHERE key = $1 RETURNING owner_id, version
        ) INSERT INTO cache_outbox (owner_id, kind, key, version) SELECT owner_id, 'data', $1, version FROM changed",
        &[&key],
    )
    .await;
    eventually_async("the new value", async || {
        (api.get(&format!("/cached-data/{key}")).await.json()["value"] == "new").then_some(())
    })
    .await;
    eventually_async("an empty outbox", async || {
        api.sql("SELECT FROM cache_outbox", &[]).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(warm(&api, &key).await.json()["value"], "new");
    api.stop().await;
}

/// Until a read says that there is nothing.
async fn gone(api: &Api, key: &str) {
    eventually_async("the end of the value", async || {
        (api.get(&format!("/v1/data/{key}")).await.status == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_value_with_a_time_to_live_ends() {
    for cache in [true, false] {
        let mut setup = Setup::new().await;
        setup.flags.extend((!cache).then(|| "--no-cache".into()));
        let api = setup.start().await;
        let (short, long, changed) = (key(), key(), key());
        let began = std::time::Instant::now();
        for (key, ttl) in [(&short, json!(2)), (&long, json!(600)), (&changed, json!(2))] {
            assert_eq!(put(&api, key, &json!({"value": key, "ttl": ttl}), None).await.status, StatusCode::OK);
        }
        put(&api, &changed, &json!({"value": "stays"}), None).await;
        if cache {
            assert_eq!(warm(&api, &long).await.json()["value"], json!(long));
        }
        assert_eq!(api.get(&format!("/cached-data/{short}")).await.json()["value"], json!(short));
        gone(&api, &short).await;
        assert!(began.elapsed().as_secs_f64() > 1.9, "{:?}", began.elapsed());
        // as if it had been deleted
        api.get(&format!("/cached-data/{short}")).await.assert_problem(404, "data_not_found");
        put(&api, &short, &json!({"value": 1}), Some(("if-match", "*")))
            .await
            .assert_problem(412, "precondition_failed");
        delete(&api, &short, None).await.assert_problem(404, "data_not_found");
        let again = put(&api, &short, &json!({"value": 2}), Some(("if-none-match", "*"))).await;
        assert_eq!(again.status, StatusCode::OK, "{}", again.text());
        for (key, value) in [(&short, json!(2)), (&long, json!(long)), (&changed, json!("stays"))] {
            assert_eq!(api.get(&format!("/v1/data/{key}")).await.json()["value"], value);
        }
        for ttl in [json!(0.5), json!(-1), json!(31_536_001), json!("1")] {
            let refused = put(&api, &short, &json!({"value": 1, "ttl": ttl}), None).await;
            assert_eq!(refused.assert_problem(422, "invalid_request")["errors"][0]["pointer"], "/ttl");
        }
        api.stop().await;
    }
}
