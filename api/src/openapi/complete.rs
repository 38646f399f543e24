//! What every operation has in common, added to the document after its parts were put together: problems as responses,
//! the request id, and which fields are always there.

use std::collections::BTreeMap;

use actix_web::App;
use utoipa::{
    Modify,
    openapi::{
        AllOfBuilder, ContentBuilder, Header, ObjectBuilder, OpenApi, Ref, RefOr, Response, Schema, Type,
        example::ExampleBuilder,
        path::{HttpMethod, Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::parameter;
use crate::{
    extract::KnownParameters,
    middleware::{Needs, is_always_open},
    problem::{Code, Problem},
    routes,
};

/// The extension in which an operation names its problems: codes, or lists of codes, as deep as they come.
const PROBLEMS: &str = "x-problems";
const REQUEST_ID: &str = "X-Request-Id";
const API_KEY: &str = "api_key";

/// Headers that tell of a user's limit, in every answer to a caller; said of the good ones and of 429, which is enough.
const LIMITS: [(&str, &str); 2] = [
    ("RateLimit-Policy", "Where the user has a limit: how many requests (`q`) in how many seconds (`w`)."),
    (
        "RateLimit",
        "Where the user has a limit: how many requests are left (`r`), and after how many seconds there are more (`t`).",
    ),
];

/// Schemas of answers in which nothing is left out: what is not known is null.
const WHOLE: [&str; 9] =
    ["ApiKey", "Attempt", "QuarantinedMessage", "Queue", "Quotas", "Task", "TaskLine", "TaskType", "User"];

/// Completes the document.
pub(super) struct Complete;

impl Modify for Complete {
    fn modify(&self, document: &mut OpenApi) {
        let needs = needs();
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                let needs = needs.get(&(method, path.as_str())).copied().unwrap_or(Needs::Nothing);
                complete(operation, path, method == "get", needs);
            }
        }
        let Some(components) = &mut document.components else { return };
        components.add_security_scheme(API_KEY, api_key());
        components.parameters.insert(REQUEST_ID.into(), request_id().into());
        components.headers.extend(LIMITS.map(|(name, meaning)| (name.into(), header(meaning).into())));
        for (name, schema) in &mut components.schemas {
            if let RefOr::T(Schema::Object(object)) = schema
                && WHOLE.contains(&name.as_str())
            {
                object.required = object.properties.keys().cloned().collect();
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, post, put, delete, patch, .. } = item;
    let methods = [("get", get), ("post", post), ("put", put), ("delete", delete), ("patch", patch)];
    methods.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What each route needs, by method and address: from where it is enforced.
fn needs() -> BTreeMap<(&'static str, &'static str), Needs> {
    let mut listed = Vec::new();
    let _ = App::new().configure(|api| listed = routes::all(api));
    let method = |method| match method {
        HttpMethod::Post => "post",
        HttpMethod::Put => "put",
        HttpMethod::Delete => "delete",
        HttpMethod::Patch => "patch",
        _ => "get",
    };
    listed.into_iter().map(|route| ((method(route.method), route.address), route.needs)).collect()
}

fn complete(operation: &mut Operation, path: &str, reads: bool, needs: Needs) {
    let mut codes = operation.extensions.take().and_then(|mut all| all.remove(PROBLEMS)).map_or(Vec::new(), named);
    codes.push(Code::Internal);
    codes.extend(KnownParameters::PROBLEMS); // by the guard, on every route
    if !is_always_open(path) {
        codes.extend([Code::DatabaseUnavailable, Code::DatabaseReadOnly]);
    }
    if !reads {
        codes.push(Code::OutcomeUnknown); // by the deadline, whatever the handler is
    }
    if let Some(scope) = needs.scope() {
        codes.extend([
            Code::Unauthorized,
            Code::MissingScope,
            Code::RateLimited,
            Code::Overloaded,
            Code::ForeignHost,
            Code::ForeignOrigin,
        ]);
        operation.security = Some(vec![SecurityRequirement::new(API_KEY, [scope.as_str()])]);
    }
    codes.sort_unstable();
    codes.dedup();
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_u16()).or_default().push(code);
    }
    let responses = &mut operation.responses.responses;
    responses
        .extend(by_status.into_iter().map(|(status, codes)| (status.to_string(), problems(status, &codes).into())));
    for (status, response) in responses.iter_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert(REQUEST_ID.into(), header("Names this request in the log.").into());
            if needs != Needs::Nothing && (status.starts_with('2') || status == "429") {
                let shared = |name| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
                response.headers.extend(LIMITS.map(|(name, _)| (name.into(), shared(name))));
            }
        }
    }
    let parameters = operation.parameters.get_or_insert_default();
    parameters.push(RefOr::Ref(Ref::new(format!("#/components/parameters/{REQUEST_ID}"))));
}

/// What is no code is a slip in an annotation, which the snapshot of the document would show as a missing response.
fn named(value: serde_json::Value) -> Vec<Code> {
    match value {
        serde_json::Value::Array(parts) => parts.into_iter().flat_map(named).collect(),
        serde_json::Value::String(name) => Code::named(&name).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// One status with the problems that it may stand for.
fn problems(status: u16, codes: &[Code]) -> Response {
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|code| code.as_str())));
    let number = ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([status]));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(ObjectBuilder::new().property("code", code).property("status", number))
        .build();
    let examples = codes.iter().map(|code| {
        let example = ExampleBuilder::new().summary(code.title()).value(Some(Problem::example(*code))).build();
        (code.as_str(), example)
    });
    let content = ContentBuilder::new().schema(Some(Schema::AllOf(schema))).examples_from_iter(examples).build();
    let lines = codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning()));
    let mut response = Response::new(lines.collect::<Vec<_>>().join("\n\n"));
    response.content.insert(Problem::MEDIA_TYPE.into(), content.into());
    if codes.iter().any(|code| code.is_retryable()) {
        response.headers.insert("Retry-After".into(), header("Seconds after which to try again.").into());
    }
    response
}

fn header(description: &str) -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String).build());
    header.description = Some(description.into());
    header
}

fn api_key() -> SecurityScheme {
    let description = "An API key: `cwy_…`. Each operation names the scope that it needs; `admin` has all. An installation that \
                       never had a key asks for none.";
    SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build())
}

fn request_id() -> utoipa::openapi::path::Parameter {
    parameter::header(
        REQUEST_ID,
        "Your own name for this request, up to 128 letters, digits and `-_.:/+=`. It is answered, logged, and stands in \
         problem documents; another name is replaced by one of ours.",
        "order-4711",
        ObjectBuilder::new(),
    )
}
