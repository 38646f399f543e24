//! Damaged pictures of every kind through the API: no answer is a 5xx, nothing panics, no run is repeated, none takes
//! longer than its time or more than its memory.
//!
//! `CARAWAY_DAMAGED_PICTURES` says how many; `CARAWAY_PICTURE_SEED` makes others of them.

use std::{collections::BTreeMap, path::Path, time::Duration};

use caraway_testkit::{
    Api, Place, Program, Stack,
    pictures::{KINDS, mutated, variants},
};
use futures::{StreamExt, stream};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::time::interval;
use uuid::Uuid;

/// As many as a change's checks have time for.
const COUNT: usize = 200;
const SLOTS: usize = 2;
/// The least budget of memory that a worker takes, so that pictures come near it.
const BUDGET_MEBIBYTES: u64 = 128;
/// What a process of the codecs takes before it has a picture (`worker/pictures/src/seal.rs`).
const BASE_MEBIBYTES: u64 = 160;
/// Copies of files and results in the worker itself.
const WORKER_GROWTH_KIB_MAX: u64 = 64 << 10;
/// Small pictures take milliseconds; the rest is for a machine that does other things as well.
const RUN_MAX: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_mins(2);
/// What may be wrong with a picture, or with an option that this one does not have.
const CODES: [&str; 5] = ["corrupt_image", "unsupported_picture", "image_too_large", "not_an_image", "invalid_options"];

/// A damaged file, and what is asked for.
struct Damaged {
    name: &'static str,
    number: usize,
    file: Vec<u8>,
    arguments: Value,
}

#[tokio::test]
async fn damaged_pictures_end_with_their_code_and_do_no_harm() {
    let count = std::env::var("CARAWAY_DAMAGED_PICTURES").map_or(COUNT, |count| count.parse().expect("a number"));
    let pictures = damaged(count);
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "images_damaged").await;
    let api = place.api().start().await;
    let budget = ["--picture-mebibytes".to_owned(), BUDGET_MEBIBYTES.to_string()];
    let worker = place.worker("worker").arguments(place.serving(SLOTS)).arguments(budget).start().await;
    let client = place.client(&api);
    // a picture that is whole, so that what grows afterwards is the damaged ones' doing
    assert_eq!(submit_and_wait(&client, &whole()).await.0, "made");

    let before = worker.rss_kib();
    let all = outcomes(&client, pictures);
    let (counts, codecs_peak) = watched(all, &worker).await;
    let growth = worker.rss_peak_kib().saturating_sub(before);
    println!(
        "images_damaged: {count} pictures: {counts:?}; the worker grew by {growth} KiB, its codecs took up to {codecs_peak} KiB"
    );
    assert!(growth < WORKER_GROWTH_KIB_MAX, "the worker's memory grew by {growth} KiB");
    let most = (BUDGET_MEBIBYTES + BASE_MEBIBYTES * u64::try_from(SLOTS).expect("two")) << 10;
    assert!((1..most).contains(&codecs_peak), "the codecs took {codecs_peak} KiB of {most}");
    for program in [&api, &worker] {
        assert!(!program.log().contains("panicked"), "a panic, see the log");
    }
    assert_eq!(submit_and_wait(&client, &whole()).await.0, "made", "the worker goes on");
}

/// Files of all kinds in turn, damaged by the seed, with one of some wishes.
fn damaged(count: usize) -> Vec<Damaged> {
    let folder = variants(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let seed = std::env::var("CARAWAY_PICTURE_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let wishes = [
        json!({}),
        json!({ "format": "jpeg", "background": "#204060" }),
        json!({ "width": 64, "height": 64, "fit": "cover", "gravity": "smart", "format": "png" }),
        json!({ "format": "webp", "grayscale": true, "rotate": 90 }),
        json!({ "page": 1, "keep_profile": true, "metadata": "keep" }),
    ];
    let mut dice = StdRng::seed_from_u64(seed);
    let whole = KINDS.map(|name| std::fs::read(folder.join(name)).expect("a picture of each kind"));
    let of = |number: usize| {
        let file = mutated(&whole[number % KINDS.len()], &mut dice);
        let arguments = wishes[dice.random_range(0..wishes.len())].clone();
        Damaged { name: KINDS[number % KINDS.len()], number, file, arguments }
    };
    (0..count).map(of).collect()
}

fn whole() -> Damaged {
    let folder = variants(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let file = std::fs::read(folder.join(KINDS[0])).expect("a picture of each kind");
    Damaged { name: KINDS[0], number: 0, file, arguments: json!({}) }
}

/// How many ended in which way. Twice as many are under way as the worker has slots.
async fn outcomes(client: &Api, pictures: Vec<Damaged>) -> BTreeMap<String, usize> {
    let each = pictures.into_iter().map(|picture| async move {
        let (code, took) = submit_and_wait(client, &picture).await;
        let (name, number) = (picture.name, picture.number);
        assert!(code == "made" || CODES.contains(&&*code), "{name} {number}: {code}");
        assert!(took < RUN_MAX, "{name} {number}: {took:?}");
        code
    });
    let mut counts = BTreeMap::new();
    let mut all = stream::iter(each).buffer_unordered(2 * SLOTS);
    while let Some(code) = all.next().await {
        *counts.entry(code).or_default() += 1;
    }
    counts
}

/// How a picture ended, `made` or an error's code, and how long its run took.
async fn submit_and_wait(client: &Api, picture: &Damaged) -> (String, Duration) {
    let image = upload(client, picture).await;
    let mut arguments = picture.arguments.clone();
    arguments["image_id"] = json!(image);
    let ended = client.wait(client.run("process_image", arguments).await, PATIENCE).await;
    assert_eq!(ended["attempt"], 1, "no other attempt could do better: {ended}");
    let at = |field: &str| ended[field].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let (began, over) = (at("started_at").expect("it began"), at("finished_at").expect("it ended"));
    let took = over.duration_since(began).unsigned_abs();
    let code = if ended["state"] == "succeeded" { &json!("made") } else { &ended["error"]["code"] };
    (code.as_str().unwrap_or("nothing").to_owned(), took)
}

/// Stores the file under its kind's type; as mere bytes where the damage shows already, because a task can name it all the
/// same.
async fn upload(client: &Api, picture: &Damaged) -> Uuid {
    let kind = match picture.name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("tif") => "image/tiff",
        Some("bmp") => "image/bmp",
        Some("avif") => "image/avif",
        _ => "image/heic",
    };
    let (status, told) = client.try_upload(kind, picture.file.clone()).await;
    if status == 201 {
        return told["id"].as_str().and_then(|id| id.parse().ok()).expect("an item has an id");
    }
    assert!(
        (400..500).contains(&status) && told["code"].is_string(),
        "{} {}: {status} {told}",
        picture.name,
        picture.number
    );
    client.upload("application/octet-stream", picture.file.clone()).await
}

/// Does it while the memory of the worker's children is watched; the most that it was.
async fn watched<T>(work: impl Future<Output = T>, worker: &Program) -> (T, u64) {
    let mut work = std::pin::pin!(work);
    let (mut peak, mut beat) = (0, interval(Duration::from_millis(20)));
    loop {
        tokio::select! {
            done = &mut work => return (done, peak),
            _ = beat.tick() => peak = peak.max(worker.children_rss_kib()),
        }
    }
}
