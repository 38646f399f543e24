//! Many items at once: what they cost in memory, and whom they keep waiting.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use crate::{
    abuse::{Neighbour, drip},
    eventually::eventually_async,
    items::bytes_of,
    raw,
    server::Api,
};

/// The size of an item; larger ones are the same, for longer.
const LARGEST: usize = 16 << 20;

/// The most that the API may ever have had resident.
const RSS_KIB_MAX: u64 = 150 << 10;
const AT_ONCE: usize = 20;
const SLOW: usize = 100;
/// So much of each slow upload comes at once, the rest in drops: a chunk is stored, and there is more to be held.
const HEAD_START: usize = (256 << 10) + (100 << 10);

#[tokio::test]
async fn twenty_of_the_largest_go_in_and_twenty_come_out_at_once() {
    let api = Arc::new(Api::start().await);
    let content = bytes::Bytes::from(bytes_of(LARGEST));
    let id = api.upload(&content, "").await;
    let began = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        let (into, out_of, content) = (Arc::clone(&api), Arc::clone(&api), content.clone());
        clients.push(tokio::spawn(async move {
            let answer = into.post("/items", content, "application/octet-stream").await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }));
        clients.push(tokio::spawn(async move {
            let mut answer = out_of.client.get(format!("{}/items/{id}/content", out_of.url)).send().await.unwrap();
            let mut bytes = 0;
            while let Some(piece) = answer.chunk().await.unwrap() {
                bytes += piece.len();
            }
            assert_eq!(bytes, LARGEST);
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let (took, peak) = (began.elapsed(), rss_peak_kib(&api));
    println!(
        "items: {AT_ONCE} uploads and {AT_ONCE} downloads of 16 MiB took {took:?}; at most {peak} KiB were resident"
    );
    assert!(peak < RSS_KIB_MAX, "{peak} KiB were resident");
    Arc::into_inner(api).unwrap().stop().await;
}

#[tokio::test]
async fn a_hundred_slow_uploads_keep_nobody_waiting() {
    let api = Api::start().await;
    let neighbour = Neighbour::of(&api).await;
    let port = api.port;
    let slow: Vec<_> = (0..SLOW)
        .map(|_| {
            std::thread::spawn(move || {
                let mut stream = raw::connect(port);
                let head = format!("POST /items HTTP/1.1\r\nhost: localhost\r\ncontent-length: {LARGEST}\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &bytes_of(HEAD_START)].concat()).unwrap();
                drip(stream, b"x")
            })
        })
        .collect();
    eventually_async("the first chunk of all", async || {
        let count: i64 = api.sql("SELECT count(*) FROM item_chunk", &[]).await[0].get(0);
        (count == i64::try_from(SLOW).unwrap()).then_some(())
    })
    .await;
    assert_eq!(api.leaks().await, None, "they hold no connections");
    let mut quickest = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let id = api.upload(b"quick", "text/plain").await;
        assert_eq!(api.get(&format!("/items/{id}/content")).await.body, b"quick");
        quickest.push(began.elapsed());
    }
    quickest.sort_unstable();
    let (median, most) = (quickest[quickest.len() / 2], quickest[quickest.len() - 1]);
    println!(
        "items: beside {SLOW} slow uploads a quick one went in and came out in {median:?} at the median, {most:?} at most"
    );
    assert!(median < Duration::from_millis(200), "{median:?}");
    let cuts =
        spawn_blocking(move || slow.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()).await.unwrap();
    neighbour.was_served("100 slow uploads").await;
    assert!(cuts.iter().all(|cut| cut.answer.starts_with("HTTP/1.1 408 ")), "{cuts:?}");
    println!(
        "items: the last of {SLOW} slow uploads was told so after {:?}",
        cuts.iter().map(|cut| cut.answered).max().unwrap()
    );
    eventually_async("the end of what they left", async || {
        let count: i64 = api.sql("SELECT count(*) FROM item WHERE sha256 IS NULL", &[]).await[0].get(0);
        (count == 0).then_some(())
    })
    .await;
    println!("items: at most {} KiB were resident", rss_peak_kib(&api));
    api.stop().await;
}

fn rss_peak_kib(api: &Api) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
