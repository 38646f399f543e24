//! What stands behind the path: every route of the OpenAPI document refuses parameters that it does not state and text that
//! is no UTF-8, and has one address, to which the one with a slash more leads.

use reqwest::{Client, Method, header, redirect};
use serde_json::Value;

use crate::{answer::Answer, server::Api};

/// Method, address with its parts filled in, names of the parameters of its query.
struct Operation {
    method: Method,
    path: String,
    query: Vec<String>,
}

async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.json();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let stated = operation["parameters"].as_array().unwrap().iter();
            let query = stated.filter(|one| one["in"] == "query").map(|one| one["name"].as_str().unwrap().to_owned());
            found.push(Operation {
                method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                path: filled(path),
                query: query.collect(),
            });
        }
    }
    assert!(found.len() > 70, "the document has lost its operations");
    found
}

/// Something that could stand in each part of a path.
fn filled(path: &str) -> String {
    let id = "018f4b2e-7b1c-7000-8000-000000000001";
    path.replace("{lease_id}", id)
        .replace("{item_id}", id)
        .replace("{arrival_id}", id)
        .replace("{name}", "n")
        .replace("{key}", "k")
        .replace("{code}", "c")
        .replace("{id}", id)
}

async fn ask(api: &Api, operation: &Operation, query: &str) -> Answer {
    let address = format!("{}{}?{query}", api.url, operation.path);
    Answer::of(api.client.request(operation.method.clone(), address).send().await.unwrap()).await
}

#[tokio::test]
async fn no_route_accepts_an_unknown_parameter() {
    let api = Api::start().await;
    for operation in operations(&api).await {
        let Operation { method, path, query } = &operation;
        eprintln!("{method} {path}");
        let problem = ask(&api, &operation, "no_such_thing=1").await.assert_problem(422, "unknown_parameter");
        assert_eq!(problem["errors"][0]["pointer"], "?no_such_thing", "{problem}");
        let told = problem["errors"][0]["detail"].as_str().unwrap();
        assert!(query.iter().all(|name| told.contains(name.as_str())), "{problem}");
        for name in query {
            let code = ask(&api, &operation, &format!("{name}=")).await.text();
            assert!(!code.contains("unknown_parameter"), "{method} {path} does not know its {name}: {code}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn no_route_accepts_a_query_that_is_no_text() {
    let api = Api::start().await;
    for operation in operations(&api).await {
        eprintln!("{} {}", operation.method, operation.path);
        let name = operation.query.first().map_or("x", String::as_str);
        for query in [format!("{name}=caf%E9"), "%ff".to_owned()] {
            ask(&api, &operation, &query).await.assert_problem(400, "bad_request");
        }
    }
    assert_eq!(api.sql("SELECT FROM data", &[]).await.len(), 0, "nothing was stored");
    api.stop().await;
}

#[tokio::test]
async fn what_the_review_tried_is_refused_by_name() {
    let api = Api::start().await;
    let task = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let cases = [
        (Method::POST, "/v1/tasks".to_owned(), "wait=10", "takes no parameters"),
        (Method::POST, "/v1/groups".to_owned(), "wait=10", "takes no parameters"),
        (Method::GET, format!("/v1/tasks/{task}/result"), "wait=5", "takes no parameters"),
        (Method::GET, format!("/v1/tasks/{task}"), "foo=1", "takes wait only"),
        (Method::POST, format!("/process-image/{task}"), "width=64", "takes no parameters"),
    ];
    for (method, path, query, told) in cases {
        let operation = Operation { method, path, query: Vec::new() };
        let problem = ask(&api, &operation, query).await.assert_problem(422, "unknown_parameter");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    api.get(&format!("/v1/tasks/{task}?wait=1&wait=1")).await.assert_problem(422, "invalid_request");
    api.stop().await;
}

#[tokio::test]
async fn a_slash_too_many_leads_to_the_address() {
    let api = Api::start().await;
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
    for Operation { method, path, .. } in operations(&api).await {
        if ["/", "/items"].contains(&path.as_str()) {
            continue; // `/items/` is as good as `/items`
        }
        for slashes in ["/", "//"] {
            let asked = client.request(method.clone(), format!("{}{path}{slashes}?a=b", api.url)).send().await.unwrap();
            assert_eq!(
                (asked.status().as_u16(), asked.headers()[header::LOCATION].to_str().unwrap()),
                (308, &*format!("{path}?a=b"))
            );
        }
    }
    let root = client.get(&api.url).send().await.unwrap();
    assert_eq!((root.status().as_u16(), root.headers()[header::LOCATION].to_str().unwrap()), (307, "/docs"));
    for nowhere in ["//evil.example/", "/\\evil.example/", "/v1/", "/v2/tasks/", "//", "/v1//tasks/"] {
        let asked = client.get(format!("{}{nowhere}", api.url)).send().await.unwrap();
        assert_eq!((asked.status().as_u16(), asked.headers().get(header::LOCATION)), (404, None), "{nowhere}");
    }
    let stored: Value = api.post_json("/v1/tasks/", r#"{"name": "add", "args": [1, 2]}"#).await.json();
    assert_eq!(stored["state"], "queued", "a body follows its redirect: {stored}");
    api.stop().await;
}
