//! Parameters that several addresses take, said once: each extractor states its own with these.

use utoipa::openapi::{
    KnownFormat, ObjectBuilder, RefOr, Required, Schema, SchemaFormat, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

/// `{id}` in a path.
pub(crate) fn path_id(description: &str) -> Parameter {
    let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(uuid)).build();
    parameter("id", ParameterIn::Path, description, schema).required(Required::True).build()
}

/// `{name}` in a path.
pub(crate) fn path(name: &str, description: &str, example: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    let path = parameter(name, ParameterIn::Path, description, schema).required(Required::True);
    path.example(Some(example.into())).build()
}

/// `{id}` in a path, where it is a number.
pub(crate) fn path_number(description: &str) -> Parameter {
    let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
    let schema = ObjectBuilder::new().schema_type(Type::Integer).format(Some(format)).build();
    parameter("id", ParameterIn::Path, description, schema).required(Required::True).build()
}

/// A header that may be left out.
pub(crate) fn header(name: &str, description: &str, example: &str, schema: ObjectBuilder) -> Parameter {
    let schema = schema.schema_type(Type::String).build();
    parameter(name, ParameterIn::Header, description, schema).example(Some(example.into())).build()
}

/// A part of the query that may be left out.
pub(crate) fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    parameter(name, ParameterIn::Query, description, schema).build()
}

fn parameter(name: &str, place: ParameterIn, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}
