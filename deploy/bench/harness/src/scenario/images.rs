//! `images`: thumbnails of 256 pixels of small JPEGs, a small PNG and JPEGs of 12 and 48 megapixels; beside Pillow in a
//! Celery task, which decodes in full. Caraway reads each picture from PostgreSQL and stores the thumbnail there; the Celery
//! task reads and writes files, which is less. Rates count from the first request to the last result; `per worker core`
//! is the rate divided by the cores that the worker took.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use image::{ImageReader, codecs::jpeg::JpegEncoder, imageops::FilterType};
use serde_json::json;

use crate::{
    http::{Connection, post, post_json},
    load::{Requests, Until, closed},
    numbers::{Latencies, per_second},
    report::Row,
    round::{Entry, Measured},
    scenario::Bench,
    system::{Running, Setup, System},
};

const CONNECTIONS: usize = 4;
/// How many show how many there must be to last as long as was asked.
const TRIAL: u32 = 16;
/// The same picture as `rocket.jpg`, of so many pixels, and without its profile.
const SCALED: [(&str, u32, u32); 3] =
    [("0.1 megapixels", 400, 267), ("12 megapixels", 4243, 2829), ("48 megapixels", 8064, 6048)];
const QUALITY: u8 = 90;

pub(super) async fn run(bench: &Bench) -> Vec<Row> {
    let systems = [System::Caraway, System::CeleryDefault];
    let pictures = ["0.1 megapixels", "rocket.jpg", "astronaut.png", "12 megapixels", "48 megapixels"];
    let entries = bench.entries(&pictures, &systems);
    bench.alternate("images", &entries, async |entry| measure(bench, entry).await).await
}

async fn measure(bench: &Bench, entry: &Entry) -> anyhow::Result<Measured> {
    let picture = picture(bench, &entry.parameter)?;
    let mut running = Running::start(&bench.servers, entry.system, Setup::default()).await?;
    let requests = request(&running, &picture).await?;
    let trial = submit(&mut running, &requests, TRIAL).await?;
    let enough = f64::from(TRIAL) * bench.run.seconds().as_secs_f64() / trial.as_secs_f64();
    let count = (TRIAL..100_000).find(|count| f64::from(*count) >= enough).unwrap_or(100_000);
    let watched = running.watched(&bench.servers)?;
    let watch = watched.begin()?;
    let whole = submit(&mut running, &requests, count).await?;
    let rate = per_second(u64::from(count), whole);
    let mut measured = Measured::new(rate, Latencies::default(), &watch, &watched)?;
    let cores = measured.seen.cpu.get("worker").copied().unwrap_or(0.0);
    if cores > 0.0 {
        measured = measured.with("per worker core", rate / cores);
    }
    running.verify().await?;
    running.stop().await?;
    Ok(measured)
}

/// Submits so many; the time until the last result.
async fn submit(running: &mut Running, requests: &Requests, count: u32) -> anyhow::Result<Duration> {
    let (address, started) = (running.address()?, Instant::now());
    let until = Until::Asked(usize::try_from(count)?, Duration::from_mins(10));
    running.submitted += closed(address, CONNECTIONS, requests, until).await?.accepted;
    Ok(running.drained().await?.duration_since(started))
}

fn picture(bench: &Bench, name: &str) -> anyhow::Result<PathBuf> {
    let photos = bench.servers.paths.root.join("deploy/photos");
    let Some((name, width, height)) = SCALED.into_iter().find(|(scaled, ..)| *scaled == name) else {
        return Ok(photos.join(name));
    };
    let path = bench.servers.paths.state.join(format!("rocket-{}.jpg", name.replace(' ', "-")));
    if !path.exists() {
        let rocket = ImageReader::open(photos.join("rocket.jpg"))?.decode()?;
        let scaled = rocket.resize_exact(width, height, FilterType::Lanczos3);
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&scaled)?;
        fs::write(&path, bytes)?;
    }
    Ok(path)
}

async fn request(running: &Running, picture: &Path) -> anyhow::Result<Requests> {
    if !running.system.is_caraway() {
        let body = json!({ "name": "thumbnail", "args": picture }).to_string();
        return Ok(Requests::one(post_json("/tasks", &body), 202));
    }
    let kind = if picture.extension().is_some_and(|extension| extension == "png") { "image/png" } else { "image/jpeg" };
    let mut connection = Connection::open(running.address()?).await?;
    let answer = connection.ask(&post("/items", kind, "", &fs::read(picture)?)).await?;
    ensure!(answer.status == 201, "the upload: {} {}", answer.status, answer.text());
    let item: serde_json::Value = serde_json::from_slice(answer.body)?;
    let id = item.get("id").and_then(serde_json::Value::as_str).context("no id")?;
    Ok(Requests::one(post_json(&format!("/process-image/{id}"), "{}"), 202))
}
