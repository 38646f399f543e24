//! `fetch_data`: what servers answer becomes results, and no packet goes where a worker must not go. Everything here listens
//! on this machine; that a listener hears of the allowed fetches shows that it would have heard of the others.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use caraway_testkit::{Api, Place, Program, Stack};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const SOON: Duration = Duration::from_mins(1);

/// A server on every address of this machine, which counts who comes.
struct Site {
    port: u16,
    came: Arc<AtomicU64>,
}

impl Site {
    async fn open() -> Self {
        let v4 = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
        let port = v4.local_addr().expect("an address").port();
        let came = Arc::new(AtomicU64::new(0));
        let mut listeners = vec![v4];
        listeners.extend(TcpListener::bind(("::1", port)).await); // where there is IPv6
        for listener in listeners {
            let came = Arc::clone(&came);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let number = came.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move { serve(stream, number, port).await });
                }
            });
        }
        Self { port, came }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, number: u64, port: u16) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = match path {
        "/json" => plain("application/json", b"{\"a\": 1.0}"),
        "/text" => plain("text/plain; charset=utf-8", "grüße".as_bytes()),
        "/bytes" => plain("image/png", b"\x89PNG"),
        "/headers" => plain("text/plain", request.as_bytes()),
        "/missing" => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/busy" if number.is_multiple_of(2) => {
            b"HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_vec()
        }
        "/busy" => plain("text/plain", b"at last"),
        "/down" => b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_vec(),
        "/packed" => packed(b"{\"packed\": true}"),
        "/bomb" => packed(&vec![0; 64 << 20]),
        "/there" => redirect("/json"),
        "/elsewhere" => redirect(&format!("http://localhost:{port}/headers")),
        "/round" => redirect("/round"),
        "/inside" => redirect(&format!("http://0.0.0.0:{port}/json")),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/mapped" => redirect("http://[::ffff:10.0.0.1]/"),
        "/file" => redirect("file:///etc/passwd"),
        "/gopher" => redirect("gopher://127.0.0.1:6379/_FLUSHALL"),
        "/old" => b"<html>hello, HTTP/0.9</html>".to_vec(),
        "/flood" => [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-flood: yes\r\n".repeat(20_000), b"\r\n".to_vec()].concat(),
        "/heads" => {
            let long = format!("x-long: {}\r\n", "y".repeat(1000)).repeat(90);
            [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_vec(), long.into_bytes(), b"\r\n".to_vec()].concat()
        }
        "/cut" => b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf".to_vec(),
        "/astray" => redirect("http://[nowhere"),
        "/cookies" => {
            b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Expires=Wed, 21 Oct 2026\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n".to_vec()
        }
        "/japanese" => plain("text/plain; charset=iso-2022-jp", b"\x1b$BF|K\\8l\x1b(B"),
        "/lines" => plain("application/x-ndjson", b"{}\n[]\n"),
        "/endless" => return endless(stream, b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n", 16 << 10).await,
        "/slow" => return endless(stream, b"HTTP/1.1 200 OK\r\nx", 1).await,
        _ => b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n".to_vec(),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}

fn plain(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(body).expect("memory");
    let packed = gzip.finish().expect("memory");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    [head.into_bytes(), packed].concat()
}

fn redirect(location: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Until the other side has had enough. A single byte comes every half second.
async fn endless(mut stream: TcpStream, head: &[u8], chunk: usize) -> std::io::Result<()> {
    stream.write_all(head).await?;
    loop {
        stream.write_all(&vec![b'x'; chunk]).await?;
        if chunk == 1 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

struct World {
    site: Site,
    client: Api,
    _programs: [Program; 2],
}

impl World {
    async fn start(name: &str, loopback: bool) -> Self {
        let stack = Stack::shared().await;
        let place = Place::on(&stack, name).await;
        let api = place.api().start().await;
        let worker = place.worker("worker").arguments(place.serving(32));
        let worker = if loopback { worker.arguments(["--fetch-allow-loopback"]) } else { worker };
        let worker = worker.start().await;
        Self { site: Site::open().await, client: place.client(&api), _programs: [api, worker] }
    }

    /// The task's document once it has ended.
    async fn fetch(&self, kwargs: Value) -> Value {
        let mut task = self.client.task("fetch_data", kwargs);
        task["retry"] = json!({ "max_attempts": 2, "backoff": { "type": "constant", "initial": 0.1 } });
        let task = self.client.submit(task).await;
        self.client.wait(task, SOON).await
    }

    async fn fails(&self, url: &str, code: &str) {
        let ended = self.fetch(json!({ "url": url })).await;
        assert_eq!(ended["error"]["code"], code, "{url}: {ended}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_packet_goes_inside() {
    let world = World::start("fetch-inside", false).await;
    let port = world.site.port;
    let hosts = [
        "127.0.0.1",
        "0",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "[::1]",
        "[::]",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "localhost.",
        "ok@127.0.0.1",
        "169.254.169.254",
    ];
    let own = own_address();
    for host in hosts.into_iter().chain(own.as_deref()) {
        world.fails(&format!("http://{host}:{port}/json"), "ssrf_blocked").await;
    }
    for url in ["file:///etc/passwd", "gopher://127.0.0.1:6379/"] {
        world.fails(url, "ssrf_blocked").await;
    }
    println!("fetch: {} targets, {} packets", hosts.len() + usize::from(own.is_some()), world.site.came());
    assert_eq!(world.site.came(), 0);
}

/// The address by which others reach this machine, if it has one. Nothing is sent for it.
fn own_address() -> Option<String> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip().to_string()).filter(|address| address != "0.0.0.0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_leads_inside() {
    let world = World::start("fetch-redirect", true).await;
    for path in ["/inside", "/metadata", "/mapped", "/file", "/gopher"] {
        let before = world.site.came();
        world.fails(&world.site.url(path), "ssrf_blocked").await;
        assert_eq!(world.site.came(), before + 1, "{path}: the redirect itself, and nothing after it");
    }
    let before = world.site.came();
    world.fails(&world.site.url("/round"), "too_many_redirects").await;
    assert_eq!(world.site.came(), before + 6);
    assert_eq!(world.fetch(json!({ "url": world.site.url("/there") })).await["result"]["body"], json!({ "a": 1.0 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_answers_is_the_result() {
    let world = World::start("fetch-results", true).await;
    let fetch = async |path: &str| world.fetch(json!({ "url": world.site.url(path) })).await["result"].clone();
    let got = fetch("/json").await;
    assert_eq!(
        (&got["status"], &got["body"], &got["content_type"]),
        (&json!(200), &json!({ "a": 1.0 }), &json!("application/json"))
    );
    assert_eq!(got["headers"]["content-length"], "10");
    assert_eq!(fetch("/text").await["body"], "grüße");
    assert_eq!(fetch("/japanese").await["body"], "日本語");
    assert_eq!(fetch("/lines").await["body"], "{}\n[]\n");
    let cookies = json!(["a=1; Expires=Wed, 21 Oct 2026", "b=2"]);
    assert_eq!(fetch("/cookies").await["headers"]["set-cookie"], cookies);
    let got = fetch("/bytes").await;
    assert_eq!((&got["body"], &got["base64"]), (&json!("iVBORw=="), &json!(true)));
    assert_eq!(fetch("/packed").await["body"], json!({ "packed": true }));
    let got = fetch("/missing").await;
    assert_eq!((&got["status"], &got["body"]), (&json!(404), &json!("")));

    let sent =
        |path: &str| json!({ "url": world.site.url(path), "headers": { "Authorization": "secret", "X-Mine": "1" } });
    let here = world.fetch(sent("/headers")).await["result"]["body"].as_str().expect("text").to_lowercase();
    assert!(here.contains("authorization: secret\r\n") && here.contains("x-mine: 1\r\n"), "{here}");
    let there = world.fetch(sent("/elsewhere")).await["result"]["body"].as_str().expect("text").to_lowercase();
    assert!(there.contains("host: localhost") && !there.contains("secret") && !there.contains("x-mine"), "{there}");
    let refused = world.fetch(json!({ "url": world.site.url("/json"), "headers": { "Host": "x" } })).await;
    assert_eq!(refused["error"]["code"], "invalid_arguments");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_is_asked_again_when_it_says() {
    let world = World::start("fetch-busy", true).await;
    let began = Instant::now();
    let ended = world.fetch(json!({ "url": world.site.url("/busy") })).await;
    assert_eq!((&ended["result"]["body"], &ended["attempt"]), (&json!("at last"), &json!(2)), "{ended}");
    assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After was not heeded: {:?}", began.elapsed());
    let ended = world.fetch(json!({ "url": world.site.url("/down") })).await;
    assert_eq!((&ended["error"]["code"], &ended["attempt"]), (&json!("http_500"), &json!(2)), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_server_holds_nobody_for_long() {
    let world = World::start("fetch-hostile", true).await;
    for (path, code) in [
        ("/endless", "response_too_large"),
        ("/bomb", "response_too_large"),
        ("/flood", "response_too_large"),
        ("/heads", "response_too_large"),
        ("/cut", "incomplete_response"),
        ("/astray", "invalid_redirect"),
        ("/old", "invalid_response"),
    ] {
        let began = Instant::now();
        world.fails(&world.site.url(path), code).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{path} took {:?}", began.elapsed());
    }
    let mut task = world.client.task("fetch_data", json!({ "url": world.site.url("/slow") }));
    task["retry"] = json!({ "max_attempts": 1 });
    let ended = world.client.wait(world.client.submit(task).await, SOON).await;
    assert_eq!(ended["error"]["code"], "fetch_timed_out", "{ended}");
}
