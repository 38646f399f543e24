//! Entity tags on tasks and items, and HEAD.

use reqwest::{StatusCode, header};

use crate::{answer::Answer, server::Api};

async fn get_unless(api: &Api, path: &str, tag: &str) -> Answer {
    let request = api.client.get(format!("{}{path}", api.url)).header(header::IF_NONE_MATCH, tag);
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_task_is_sent_again_only_when_it_changed() {
    let api = Api::start().await;
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let path = format!("/v1/tasks/{id}");
    let first = api.get(&path).await;
    let tag = first.header(header::ETAG).to_owned();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    let same = get_unless(&api, &path, &tag).await;
    assert_eq!((same.status, same.body.len(), same.header(header::ETAG)), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    api.sql("UPDATE task_run SET state = 'running', epoch = 1, attempt = 1 WHERE id = $1", &[&id]).await;
    let changed = get_unless(&api, &path, &tag).await;
    assert_eq!((changed.status, &changed.json()["state"]), (StatusCode::OK, &"running".into()));
    api.stop().await;
}

#[tokio::test]
async fn a_terminal_task_is_told_from_the_cache() {
    let api = Api::start().await;
    let id = api.submit(r#"{"name": "add", "args": [1, 2]}"#).await;
    let path = format!("/v1/tasks/{id}");
    api.sql(
        "UPDATE task_run SET state = 'succeeded', epoch = 1, attempt = 1, finished_at = now(), result = '3' WHERE id = $1",
        &[&id],
    )
    .await;
    let from_row = api.get(&path).await;
    api.sql("WITH gone AS (DELETE FROM task_run WHERE id = $1 RETURNING id) DELETE FROM task_spec s USING gone g WHERE s.id = g.id", &[&id]).await;
    let from_cache = api.get(&path).await;
    assert_eq!((from_cache.text(), from_cache.header(header::ETAG)), (from_row.text(), from_row.header(header::ETAG)));
    api.stop().await;
}

#[tokio::test]
async fn an_item_is_tagged_by_its_content() {
    let api = Api::start().await;
    let id = api.upload(b"some text", "text/plain").await;
    let shown = api.get(&format!("/items/{id}")).await;
    let tag = format!("\"{}\"", shown.json()["sha256"].as_str().unwrap());
    assert_eq!(shown.header(header::ETAG), tag);
    for path in [format!("/items/{id}"), format!("/items/{id}/content")] {
        assert_eq!(get_unless(&api, &path, &tag).await.status, StatusCode::NOT_MODIFIED);
        assert_eq!(get_unless(&api, &path, "*").await.status, StatusCode::NOT_MODIFIED);
        assert_eq!(get_unless(&api, &path, "\"other\"").await.status, StatusCode::OK);
    }
    api.stop().await;
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let api = Api::start().await;
    let id = api.upload(b"some text", "text/plain").await;
    for path in ["/livez".to_owned(), format!("/items/{id}/content"), "/nowhere".to_owned()] {
        let (get, head) = (api.get(&path).await, api.client.head(format!("{}{path}", api.url)).send().await.unwrap());
        assert_eq!(head.status(), get.status, "{path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], get.headers[header::CONTENT_TYPE]);
        assert_eq!(head.bytes().await.unwrap().len(), 0);
    }
    api.stop().await;
}
