//! The `unique` object: what makes two tasks the same.

use std::{collections::BTreeMap, time::Duration};

use caraway_shared::{
    store::TaskType,
    task::{OnConflict, QueueName, Scope, Unique},
};
use serde_json::{Value, value::RawValue};

use super::Submission;
use crate::{
    extract::{Fields, typed},
    problem::{Code, Fault, Problem},
};

const PARTS_MAX: usize = 20;
const PERIOD_MAX: f64 = 366.0 * 86_400.0;

/// What the body said; the arguments it speaks of are looked up when the handler's parameters are known.
#[derive(Debug)]
pub(super) struct UniqueBy {
    same: Same,
    scope: Scope,
    period: Option<Duration>,
    on_conflict: OnConflict,
}

#[derive(Debug)]
enum Same {
    Key(String),
    By(Vec<String>),
}

impl UniqueBy {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let key = fields.optional("key", "must be a string of 1 to 255 bytes", |value| {
            typed::<String>(value).filter(|key| (1..=255).contains(&key.len()))
        });
        let by =
            fields.optional("by", "must be a list of name, queue, args (all arguments) or args.PARAMETER", |value| {
                typed::<Vec<String>>(value)
                    .filter(|parts| (1..=PARTS_MAX).contains(&parts.len()) && parts.iter().all(|part| is_part(part)))
            });
        let scope = fields.optional("while", "must be queued, incomplete or period", typed);
        let period = fields.optional("period", "must be a number of seconds, more than 0 and up to a year", period);
        let on_conflict =
            fields.optional("on_conflict", "must be return_existing, reject, replace or keep_latest", typed);
        let same = match (key, by) {
            (Some(key), None) => Same::Key(key),
            (None, Some(by)) => Same::By(by),
            (None, None) => Same::By(vec!["name".into(), "args".into()]),
            (Some(_), Some(_)) => {
                fields.refuse("by", "cannot be given beside key");
                return None;
            }
        };
        let scope = scope.unwrap_or(if period.is_some() { Scope::Period } else { Scope::default() });
        if (scope == Scope::Period) != period.is_some() {
            fields.refuse("period", "goes with while: period, and with nothing else");
            return None;
        }
        if on_conflict == Some(OnConflict::KeepLatest) && scope != Scope::Incomplete {
            fields.refuse("on_conflict", "can be keep_latest with while: incomplete only");
            return None;
        }
        Some(Self { same, scope, period, on_conflict: on_conflict.unwrap_or_default() })
    }

    /// Whether a task may have to wait for another's end.
    pub(super) fn may_wait(&self) -> bool {
        self.on_conflict == OnConflict::KeepLatest
    }

    /// The hash of what makes this submission the same as another.
    pub(super) fn resolve(
        &self,
        submission: &Submission<'_>,
        queue: &QueueName,
        known: &TaskType,
    ) -> Result<Unique, Problem> {
        let parts: Vec<(String, String)> = match &self.same {
            Same::Key(key) => vec![("key".into(), key.clone())],
            Same::By(by) => {
                let arguments = bound(submission, &known.parameters)?;
                by.iter()
                    .map(|part| Ok((part.clone(), value_of(part, submission, queue, &arguments, known)?)))
                    .collect::<Result<_, Problem>>()?
            }
        };
        let bytes = parts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        Ok(Unique { hash: Unique::hash(bytes), scope: self.scope, period: self.period, on_conflict: self.on_conflict })
    }
}

fn is_part(part: &str) -> bool {
    matches!(part, "name" | "queue" | "args") || part.starts_with("args.")
}

fn period(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| *seconds > 0.0 && *seconds <= PERIOD_MAX)?;
    Duration::try_from_secs_f64(seconds).ok()
}

type Arguments = BTreeMap<String, Value>;

/// Every argument under its parameter's name, however it was given; values that mean the same are written the same.
fn bound(submission: &Submission<'_>, parameters: &[String]) -> Result<Arguments, Problem> {
    let positional: Vec<Value> = serde_json::from_str(submission.args()).map_err(Problem::internal)?;
    let named: Arguments = serde_json::from_str(submission.kwargs()).map_err(Problem::internal)?;
    Ok(parameters.iter().cloned().zip(positional).chain(named).collect())
}

fn value_of(
    part: &str,
    submission: &Submission<'_>,
    queue: &QueueName,
    arguments: &Arguments,
    known: &TaskType,
) -> Result<String, Problem> {
    match part {
        "name" => Ok(submission.name.to_string()),
        "queue" => Ok(queue.to_string()),
        "args" => serde_json::to_string(arguments).map_err(Problem::internal),
        _ => {
            let name = part.trim_start_matches("args.");
            if !known.parameters.iter().any(|parameter| parameter == name) {
                let detail =
                    format!("{part} is not a parameter of {}; these are: {}", known.name, known.parameters.join(", "));
                return Err(Problem::faults(vec![Fault {
                    pointer: "/unique/by".into(),
                    code: Code::InvalidRequest,
                    detail,
                }]));
            }
            Ok(arguments.get(name).map(ToString::to_string).unwrap_or_default())
        }
    }
}
