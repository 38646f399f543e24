//! Must-show 6, the worker's half: broken pictures and bombs end their task at once, and cost no memory.

use std::{io::Cursor, path::Path};

use caraway_testkit::{Place, Program, Stack};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};

use crate::stage::SOON;

/// What the worst of these may add to the worker's memory: some copies of an item, and never a decoded picture.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

#[tokio::test]
async fn pictures_that_are_none_fail_at_once_and_cheaply() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "images").await;
    let api = place.api().start().await;
    let worker = place.worker("worker").arguments(place.serving(2)).start().await;
    let client = place.client(&api);

    let run = async |picture: Vec<u8>| {
        let image = client.upload("image/png", picture).await;
        let task = client.run("process_image", json!({ "image_id": image })).await;
        (client.wait(task, SOON).await, client.attempts(task).await.len())
    };
    let whole = png(64, 48);
    let (ended, _) = run(whole.clone()).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let before = worker.rss_peak_kib();

    for _ in 0..20 {
        expect(run(whole[..whole.len() / 2].to_vec()).await, "corrupt_image");
        expect(run(header(60_000, 60_000)).await, "image_too_large");
    }
    let growth = worker.rss_peak_kib() - before;
    println!("images: the worker's peak grew by {growth} KiB over 20 corrupt pictures and 20 bombs, from {before} KiB");
    assert!(growth < GROWTH_KIB_MAX, "the worker's memory grew by {growth} KiB");
    check_photograph(&client, &worker).await;
}

#[tokio::test]
async fn slots_wait_for_their_share_of_memory() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "images_share").await;
    let api = place.api().start().await;
    // the least budget, of which one of these pictures takes nearly all
    let narrow = place.serving(4).into_iter().chain(["--picture-mebibytes".into(), "128".into()]);
    let _worker = place.worker("worker").arguments(narrow).start().await;
    let client = place.client(&api);
    let image = client.upload("image/png", png(1_400, 1_000)).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        tasks.push(client.run("process_image", json!({ "image_id": image, "format": "webp" })).await);
    }
    for task in tasks {
        let ended = client.wait(task, SOON).await;
        assert_eq!((&ended["state"], &ended["result"]["format"]), (&json!("succeeded"), &json!("webp")), "{ended}");
        assert_eq!(client.attempts(task).await.len(), 1);
    }
    let task = client.run("process_image", json!({ "image_id": image, "width": 8192 })).await;
    let ended = client.wait(task, SOON).await;
    expect((ended, client.attempts(task).await.len()), "image_too_large");
}

#[tokio::test]
async fn without_the_codecs_pictures_are_refused_and_the_worker_goes_on() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "images_bare").await;
    let api = place.api().start().await;
    let bare = place.serving(2).into_iter().chain(["--picture-codecs".into(), "/nowhere/caraway-pictures".into()]);
    let _worker = place.worker("worker").arguments(bare).start().await;
    let client = place.client(&api);
    let image = client.upload("image/png", png(64, 48)).await;
    let task = client.run("process_image", json!({ "image_id": image })).await;
    let ended = client.wait(task, SOON).await;
    expect((ended, client.attempts(task).await.len()), "unsupported_picture");
}

fn expect((ended, attempts): (Value, usize), code: &str) {
    assert_eq!((&ended["state"], &ended["error"]["code"]), (&json!("failed"), &json!(code)), "{ended}");
    assert_eq!(attempts, 1, "no other attempt could do better");
}

/// The worker goes on with what is good.
async fn check_photograph(client: &caraway_testkit::Api, worker: &Program) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/photos/rocket.jpg");
    let image =
        client.upload("image/jpeg", std::fs::read(path).expect("the photograph ships with the repository")).await;
    let task = client.run("process_image", json!({ "image_id": image })).await;
    let ended = client.wait(task, SOON).await;
    assert_eq!((&ended["state"], &ended["result"]["format"]), (&json!("succeeded"), &json!("jpeg")), "{ended}");
    println!("images: peak {} KiB after a real photograph", worker.rss_peak_kib());
}

/// A picture with enough in it that half of its bytes are not the whole.
fn png(width: u32, height: u32) -> Vec<u8> {
    let picture =
        RgbImage::from_fn(width, height, |x, y| image::Rgb([x, y, x * y].map(|value| value.to_le_bytes()[0])));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("a PNG can be written to memory");
    bytes.into_inner()
}

/// A PNG's signature and header, and an empty body: what claims to be so large needs no content to do harm.
fn header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    for (kind, data) in [(b"IHDR", size), (b"IDAT", Vec::new()), (b"IEND", Vec::new())] {
        let length = u32::try_from(data.len()).expect("a short chunk");
        let checked = [&kind[..], &data].concat();
        bytes.extend([&length.to_be_bytes()[..], &checked, &crc32(&checked).to_be_bytes()].concat());
    }
    bytes
}

/// The checksum of PNG's chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
