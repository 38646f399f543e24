//! Clients that dawdle, flood, or vanish: each is bounded in time and memory, leaves nothing behind, and the others are
//! served as quickly as ever meanwhile.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::{eventually::eventually_async, raw, server::Api};

const ADD: &str = r#"{"name": "add", "args": [1, 2]}"#;
/// What half of a neighbour's requests must be below, and every one. Tests run beside each other on few cores.
const NEIGHBOUR_MEDIAN_MAX: Duration = Duration::from_millis(100);
const NEIGHBOUR_MAX: Duration = Duration::from_secs(2);
/// A head must be complete by then (`startup.rs`), a JSON body as much later (`extract/json.rs`).
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the rest of a refused body is read, so that its sender sees the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How long what is over at once is repeated.
const FOR_A_WHILE: Duration = Duration::from_secs(2);
/// As many as this a second are a flood of another kind, which costs every neighbour its share of the cores.
const BETWEEN_LEAVERS: Duration = Duration::from_micros(500);
/// For scheduling on a machine that is busy with other tests.
const SLACK: Duration = Duration::from_secs(4);

fn post(extra: &str, length: usize) -> String {
    format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{extra}content-length: {length}\r\n\r\n"
    )
}

/// A client that behaves: one task after the other, for as long as it is watched.
pub struct Neighbour {
    done: Arc<AtomicBool>,
    latencies: JoinHandle<Vec<Duration>>,
}

impl Neighbour {
    pub async fn of(api: &Api) -> Self {
        api.submit(ADD).await; // its connection and the database's are open
        let done = Arc::new(AtomicBool::new(false));
        let (over, client, url) = (Arc::clone(&done), api.client.clone(), format!("{}/v1/tasks", api.url));
        let latencies = tokio::spawn(async move {
            let mut latencies = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let request = client.post(&url).header("content-type", "application/json").body(ADD);
                assert_eq!(request.send().await.unwrap().status(), 202);
                latencies.push(began.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            latencies
        });
        Self { done, latencies }
    }

    /// Ends it, and checks how it was served; how many tasks it made.
    pub async fn was_served(self, during: &str) -> i64 {
        self.done.store(true, Ordering::Relaxed);
        let mut latencies = self.latencies.await.unwrap();
        latencies.sort_unstable();
        let (median, most) = (latencies[latencies.len() / 2], *latencies.last().unwrap());
        println!(
            "abuse: {during}: a neighbour's {} requests took {median:?} at the median, {most:?} at most",
            latencies.len()
        );
        assert!(latencies.len() >= 10, "{during}: over too soon to see anything");
        assert!(median < NEIGHBOUR_MEDIAN_MAX && most < NEIGHBOUR_MAX, "median {median:?}, most {most:?}");
        i64::try_from(latencies.len()).unwrap() + 1
    }
}

fn open_files(api: &Api) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", api.pid())).unwrap().count()
}

pub fn rss_kib(api: &Api) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Waits until no more connections are open than before, give or take those of the pools.
async fn connections_are_gone(api: &Api, before: usize) {
    eventually_async("the end of the connections", async || (open_files(api) <= before + 10).then_some(())).await;
}

async fn tasks(api: &Api) -> i64 {
    api.sql("SELECT count(*) FROM task", &[]).await[0].get(0)
}

/// How the server ended a connection.
#[derive(Debug)]
pub struct Cut {
    pub answer: String,
    pub answered: Duration,
    closed: Duration,
}

/// Sends a byte a second until the server closes.
pub fn drip(mut stream: TcpStream, bytes: &[u8]) -> Cut {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut bytes = bytes.iter().cycle();
    let mut answer = Vec::new();
    let mut answered = Duration::ZERO;
    let mut piece = [0; 4096];
    while began.elapsed() < Duration::from_secs(40) {
        let _ = stream.write(std::slice::from_ref(bytes.next().unwrap())); // it may have closed
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => {
                answer.extend_from_slice(&piece[..count]);
                answered = began.elapsed();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            Err(_) if !answer.is_empty() => break, // we wrote into what was closed
            Err(error) => panic!("{error} before an answer"),
        }
    }
    Cut { answer: String::from_utf8_lossy(&answer).into_owned(), answered, closed: began.elapsed() }
}

/// Opens so many connections at once, and drips into each.
async fn drip_into(api: &Api, count: usize, start: String, bytes: &'static [u8]) -> Vec<Cut> {
    let port = api.port;
    let all: Vec<_> = (0..count)
        .map(|_| {
            let start = start.clone();
            // blocking threads of the test's own, so that the neighbour's runtime is left alone
            std::thread::spawn(move || {
                let mut stream = raw::connect(port);
                stream.write_all(start.as_bytes()).unwrap();
                drip(stream, bytes)
            })
        })
        .collect();
    spawn_blocking(move || all.into_iter().map(|one| one.join().unwrap()).collect()).await.unwrap()
}

#[tokio::test]
async fn two_hundred_slow_heads() {
    let api = Api::start().await;
    let before = open_files(&api);
    let neighbour = Neighbour::of(&api).await;
    let cuts = drip_into(&api, 200, "GET /livez HTTP/1.1\r\n".into(), b"a: b\r\n").await;
    neighbour.was_served("200 slow heads").await;
    let longest = cuts.iter().map(|cut| cut.closed).max().unwrap();
    println!("abuse: the last of 200 slow heads was cut off after {longest:?}");
    assert!(cuts.iter().all(|cut| cut.answer.starts_with("HTTP/1.1 408 ")), "{cuts:?}");
    assert!(longest < HEAD_TIMEOUT + SLACK, "{longest:?}");
    connections_are_gone(&api, before).await;
    api.stop().await;
}

#[tokio::test]
async fn bodies_that_drip_a_byte_a_second() {
    let api = Api::start().await;
    let before = open_files(&api);
    let neighbour = Neighbour::of(&api).await;
    let cuts = drip_into(&api, 200, post("", 1000), b" ").await;
    let made = neighbour.was_served("200 dripping bodies").await;
    for cut in &cuts {
        assert!(cut.answer.starts_with("HTTP/1.1 408 ") && cut.answer.contains("body_timeout"), "{cut:?}");
        assert!(cut.answered > HEAD_TIMEOUT && cut.answered < BODY_TIMEOUT + SLACK, "{cut:?}");
        assert!(cut.closed < BODY_TIMEOUT + LINGER + SLACK, "{cut:?}");
    }
    let last = cuts.iter().map(|cut| (cut.answered, cut.closed)).max().unwrap();
    println!("abuse: the last of 200 dripping bodies was answered after {:?}, closed after {:?}", last.0, last.1);
    connections_are_gone(&api, before).await;
    assert_eq!(tasks(&api).await, made);
    api.stop().await;
}

#[tokio::test]
async fn ten_mebibytes_are_refused_at_once_and_cost_no_memory() {
    let api = Api::start().await;
    let body = vec![b' '; 10 << 20];
    api.post_json("/v1/tasks", body.clone()).await.assert_problem(413, "body_too_large");
    let before = rss_kib(&api);
    let neighbour = Neighbour::of(&api).await;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let port = api.port;
        // 20 at once, announced and in chunks, each of which is sent to its end whatever is answered
        let all: Vec<_> = (0..20)
            .map(|number| {
                let body = body.clone();
                std::thread::spawn(move || flood(port, &body, number % 2 == 0))
            })
            .collect();
        let all = spawn_blocking(move || all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>());
        for (answer, took) in all.await.unwrap() {
            assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
            longest = longest.max(took);
        }
    }
    neighbour.was_served("400 bodies of 10 MiB").await;
    let grown = rss_kib(&api).saturating_sub(before);
    println!(
        "abuse: the slowest of 400 bodies of 10 MiB was answered after {longest:?}; {grown} KiB more are resident"
    );
    assert!(longest < SLACK, "{longest:?}");
    assert!(grown < 40 << 10, "{grown} KiB more are resident");
    api.stop().await;
}

/// Sends a whole body; the answer, and when it was there.
fn flood(port: u16, body: &[u8], announced: bool) -> (String, Duration) {
    let mut stream = raw::connect(port);
    let began = Instant::now();
    let mut writer = stream.try_clone().unwrap();
    let head = if announced {
        post("", body.len())
    } else {
        post("", 0).replace("content-length: 0", "transfer-encoding: chunked")
    };
    let (head, body) = (head, body.to_vec());
    let sending = std::thread::spawn(move || {
        let whole = if announced { body } else { [b"a00000\r\n", &body[..], b"\r\n0\r\n\r\n"].concat() };
        let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&whole)); // it may close first
    });
    let answer = raw::read_answer(&mut stream);
    let took = began.elapsed();
    drop(stream);
    sending.join().unwrap();
    (answer, took)
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_leaves_nothing_behind() {
    let api = Api::start().await;
    let before = open_files(&api);
    let neighbour = Neighbour::of(&api).await;
    let port = api.port;
    #[expect(clippy::disallowed_methods, reason = "a pace, on a thread of its own")]
    let leaving = spawn_blocking(move || {
        let began = Instant::now();
        let mut left = 0;
        while began.elapsed() < FOR_A_WHILE {
            let mut stream = raw::connect(port);
            stream.write_all(post("", ADD.len()).as_bytes()).unwrap();
            stream.write_all(&ADD.as_bytes()[..ADD.len() / 2]).unwrap();
            if left % 2 == 0 {
                stream.shutdown(Shutdown::Write).unwrap(); // in order; the others just go
            }
            left += 1;
            std::thread::sleep(BETWEEN_LEAVERS);
        }
        left
    });
    let left = leaving.await.unwrap();
    connections_are_gone(&api, before).await;
    let made = neighbour.was_served(&format!("{left} clients that leave")).await;
    assert_eq!(tasks(&api).await, made, "half a request is none");
    api.stop().await;
}

/// Whether it was accepted, nobody was told; whoever asks again with the same key gets one task, and the same one.
#[tokio::test]
async fn whoever_leaves_before_the_answer_may_ask_again() {
    let api = Api::start().await;
    let before = open_files(&api);
    let neighbour = Neighbour::of(&api).await;
    let port = api.port;
    let keys: Vec<String> = (0..500).map(|number| format!("gone-{number}")).collect();
    let leaving = keys.clone();
    spawn_blocking(move || {
        for key in leaving {
            let request = post(&format!("idempotency-key: \"{key}\"\r\n"), ADD.len()) + ADD;
            raw::connect(port).write_all(request.as_bytes()).unwrap();
        }
    })
    .await
    .unwrap();
    let mut replayed = 0;
    for key in &keys {
        let mut ids = Vec::new();
        for _ in 0..3 {
            // 409 while the first is in flight: it goes on without its client
            let task = eventually_async("an answer", async || {
                let request =
                    api.client.post(format!("{}/v1/tasks", api.url)).header("idempotency-key", format!("\"{key}\""));
                let answer = request.header("content-type", "application/json").body(ADD).send().await.unwrap();
                if answer.status() == 409 {
                    return None;
                }
                assert_eq!(answer.status(), 202);
                replayed += i32::from(ids.is_empty() && answer.headers().contains_key("idempotency-replayed"));
                answer.json::<serde_json::Value>().await.ok()
            })
            .await;
            ids.push(task["id"].as_str().unwrap().to_owned());
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    println!("abuse: of 500 requests whose client had gone, {replayed} had been accepted");
    let made = neighbour.was_served("500 clients that leave before the answer").await;
    assert_eq!(tasks(&api).await, made + 500);
    connections_are_gone(&api, before).await;
    api.stop().await;
}

#[tokio::test]
async fn garbage_behind_a_request_does_not_touch_it() {
    let api = Api::start().await;
    let neighbour = Neighbour::of(&api).await;
    let port = api.port;
    let nonsense = vec![0xff; 100_000];
    let kinds = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\r\n\r\n}{\r\n\r\n", &nonsense];
    let (began, mut sent) = (Instant::now(), 0);
    for garbage in kinds.into_iter().cycle().take_while(|_| began.elapsed() < FOR_A_WHILE) {
        sent += 1;
        let request = [post("", ADD.len()).as_bytes(), ADD.as_bytes(), garbage].concat();
        let answers = spawn_blocking(move || {
            let mut stream = raw::connect(port);
            let _ = stream.write_all(&request);
            let first = raw::read_answer(&mut stream);
            let mut rest = Vec::new();
            let began = Instant::now();
            let _ = stream.read_to_end(&mut rest); // closed in order or not, but closed
            (first, String::from_utf8_lossy(&rest).into_owned(), began.elapsed())
        });
        let (first, rest, closed) = answers.await.unwrap();
        assert!(first.starts_with("HTTP/1.1 202 "), "{first}");
        let whole = format!("{first}{rest}");
        assert_eq!(whole.matches("HTTP/1.1 202 ").count(), 1, "{whole}");
        assert_eq!(whole.matches("HTTP/1.1 400 ").count(), 1, "{whole}");
        assert!(closed < HEAD_TIMEOUT + SLACK, "the connection stayed open for {closed:?}");
    }
    let made = neighbour.was_served(&format!("{sent} times garbage")).await;
    assert_eq!(tasks(&api).await, made + sent);
    api.stop().await;
}
