//! `/items`: what goes in comes out, and what is not what it says does not go in.

use std::io::Write;

use reqwest::{StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{answer::Answer, eventually::eventually_async, raw, server::Api};

pub const LARGEST: usize = 100 << 20;
const CHUNK: usize = 256 << 10;
pub const FORM: &str = "multipart/form-data; boundary=x";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand the rest";

/// So many bytes, no two chunks of which are alike.
pub fn bytes_of(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 3 + at % 251) % 256).unwrap()).collect()
}

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

#[tokio::test]
async fn a_round_trip_of_the_largest_item() {
    let api = Api::start().await;
    let content = bytes_of(LARGEST);
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
    for declared in ["multipart/mixed; boundary=x", "nonsense"] {
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
async fn every_length_comes_out_as_it_went_in() {
    let api = Api::start().await;
    for bytes in [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 5 * CHUNK + 7] {
        let content = bytes_of(bytes);
        let id = api.upload(&content, "application/octet-stream").await;
        let item = api.get(&format!("/items/{id}")).await.json();
        assert_eq!((&item["bytes"], item["sha256"].as_str()), (&json!(bytes), Some(sha256(&content).as_str())));
        assert!(api.get(&format!("/items/{id}/content")).await.body == content, "{bytes} bytes");
        let chunks = "SELECT count(*), sum(octet_length(data)) FROM item_chunk WHERE item_id = $1";
        let row = &api.sql(chunks, &[&id]).await[0];
        let (count, sum) = (bytes.div_ceil(CHUNK), bytes);
        assert_eq!((row.get(0), row.get(1)), (i64::try_from(count).unwrap(), i64::try_from(sum).unwrap()), "{bytes}");
    }
    api.stop().await;
}

#[tokio::test]
async fn one_part_of_a_form_is_an_item_too() {
    let api = Api::start().await;
    let large = bytes_of(CHUNK + 1);
    let cases: [(&[u8], &str, &str); 4] = [
        (PNG, "content-type: image/png\r\n", "image/png"),
        (b"{\"a\": 1}", "content-type: application/json\r\n", "application/json"),
        (b"a,b", "", "application/octet-stream"),
        (&large, "", "application/octet-stream"),
    ];
    for (content, headers, stored) in cases {
        let answer = api.post("/items", form(&[(headers, content)]), FORM).await;
        assert_eq!((answer.status, &answer.json()["content_type"]), (StatusCode::CREATED, &json!(stored)));
        let path = format!("/items/{}/content", answer.json()["id"].as_str().unwrap());
        assert!(api.get(&path).await.body == content, "the same bytes");
    }
    let before = api.sql("SELECT FROM item", &[]).await.len();
    let two = form(&[("", &large), ("", b"y")]);
    for (body, status, code) in [
        (form(&[("", b"")]), 400, "empty_body"),
        (form(&[("content-type: image/jpeg\r\n", PNG)]), 415, "content_type_mismatch"),
        (form(&[]), 400, "unfit_form"),
        (two, 400, "unfit_form"),
        (b"no form at all".to_vec(), 400, "unfit_form"),
        (b"--x\r\n\r\nno disposition\r\n--x--\r\n".to_vec(), 400, "unfit_form"),
        (form(&[("", &vec![0; LARGEST + 1])]), 413, "body_too_large"),
        ([b"--x\r\na: ", &b"b".repeat(300_000)[..]].concat(), 413, "body_too_large"),
        (vec![b'-'; LARGEST + (65 << 10)], 413, "body_too_large"),
    ] {
        let head = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = api.post("/items", body, FORM).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (status, &json!(code)), "{head}");
        answer.assert_problem(status, code);
    }
    api.post("/items", form(&[("", PNG)]), "multipart/form-data").await.assert_problem(400, "unfit_form");
    nothing_but(&api, before).await;
    api.stop().await;
}

#[tokio::test]
async fn a_part_of_a_content() {
    let api = Api::start().await;
    let content = bytes_of(2 * CHUNK + 100);
    let id = api.upload(&content, "application/octet-stream").await;
    let (path, length) = (format!("/items/{id}/content"), content.len());
    let tag = api.get(&path).await.header(header::ETAG).to_owned();
    let ask = async |headers: &[(&'static str, &str)]| {
        let request = headers
            .iter()
            .fold(api.client.get(format!("{}{path}", api.url)), |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    };
    let (first, last) = (CHUNK - 1, CHUNK + 1);
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=0-".to_owned(), 0, length),
        (format!("bytes={first}-{last}"), first, last + 1),
        (format!("bytes={CHUNK}-"), CHUNK, length),
        (format!("bytes=10-{}", 2 * CHUNK + 10), 10, 2 * CHUNK + 11),
        ("bytes=-100".to_owned(), length - 100, length),
        ("bytes=-999999999".to_owned(), 0, length),
    ] {
        let answer = ask(&[("range", &range)]).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(answer.header(header::CONTENT_RANGE), format!("bytes {from}-{}/{length}", to - 1), "{range}");
        assert_eq!(answer.header(header::CONTENT_LENGTH), (to - from).to_string(), "{range}");
        assert_eq!((answer.header(header::ETAG), answer.header(header::ACCEPT_RANGES)), (tag.as_str(), "bytes"));
        assert!(answer.body == content[from..to], "{range}");
    }
    for headers in [
        [("range", "bytes=5-1"), ("if-range", &tag)],
        [("range", "bytes=0-1,4-5"), ("if-range", &tag)],
        [("range", "pages=0-1"), ("if-range", &tag)],
        [("range", "bytes=0-1"), ("if-range", "\"other\"")],
        [("range", "bytes=0-1"), ("if-range", "Thu, 26 Nov 2026 20:00:00 GMT")],
    ] {
        let answer = ask(&headers).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, length), "{headers:?}");
    }
    assert_eq!(ask(&[("range", "bytes=0-1"), ("if-range", &tag)]).await.body, content[..2]);
    assert_eq!(ask(&[("range", "bytes=0-1"), ("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
    let beyond = ask(&[("range", &format!("bytes={length}-"))]).await;
    assert_eq!(beyond.header(header::CONTENT_RANGE), format!("bytes */{length}"));
    assert_eq!(beyond.assert_problem(416, "range_not_satisfiable")["bytes"], length);
    let head = api.client.head(format!("{}{path}", api.url)).header("range", "bytes=0-1").send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &length.to_string().parse().unwrap())
    );
    api.stop().await;
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let api = Api::start().await;
    let [kept, gone] = [api.upload(PNG, "").await, api.upload(&bytes_of(3 * CHUNK), "").await];
    let remove =
        async |id: &str| Answer::of(api.client.delete(format!("{}/items/{id}", api.url)).send().await.unwrap()).await;
    let answer = remove(&gone.to_string()).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    remove(&gone.to_string()).await.assert_problem(404, "item_not_found");
    remove("nonsense").await.assert_problem(404, "item_not_found");
    for path in [format!("/items/{gone}"), format!("/items/{gone}/content")] {
        api.get(&path).await.assert_problem(404, "item_not_found");
    }
    api.post(&format!("/process-image/{gone}"), "", "").await.assert_problem(404, "item_not_found");
    assert_eq!(ids(&api, "").await, [kept.to_string()]);
    assert_eq!(api.sql("SELECT FROM item_chunk", &[]).await.len(), 1);
    api.stop().await;
}

#[tokio::test]
async fn lists_by_type_and_time_page_by_page() {
    let api = Api::start().await;
    let mut stored = Vec::new();
    for (content, declared) in [
        (PNG, ""),
        (b"a", "text/csv; charset=utf-8"),
        (PNG, "image/png"),
        (b"{}", "application/json"),
        (b"b", "Text/CSV"),
    ] {
        stored.push(api.upload(content, declared).await.to_string());
    }
    // as outputs of tasks have them: ids that say nothing of the time
    let output = Uuid::from_u128(1);
    let sql = "INSERT INTO item (id, content_type, bytes, sha256) VALUES ($1, 'image/png', 1, '\\x00')";
    api.sql(sql, &[&output]).await;
    let foreign =
        "INSERT INTO item (id, owner_id, content_type, bytes, sha256) VALUES ($1, 77, 'image/png', 1, '\\x00')";
    api.sql(foreign, &[&Uuid::from_u128(2)]).await;
    // all at one moment but the first
    api.sql("UPDATE item SET created_at = '2026-01-02T03:04:05.000001Z'", &[]).await;
    let first = stored[0].parse::<Uuid>().unwrap();
    api.sql("UPDATE item SET created_at = '2026-01-02T03:04:05Z' WHERE id = $1", &[&first]).await;
    let newest = |mut some: Vec<&str>| {
        some.sort_unstable();
        some.reverse();
        some.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let output = output.to_string();
    let [csv, png, json, csv_too] = [&stored[1], &stored[2], &stored[3], &stored[4]].map(String::as_str);
    let later = newest(vec![csv, png, json, csv_too, &output]);
    let all = [later.clone(), vec![stored[0].clone()]].concat();
    for (query, expected) in [
        ("", all.clone()),
        ("content_type=image/png", [newest(vec![png, &output]), vec![stored[0].clone()]].concat()),
        ("content_type=TEXT/csv", newest(vec![csv, csv_too])),
        ("content_type=image/webp", vec![]),
        ("created_after=2026-01-02T03:04:05.000001Z", later.clone()),
        ("created_before=2026-01-02T03:04:05.000001Z", vec![stored[0].clone()]),
        (
            "created_after=2026-01-02T03:04:05Z&created_before=2026-01-02T03:04:06Z&content_type=application/json",
            vec![json.to_owned()],
        ),
        ("created_after=2026-01-03T00:00:00Z", vec![]),
        ("created_before=1970-01-01T00:00:00Z", vec![]),
        ("created_before=9999-12-30T00:00:00Z", all.clone()),
    ] {
        assert_eq!(ids(&api, query).await, expected, "{query}");
        assert_eq!(walked(&api, query, 2).await, expected, "{query}, page by page");
    }
    let path = "/items?content_type=text/plain;x=y&created_after=yesterday&cursor=1&limit=0";
    let problem = api.get(path).await.assert_problem(422, "invalid_request");
    let wrong: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(wrong, ["?content_type", "?created_after", "?cursor", "?limit"]);
    api.stop().await;
}

#[tokio::test]
async fn an_upload_is_seen_when_it_is_complete_and_its_remains_are_removed() {
    let api = Api::start().await;
    let mut upload = raw::connect(api.port);
    let half = bytes_of(3 * CHUNK + 5);
    let head = format!("POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", half.len() + 1);
    upload.write_all(&[head.as_bytes(), &half].concat()).unwrap();
    let rows = eventually_async("three chunks", async || {
        let rows = api.sql("SELECT item_id FROM item_chunk", &[]).await;
        (rows.len() == 3).then_some(rows)
    })
    .await;
    assert_eq!(ids(&api, "").await, [""; 0]);
    let id: Uuid = rows[0].get(0);
    for path in [format!("/items/{id}"), format!("/items/{id}/content")] {
        api.get(&path).await.assert_problem(404, "item_not_found");
    }
    let delete = api.client.delete(format!("{}/items/{id}", api.url)).send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::NOT_FOUND);
    assert_eq!(api.leaks().await, None, "an upload that waits for its client holds no connection");
    upload.write_all(b"!").unwrap();
    assert!(raw::read_answer(&mut upload).starts_with("HTTP/1.1 201 "));
    assert_eq!(ids(&api, "").await, [id.to_string()]);

    let mut broken = raw::connect(api.port);
    broken.write_all(&[head.as_bytes(), &half].concat()).unwrap();
    let many = async |count: usize| (api.sql("SELECT FROM item", &[]).await.len() == count).then_some(());
    eventually_async("the beginning", async || many(2).await).await;
    drop(broken);
    eventually_async("the end of what began", async || many(1).await).await;

    let over = [&bytes_of(LARGEST)[..], b"!"].concat();
    let head = "POST /items HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n", over.len());
    let mut endless = raw::connect(api.port);
    endless.write_all(&[head.as_bytes(), chunk.as_bytes(), &over, b"\r\n0\r\n\r\n"].concat()).unwrap();
    assert!(raw::read_answer(&mut endless).starts_with("HTTP/1.1 413 "));
    nothing_but(&api, 1).await;
    api.stop().await;
}

/// The database crashed in the middle and lost what had not reached its disk, or the sweep was there first.
#[tokio::test]
async fn an_upload_with_a_hole_is_no_item() {
    let api = Api::start().await;
    for damage in ["DELETE FROM item_chunk WHERE seq = 1", "DELETE FROM item"] {
        let mut upload = raw::connect(api.port);
        let most = bytes_of(2 * CHUNK + 5);
        let head = format!("POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", most.len() + 1);
        upload.write_all(&[head.as_bytes(), &most].concat()).unwrap();
        eventually_async("two chunks", async || {
            (api.sql("SELECT FROM item_chunk", &[]).await.len() == 2).then_some(())
        })
        .await;
        api.sql(damage, &[]).await;
        upload.write_all(b"!").unwrap();
        let answer = raw::read_answer(&mut upload);
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("database_unavailable"), "{damage}: {answer}");
        nothing_but(&api, 0).await;
    }
    api.stop().await;
}

#[tokio::test]
async fn uploads_that_do_not_come_forward_do_not_pile_up() {
    const PLACES: usize = 128;
    let api = Api::start().await;
    let mut stuck = Vec::new();
    for _ in 0..PLACES {
        let mut upload = raw::connect(api.port);
        upload.write_all(b"POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
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
async fn uploads_wait_for_a_place() {
    const CLIENTS: usize = 384; // three times as many as have a place
    let api = std::sync::Arc::new(Api::start().await);
    let uploads: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(
                async move { api.upload(format!("text {client}").repeat(2_000).as_bytes(), "text/plain").await },
            )
        })
        .collect();
    for upload in uploads {
        upload.await.unwrap();
    }
    assert_eq!(api.sql("SELECT FROM item", &[]).await.len(), CLIENTS);
    std::sync::Arc::into_inner(api).unwrap().stop().await;
}

/// A form with these parts: headers of their own, and content.
pub fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (headers, content) in parts {
        let disposition = "content-disposition: form-data; name=\"file\"; filename=\"../../etc/x\"";
        form.extend_from_slice(format!("--x\r\n{disposition}\r\n{headers}\r\n").as_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--x--\r\n");
    form
}

/// Waits until there are so many items and unfinished uploads.
async fn nothing_but(api: &Api, items: usize) {
    eventually_async("the end of what was refused", async || {
        (api.sql("SELECT FROM item", &[]).await.len() == items).then_some(())
    })
    .await;
}

async fn page(api: &Api, query: &str) -> (Vec<String>, Option<String>) {
    let answer = api.get(&format!("/items/?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text());
    let page = answer.json();
    let items = page["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
    (items.collect(), page["next_cursor"].as_str().map(str::to_owned))
}

async fn ids(api: &Api, query: &str) -> Vec<String> {
    page(api, query).await.0
}

/// The same, in pages of `limit`.
async fn walked(api: &Api, query: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let (items, cursor) = page(api, format!("{query}&limit={limit}{next}").trim_start_matches('&')).await;
        all.extend(items);
        let Some(cursor) = cursor else { return all };
        next = format!("&cursor={cursor}");
    }
}
