//! Routes as data: what is registered with actix-web is written down beside it, so that a test can hold it against the
//! OpenAPI document. An address that clients cannot read about does not exist for them.

use actix_web::{
    FromRequest, Handler, Responder, Route,
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use utoipa::{IntoParams, openapi::HttpMethod};

use crate::{
    extract::KnownParameters,
    middleware::{Needs, guarded_in_time},
};

/// A route as it was registered.
pub(crate) struct ListedRoute {
    /// Its method.
    pub(crate) method: HttpMethod,
    /// Its address; of several spellings the first.
    pub(crate) address: &'static str,
    /// What it needs of who calls it.
    pub(crate) needs: Needs,
    /// What its query may ask for.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test holds it against the document"))]
    pub(crate) parameters: KnownParameters,
}

/// Registers routes and remembers them.
pub(super) struct Table<'a> {
    api: &'a mut ServiceConfig,
    listed: Vec<ListedRoute>,
}

/// One address and what it takes.
pub(super) struct Resource {
    patterns: Vec<&'static str>,
    verbs: Vec<Verb>,
}

/// One method of an address.
pub(super) struct Verb {
    method: HttpMethod,
    needs: Needs,
    parameters: KnownParameters,
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
        for Verb { method, needs, parameters, route } in verbs {
            let known = parameters.clone();
            let guarded = from_fn(move |request, next| guarded_in_time(needs, known.clone(), request, next));
            service = service.route(route.wrap(guarded));
            self.listed.push(ListedRoute { method, address, needs, parameters });
        }
        self.api.service(service);
        self
    }

    /// Everything that was registered.
    pub(super) fn listed(self) -> Vec<ListedRoute> {
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
pub(super) fn get<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    verb(HttpMethod::Get, needs, web::get().to(handler))
}

/// Does something.
pub(super) fn post<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    verb(HttpMethod::Post, needs, web::post().to(handler))
}

/// Replaces something.
pub(super) fn put<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    verb(HttpMethod::Put, needs, web::put().to(handler))
}

/// Changes a part of something.
pub(super) fn patch<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    verb(HttpMethod::Patch, needs, web::patch().to(handler))
}

/// Ends something.
pub(super) fn delete<F, Args>(needs: Needs, handler: F) -> Verb
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    verb(HttpMethod::Delete, needs, web::delete().to(handler))
}

fn verb(method: HttpMethod, needs: Needs, route: Route) -> Verb {
    Verb { method, needs, parameters: KnownParameters::default(), route }
}

impl Verb {
    /// Takes the query parameters of `P`; a route that does not say so takes none, and refuses all.
    pub(super) fn asks<P: IntoParams>(mut self) -> Self {
        self.parameters = KnownParameters::of::<P>();
        self
    }
}
