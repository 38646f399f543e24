//! The `unique` object: what makes two tasks the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use caraway_shared::{
    store::TaskType,
    task::{OnConflict, QueueName, Scope, Unique, canonical_json},
};
use serde_json::value::RawValue;

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
    By(BTreeSet<Part>),
}

impl UniqueBy {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let key = fields.optional("key", "must be a string of 1 to 255 bytes", |value| {
            typed::<String>(value).filter(|key| (1..=255).contains(&key.len()))
        });
        let by =
            fields.optional("by", "must be a list of name, queue, args (all arguments) or args.PARAMETER", |value| {
                let parts = typed::<Vec<String>>(value).filter(|parts| (1..=PARTS_MAX).contains(&parts.len()))?;
                parts.iter().map(|part| Part::read(part)).collect::<Option<BTreeSet<Part>>>()
            });
        let scope = fields.optional("while", "must be queued, incomplete or period", typed);
        let period = fields.optional("period", "must be a number of seconds, more than 0 and up to a year", period);
        let on_conflict =
            fields.optional("on_conflict", "must be return_existing, reject, replace or keep_latest", typed);
        let same = match (key, by) {
            (Some(key), None) => Same::Key(key),
            (None, Some(by)) => Same::By(by),
            (None, None) => Same::By(BTreeSet::from([Part::Name, Part::Args])),
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
                    .map(|part| Ok((part.to_string(), value_of(part, submission, queue, &arguments, known)?)))
                    .collect::<Result<_, Problem>>()?
            }
        };
        let bytes = parts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        Ok(Unique { hash: Unique::hash(bytes), scope: self.scope, period: self.period, on_conflict: self.on_conflict })
    }
}

/// What two tasks must agree in. Parts are a set: neither their order counts nor how often one is named. They are hashed in
/// this order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Part {
    Name,
    Queue,
    Args,
    Parameter(String),
}

impl Part {
    fn read(part: &str) -> Option<Self> {
        Some(match part {
            "name" => Self::Name,
            "queue" => Self::Queue,
            "args" => Self::Args,
            _ => Self::Parameter(part.strip_prefix("args.")?.to_owned()),
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("name"),
            Self::Queue => f.write_str("queue"),
            Self::Args => f.write_str("args"),
            Self::Parameter(name) => write!(f, "args.{name}"),
        }
    }
}

fn period(value: &RawValue) -> Option<Duration> {
    let seconds = typed::<f64>(value).filter(|seconds| *seconds > 0.0 && *seconds <= PERIOD_MAX)?;
    Duration::try_from_secs_f64(seconds).ok()
}

type Arguments<'a> = BTreeMap<String, &'a RawValue>;

/// Every argument under its parameter's name, however it was given.
fn bound<'a>(submission: &'a Submission<'_>, parameters: &[String]) -> Result<Arguments<'a>, Problem> {
    let positional: Vec<&RawValue> = serde_json::from_str(submission.args()).map_err(Problem::internal)?;
    let named: Arguments<'_> = serde_json::from_str(submission.kwargs()).map_err(Problem::internal)?;
    Ok(parameters.iter().cloned().zip(positional).chain(named).collect())
}

fn value_of(
    part: &Part,
    submission: &Submission<'_>,
    queue: &QueueName,
    arguments: &Arguments<'_>,
    known: &TaskType,
) -> Result<String, Problem> {
    match part {
        Part::Name => Ok(submission.name.to_string()),
        Part::Queue => Ok(queue.to_string()),
        Part::Args => {
            let all = serde_json::value::to_raw_value(arguments).map_err(Problem::internal)?;
            canonical_json(&all).map_err(Problem::internal)
        }
        Part::Parameter(name) => {
            if !known.parameters.iter().any(|parameter| parameter == name) {
                let detail =
                    format!("{part} is not a parameter of {}; these are: {}", known.name, known.parameters.join(", "));
                return Err(Problem::faults(vec![Fault {
                    pointer: submission.at("unique/by"),
                    code: Code::InvalidRequest,
                    detail,
                }]));
            }
            let argument = arguments.get(name).map(|argument| canonical_json(argument)).transpose();
            Ok(argument.map_err(Problem::internal)?.unwrap_or_default())
        }
    }
}
