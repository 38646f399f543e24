//! Must-show 8: what an idle system costs, before it has done any work.

use std::time::{Duration, Instant};

use caraway_testkit::{Place, Program, Stack, eventually};

const RSS_KIB_MAX: u64 = 40 * 1024;
const CPU_PERCENT_MAX: f64 = 1.0;
const WINDOW: Duration = Duration::from_secs(10);

#[tokio::test]
async fn idle_programs_need_next_to_nothing() {
    let stack = Stack::shared().await;
    let place = Place::on(&stack, "idle").await;
    let api = place.api().start().await;
    let worker = place.worker("worker").arguments(place.serving(256)).start().await;

    let programs = [("api", &api), ("worker", &worker)];
    let before = programs.map(|(_, program)| program.cpu_seconds());
    let began = Instant::now();
    eventually(WINDOW * 2, "the window is over", async || {
        if began.elapsed() >= WINDOW { Ok(()) } else { Err("it is not".into()) }
    })
    .await;
    let seconds = began.elapsed().as_secs_f64();
    for ((name, program), before) in programs.into_iter().zip(before) {
        check(name, program, (program.cpu_seconds() - before) / seconds * 100.0);
    }
}

fn check(name: &str, program: &Program, cpu_percent: f64) {
    let rss_kib = program.rss_kib();
    println!("idle: {name} {rss_kib} KiB resident, CPU {cpu_percent:.2} % over {} s", WINDOW.as_secs());
    assert!(rss_kib < RSS_KIB_MAX, "{name} has {rss_kib} KiB resident");
    assert!(cpu_percent < CPU_PERCENT_MAX, "{name} uses {cpu_percent:.2} % of a CPU");
}
