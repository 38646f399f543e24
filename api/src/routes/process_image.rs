//! `POST /process-image/{image_id}`: submits `process_image` for a stored image, and answers as the cheatsheet does.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bytes::Bytes;
use caraway_picture::{Background, Fit, Format, Gravity, Metadata, Rotation};
use caraway_shared::{
    store::{
        TaskType,
        tasks::{Asked, Fate, Guarded},
    },
    task::{Extra, OwnerId, Priority, RetryPolicy, Start, TaskId, TaskName, TaskSpec, limits},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    accept::Acceptor,
    callers::Caller,
    extract::{Fields, IdempotencyKey, ItemPath, JsonBody, Traceparent, item_not_found, traceparent, typed},
    openapi::examples,
    problem::{Code, Problem},
    routes::{
        items::is_processable,
        tasks::submit::{admitted, with_replay},
    },
    state::ApiState,
};

const TASK: &str = "process_image";
const SIDE_PIXELS_MAX: u16 = 8192;

/// The whole answer, as the cheatsheet has it.
#[derive(Serialize, ToSchema)]
struct Started {
    message: &'static str,
    task_id: TaskId,
}

/// What the task is told. What the client left out is left out, so that defaults are the handler's alone.
#[derive(Serialize)]
struct Arguments {
    image_id: Uuid,
    #[serde(flatten)]
    options: Options,
}

/// What was said, and nothing else.
#[derive(Default, Serialize)]
#[serde(transparent)]
struct Options(serde_json::Map<String, serde_json::Value>);

/// How the picture shall become. What is left out is the handler's to choose.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ImageOptions)]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
struct OptionsSchema {
    /// Pixels.
    #[schema(minimum = 1, maximum = 8192)]
    width: Option<u16>,
    /// Pixels.
    #[schema(minimum = 1, maximum = 8192)]
    height: Option<u16>,
    fit: Option<Fit>,
    gravity: Option<Gravity>,
    /// Never larger than the original.
    without_enlargement: Option<bool>,
    /// Behind transparency that the result cannot have, and in the bars of `contain`: `#rrggbb` or `#rrggbbaa`.
    #[schema(pattern = "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$")]
    background: Option<String>,
    rotate: Option<Rotation>,
    /// The sigma of a Gaussian blur, in pixels of the result.
    #[schema(minimum = 0.3, maximum = 100)]
    blur: Option<f64>,
    /// The sigma of sharpening, in pixels of the result.
    #[schema(minimum = 0.3, maximum = 10)]
    sharpen: Option<f64>,
    /// The page of a TIFF, or the frame of an animation.
    #[schema(minimum = 0, maximum = 9999)]
    page: Option<u16>,
    format: Option<Format>,
    /// Of JPEG, lossy WebP and AVIF; 80, and 50 for AVIF, where it is left out.
    #[schema(minimum = 1, maximum = 100)]
    quality: Option<u8>,
    /// WebP without loss.
    lossless: Option<bool>,
    /// JPEG and PNG that are shown coarsely first.
    progressive: Option<bool>,
    grayscale: Option<bool>,
    /// The colours stay in the picture's own profile, which comes along; else they become sRGB.
    keep_profile: Option<bool>,
    metadata: Option<Metadata>,
}

/// Process a stored picture
///
/// Submits the task `process_image` for an item: a thumbnail, by default. The task's result names the item that it made.
/// The body may be left out.
#[utoipa::path(
    post,
    path = "/process-image/{id}",
    operation_id = "process_image",
    tag = "items",
    params(ItemPath, IdempotencyKey, Traceparent),
    request_body(content = Option<OptionsSchema>, example = json!({"width": 320, "fit": "cover"})),
    responses((
        status = 202, description = "Accepted; it can no longer be lost.", body = Started,
        headers(
            ("Location" = String, description = "The task's address."),
            ("Idempotency-Replayed" = String, description = "`true` where the answer was given before."),
        ),
        links(
            ("task" = (operation_id = "get_task", parameters(("id" = "$response.body#/task_id")))),
            ("result" = (operation_id = "get_task_result", parameters(("id" = "$response.body#/task_id")))),
        ),
        example = json!({"message": "Image processing started", "task_id": examples::TASK_ID}),
    )),
    extensions(("x-problems" = json!([
        ItemPath::PROBLEMS,
        IdempotencyKey::PROBLEMS,
        Acceptor::PROBLEMS,
        JsonBody::PROBLEMS,
        [Code::ItemNotImage, Code::NoWorkerYet, Code::QueueForbidden]
    ]))),
)]
pub(crate) async fn process_image(
    request: HttpRequest,
    state: Data<ApiState>,
    caller: Caller,
    ItemPath(image_id): ItemPath,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let options = body.optional().map(options).transpose()?.unwrap_or_default();
    let owner = caller.owner;
    check_image(&state, owner, image_id).await?;
    let known = task_type(&state).await?;
    caller.covers(known.queue.as_str())?;
    let input = input(&Arguments { image_id, options })?;
    let task = spec(state.ids.make_task(), &known, owner, input, traceparent(request.headers()));
    let key = key.of(&request, body.optional().unwrap_or_default());
    let tasks = vec![Asked::Task(Arc::new(task), None)];
    let guarded = Guarded { owner, key, tasks, atomic: true, once: false, grant: caller.restriction() };
    let (fates, replayed) = admitted(state.acceptor.accept(&caller, guarded).await?)?;
    match fates.into_iter().next() {
        Some(Fate::Accepted(task)) => Ok(with_replay(HttpResponse::Accepted(), replayed, &task)
            .json(Started { message: "Image processing started", task_id: task.id })),
        _ => Err(Problem::internal("a task that nothing keeps out was kept out")),
    }
}

async fn check_image(state: &ApiState, owner: OwnerId, id: Uuid) -> Result<(), Problem> {
    let item = state.store.item(owner, id).await?.ok_or_else(item_not_found)?;
    if is_processable(&item.content_type) {
        return Ok(());
    }
    let detail =
        format!("the item is {}; images are JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and HEIC", item.content_type);
    Err(Problem::new(Code::ItemNotImage, detail))
}

/// The client cannot help it when no worker was ever started: not its fault, and worth another try.
async fn task_type(state: &ApiState) -> Result<std::sync::Arc<TaskType>, Problem> {
    let name: TaskName = TASK.parse().map_err(Problem::internal)?;
    state.known.find_task_type(&name, Instant::now()).await?.ok_or_else(|| {
        Problem::new(Code::NoWorkerYet, format!("no worker has announced {TASK} yet; start one and try again"))
    })
}

fn input(arguments: &Arguments) -> Result<Bytes, Problem> {
    let kwargs = serde_json::to_string(arguments).map_err(Problem::internal)?;
    Ok(format!(r#"{{"args":[],"kwargs":{kwargs}}}"#).into())
}

fn spec(id: TaskId, known: &TaskType, owner: OwnerId, input: Bytes, traceparent: Option<String>) -> TaskSpec {
    TaskSpec {
        id,
        owner,
        name: known.name.clone(),
        version: known.version,
        queue: known.queue.clone(),
        priority: Priority::default(),
        input,
        max_attempts: limits::ATTEMPTS_DEFAULT,
        retry: RetryPolicy::default(),
        timeout: known.timeout,
        start: Start::Now,
        traceparent,
        extra: Extra::default(),
    }
}

/// An option's name, what it must be, in words, and whether a value is that.
type Rule = (&'static str, &'static str, fn(&RawValue) -> bool);

/// Checks every option by itself, with the types that the handler has, and keeps it as it was written.
fn options(body: &[u8]) -> Result<Options, Problem> {
    let mut fields = Fields::of(body)?;
    let mut said = serde_json::Map::new();
    let side = "must be a whole number from 1 to 8192";
    let boolean = "must be true or false";
    let rules: [Rule; 17] = [
        ("width", side, |value| in_range(value, 1, u32::from(SIDE_PIXELS_MAX))),
        ("height", side, |value| in_range(value, 1, u32::from(SIDE_PIXELS_MAX))),
        ("fit", "must be inside, outside, cover, contain or fill", is::<Fit>),
        (
            "gravity",
            "must be center, north, northeast, east, southeast, south, southwest, west, northwest or smart",
            is::<Gravity>,
        ),
        ("without_enlargement", boolean, is::<bool>),
        ("background", "must be a colour such as #ffffff or #ffffff80", is::<Background>),
        ("rotate", "must be 0, 90, 180 or 270", is::<Rotation>),
        ("blur", "must be a number from 0.3 to 100", |value| is_between(value, 0.3, 100.0)),
        ("sharpen", "must be a number from 0.3 to 10", |value| is_between(value, 0.3, 10.0)),
        ("page", "must be a whole number from 0 to 9999", |value| in_range(value, 0, 9_999)),
        ("format", "must be jpeg, png, webp or avif", is::<Format>),
        ("quality", "must be a whole number from 1 to 100", |value| in_range(value, 1, 100)),
        ("lossless", boolean, is::<bool>),
        ("progressive", boolean, is::<bool>),
        ("grayscale", boolean, is::<bool>),
        ("keep_profile", boolean, is::<bool>),
        ("metadata", "must be none or keep", is::<Metadata>),
    ];
    for (name, rule, holds) in rules {
        let read = |value: &RawValue| typed::<serde_json::Value>(value).filter(|_| holds(value));
        if let Some(value) = fields.optional(name, rule, read) {
            said.insert(name.to_owned(), value);
        }
    }
    fields.finish(Some(Options(said)))
}

fn is<T: serde::de::DeserializeOwned>(value: &RawValue) -> bool {
    typed::<T>(value).is_some()
}

fn in_range(value: &RawValue, least: u32, most: u32) -> bool {
    typed::<u32>(value).is_some_and(|number| (least..=most).contains(&number))
}

fn is_between(value: &RawValue, least: f64, most: f64) -> bool {
    typed::<f64>(value).is_some_and(|number| (least..=most).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_handed_on() {
        let options = options(br#"{"width": 64, "fit": "cover", "format": "jpg"}"#).unwrap();
        let arguments = Arguments { image_id: Uuid::nil(), options };
        let read: serde_json::Value = serde_json::from_slice(&input(&arguments).unwrap()).unwrap();
        let said = serde_json::json!({"image_id": Uuid::nil(), "width": 64, "fit": "cover", "format": "jpg"});
        assert_eq!(read, serde_json::json!({"args": [], "kwargs": said}));
    }

    #[test]
    fn every_option_has_its_bounds() {
        let bad = [
            r#"{"width": 0}"#,
            r#"{"height": 8193}"#,
            r#"{"width": 1.5}"#,
            r#"{"fit": "stretch"}"#,
            r#"{"format": "gif"}"#,
            r#"{"quality": 101}"#,
            r#"{"grayscale": 1}"#,
            r#"{"rotate": 45}"#,
            r#"{"blur": 0.1}"#,
            r#"{"background": "white"}"#,
            r#"{"gravity": "up"}"#,
            r#"{"colour": "red"}"#,
            "[]",
        ];
        assert!(bad.iter().all(|body| options(body.as_bytes()).is_err()));
        assert!(options(br#"{"quality": 100, "height": 8192, "width": 1, "grayscale": true}"#).is_ok());
    }
}
