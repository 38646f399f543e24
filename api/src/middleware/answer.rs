//! What becomes of an answer before it leaves: one layer for what concerns every answer and changes few, because each layer of
//! its own costs every request an allocation and a copy.

use actix_web::{
    Error,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{compress::compressed, gate::closed, problems::documented};

/// Holds back what needs a database that is not prepared, writes errors as problem documents, and compresses what is worth it.
pub(crate) async fn answer<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let response = match closed(&request) {
        Some(problem) => documented(request.error_response(problem)).map_into_right_body(),
        None => match next.call(request).await? {
            response if response.status().as_u16() < 400 => response.map_into_left_body(),
            refused => documented(refused).map_into_right_body(),
        },
    };
    compressed(response).await
}
