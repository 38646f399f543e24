//! Large answers are compressed where the client takes that, under a tag of their own; contents and streams never are.

use std::io::Read as _;

use flate2::read::GzDecoder;
use reqwest::header::{self, HeaderMap};

use crate::{answer::Answer, data, server::Api};

const LARGE: usize = 20_000;

async fn get(api: &Api, path: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
    let mut request = api.client.get(format!("{}{path}", api.url));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    Answer::of(request.send().await.unwrap()).await
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.header(header::CONTENT_ENCODING), "gzip", "{answer:?}");
    let mut plain = Vec::new();
    GzDecoder::new(answer.body.as_slice()).read_to_end(&mut plain).unwrap();
    plain
}

fn varies(headers: &HeaderMap) -> bool {
    headers.get_all(header::VARY).iter().any(|value| value.to_str().unwrap().contains("Accept-Encoding"))
}

#[tokio::test]
async fn the_client_chooses() {
    let (api, key) = (Api::start().await, data::key());
    let value = format!(r#"{{"value":"{}"}}"#, "text ".repeat(LARGE / 5));
    let put = api.client.put(format!("{}/v1/data/{key}", api.url)).header(header::CONTENT_TYPE, "application/json");
    assert!(put.body(value).send().await.unwrap().status().is_success());
    let values = [format!("/v1/data/{key}"), format!("/cached-data/{key}")];
    let pages = ["/openapi.json", "/docs", "/problems", "/docs/style.css"];
    for path in pages.into_iter().chain(values.iter().map(String::as_str)) {
        let plain = get(&api, path, &[]).await;
        assert!(!plain.headers.contains_key(header::CONTENT_ENCODING) && varies(&plain.headers), "{path}: {plain:?}");
        for accepted in ["gzip", "br;q=1, gzip;q=0.5", "deflate, gzip, br"] {
            let packed = get(&api, path, &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(unpacked(&packed), plain.body, "{path}");
            assert!(packed.body.len() * 2 < plain.body.len() && varies(&packed.headers), "{path}");
        }
        for refused in ["identity", "br", "gzip;q=0", ""] {
            let same = get(&api, path, &[(header::ACCEPT_ENCODING, refused)]).await;
            assert_eq!((same.header(header::CONTENT_ENCODING), &same.body), ("", &plain.body), "{path} {refused}");
        }
    }
    let small = get(&api, "/livez", &[(header::ACCEPT_ENCODING, "gzip")]).await;
    assert!(!small.headers.contains_key(header::CONTENT_ENCODING) && !varies(&small.headers));
    api.stop().await;
}

#[tokio::test]
async fn each_encoding_has_its_tag() {
    let api = Api::start().await;
    let data = format!("/v1/data/{}", data::key());
    let value = format!(r#"{{"value":"{}"}}"#, "text ".repeat(LARGE / 5));
    let put = |tag: Option<String>| {
        let request = api.client.put(format!("{}{data}", api.url)).body(value.clone());
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = if let Some(tag) = tag { request.header(header::IF_MATCH, tag) } else { request };
        async { Answer::of(request.send().await.unwrap()).await }
    };
    put(None).await;
    let packs = (header::ACCEPT_ENCODING, "gzip");
    for path in [data.as_str(), "/openapi.json"] {
        let (plain, packed) = (get(&api, path, &[]).await, get(&api, path, std::slice::from_ref(&packs)).await);
        let (plain, packed) = (plain.header(header::ETAG), packed.header(header::ETAG));
        assert_ne!(plain, packed, "{path}");
        for tag in [plain, packed] {
            let same = get(&api, path, &[packs.clone(), (header::IF_NONE_MATCH, tag)]).await;
            assert_eq!((same.status.as_u16(), same.header(header::ETAG), same.body.len()), (304, tag, 0), "{path}");
            assert!(varies(&same.headers), "{path}");
        }
    }
    let packed = get(&api, &data, &[packs]).await.header(header::ETAG).to_owned();
    assert_eq!(
        put(Some(format!("\"v0\", {packed}"))).await.status,
        200,
        "a change may name the tag that was shown, among others"
    );
    put(Some(packed)).await.assert_problem(412, "precondition_failed");
    api.stop().await;
}

#[tokio::test]
async fn contents_and_streams_are_left_as_they_are() {
    let api = Api::start().await;
    let item = api.upload("text ".repeat(LARGE / 5).as_bytes(), "text/plain").await;
    let group = api.post_json("/v1/groups", r#"{"tasks": []}"#).await.json()["id"].as_str().unwrap().to_owned();
    for path in [format!("/items/{item}/content"), format!("/v1/workflows/{group}/results")] {
        let answer = get(&api, &path, &[(header::ACCEPT_ENCODING, "gzip")]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.headers.contains_key(header::CONTENT_ENCODING), "{path}");
    }
    let part = [(header::ACCEPT_ENCODING, "gzip"), (header::RANGE, "bytes=0-9999")];
    let part = get(&api, &format!("/items/{item}/content"), &part).await;
    assert_eq!((part.status.as_u16(), part.body.len(), part.header(header::CONTENT_ENCODING)), (206, 10_000, ""));
    api.stop().await;
}
