//! Keeps libraries from flooding the log: what one place in a library says is told a few times in ten seconds, and the rest is
//! counted. A stranger can make actix-http tell of a bad head, and a broken network make lapin tell of a channel, as often as
//! they like; our own lines are not held back.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Event, Metadata, callsite::Identifier};
use tracing_subscriber::layer::{Context, Filter};

use super::names;

/// Libraries whose lines others can cause.
const LIBRARIES: [&str; 6] = ["actix", "hyper", "lapin", "redis", "rustls", "tokio_postgres"];
/// Lines of one place in [`WINDOW`].
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Holds lines of libraries back where there are too many.
#[derive(Default)]
pub(super) struct FloodGate(Mutex<HashMap<Identifier, Window>>);

struct Window {
    began: Instant,
    lines: u32,
}

impl FloodGate {
    /// Whether a line of this place may be written now.
    fn lets_pass(&self, place: Identifier, now: Instant) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = places.entry(place).or_insert(Window { began: now, lines: 0 });
        if now.duration_since(window.began) >= WINDOW {
            *window = Window { began: now, lines: 0 };
        }
        window.lines = window.lines.saturating_add(1);
        window.lines <= LINES_MAX
    }
}

impl<S> Filter<S> for FloodGate {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let place = event.metadata();
        let passes = !LIBRARIES.iter().any(|library| place.target().starts_with(library))
            || self.lets_pass(place.callsite(), Instant::now());
        if !passes {
            ::metrics::counter!(names::LOG_LINES_LEFT_OUT).increment(1);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the place of an event in a library.
    struct Heard(std::sync::Arc<std::sync::atomic::AtomicU32>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Heard {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn a_library_is_heard_a_few_times_and_we_are_always() {
        use tracing_subscriber::prelude::*;
        let heard = std::sync::Arc::default();
        let layer = Heard(std::sync::Arc::clone(&heard)).with_filter(FloodGate::default());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for _ in 0..1000 {
                tracing::error!(target: "actix_http::h1::dispatcher", "stream error");
                tracing::info!("ours");
            }
        });
        assert_eq!(heard.load(std::sync::atomic::Ordering::Relaxed), 1000 + LINES_MAX);
    }
}
