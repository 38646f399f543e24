//! Routes as data: what is registered with actix-web is written down beside it, so that a test can hold it against the
//! OpenAPI document. An address that clients cannot read about does not exist for them.

use actix_web::{
    FromRequest, Handler, Responder, Route,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use utoipa::openapi::HttpMethod;

use crate::middleware::deadline;

/// Registers routes and remembers them.
pub(super) struct Table<'a> {
    api: &'a mut ServiceConfig,
    listed: Vec<(HttpMethod, &'static str)>,
}

/// One address and what it takes.
pub(super) struct Resource {
    patterns: Vec<&'static str>,
    verbs: Vec<Verb>,
}

/// One method of an address.
pub(super) struct Verb {
    method: HttpMethod,
    route: Route,
}

impl<'a> Table<'a> {
    /// Nothing is registered yet.
    pub(super) fn new(api: &'a mut ServiceConfig) -> Self {
        Self { api, listed: Vec::new() }
    }

    /// Registers an address.
    pub(super) fn service(mut self, resource: Resource) -> Self {
        let Resource { patterns, verbs } = resource;
        let address = patterns.first().copied().unwrap_or_default();
        let mut service = web::resource(patterns);
        for Verb { method, route } in verbs {
            self.listed.push((method, address));
            service = service.route(route);
        }
        self.api.service(service);
        self
    }

    /// Everything that was registered.
    pub(super) fn listed(self) -> Vec<(HttpMethod, &'static str)> {
        self.listed
    }
}

impl Resource {
    /// Takes this method too.
    pub(super) fn route(mut self, verb: Verb) -> Self {
        self.verbs.push(verb);
        self
    }
}

/// An address; of several spellings the first is the one to use and to read about.
pub(super) fn resource(patterns: impl Spellings) -> Resource {
    Resource { patterns: patterns.all(), verbs: Vec::new() }
}

/// One pattern or several.
pub(super) trait Spellings {
    /// All of them.
    fn all(self) -> Vec<&'static str>;
}

impl Spellings for &'static str {
    fn all(self) -> Vec<&'static str> {
        vec![self]
    }
}

impl<const N: usize> Spellings for [&'static str; N] {
    fn all(self) -> Vec<&'static str> {
        self.to_vec()
    }
}

/// Asks for something; HEAD comes here too.
pub(super) fn get<F, Args>(handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: HttpMethod::Get, route: web::get().to(handler).wrap(from_fn(deadline)) }
}

/// Does something.
pub(super) fn post<F, Args>(handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: HttpMethod::Post, route: web::post().to(handler).wrap(from_fn(deadline)) }
}

/// Removes something.
pub(super) fn delete<F, Args>(handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    Verb { method: HttpMethod::Delete, route: web::delete().to(handler).wrap(from_fn(deadline)) }
}
