//! Web pages of other origins: off where nothing is set, and for the origins of the setting only.

use reqwest::{Method, header};

use crate::{
    answer::Answer,
    server::{Api, Setup},
};

const ALLOWED: &str = "https://app.example.com";

async fn ask(api: &Api, method: Method, path: &str, origin: &str, preflight: bool) -> Answer {
    let mut request = api.client.request(method, format!("{}{path}", api.url)).header(header::ORIGIN, origin);
    if preflight {
        request = request
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization, content-type, idempotency-key");
    }
    Answer::of(request.send().await.unwrap()).await
}

async fn with_origins(origins: &str) -> Api {
    let mut setup = Setup::new().await;
    setup.variables.push(("CARAWAY_CORS_ORIGINS", origins.into()));
    setup.start().await
}

#[tokio::test]
async fn it_is_off_where_nothing_is_set() {
    let api = with_origins("").await;
    ask(&api, Method::OPTIONS, "/v1/tasks", ALLOWED, true).await.assert_problem(405, "method_not_allowed");
    let answer = ask(&api, Method::GET, "/livez", ALLOWED, false).await;
    assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{answer:?}");
    api.stop().await;
}

#[tokio::test]
async fn pages_of_the_setting_may_call_and_read() {
    let api = with_origins("https://other.example, https://app.example.com").await;
    for path in ["/v1/tasks", "/v1/tasks/018f4b2e-7b1c-7000-8000-000000000001", "/items"] {
        let allowed = ask(&api, Method::OPTIONS, path, ALLOWED, true).await;
        assert!(allowed.status.is_success(), "{allowed:?}");
        assert_eq!(allowed.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), ALLOWED);
        assert!(allowed.header(header::ACCESS_CONTROL_ALLOW_METHODS).contains("PATCH"), "{allowed:?}");
        assert!(allowed.header(header::ACCESS_CONTROL_ALLOW_HEADERS).to_lowercase().contains("idempotency-key"));
        assert!(!allowed.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
    for path in ["/livez", "/nowhere", "/v1/tasks/x"] {
        let answer = ask(&api, Method::GET, path, ALLOWED, false).await;
        assert_eq!(answer.header(header::ACCESS_CONTROL_ALLOW_ORIGIN), ALLOWED, "errors are readable too: {answer:?}");
        let readable = answer.header(header::ACCESS_CONTROL_EXPOSE_HEADERS).to_lowercase();
        assert!(readable.contains("x-request-id") && readable.contains("retry-after"), "{answer:?}");
        assert!(answer.headers.get_all(header::VARY).iter().any(|value| value.to_str().unwrap().contains("Origin")));
    }
    api.stop().await;
}

#[tokio::test]
async fn others_are_told_nothing() {
    let api = with_origins(ALLOWED).await;
    for origin in ["https://evil.example", "null", "http://app.example.com", "https://app.example.com.evil.example"] {
        for (method, preflight) in [(Method::OPTIONS, true), (Method::GET, false)] {
            let answer = ask(&api, method, "/livez", origin, preflight).await;
            assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}: {answer:?}");
        }
    }
    api.stop().await;
}
