//! The catalogue: every code that a problem document of this API can carry. It is public, and closed: clients match on
//! it, so a code is never renamed and never reused.

use actix_web::http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! catalogue {
    ($($(#[$doc:meta])* $variant:ident $code:literal $status:ident $title:literal;)*) => {
        /// What kind of problem.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub(crate) enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code as clients see it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The status that goes with it, always the same.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The kind of problem in a few words, always the same.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

catalogue! {
    /// HTTP that makes no sense.
    BadRequest "bad_request" BAD_REQUEST "The request makes no sense";
    /// A body was needed.
    EmptyBody "empty_body" BAD_REQUEST "The body is empty";
    /// Not JSON, or JSON that not every parser reads alike: a key twice, nested too deep, a lone surrogate.
    MalformedJson "malformed_json" BAD_REQUEST "The body is not well-formed JSON";
    /// No such address.
    NotFound "not_found" NOT_FOUND "There is nothing here";
    /// No such task.
    TaskNotFound "task_not_found" NOT_FOUND "There is no such task";
    /// No such item.
    ItemNotFound "item_not_found" NOT_FOUND "There is no such item";
    /// The address takes other methods; `Allow` names them.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here";
    /// The body did not come in time.
    BodyTimeout "body_timeout" REQUEST_TIMEOUT "The body did not come in time";
    /// Its result is not there yet; `state` tells where it stands.
    TaskNotFinished "task_not_finished" CONFLICT "The task is not finished";
    /// It will never have a result; `error` tells why.
    TaskFailed "task_failed" CONFLICT "The task has failed";
    /// It will never have a result.
    TaskCancelled "task_cancelled" CONFLICT "The task was cancelled";
    /// It will never have a result.
    TaskExpired "task_expired" CONFLICT "The task was not started in time";
    /// It cannot be cancelled any more; `state` tells how it ended.
    TaskAlreadyFinished "task_already_finished" CONFLICT "The task is already finished";
    /// Unique, and another task is there; `existing_task_id` names it.
    DuplicateTask "duplicate_task" CONFLICT "Another task like this one exists";
    /// A request with this `Idempotency-Key` is being decided.
    IdempotencyInFlight "idempotency_in_flight" CONFLICT "A request with this key is in flight";
    /// The `Idempotency-Key` belongs to another request.
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key belongs to another request";
    /// `Idempotency-Key` is none.
    InvalidIdempotencyKey "invalid_idempotency_key" BAD_REQUEST "The idempotency key is not valid";
    /// Larger than this address takes.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large";
    /// `args` and `kwargs` are larger than a task may carry.
    InputTooLarge "input_too_large" PAYLOAD_TOO_LARGE "The task's arguments are too large";
    /// Not a type, or an encoding, that this address takes.
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The media type is not supported";
    /// The content is not what `Content-Type` says.
    ContentTypeMismatch "content_type_mismatch" UNSUPPORTED_MEDIA_TYPE "The content is of another type than declared";
    /// A value that is wrong; `errors` point at it.
    InvalidRequest "invalid_request" UNPROCESSABLE_ENTITY "The request is not valid";
    /// A field that does not exist.
    UnknownField "unknown_field" UNPROCESSABLE_ENTITY "There is no such field";
    /// A query parameter that does not exist.
    UnknownParameter "unknown_parameter" UNPROCESSABLE_ENTITY "There is no such parameter";
    /// A search that no index serves, so that it could read everything.
    UnsupportedSearch "unsupported_search" UNPROCESSABLE_ENTITY "Tasks cannot be searched like this";
    /// A string with U+0000, which the database cannot store as text.
    NulCharacter "nul_character" UNPROCESSABLE_ENTITY "A string holds the character U+0000";
    /// No worker has ever announced it.
    UnknownTask "unknown_task" UNPROCESSABLE_ENTITY "There is no such task type";
    /// Nobody has declared it.
    UnknownQueue "unknown_queue" UNPROCESSABLE_ENTITY "There is no such queue";
    /// Arguments that the task's parameters do not take.
    InvalidArguments "invalid_arguments" UNPROCESSABLE_ENTITY "The task does not take these arguments";
    /// Not an image that can be processed.
    ItemNotImage "item_not_image" UNPROCESSABLE_ENTITY "The item is not an image";
    /// A fault of ours.
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong here";
    /// The database does not answer. Nothing was changed.
    DatabaseUnavailable "database_unavailable" SERVICE_UNAVAILABLE "The database is not available";
    /// A commit whose answer did not come.
    OutcomeUnknown "outcome_unknown" SERVICE_UNAVAILABLE "It is not known whether the task was accepted";
    /// Too much at once.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "There is too much to do right now";
    /// No worker for this has ever been started.
    NoWorkerYet "no_worker_yet" SERVICE_UNAVAILABLE "No worker has offered this yet";
    /// Starting, stopping, or without its database.
    NotReady "not_ready" SERVICE_UNAVAILABLE "Not ready";
}

impl Code {
    /// Whether the same request may well succeed later.
    pub(crate) fn is_retryable(self) -> bool {
        matches!(self, Self::TaskNotFinished | Self::BodyTimeout | Self::IdempotencyInFlight)
            || self.status() == StatusCode::SERVICE_UNAVAILABLE
    }

    /// What stands for a bare status that a library answered with.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::BodyTimeout,
            413 => Self::BodyTooLarge,
            415 => Self::UnsupportedMediaType,
            400..=499 => Self::BadRequest,
            _ => Self::Internal,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_snake_case() {
        let codes: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
    }

    #[test]
    fn every_code_is_an_error() {
        assert!(Code::ALL.iter().all(|code| code.status().as_u16() >= 400 && !code.title().is_empty()));
    }
}
