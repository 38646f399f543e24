//! What a submission may say.

use std::time::Duration;

use uuid::Uuid;

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
    assert_eq!((submission.timeout, submission.start), (TimeLimit::Inherited, Start::Now));
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
        (r#"{"name": "a", "retry": {"backoff": {"x": 2}}}"#, "/retry/backoff/x"),
        (r#"{"name": "a", "retry": {"backoff": {"type": "square"}}}"#, "/retry/backoff/type"),
        (r#"{"name": "a", "retry": {"backoff": {"initial": -1}}}"#, "/retry/backoff/initial"),
        (r#"{"name": "a", "retry": {"backoff": {"factor": 0.5}}}"#, "/retry/backoff/factor"),
        (r#"{"name": "a", "retry": {"backoff": {"max": 1}}}"#, "/retry/backoff/max"),
        (r#"{"name": "a", "retry": {"backoff": {"initial": 10, "max": 9}}}"#, "/retry/backoff/max"),
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
        (TimeLimit::After(Duration::from_millis(1)), Start::Now),
        "never nothing; no delay is no delay"
    );
    let endless = read(r#"{"name": "a", "timeout": 1e300}"#).0;
    assert!(matches!(endless, TimeLimit::After(_)), "there is no upper bound on a time limit");
    assert_eq!(read(r#"{"name": "a", "timeout": null}"#).0, TimeLimit::Unlimited);
}

#[test]
fn a_first_wait_beyond_the_usual_longest_one_is_kept() {
    for (backoff, initial, max) in [
        (r#"{"type": "constant", "initial": 3600}"#, 3600.0, 3600.0),
        (r#"{"initial": 3600, "max": 7200}"#, 3600.0, 7200.0),
        (r#"{"initial": 600}"#, 600.0, 600.0),
        (r#"{"initial": 1}"#, 1.0, 600.0),
        ("{}", 2.0, 600.0),
    ] {
        let body = format!(r#"{{"name": "a", "retry": {{"backoff": {backoff}}}}}"#);
        let read = Submission::read(body.as_bytes()).unwrap().retry.policy.backoff;
        assert_eq!((read.initial, read.max), (initial, max), "{backoff}");
    }
}

#[test]
fn arguments_nest_as_deep_wherever_they_stand() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let task = |levels: usize| format!(r#"{{"name": "a", "args": {}}}"#, nested(levels));
    assert!(Submission::read(task(32).as_bytes()).is_ok());
    assert_eq!(pointers(&task(33)), ["/args"]);
    assert_eq!(pointers(&format!(r#"{{"name": "a", "kwargs": {{"x": {}}}}}"#, nested(32))), ["/kwargs"]);
}

fn known(timeout: Option<Duration>) -> TaskType {
    TaskType {
        name: "a".parse().unwrap(),
        version: 1,
        parameters: Vec::new(),
        queue: "default".parse().unwrap(),
        timeout,
        cpu: false,
    }
}

/// The limit of a task of a type with this one, or the pointers of what is wrong.
fn limit_of(body: &str, of_type: Option<Duration>) -> Result<Option<Duration>, serde_json::Value> {
    let submission = Submission::read(body.as_bytes()).unwrap();
    match submission.into_spec(TaskId(Uuid::nil()), &known(of_type), OwnerId::LOCAL, None) {
        Ok((task, _)) => Ok(task.timeout),
        Err(problem) => Err(serde_json::from_slice::<serde_json::Value>(&problem.document(None)).unwrap()["errors"][0]
            ["pointer"]
            .clone()),
    }
}

#[test]
fn the_limit_in_force_is_the_tasks_or_its_types_or_none() {
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    assert_eq!(limit_of(r#"{"name": "a"}"#, Some(hour)), Ok(Some(hour)));
    assert_eq!(limit_of(r#"{"name": "a"}"#, None), Ok(None));
    assert_eq!(limit_of(r#"{"name": "a", "timeout": 1}"#, Some(hour)), Ok(Some(second)));
    assert_eq!(limit_of(r#"{"name": "a", "timeout": null}"#, Some(hour)), Ok(None));
}

#[test]
fn what_could_never_happen_is_refused() {
    let hour = Some(Duration::from_hours(1));
    for (body, pointer) in [
        (r#"{"name": "a", "expires_at": "2020-01-01T00:00:00Z"}"#, "/expires_at"),
        (r#"{"name": "a", "expires_at": "2020-01-01T00:00:00Z", "delay": 5}"#, "/expires_at"),
        (r#"{"name": "a", "expires_at": "2998-01-01T00:00:00Z", "run_at": "2999-01-01T00:00:00Z"}"#, "/expires_at"),
        (r#"{"name": "a", "expires_at": "2999-01-01T00:00:00Z", "run_at": "2999-01-01T00:00:00Z"}"#, "/expires_at"),
        (r#"{"name": "a", "expires_at": "2999-01-01T00:00:00Z", "delay": 1e11}"#, "/expires_at"),
        (r#"{"name": "a", "soft_timeout": 5, "timeout": 1}"#, "/soft_timeout"),
        (r#"{"name": "a", "soft_timeout": 3601}"#, "/soft_timeout"),
    ] {
        assert_eq!(limit_of(body, hour), Err(pointer.into()), "{body}");
    }
    for body in [
        r#"{"name": "a", "expires_at": "2999-01-01T00:00:00Z", "run_at": "2020-01-01T00:00:00Z"}"#,
        r#"{"name": "a", "expires_at": "2999-01-01T00:00:01Z", "run_at": "2999-01-01T00:00:00Z"}"#,
        r#"{"name": "a", "soft_timeout": 1, "timeout": 1}"#,
        r#"{"name": "a", "soft_timeout": 3601, "timeout": null}"#,
    ] {
        assert!(limit_of(body, hour).is_ok(), "{body}");
    }
}
