//! A worker for tests: its tasks write into the execution ledger that `CARAWAY_LEDGER` names. Flags as `worker` has.

use std::{
    path::PathBuf,
    process,
    sync::LazyLock,
    time::{Duration, Instant},
};

use caraway_testkit::Ledger;
use caraway_worker::{Context, Failure, NewTask, Task, Worker};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

/// A test that failed must not leave threads behind for ever.
const HANG_MAX: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

static LEDGER: LazyLock<Ledger> = LazyLock::new(|| {
    Ledger::at(std::env::var_os(Ledger::VARIABLE).map_or_else(|| PathBuf::from("/dev/null"), PathBuf::from))
});

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _crash_points = fail::FailScenario::setup(); // does nothing unless the feature is compiled in
    let tasks = [
        Task::new("say", say)?,
        Task::new("large", large)?,
        Task::new("sleep", sleep)?,
        Task::new("sleep_deaf", sleep_deaf)?,
        Task::new("sleep_deaf_blocking", sleep_deaf)?.burns_cpu(),
        Task::new("spin", spin)?.burns_cpu(),
        Task::new("hang", hang)?.burns_cpu(),
        Task::new("hang_async", hang)?,
        Task::new("fail", fail)?,
        Task::new("panic", panic)?,
        Task::new("panic_early", panic_early)?,
        Task::new("abort", abort)?,
        Task::new("snooze", snooze)?,
        Task::new("fail_after", fail_after)?,
        Task::new("tell", tell)?,
        Task::new("report", report)?,
        Task::new("echo", echo)?,
        Task::new("mirror", mirror)?,
        Task::new("gather", gather)?,
        Task::new("spread", spread)?,
        Task::new("permits", permits)?,
        Task::new("pass_on", pass_on)?,
    ];
    Worker::from_args().register_all(tasks).run().await
}

#[derive(Deserialize)]
struct Seconds {
    seconds: f64,
}

#[derive(Deserialize)]
struct Times {
    times: i32,
}

#[derive(Deserialize)]
struct Until {
    file: PathBuf,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Large {
    token: String,
    bytes: usize,
}

#[derive(Deserialize)]
struct Nothing {}

impl Seconds {
    fn duration(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

/// Differs between two runs of one task, so that a test sees whose result was recorded.
fn result(context: &Context) -> Value {
    json!({ "epoch": context.epoch(), "attempt": context.attempt(), "pid": process::id() })
}

fn result_with(context: &Context, field: &str, said: String) -> Value {
    let mut result = result(context);
    if let Some(fields) = result.as_object_mut() {
        fields.insert(field.into(), said.into());
    }
    result
}

fn stopped() -> Failure {
    Failure::retryable("stopped", "told to stop")
}

/// Says what it was told.
async fn say(args: Token, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    Ok(result_with(&context, "token", args.token))
}

/// Says it until it has said so many bytes.
async fn large(args: Large, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    Ok(result_with(&context, "text", args.token.chars().cycle().take(args.bytes).collect()))
}

/// Sleeps, unless it is told to stop.
async fn sleep(args: Seconds, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    let woken = context.stopped().run_until_cancelled(tokio::time::sleep(args.duration())).await.is_none();
    run.end()?;
    if woken { Err(stopped()) } else { Ok(result(&context)) }
}

/// Sleeps, whatever it is told.
async fn sleep_deaf(args: Seconds, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    tokio::time::sleep(args.duration()).await;
    run.end()?;
    Ok(result(&context))
}

/// Burns CPU, unless it is told to stop.
async fn spin(args: Seconds, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    let started = Instant::now();
    while started.elapsed() < args.duration() && !context.is_stopped() {
        std::hint::spin_loop();
    }
    run.end()?;
    if context.is_stopped() { Err(stopped()) } else { Ok(result(&context)) }
}

/// Blocks its thread until the file is there, whatever it is told.
#[expect(clippy::disallowed_methods, reason = "to block a thread is what it is for")]
async fn hang(args: Until, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    let started = Instant::now();
    while !args.file.exists() && started.elapsed() < HANG_MAX {
        std::thread::sleep(LOOK_EVERY);
    }
    run.end()?;
    Ok(result(&context))
}

/// Fails that many attempts.
async fn fail(args: Times, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    let attempt = context.attempt();
    if attempt <= args.times {
        Err(Failure::retryable("asked_to_fail", format!("attempt {attempt}")))
    } else {
        Ok(result(&context))
    }
}

/// Fails when the file is there, whatever it is told.
async fn fail_after(args: Until, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    appears(&args.file).await;
    run.end()?;
    Err(Failure::retryable("asked_to_fail", "the file is there"))
}

/// Tells what it was given beside its arguments.
async fn tell(_: Nothing, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    let left = |deadline: Option<tokio::time::Instant>| {
        deadline.map(|at| at.saturating_duration_since(tokio::time::Instant::now()).as_secs_f64())
    };
    Ok(json!({
        "traceparent": context.traceparent(),
        "deadline_in": left(context.deadline()),
        "soft_deadline_in": left(context.soft_deadline()),
    }))
}

#[derive(Deserialize)]
struct Message {
    message: Value,
    #[serde(default)]
    seconds: f64,
}

/// Gives it back, after a while; fails where it is told so.
async fn echo(args: Message, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    let wait = Duration::try_from_secs_f64(args.seconds).unwrap_or_default();
    let woken = !wait.is_zero() && context.stopped().run_until_cancelled(tokio::time::sleep(wait)).await.is_none();
    run.end()?;
    match args.message {
        _ if woken => Err(stopped()),
        Value::String(text) if text == "fail" => Err(Failure::fatal("asked_to_fail", "no luck")),
        message => Ok(message),
    }
}

#[derive(Deserialize)]
struct Mirrored {
    message: Box<RawValue>,
    #[serde(default)]
    fail: bool,
    /// Into this queue.
    #[serde(default)]
    submit: Option<String>,
}

/// Says it of its progress, and gives it back; or fails with it; or hands it on to another one, whose id it tells.
async fn mirror(args: Mirrored, context: Context) -> Result<Box<RawValue>, Failure> {
    LEDGER.begin(&context)?.end()?;
    context.progress(&args.message);
    if args.fail {
        return Err(Failure::fatal("asked_to_fail", "no luck").details(&args.message));
    }
    if let Some(queue) = args.submit {
        let child = context.submit(NewTask::new("mirror").arg(&args.message).queue(queue)).await?;
        return Ok(to_raw_value(&child)?);
    }
    Ok(args.message)
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Value>,
}

/// Tells how many results it got, and whether they are 0, 1, 2 and so on.
async fn gather(args: Results, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    let in_order = args.results.iter().enumerate().all(|(index, result)| *result == json!(index));
    Ok(json!({ "count": args.results.len(), "in_order": in_order, "first": args.results.first() }))
}

#[derive(Deserialize)]
struct Spread {
    children: usize,
    queue: String,
    #[serde(default)]
    failures: i32,
}

/// Adds children to its workflow and submits one more task; fails so many times after it has asked for them.
async fn spread(args: Spread, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    let child = |index| (format!("c{index}"), NewTask::new("echo").arg(index).queue(args.queue.as_str()));
    let children = context.spawn((0..args.children).map(child)).await?;
    let task = context.submit(NewTask::new("echo").kwarg("message", "submitted").queue(args.queue.as_str())).await?;
    if context.attempt() <= args.failures {
        return Err(Failure::retryable("asked_to_fail", "after it had asked").after(Duration::from_millis(50)));
    }
    Ok(json!({ "children": children, "task": task }))
}

#[derive(Deserialize)]
struct Report {
    steps: u64,
    file: PathBuf,
}

/// Says each step of its progress, as fast as it can; once the file is there, a last one, and ends at once.
async fn report(args: Report, context: Context) -> Result<Value, Failure> {
    let run = LEDGER.begin(&context)?;
    for step in 1..=args.steps {
        context.progress(&json!({ "step": step }));
        tokio::task::yield_now().await;
    }
    appears(&args.file).await;
    context.progress(&json!({ "step": "last" }));
    run.end()?;
    Ok(result(&context))
}

async fn appears(file: &std::path::Path) {
    let started = Instant::now();
    while !file.exists() && started.elapsed() < HANG_MAX {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn panic(_: Nothing, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?;
    panic!("asked to panic")
}

/// Panics before it is a future at all.
fn panic_early(_: Nothing, _: Context) -> std::future::Ready<Result<Value, Failure>> {
    panic!("asked to panic early")
}

/// Takes its worker with it.
async fn abort(_: Nothing, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?;
    process::abort()
}

/// Asks to be run again, that many times.
async fn snooze(args: Times, context: Context) -> Result<Value, Failure> {
    LEDGER.begin(&context)?.end()?;
    if context.epoch().0 <= args.times {
        Err(Failure::snooze(Duration::from_millis(100)))
    } else {
        Ok(result(&context))
    }
}

#[derive(Deserialize)]
struct Shared {
    semaphore: String,
    seconds: f64,
}

/// Holds a permit for a while, and tells its fence and whether it was held to the end.
async fn permits(shared: Shared, context: Context) -> Result<Value, Failure> {
    let permit = context.permits(&shared.semaphore, 1).await?;
    let run = LEDGER.begin(&context)?;
    let until = Instant::now() + Duration::from_secs_f64(shared.seconds);
    while Instant::now() < until && !permit.lost().is_cancelled() && !context.is_stopped() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    run.end()?;
    let fence = permit.fence();
    let held = permit.release().await.is_ok();
    Ok(json!({ "fence": fence.to_string(), "held": held }))
}

#[derive(Deserialize)]
struct Route {
    event: String,
    from: String,
    to: String,
}

/// Waits for an event, takes an item out of one queue and puts it into another. One that says `drop` it drops at the first time.
async fn pass_on(route: Route, context: Context) -> Result<Value, Failure> {
    context.event(&route.event)?.wait_since(0).await?;
    let item = context.work_queue(&route.from)?.get().await?;
    let payload: Value = item.payload()?;
    if payload == "drop" && item.attempt() == 1 {
        return Err(Failure::retryable("dropped", "the guard goes, and the item comes back"));
    }
    let attempt = item.attempt();
    let to = context.work_queue(&route.to)?;
    to.put("copy", &payload).await?;
    to.put("copy", &payload).await?; // as a repeated attempt would
    Ok(json!({ "attempt": attempt, "held": item.done().await.is_ok() }))
}
