//! What a submission may say.

use super::*;

fn pointers(body: &str) -> Vec<String> {
    let document = Submission::read(body.as_bytes()).unwrap_err().document(None);
    let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    let errors = document["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().into()).collect()
}

#[test]
fn a_name_is_enough() {
    let submission = Submission::read(br#"{"name": "add"}"#).unwrap();
    assert_eq!(submission.input(), r#"{"args":[],"kwargs":{}}"#);
    assert_eq!((submission.priority, submission.retry.max_attempts), (Priority::default(), 5));
    assert_eq!((submission.timeout, submission.start), (None, Start::Now));
}

#[test]
fn arguments_keep_their_bytes() {
    let submission = Submission::read(br#"{"name":"add","args":[1.50, 1e2],"kwargs":{"b" :-0}}"#).unwrap();
    assert_eq!(submission.input(), r#"{"args":[1.50, 1e2],"kwargs":{"b" :-0}}"#);
}

#[test]
fn every_limit_is_pointed_at() {
    let cases = [
        ("{}", "/name"),
        (r#"{"name": "1"}"#, "/name"),
        (r#"{"name": "a", "queue": "a b"}"#, "/queue"),
        (r#"{"name": "a", "priority": 10}"#, "/priority"),
        (r#"{"name": "a", "priority": -1}"#, "/priority"),
        (r#"{"name": "a", "priority": "high"}"#, "/priority"),
        (r#"{"name": "a", "timeout": 0}"#, "/timeout"),
        (r#"{"name": "a", "delay": -1}"#, "/delay"),
        (r#"{"name": "a", "delay": 1e300}"#, "/delay"),
        (r#"{"name": "a", "args": {}}"#, "/args"),
        (r#"{"name": "a", "kwargs": []}"#, "/kwargs"),
        (r#"{"name": "a", "retry": 3}"#, "/retry"),
        (r#"{"name": "a", "retry": {"max_attempts": 0}}"#, "/retry/max_attempts"),
        (r#"{"name": "a", "retry": {"max_attempts": 101}}"#, "/retry/max_attempts"),
        (r#"{"name": "a", "retry": {"jitter": 2}}"#, "/retry/jitter"),
        (r#"{"name": "a", "retry": {"retry_on": [""]}}"#, "/retry/retry_on"),
        (r#"{"name": "a", "retry": {"no_retry_on": ["***"]}}"#, "/retry/no_retry_on"),
        (r#"{"name": "a", "retry": {"max_retry_duration": -1}}"#, "/retry/max_retry_duration"),
        (r#"{"name": "a", "run_at": "tomorrow"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": "2026-11-22T20:00:00"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": "1969-12-31T23:59:59Z"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": "2027-02-29T00:00:00Z"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": "294247-01-01T00:00:00Z"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": "infinity"}"#, "/run_at"),
        (r#"{"name": "a", "run_at": 1e18}"#, "/run_at"),
        (r#"{"name": "a", "delay": 1, "run_at": "2026-11-22T20:00:00Z"}"#, "/run_at"),
        (r#"{"name": "a", "expires_at": "soon"}"#, "/expires_at"),
        (r#"{"name": "a", "soft_timeout": 0}"#, "/soft_timeout"),
        (r#"{"name": "a", "result_ttl": 7776001}"#, "/result_ttl"),
        (r#"{"name": "a", "store_result": "no"}"#, "/store_result"),
        (r#"{"name": "a", "tags": ["a", "a"]}"#, "/tags"),
        (r#"{"name": "a", "tags": [""]}"#, "/tags"),
        (r#"{"name": "a", "metadata": []}"#, "/metadata"),
        (r#"{"name": "a", "parent_id": "x"}"#, "/parent_id"),
        (r#"{"name": "a", "unique": {"key": ""}}"#, "/unique/key"),
        (r#"{"name": "a", "unique": {"key": "k", "by": ["name"]}}"#, "/unique/by"),
        (r#"{"name": "a", "unique": {"by": ["state"]}}"#, "/unique/by"),
        (r#"{"name": "a", "unique": {"while": "period"}}"#, "/unique/period"),
        (r#"{"name": "a", "unique": {"while": "queued", "period": 1}}"#, "/unique/period"),
        (r#"{"name": "a", "unique": {"on_conflict": "ignore"}}"#, "/unique/on_conflict"),
        (r#"{"name": "a", "retry": {"backoff": {"x": 2}}}"#, "/retry/backoff"),
        (r#"{"name": "a", "retry": {"x": 2}}"#, "/retry/x"),
        (r#"{"name": "a", "id": 1}"#, "/id"),
    ];
    for (body, pointer) in cases {
        assert_eq!(pointers(body), [pointer], "{body}");
    }
}

#[test]
fn times() {
    let read = |body: &str| {
        let submission = Submission::read(body.as_bytes()).unwrap();
        (submission.timeout, submission.start)
    };
    assert_eq!(
        read(r#"{"name": "a", "timeout": 0.0001, "delay": 0}"#),
        (Some(Duration::from_millis(1)), Start::Now),
        "never nothing; no delay is no delay"
    );
    assert!(read(r#"{"name": "a", "timeout": 1e300}"#).0.is_some(), "there is no upper bound on a time limit");
}
