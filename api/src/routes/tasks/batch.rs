//! `POST /v1/tasks/batch`: up to 1,000 tasks in one request and one commit, under one `batch_id`.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use caraway_shared::{
    store::tasks::{Fate, Guarded, TaskView},
    task::{OwnerId, TaskId, TaskSpec, Unique, limits},
};
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    submission::Submission,
    submit::{admitted, check, duplicate},
};
use crate::{
    extract::{Fields, IdempotencyKey, JsonBody, Owner, traceparent, typed},
    problem::{Code, Problem},
    state::ApiState,
};

/// The answer: one entry a task, in the order given.
#[derive(Serialize)]
struct Answer {
    batch_id: Uuid,
    accepted: usize,
    tasks: Vec<Entry>,
}

/// What became of one task.
#[derive(Serialize)]
struct Entry {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Box<TaskView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    existing_task_id: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<RawValue>>,
}

/// 200 with a status for each task. With `atomic`, one task that cannot be accepted keeps all of them out, and the
/// answer is the problem.
pub(crate) async fn batch(
    request: HttpRequest,
    state: Data<ApiState>,
    Owner(owner): Owner,
    key: IdempotencyKey,
    body: JsonBody,
) -> Result<HttpResponse, Problem> {
    let body = body.required()?;
    let (parts, atomic) = read(body)?;
    let traceparent = traceparent(request.headers());
    let batch_id = Uuid::now_v7();
    let mut checked = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let task = check_one(&state, owner, format!("/tasks/{index}"), part, traceparent.clone(), batch_id).await;
        match task {
            Err(problem) if atomic => return Err(problem.with("index", index)),
            task => checked.push(task),
        }
    }
    let (tasks, refused) = part(checked);
    let fates = if tasks.is_empty() {
        Vec::new()
    } else {
        let guarded = Guarded { owner, key: key.of(&request, body), tasks, atomic };
        admitted(state.acceptor.accept(guarded).await?)?.0
    };
    if let Some(Fate::Rejected(id)) = fates.iter().find(|fate| atomic && matches!(fate, Fate::Rejected(_))) {
        return Err(duplicate(*id));
    }
    Ok(HttpResponse::Ok().json(answer(batch_id, refused, fates)))
}

fn read(body: &[u8]) -> Result<(Vec<&RawValue>, bool), Problem> {
    let mut fields = Fields::of(body)?;
    let tasks = fields.required("tasks", "must be a list of 1 to 1000 tasks", |value| {
        serde_json::from_str::<Vec<&RawValue>>(value.get())
            .ok()
            .filter(|tasks| (1..=limits::BATCH_MAX).contains(&tasks.len()))
    });
    let atomic = fields.optional("atomic", "must be true or false", typed).unwrap_or(false);
    fields.finish(tasks.map(|tasks| (tasks, atomic)))
}

/// A task, and what makes it unique.
type Checked = (TaskSpec, Option<Unique>);

async fn check_one(
    state: &ApiState,
    owner: OwnerId,
    pointer: String,
    part: &RawValue,
    traceparent: Option<String>,
    batch_id: Uuid,
) -> Result<Checked, Problem> {
    let submission = Submission::read_at(pointer, part)?;
    let (mut task, unique) = check(state, owner, submission, traceparent).await?;
    task.extra.batch_id = Some(batch_id);
    Ok((task, unique))
}

/// The tasks that are good, and for each place of the request the problem of the one that is not.
fn part(checked: Vec<Result<Checked, Problem>>) -> (Vec<Checked>, Vec<Option<Problem>>) {
    let mut tasks = Vec::with_capacity(checked.len());
    let refused = checked
        .into_iter()
        .map(|checked| match checked {
            Ok(task) => {
                tasks.push(task);
                None
            }
            Err(problem) => Some(problem),
        })
        .collect();
    (tasks, refused)
}

fn answer(batch_id: Uuid, refused: Vec<Option<Problem>>, fates: Vec<Fate>) -> Answer {
    // a replayed answer has the batch of its first time
    let first = fates.iter().find_map(|fate| if let Fate::Accepted(task) = fate { task.batch_id } else { None });
    let accepted = fates.iter().filter(|fate| matches!(fate, Fate::Accepted(_))).count();
    let mut fates = fates.into_iter();
    let entry = |refused: Option<Problem>| match refused {
        Some(problem) => Entry::refused(&problem),
        None => fates.next().map_or_else(|| Entry::refused(&Problem::internal("a task without a fate")), Entry::of),
    };
    Answer { batch_id: first.unwrap_or(batch_id), accepted, tasks: refused.into_iter().map(entry).collect() }
}

impl Entry {
    fn of(fate: Fate) -> Self {
        match fate {
            Fate::Accepted(task) => Self { status: 202, task: Some(task), existing_task_id: None, problem: None },
            Fate::Existing(id) => Self { status: 200, task: None, existing_task_id: Some(id), problem: None },
            Fate::Rejected(id) => Self::refused(&duplicate(id)),
            Fate::Abandoned => {
                Self::refused(&Problem::new(Code::DuplicateTask, "another task of the batch was kept out"))
            }
        }
    }

    fn refused(problem: &Problem) -> Self {
        let document = String::from_utf8(problem.document(None)).ok().and_then(|text| RawValue::from_string(text).ok());
        Self { status: problem.status().as_u16(), task: None, existing_task_id: None, problem: document }
    }
}
