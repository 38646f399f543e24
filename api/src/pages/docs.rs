//! `GET /docs`: the OpenAPI document as a page.

use askama::Template;
use serde_json::Value;
use utoipa::openapi::{OpenApi, RefOr, Schema as JsonSchema};

use super::{
    kind::{Word, kind, limits},
    text::{Paragraph, Piece, paragraphs, pieces},
};

/// Headers that stand beside every answer; the introduction tells of them.
const EVERYWHERE: [&str; 3] = ["X-Request-Id", "RateLimit", "RateLimit-Policy"];

/// The page.
#[derive(Template)]
#[template(path = "docs.html")]
pub(super) struct Docs {
    version: String,
    introduction: Vec<Paragraph>,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

/// Operations under one tag.
struct Group {
    name: String,
    about: Paragraph,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    about: Vec<Paragraph>,
    parameters: Vec<Row>,
    body: Option<Body>,
    curl: String,
    answers: Vec<Answer>,
    problems: Vec<Refusal>,
}

/// A parameter, or a field of a schema.
struct Row {
    name: String,
    /// Where a parameter stands.
    place: String,
    required: bool,
    kind: Vec<Word>,
    limits: String,
    about: Vec<Paragraph>,
}

struct Body {
    media_type: String,
    kind: Vec<Word>,
}

/// What a request that was done is answered.
struct Answer {
    status: String,
    about: Vec<Paragraph>,
    kind: Vec<Word>,
    media_types: String,
    headers: Vec<Row>,
    example: String,
}

/// A status that says no, and the codes it may carry.
struct Refusal {
    status: String,
    codes: Vec<(String, String)>,
}

struct Schema {
    name: String,
    about: Vec<Paragraph>,
    kind: Vec<Word>,
    limits: String,
    fields: Vec<Row>,
}

impl Docs {
    /// Of the whole document.
    pub(super) fn of(openapi: &OpenApi) -> serde_json::Result<Self> {
        let document = &serde_json::to_value(openapi)?;
        let groups = list(at(document, &["tags"])).map(|tag| group(openapi, document, tag)).collect();
        let schemas = entries(at(document, &["components", "schemas"]))
            .map(|(name, schema)| self::schema(name, schema, &field_order(openapi, name)));
        Ok(Self {
            version: string(at(document, &["info", "version"])),
            introduction: paragraphs(text(at(document, &["info", "description"]))),
            groups,
            schemas: schemas.collect(),
        })
    }
}

/// In the order of the document, which a JSON value does not keep; of one address what makes before what shows.
fn group(openapi: &OpenApi, document: &Value, tag: &Value) -> Group {
    let operations = openapi.paths.paths.keys().flat_map(|path| {
        let mut methods: Vec<(&str, &Value)> = entries(at(document, &["paths", path])).collect();
        methods.sort_by_key(|(method, _)| *method != "post");
        methods
            .into_iter()
            .filter(|(_, operation)| list(at(operation, &["tags"])).any(|name| name == at(tag, &["name"])))
            .map(move |(method, operation)| self::operation(method, path, operation))
    });
    Group {
        name: string(at(tag, &["name"])),
        about: pieces(text(at(tag, &["description"]))),
        operations: operations.collect(),
    }
}

/// A schema's fields as its type declares them.
fn field_order(openapi: &OpenApi, name: &str) -> Vec<String> {
    fn of(schema: &RefOr<JsonSchema>) -> Vec<String> {
        match schema {
            RefOr::T(JsonSchema::Object(object)) => object.properties.keys().cloned().collect(),
            RefOr::T(JsonSchema::AllOf(all)) => all.items.iter().flat_map(of).collect(),
            _ => Vec::new(),
        }
    }
    let schemas = openapi.components.as_ref().map(|components| &components.schemas);
    schemas.and_then(|schemas| schemas.get(name)).map(of).unwrap_or_default()
}

fn operation(method: &str, path: &str, operation: &Value) -> Operation {
    let body = entries(at(operation, &["requestBody", "content"])).next();
    let responses = || entries(at(operation, &["responses"]));
    Operation {
        id: string(at(operation, &["operationId"])),
        method: method.to_uppercase(),
        path: path.into(),
        summary: string(at(operation, &["summary"])),
        about: paragraphs(text(at(operation, &["description"]))),
        // those that are references are common to all, and stand in the introduction
        parameters: list(at(operation, &["parameters"]))
            .filter(|it| at(it, &["$ref"]).is_null())
            .map(parameter)
            .collect(),
        body: body
            .map(|(media_type, content)| Body { media_type: media_type.into(), kind: kind(at(content, &["schema"])) }),
        curl: curl(method, path, body),
        answers: responses().filter(|(status, _)| !is_error(status)).map(answer).collect(),
        problems: responses().filter(|(status, _)| is_error(status)).map(refusal).collect(),
    }
}

fn is_error(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

fn parameter(parameter: &Value) -> Row {
    row(
        text(at(parameter, &["name"])),
        text(at(parameter, &["in"])),
        at(parameter, &["required"]) == true,
        at(parameter, &["schema"]),
        text(at(parameter, &["description"])),
    )
}

fn row(name: &str, place: &str, required: bool, schema: &Value, about: &str) -> Row {
    Row {
        name: name.into(),
        place: place.into(),
        required,
        kind: kind(schema),
        limits: limits(schema),
        about: paragraphs(about),
    }
}

fn answer((status, response): (&str, &Value)) -> Answer {
    let content = || entries(at(response, &["content"]));
    let example = content().next().map(|(_, content)| at(content, &["example"])).filter(|example| !example.is_null());
    let header = |(name, header): (&str, &Value)| {
        row(name, "", false, at(header, &["schema"]), text(at(header, &["description"])))
    };
    Answer {
        status: status.into(),
        about: paragraphs(text(at(response, &["description"]))),
        kind: content().next().map(|(_, content)| kind(at(content, &["schema"]))).unwrap_or_default(),
        media_types: content().map(|(media_type, _)| media_type).collect::<Vec<_>>().join(", "),
        headers: entries(at(response, &["headers"]))
            .filter(|(name, _)| !EVERYWHERE.contains(name))
            .map(header)
            .collect(),
        example: example.map(pretty).unwrap_or_default(),
    }
}

fn refusal((status, response): (&str, &Value)) -> Refusal {
    let examples = entries(at(response, &["content", "application/problem+json", "examples"]));
    Refusal {
        status: status.into(),
        codes: examples.map(|(code, example)| (code.into(), string(at(example, &["summary"])))).collect(),
    }
}

fn schema(name: &str, schema: &Value, order: &[String]) -> Schema {
    // what is put together of several is shown as one
    let parts: Vec<&Value> = match at(schema, &["allOf"]).as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![schema],
    };
    let field = |name: &String| {
        let part = parts.iter().find(|part| !at(part, &["properties", name]).is_null())?;
        let (field, required) = (at(part, &["properties", name]), list(at(part, &["required"])).any(|it| it == name));
        Some(row(name, "", required, field, text(at(field, &["description"]))))
    };
    Schema {
        name: name.into(),
        about: paragraphs(text(at(schema, &["description"]))),
        kind: if at(schema, &["properties"]).is_null() { kind(schema) } else { Vec::new() },
        limits: limits(schema),
        fields: order.iter().filter_map(field).collect(),
    }
}

/// A request that can be pasted into a shell.
fn curl(method: &str, path: &str, body: Option<(&str, &Value)>) -> String {
    let address = format!("$CARAWAY_URL{}", path.replace("{id}", "$ID").replace("{code}", "$CODE"));
    match body {
        Some((media_type, content)) if media_type.ends_with("json") => {
            let example = at(content, &["example"]).to_string();
            format!("curl -sS {address} \\\n  -H 'Content-Type: {media_type}' \\\n  -d '{example}'")
        }
        Some((media_type, _)) => {
            format!("curl -sS {address} \\\n  -H 'Content-Type: {media_type}' --data-binary @picture.jpg")
        }
        None if method != "get" => format!("curl -sS -X {} {address}", method.to_uppercase()),
        None => format!("curl -sS {address}"),
    }
}

fn pretty(example: &Value) -> String {
    serde_json::to_string_pretty(example).unwrap_or_default()
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn list(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

/// A part of a document; null where there is none.
fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(value, |value, name| value.get(name).unwrap_or(&Value::Null))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn string(value: &Value) -> String {
    text(value).into()
}

#[cfg(test)]
mod tests {
    use super::super::Contract;

    #[test]
    fn every_operation_and_every_schema_has_an_anchor_and_every_link_leads_to_one() {
        let contract = Contract::default();
        let contract = contract.pages().unwrap();
        let page = String::from_utf8(contract.docs.plain.to_vec()).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&contract.openapi.plain).unwrap();
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"schema-{name}\"")), "{name}");
        }
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
            }
        }
        for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(page.contains(&format!("id=\"{link}\"")), "{link} leads nowhere");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("style=\""));
    }
}
