//! Notices a consumer that the broker has forgotten: its queue was deleted and made anew before the broker turned to its
//! consumers (the publisher's `GONE_PAUSE` tells the story), and nobody says so. Messages lie ready, slots are free, and
//! nothing comes.
//!
//! Invariant: a lane is called silent only if all of that was seen twice in a row, so that a message on its way is none.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use caraway_shared::{
    broker::{BrokerError, Consumer},
    task::Class,
};
use tokio::time::{Instant, sleep};

use crate::{consume::Lane, startup::Engine};

/// Between two looks. The broker is asked only about a lane of which a class was silent for so long.
const EVERY: Duration = Duration::from_secs(10);

/// When a lane has last heard something of each class.
pub(crate) struct Heard(Mutex<[(Class, Instant); 3]>);

impl Heard {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Class::ALL.map(|class| (class, Instant::now()))))
    }

    pub(crate) fn note(&self, class: Class) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, at) in heard.iter_mut().filter(|(heard, _)| *heard == class) {
            *at = Instant::now();
        }
    }

    fn silent(&self) -> Vec<Class> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|(_, at)| at.elapsed() >= EVERY).map(|(class, _)| *class).collect()
    }
}

/// Returns when the consumer has to be opened anew.
pub(crate) async fn watch(engine: &Engine, lane: &Lane, heard: &Heard) -> BrokerError {
    let mut suspected: Vec<Class> = Vec::new();
    loop {
        sleep(EVERY).await;
        let silent = heard.silent();
        if silent.is_empty() || lane.slots.available_permits() == 0 {
            suspected.clear();
            continue;
        }
        let Ok(ready) = Consumer::ready(&engine.consuming, &lane.queue).await else { continue };
        let waits = |class: &Class| ready.iter().any(|(of, count)| of == class && *count > 0);
        let now: Vec<Class> = silent.into_iter().filter(waits).collect();
        if now.iter().any(|class| suspected.contains(class) && heard.silent().contains(class)) {
            return BrokerError::Silent;
        }
        suspected = now;
    }
}
