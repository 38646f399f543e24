//! `/items`: what goes in comes out, and what is not what it says does not go in.

use std::io::Write;

use reqwest::{StatusCode, header};

use crate::{eventually::eventually_async, raw, server::Api};

const LARGEST: usize = 16 << 20;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand the rest";

#[tokio::test]
async fn a_round_trip_of_the_largest_item() {
    let api = Api::start().await;
    let content: Vec<u8> = (0..LARGEST).map(|at| u8::try_from((at / 3 + at % 251) % 256).unwrap()).collect();
    let stored = api.post("/items", content.clone(), "application/octet-stream").await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text());
    let item = stored.json();
    let mut fields: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
    fields.sort();
    assert_eq!(fields, ["bytes", "content_type", "created_at", "id", "sha256"]);
    assert_eq!(item["bytes"], LARGEST);
    assert_eq!(api.get(stored.header(header::LOCATION)).await.json(), item);
    let read = api.get(&format!("/items/{}/content", item["id"].as_str().unwrap())).await;
    assert_eq!(read.header(header::CONTENT_LENGTH), LARGEST.to_string());
    assert!(read.body == content, "the same bytes");

    let over = api.post("/items", vec![0; LARGEST + 1], "application/octet-stream").await;
    assert_eq!(over.assert_problem(413, "body_too_large")["bytes_max"], LARGEST);
    assert_eq!(api.sql("SELECT FROM item", &[]).await.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn types_are_sniffed_and_checked() {
    let api = Api::start().await;
    let cases: [(&[u8], &str, &str); 5] = [
        (PNG, "", "image/png"),
        (PNG, "image/png", "image/png"),
        (PNG, "application/x-www-form-urlencoded", "image/png"),
        (b"a,b", "text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        (b"a,b", "", "application/octet-stream"),
    ];
    for (content, declared, stored) in cases {
        let answer = api.post("/items/", content.to_owned(), declared).await;
        assert_eq!(answer.json()["content_type"], stored, "{declared}");
    }
    for (content, declared) in [(PNG, "image/jpeg"), (PNG, "text/plain"), (b"a,b", "image/png")] {
        api.post("/items", content, declared).await.assert_problem(415, "content_type_mismatch");
    }
    for declared in ["multipart/form-data; boundary=x", "nonsense"] {
        api.post("/items", PNG, declared).await.assert_problem(415, "unsupported_media_type");
    }
    api.post("/items", "", "").await.assert_problem(400, "empty_body");
    api.stop().await;
}

#[tokio::test]
async fn only_images_are_shown_in_place() {
    let api = Api::start().await;
    let page: &[u8] = b"<script>alert(1)</script>";
    for (content, declared, disposition) in [(PNG, "image/png", "inline"), (page, "text/html", "attachment")] {
        let id = api.upload(content, declared).await;
        let answer = api.get(&format!("/items/{id}/content")).await;
        assert_eq!(answer.body, content);
        assert_eq!(answer.header(header::CONTENT_TYPE), declared);
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert!(answer.header(header::CONTENT_DISPOSITION).starts_with(disposition));
        assert!(answer.header(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
    }
    api.stop().await;
}

#[tokio::test]
async fn uploads_that_do_not_come_forward_do_not_pile_up() {
    const PLACES: usize = 8;
    let api = Api::start().await;
    let mut stuck = Vec::new();
    for _ in 0..PLACES {
        let mut upload = raw::connect(api.port);
        upload.write_all(b"POST /items HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
        stuck.push(upload);
    }
    let refused = eventually_async("a full house", async || {
        let answer = api.post("/items", "text", "text/plain").await;
        (answer.status != StatusCode::CREATED).then_some(answer)
    })
    .await;
    refused.assert_problem(503, "overloaded");
    api.submit(r#"{"name": "add", "args": [1, 2]}"#).await; // everything else goes on
    drop(stuck);
    eventually_async("a free place", async || {
        (api.post("/items", "text", "text/plain").await.status == StatusCode::CREATED).then_some(())
    })
    .await;
    api.stop().await;
}

#[tokio::test]
async fn uploads_wait_for_a_place_in_memory() {
    const CLIENTS: usize = 24; // three times as many as have a place
    let api = std::sync::Arc::new(Api::start().await);
    let uploads: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(
                async move { api.upload(format!("text {client}").repeat(20_000).as_bytes(), "text/plain").await },
            )
        })
        .collect();
    for upload in uploads {
        upload.await.unwrap();
    }
    assert_eq!(api.sql("SELECT FROM item", &[]).await.len(), CLIENTS);
    std::sync::Arc::into_inner(api).unwrap().stop().await;
}
