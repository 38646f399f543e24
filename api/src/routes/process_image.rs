//! `POST /process-image/{image_id}`: submits `process_image` for a stored image, and answers as the cheatsheet does.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bytes::Bytes;
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

#[derive(Default, Serialize)]
#[serde(default)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grayscale: Option<bool>,
}

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
    format: Option<Format>,
    /// Of a JPEG.
    #[schema(minimum = 1, maximum = 100)]
    quality: Option<u8>,
    grayscale: Option<bool>,
}

/// Into `width` and `height`: whole and smaller, cut, or stretched.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
enum Fit {
    Contain,
    Cover,
    Fill,
}

/// A picture's format.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "the shape of the body, for the OpenAPI document")]
enum Format {
    Jpeg,
    Png,
    Webp,
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
    let task = spec(&known, owner, input, traceparent(request.headers()));
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
    let detail = format!("the item is {}; images are JPEG, PNG, WebP, GIF, BMP and TIFF", item.content_type);
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

fn spec(known: &TaskType, owner: OwnerId, input: Bytes, traceparent: Option<String>) -> TaskSpec {
    TaskSpec {
        id: TaskId::now(),
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

fn options(body: &[u8]) -> Result<Options, Problem> {
    let mut fields = Fields::of(body)?;
    let side = |value: &RawValue| typed(value).filter(|pixels| (1..=SIDE_PIXELS_MAX).contains(pixels));
    let options = Options {
        width: fields.optional("width", "must be a whole number from 1 to 8192", side),
        height: fields.optional("height", "must be a whole number from 1 to 8192", side),
        fit: fields
            .optional("fit", "must be contain, cover or fill", |value| one_of(value, &["contain", "cover", "fill"])),
        format: fields.optional("format", "must be jpeg, png or webp", |value| one_of(value, &["jpeg", "png", "webp"])),
        quality: fields.optional("quality", "must be a whole number from 1 to 100", |value| {
            typed(value).filter(|quality| (1..=100).contains(quality))
        }),
        grayscale: fields.optional("grayscale", "must be true or false", typed),
    };
    fields.finish(Some(options))
}

fn one_of(value: &RawValue, words: &[&str]) -> Option<String> {
    typed::<String>(value).filter(|word| words.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_is_handed_on() {
        let options = options(br#"{"width": 64, "fit": "cover"}"#).unwrap();
        let arguments = Arguments { image_id: Uuid::nil(), options };
        assert_eq!(
            input(&arguments).unwrap(),
            r#"{"args":[],"kwargs":{"image_id":"00000000-0000-0000-0000-000000000000","width":64,"fit":"cover"}}"#
        );
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
            r#"{"colour": "red"}"#,
            "[]",
        ];
        assert!(bad.iter().all(|body| options(body.as_bytes()).is_err()));
        assert!(options(br#"{"quality": 100, "height": 8192, "width": 1, "grayscale": true}"#).is_ok());
    }
}
