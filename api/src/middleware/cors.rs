//! Cross-origin requests of web pages, for the origins of the setting and for no others. Off where the setting names none.
//!
//! A key travels in `Authorization`, which a page has to send by itself, so no cookies are allowed with it.

use actix_cors::Cors;
use actix_web::middleware::Condition;

use crate::origins::AllowedOrigins;

/// Seconds for which a browser may remember an answer to its preflight; browsers cut it to two hours at most.
const PREFLIGHT_SECONDS: usize = 3600;
/// What an answer tells in headers of its own, and a page may read.
const READABLE: [&str; 14] = [
    "Accept-Ranges",
    "Cache-Status",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Vary",
    "WWW-Authenticate",
    "X-Request-Id",
];

/// Answers preflights of allowed origins, and tells browsers what their pages may read.
pub(crate) fn cors(origins: &AllowedOrigins) -> Condition<Cors> {
    let cors = origins.iter().fold(Cors::default(), Cors::allowed_origin);
    let cors = cors
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
        .allow_any_header()
        .expose_headers(READABLE)
        .max_age(PREFLIGHT_SECONDS)
        // a stranger's request is answered without a word on origins, so its browser keeps the answer from the page
        .block_on_origin_mismatch(false);
    Condition::new(!origins.is_empty(), cors)
}
