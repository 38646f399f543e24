//! Bodies that are too large, too slow, or never end: the client sees why, and the connection ends.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use crate::{raw, server::Api};

const TWO_MIB: usize = 2 << 20;

fn head(length: &str) -> String {
    format!("POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}\r\n\r\n")
}

#[track_caller]
fn assert_413(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"body_too_large\""), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn an_announced_size_is_refused_before_the_body_is_read() {
    let api = Api::start().await;
    let mut stream = raw::connect(api.port);
    stream.write_all(head(&format!("content-length: {TWO_MIB}")).as_bytes()).unwrap();
    assert_413(&raw::read_answer(&mut stream)); // not one byte of the body was sent
    drop(stream);
    api.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_everything_before_it_reads_sees_the_refusal() {
    let api = Api::start().await;
    let mut stream = raw::connect(api.port);
    stream.write_all(head(&format!("content-length: {TWO_MIB}")).as_bytes()).unwrap();
    stream.write_all(&vec![b' '; TWO_MIB]).unwrap();
    assert_413(&raw::read_answer(&mut stream));
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(raw::read_to_end(&mut stream), "", "the connection ends in order");

    let whole = api.post_json("/v1/tasks", vec![b' '; TWO_MIB]).await;
    whole.assert_problem(413, "body_too_large");
    api.stop().await;
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_off() {
    let api = Api::start().await;
    let mut stream = raw::connect(api.port);
    stream.write_all(head("transfer-encoding: chunked").as_bytes()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let chunk = [b"10000\r\n", &vec![b' '; 0x10000][..], b"\r\n"].concat();
        let began = Instant::now();
        while writer.write_all(&chunk).is_ok() {}
        began.elapsed()
    });
    assert_413(&raw::read_answer(&mut stream));
    let sent_for = sending.join().unwrap();
    assert!(sent_for < Duration::from_secs(10), "the server went on reading for {sent_for:?}");
    api.stop().await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal_that_read_its_request() {
    let api = Api::start().await;
    let request = |body: &str| format!("{}{body}", head(&format!("content-length: {}", body.len())));
    let mut stream = raw::connect(api.port);
    for _ in 0..3 {
        stream.write_all(request("{nonsense").as_bytes()).unwrap();
        assert!(raw::read_answer(&mut stream).contains("malformed_json"));
    }
    api.stop().await;
}

#[tokio::test]
async fn a_slow_body_and_a_slow_head_are_timed_out() {
    let api = Api::start().await;
    let mut slow_body = raw::connect(api.port);
    slow_body.write_all(format!("{}{{", head("content-length: 100")).as_bytes()).unwrap();
    let mut slow_head = raw::connect(api.port);
    slow_head.write_all(b"GET /livez HTTP/1.1\r\nhos").unwrap();
    let answer = raw::read_answer(&mut slow_head);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = raw::read_answer(&mut slow_body);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_timeout"), "{answer}");
    drop(slow_body);
    api.stop().await;
}

#[tokio::test]
async fn requests_that_could_be_read_in_two_ways_are_refused() {
    let api = Api::start().await;
    let both = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let two_lengths =
        "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n{}  ";
    let no_number = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n";
    let many_headers = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "a: b\r\n".repeat(200));
    for request in [both, two_lengths, no_number, &many_headers] {
        let answer = raw::exchange(api.port, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 4"), "{request:.80}: {answer}");
    }
    api.stop().await;
}
