//! The catalogue: every code that a problem document of this API can carry. It is public, and closed: clients match on
//! it, so a code is never renamed and never reused.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

// The doc comment of a code is public too: it is what `/problems/{code}` says of it.
macro_rules! catalogue {
    ($($(#[doc = $meaning:literal])* $variant:ident $code:literal $status:ident $title:literal $remedy:literal;)*) => {
        /// What kind of problem.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub(crate) enum Code {
            $($(#[doc = $meaning])* $variant,)*
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

            /// What it means, in a sentence or two.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),*).trim_ascii(),)* }
            }

            /// What a client should do about it.
            pub(crate) const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

catalogue! {
    /// The request is not HTTP as this server understands it, its query is no UTF-8, or its body broke off before its end.
    BadRequest "bad_request" BAD_REQUEST "The request makes no sense"
        "Look at what your HTTP client really sends; the same bytes will be refused again.";
    /// This address needs a body, and none came.
    EmptyBody "empty_body" BAD_REQUEST "The body is empty"
        "Send the body, and a `Content-Length` or a chunked encoding with it.";
    /// The body is not JSON, or JSON that not every parser reads alike: a key that stands twice,
    /// a lone surrogate, a number beyond a double.
    MalformedJson "malformed_json" BAD_REQUEST "The body is not well-formed JSON"
        "Write the body with a JSON library; `detail` says where reading stopped.";
    /// The request has no API key, or one that is wrong, cut, expired or revoked, or whose user is disabled; which of
    /// these is not told.
    Unauthorized "unauthorized" UNAUTHORIZED "A valid API key is needed"
        "Send a key as `Authorization: Bearer cwy_…`; `POST /v1/api-keys` or `api keys create` makes one.";
    /// The key is good, but not for this: `scope` names what it lacks.
    MissingScope "missing_scope" FORBIDDEN "The key lacks a scope"
        "Use a key that has the scope, or have one made.";
    /// The key is good for some queues only, and not for this one.
    QueueForbidden "queue_forbidden" FORBIDDEN "The key is not for this queue"
        "Use a key that covers the queue; name a queue when you list tasks with a key for some queues.";
    /// The installation has no API keys, and the request names a host that is not this service: a page behind a stranger's
    /// name may have sent it.
    ForeignHost "foreign_host" MISDIRECTED_REQUEST "This service does not have this name"
        "Ask by a loopback name or an IP address, or list the name in `CARAWAY_ALLOWED_HOSTS`; with API keys every name will do.";
    /// The installation has no API keys, and a page of another site sent the request.
    ForeignOrigin "foreign_origin" FORBIDDEN "A page of another site asks"
        "Make an API key and send it, or allow the page's origin.";
    /// No resource has this address.
    NotFound "not_found" NOT_FOUND "There is nothing here"
        "Compare the path with `/docs`; paths heed upper and lower case. With one slash more at its end an address that exists is answered by 308.";
    /// No task has this id: it never existed, belongs to somebody else, or was removed after its `result_ttl`.
    TaskNotFound "task_not_found" NOT_FOUND "There is no such task"
        "Use the id as it was answered when the task was accepted. A finished task is kept for `result_ttl` seconds and not longer.";
    /// No workflow has this id: it never existed, belongs to somebody else, or was removed some time after its end.
    WorkflowNotFound "workflow_not_found" NOT_FOUND "There is no such workflow"
        "Use the id as it was answered when the workflow was accepted. A finished one is kept for a day, a failed one for a week.";
    /// No stored item has this id: it never existed, belongs to somebody else, or was deleted.
    ItemNotFound "item_not_found" NOT_FOUND "There is no such item"
        "Use the id that `POST /items` answered, or the one in a task's result.";
    /// Nothing is stored under this key, or not for you.
    DataNotFound "data_not_found" NOT_FOUND "There is no such value"
        "Look for a slip in the key; `POST /update-data/{key}` stores a value.";
    /// No user has this id, or it is not yours to see.
    UserNotFound "user_not_found" NOT_FOUND "There is no such user"
        "Use your own user's id; only the operator sees others.";
    /// No API key has this id, or it is somebody else's.
    ApiKeyNotFound "api_key_not_found" NOT_FOUND "There is no such API key"
        "Use an id that `GET /v1/api-keys` lists.";
    /// The address exists and takes other methods.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The method is not allowed here"
        "The header `Allow` lists the methods that this address takes.";
    /// The body was waited for too long: 10 seconds for JSON, 30 for an item. Nothing was done.
    BodyTimeout "body_timeout" REQUEST_TIMEOUT "The body did not come in time"
        "Send it again, over a faster connection or in a smaller piece.";
    /// The task has not ended, so it has no result yet and cannot be retried; `state` tells where it stands.
    TaskNotFinished "task_not_finished" CONFLICT "The task is not finished"
        "Ask again later, or wait for its end with `GET /v1/tasks/{id}?wait=60`.";
    /// The task has failed for good and will never have a result; `error` tells why.
    TaskFailed "task_failed" CONFLICT "The task has failed"
        "Read `error` and `GET /v1/tasks/{id}/attempts`; mend the cause and submit a new task.";
    /// The task was cancelled and will never have a result.
    TaskCancelled "task_cancelled" CONFLICT "The task was cancelled"
        "Submit a new task if the work is wanted after all.";
    /// No worker had started the task by its `expires_at`, so it never will be.
    TaskExpired "task_expired" CONFLICT "The task was not started in time"
        "Submit a new task with a later `expires_at`, and look whether workers serve its queue: `GET /v1/queues`.";
    /// The task has succeeded, and was submitted with `store_result: false`: its result was never kept.
    ResultNotKept "result_not_kept" CONFLICT "The task keeps no result"
        "Submit tasks whose results you want without `store_result: false`; `GET /v1/tasks/{id}` tells that it succeeded.";
    /// The task had ended before it could be cancelled; `state` tells how.
    TaskAlreadyFinished "task_already_finished" CONFLICT "The task is already finished"
        "Nothing: an end never changes.";
    /// The task is not scheduled, so there is no start to be moved; `state` tells where it stands.
    TaskNotScheduled "task_not_scheduled" CONFLICT "The task is not scheduled"
        "Nothing, if it is queued: it starts as soon as a worker is free. What has ended can be retried.";
    /// The task is a node of a workflow, whose other nodes refer to it; `workflow_id` names it.
    TaskInWorkflow "task_in_workflow" CONFLICT "The task belongs to a workflow"
        "Retry the workflow: `POST /v1/workflows/{id}/retry`. Its tasks go when it goes, some time after its end.";
    /// Some task of the workflow has not ended, so it has no results yet and cannot be retried.
    WorkflowNotFinished "workflow_not_finished" CONFLICT "The workflow is not finished"
        "Ask again later, or wait for its end with `GET /v1/workflows/{id}?wait=60`.";
    /// A task of the workflow has failed, so there is no whole list of results.
    WorkflowFailed "workflow_failed" CONFLICT "The workflow has failed"
        "`GET /v1/workflows/{id}` tells which tasks failed. Mend the cause and retry it, or submit with `return_exceptions`.";
    /// The workflow was cancelled, so there is no whole list of results.
    WorkflowCancelled "workflow_cancelled" CONFLICT "The workflow was cancelled"
        "Retry it if the work is wanted after all.";
    /// The workflow had ended before it could be cancelled.
    WorkflowAlreadyFinished "workflow_already_finished" CONFLICT "The workflow is already finished"
        "Nothing: what has ended cannot be cancelled.";
    /// The task is unique, and another one that counts as the same keeps it out; `existing_task_id` names that one, where your
    /// key may know of it.
    DuplicateTask "duplicate_task" CONFLICT "Another task like this one exists"
        "Follow the task that exists, wait for its end, or choose another key.";
    /// Other requests or workers are changing the same thing, and it was not this request's turn within a second or two.
    /// Nothing was changed.
    Contended "contended" CONFLICT "Others are changing it right now"
        "Repeat the request after `Retry-After` seconds.";
    /// Another user has this name.
    NameTaken "name_taken" CONFLICT "The name is taken"
        "Choose another name.";
    /// User 1 runs the installation, and cannot be disabled.
    OperatorStays "operator_stays" CONFLICT "The operator cannot be disabled"
        "Revoke its keys instead, all but one.";
    /// As many keys are good as every API process keeps in memory.
    TooManyKeys "too_many_keys" CONFLICT "There are too many API keys"
        "Revoke keys that are not used any more; `last_used_at` tells them.";
    /// Another request with the same `Idempotency-Key` is being decided at this moment.
    IdempotencyInFlight "idempotency_in_flight" CONFLICT "A request with this key is in flight"
        "Repeat the request with the same key in a moment; you will get the answer of the first.";
    /// The `Idempotency-Key` was used before with another body or at another address.
    IdempotencyKeyReused "idempotency_key_reused" UNPROCESSABLE_ENTITY "The key belongs to another request"
        "Make a new key for every new request; repeat a request with exactly the bytes of its first time.";
    /// `Idempotency-Key` is not one string of 1 to 255 visible ASCII characters without quotes inside.
    InvalidIdempotencyKey "invalid_idempotency_key" BAD_REQUEST "The idempotency key is not valid"
        "Send one such key, for example a UUID, and the header only once.";
    /// What is stored is not what `If-Match` or `If-None-Match` asks for: somebody else has changed it. Nothing was changed.
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "It has changed meanwhile"
        "Read it again, look whether your change still makes sense, and send it with the new `ETag`.";
    /// The body is larger than this address takes; `bytes_max` is its limit.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE "The body is too large"
        "Send less in one request; large inputs go into an item (`POST /items`) whose id the task is told.";
    /// `args` and `kwargs` are together larger than a task may carry; `bytes_max` is the limit.
    InputTooLarge "input_too_large" PAYLOAD_TOO_LARGE "The task's arguments are too large"
        "Store the data as an item (`POST /items`) and give the task its id.";
    /// The `Content-Type` or the `Content-Encoding` of the body is none that this address takes.
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "The media type is not supported"
        "Send JSON as `application/json` in UTF-8, items as their plain bytes, and nothing compressed.";
    /// The form is none (RFC 7578), or does not have exactly one part: the item.
    UnfitForm "unfit_form" BAD_REQUEST "The form cannot be taken as an item"
        "Send one item in a form, as `curl -F file=@picture.jpg` does, or the bytes themselves as the body.";
    /// No byte of the content lies in the `Range` that was asked for; `bytes` tells how many there are.
    RangeNotSatisfiable "range_not_satisfiable" RANGE_NOT_SATISFIABLE "The content has no such range"
        "Ask for a range that begins before the content's end.";
    /// The first bytes of the item tell another type than its `Content-Type`.
    ContentTypeMismatch "content_type_mismatch" UNSUPPORTED_MEDIA_TYPE "The content is of another type than declared"
        "Declare what the bytes are, or send `application/octet-stream` and let them speak for themselves.";
    /// At least one value is wrong; `errors` point at each of them and say what it must be.
    InvalidRequest "invalid_request" UNPROCESSABLE_ENTITY "The request is not valid"
        "Mend every value that `errors` name, all of them are listed at once.";
    /// The body has a field that does not exist; `errors` point at it.
    UnknownField "unknown_field" UNPROCESSABLE_ENTITY "There is no such field"
        "Look for a slip in its name, or leave it out; fields are never ignored silently.";
    /// The address has no query parameter of this name; `errors` point at it.
    UnknownParameter "unknown_parameter" UNPROCESSABLE_ENTITY "There is no such parameter"
        "Look for a slip in its name, or leave it out; `detail` names those that exist. Parameters are never ignored silently.";
    /// No index serves this search, so it could read every task there is.
    UnsupportedSearch "unsupported_search" UNPROCESSABLE_ENTITY "Tasks cannot be searched like this"
        "Search by `state`, `queue`, `name` and `error_code` in any combination, or by `tag`, or by `batch_id`.";
    /// A string in the body holds the character U+0000, which the database cannot store as text.
    NulCharacter "nul_character" UNPROCESSABLE_ENTITY "A string holds the character U+0000"
        "Remove it, or send the data as base64 or as an item.";
    /// Arguments, metadata, cached data and payloads nest up to 32 levels deep, their own brackets included; `errors` point at the
    /// one that is deeper.
    NestedTooDeep "nested_too_deep" UNPROCESSABLE_ENTITY "The JSON nests too deep"
        "Flatten it, or send it as a string or as an item.";
    /// No worker has ever announced a task type of this name.
    UnknownTask "unknown_task" UNPROCESSABLE_ENTITY "There is no such task type"
        "Look for a slip in the name; `GET /v1/task-types` lists what is known. Start a worker that has it, and it is known at once.";
    /// No worker serves a queue of this name and no task type names it, so the task would lie there for ever.
    UnknownQueue "unknown_queue" UNPROCESSABLE_ENTITY "There is no such queue"
        "Look for a slip in the name; `GET /v1/queues` lists what exists. Start a worker that serves it, and it exists.";
    /// The arguments do not fit the parameters that the task type declares; `errors` point at them.
    InvalidArguments "invalid_arguments" UNPROCESSABLE_ENTITY "The task does not take these arguments"
        "Compare them with the `parameters` in `GET /v1/task-types`.";
    /// The item is stored, but its bytes are no image that can be processed.
    ItemNotImage "item_not_image" UNPROCESSABLE_ENTITY "The item is not an image"
        "Upload a JPEG, PNG, WebP, GIF, BMP or TIFF.";
    /// Somebody else has it, and you did not ask to wait; `expires_in` tells when it ends at the latest, if nobody renews it.
    WouldBlock "would_block" CONFLICT "It is taken"
        "Ask again later, or with `?wait=N` to stand in the line.";
    /// The lease, or the place in the line, was yours and has ended. What it protected may be somebody else's.
    LeaseLost "lease_lost" GONE "The lease has ended"
        "Stop what it protected; start again with a new `lease_id`. Renew when a third of the time is over.";
    /// No lease has this id, or it ended over ten minutes ago and is forgotten.
    LeaseNotFound "lease_not_found" NOT_FOUND "There is no such lease"
        "Use the `lease_id` of a lease that you hold, and the name that it is for.";
    /// What you ask is for who holds the lease, and you do not hold it now.
    NotOwner "not_owner" CONFLICT "You do not hold the lease"
        "Acquire it first; one that stands in the line is not yours yet.";
    /// The lease was asked for with a `Lease-Secret`, and this is not it; or without one.
    WrongSecret "wrong_secret" FORBIDDEN "The lease has another secret"
        "Send the `Lease-Secret` that it was asked for with.";
    /// Another request was made with this `lease_id`.
    LeaseIdReused "lease_id_reused" CONFLICT "The id belongs to another request"
        "Make a new id for every lease; repeat a request with the same `owner` and `permits`.";
    /// It has no size yet, so it can grant nothing.
    NotConfigured "not_configured" NOT_FOUND "It has no settings"
        "Make it with a PUT to its address.";
    /// More permits are wanted than there are in all.
    NeverFits "never_fits" UNPROCESSABLE_ENTITY "There are not so many permits"
        "Ask for fewer, or make the semaphore larger.";
    /// As many wait for it as may.
    TooManyWaiters "too_many_waiters" TOO_MANY_REQUESTS "The line is full"
        "Ask again after `Retry-After` seconds.";
    /// The owner holds this lock as often as it may.
    TooManyHolds "too_many_holds" CONFLICT "It is held too often"
        "Give holds back; 64 of one owner are the most.";
    /// The owner holds this lock more than once, and a wait can give back one hold.
    HeldTwice "held_twice" CONFLICT "It is held more than once"
        "Give the inner holds back, then wait.";
    /// Somebody broke the barrier, or the time limit of an arrival was over: who stood at it is refused, and who arrives before a
    /// reset.
    BrokenBarrier "broken_barrier" CONFLICT "The barrier is broken"
        "Find out why a party is missing, then `POST` to its `/reset` and arrive with new ids.";
    /// As many items are ready as may be, and you did not ask to wait.
    QueueFull "queue_full" CONFLICT "The queue is full"
        "Put it in later, or with `?wait=N` to wait for room.";
    /// Items are in the queue, and its `order` stays while they are.
    QueueNotEmpty "queue_not_empty" CONFLICT "Items are in the queue"
        "Let them be fetched and done, or make a queue of another name; what you leave out of a PUT stays as it is.";
    /// The item is in the queue, or was, so there is no place to be given up.
    ItemAlreadyIn "item_already_in" CONFLICT "The item is in the queue"
        "Nothing: it will be fetched. Fetch it yourself if nobody is to have it.";
    /// Another payload was put in under this `item_id`.
    ItemIdReused "item_id_reused" CONFLICT "The id belongs to another item"
        "Make a new id for every item; repeat a request with the same payload.";
    /// The queue takes no more items; and none is unfinished, where you asked for one.
    QueueShutDown "queue_shut_down" CONFLICT "The queue is shut down"
        "Nothing is left to do here. `DELETE` its `/shutdown` to open it again.";
    /// The payload is larger than an item of a work queue may be; `bytes_max` is the limit.
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "The payload is too large"
        "Store the data as an item (`POST /items`) and put its id into the queue.";
    /// A database transaction of the holder's stands on the lease, which cannot end before it.
    LeaseInUse "lease_in_use" CONFLICT "The lease is in use"
        "Repeat the request when the transaction has ended.";
    /// The user of this key sends more requests a second than it may, over all its keys; `limit` tells how many it may.
    RateLimited "rate_limited" TOO_MANY_REQUESTS "There are too many requests"
        "Wait as many seconds as `Retry-After` says. `RateLimit` tells in every answer how many are left.";
    /// The user would have more tasks that have not started, or store more bytes, than it may: `quota` names which, `limit`
    /// tells how much it may have. Nothing of the request was done.
    QuotaExceeded "quota_exceeded" TOO_MANY_REQUESTS "A quota is used up"
        "Wait until tasks have started, cancel some, or delete items; then send it again. The operator can raise the quota.";
    /// A fault of ours. The text of the error is in the log only.
    Internal "internal" INTERNAL_SERVER_ERROR "Something went wrong here"
        "Tell the operator the `instance`, which finds the request in the log. Repeat it only with an `Idempotency-Key`.";
    /// PostgreSQL does not answer. Nothing was changed.
    DatabaseUnavailable "database_unavailable" SERVICE_UNAVAILABLE "The database is not available"
        "Repeat the request after `Retry-After` seconds, and wait longer each time.";
    /// PostgreSQL answers and takes no writes now: it is a standby that was not promoted yet, or somebody set it to be
    /// read-only. Nothing was changed.
    DatabaseReadOnly "database_read_only" SERVICE_UNAVAILABLE "The database takes no writes"
        "Repeat the request after `Retry-After` seconds, and wait longer each time; it ends when the database is writable again.";
    /// The database did not confirm in time, so the request may have been done or not.
    OutcomeUnknown "outcome_unknown" SERVICE_UNAVAILABLE "It is not known whether the task was accepted"
        "Repeat it with the same `Idempotency-Key`: it is then done once. Without a key a repeated request may make a second task.";
    /// Too many uploads, tasks or changes wait to be stored. Nothing of this request was.
    Overloaded "overloaded" SERVICE_UNAVAILABLE "There is too much to do right now"
        "Repeat the request after `Retry-After` seconds.";
    /// No worker that can do this was ever started on this installation.
    NoWorkerYet "no_worker_yet" SERVICE_UNAVAILABLE "No worker has offered this yet"
        "Start a worker, or wait for one that is just starting, and repeat the request.";
    /// This process is starting, stopping, or without its database.
    NotReady "not_ready" SERVICE_UNAVAILABLE "Not ready"
        "Send requests to another process, or wait.";
}

impl Code {
    /// Whether the same request may well succeed later.
    pub(crate) fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::TaskNotFinished
                | Self::WorkflowNotFinished
                | Self::BodyTimeout
                | Self::IdempotencyInFlight
                | Self::Contended
                | Self::WouldBlock
                | Self::TooManyWaiters
                | Self::LeaseInUse
                | Self::QueueFull
                | Self::RateLimited
                | Self::QuotaExceeded
        ) || self.status() == StatusCode::SERVICE_UNAVAILABLE
    }

    /// The code of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
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

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What kind of problem. The list is closed: a code is never renamed and never reused."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
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

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in Code::ALL {
            let texts = [code.meaning(), code.remedy()];
            assert!(texts.iter().all(|text| text.len() > 10 && text.ends_with('.')), "{code:?}");
        }
    }
}
