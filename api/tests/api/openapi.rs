//! The contract: what is served is what was agreed upon, and people can read it.

use reqwest::header;

use crate::{answer::Answer, server::Api};

/// As it was last agreed upon.
const AGREED: &str = include_str!("../../openapi.json");

#[tokio::test]
async fn the_served_document_is_the_agreed_one() {
    let api = Api::start().await;
    let answer = api.get("/openapi.json").await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert!(
        answer.text() == AGREED,
        "the contract has changed. If that is meant: cargo run -p caraway-api -- openapi > api/openapi.json, \
         and look at the difference"
    );
    assert_eq!(answer.json()["openapi"].as_str().map(|version| &version[..4]), Some("3.1."));
    api.stop().await;
}

#[tokio::test]
async fn pages_bring_all_they_need_and_run_nothing() {
    let api = Api::start().await;
    for path in ["/docs", "/problems", "/problems/outcome_unknown"] {
        let page = read(&api, path).await;
        assert_eq!(
            (page.status.as_u16(), page.header(header::CONTENT_TYPE)),
            (200, "text/html; charset=utf-8"),
            "{path}"
        );
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; style-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let text = page.text();
        let style = api.get("/docs/style.css").await.text();
        for foreign in ["<script", " src=", "url(", "@import"] {
            assert!(!text.contains(foreign) && !style.contains(foreign), "{path} or its style has a {foreign}");
        }
        for link in text.split("href=\"").skip(1).map(|rest| rest.split(['"', '#']).next().unwrap()) {
            assert!(link.is_empty() || link.starts_with('/'), "{path} leads elsewhere: {link}");
            if !link.is_empty() {
                assert_eq!(api.get(link).await.status, 200, "{path} leads nowhere: {link}");
            }
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn a_problem_is_a_page_for_people_and_json_for_programs() {
    let api = Api::start().await;
    let page = read(&api, "/problems/outcome_unknown").await.text();
    for part in ["It is not known whether the task was accepted", "503", "same <code>Idempotency-Key</code>", "Yes:"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(read(&api, "/problems/task_failed").await.text().contains("No:"));
    let explained = api.get("/problems/outcome_unknown").await;
    assert_eq!(
        (explained.header(header::CONTENT_TYPE), explained.header(header::VARY)),
        ("application/json", "Accept")
    );
    assert_eq!(explained.json()["example"]["code"], "outcome_unknown");
    read(&api, "/problems/no_such_problem").await.assert_problem(404, "not_found");
    api.stop().await;
}

/// As a browser asks.
async fn read(api: &Api, path: &str) -> Answer {
    let request = api.client.get(format!("{}{path}", api.url));
    let request = request.header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
    Answer::of(request.send().await.unwrap()).await
}
