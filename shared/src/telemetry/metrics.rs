//! Metrics: the recorder of this process, rendered for Prometheus at `/metrics`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Names of the counters that tests and alarms look at. Every recovery path has one: a fault test that leaves its
/// counter at 0 has not tested anything.
pub mod names {
    /// Tasks accepted.
    pub const ACCEPTED: &str = "caraway_tasks_accepted_total";
    /// Attempts that ended, by the `state` that they left the task in.
    pub const ENDED: &str = "caraway_attempts_ended_total";
    /// Messages confirmed by the broker.
    pub const PUBLISHED: &str = "caraway_messages_published_total";
    /// Messages that the broker returned: their queue was missing and was declared anew.
    pub const UNROUTABLE: &str = "caraway_messages_unroutable_total";
    /// Queues that the broker refuses to declare, one a priority class: what is owed to them stays owed.
    pub const REFUSED_QUEUES: &str = "caraway_broker_queues_refused";
    /// Messages that the broker refused: a full queue. What they carried stays owed.
    pub const REFUSED_MESSAGES: &str = "caraway_messages_refused_total";
    /// Pointers that a relay published because the first publish had not been confirmed.
    pub const RELAYED: &str = "caraway_relay_published_total";
    /// Pointers that were put aside because the broker refused their queue, or it was full.
    pub const PARKED: &str = "caraway_parked_total";
    /// Tasks that the audit owed again because the broker had lost their message.
    pub const AUDITED: &str = "caraway_audit_owed_again_total";
    /// Tasks taken back from dead sessions.
    pub const RESCUED: &str = "caraway_rescued_total";
    /// Tasks ended as poison.
    pub const POISONED: &str = "caraway_poisoned_total";
    /// Sessions declared dead by this watcher.
    pub const SESSIONS_DEAD: &str = "caraway_sessions_declared_dead_total";
    /// Outcomes refused because their epoch was over.
    pub const REFUSED: &str = "caraway_records_refused_total";
    /// Pointers that claimed nothing: duplicates and leftovers.
    pub const STALE: &str = "caraway_stale_pointers_total";
    /// Pointers that a worker without a free slot published again for those that have some.
    pub const HANDED_ON: &str = "caraway_handed_on_total";
    /// Tasks that a worker claimed.
    pub const CLAIMED: &str = "caraway_claimed_total";
    /// Tasks that ran without a claim, because their accept handed them over.
    pub const HANDED_OVER: &str = "caraway_handed_over_total";
    /// Tasks that were handed over, found no slot or no handler, and went back to their queue.
    pub const HANDED_OVER_BACK: &str = "caraway_handed_over_back_total";
    /// Hand-overs that no message told of, found by a beat.
    pub const HANDED_OVER_UNTOLD: &str = "caraway_handed_over_untold_total";
    /// Pointers given back to the row.
    pub const HANDED_BACK: &str = "caraway_handed_back_total";
    /// Messages put aside as unreadable or unknown.
    pub const QUARANTINED: &str = "caraway_quarantined_total";
    /// Scheduled tasks that became due.
    pub const PROMOTED: &str = "caraway_promoted_total";
    /// Tasks whose turn came after a unique one.
    pub const UNBLOCKED: &str = "caraway_unblocked_total";
    /// Tasks that waited for a unique key which did not know them, and were queued by the audit. A defect, where it rises.
    pub const UNIQUE_ORPHANS: &str = "caraway_unique_orphans_total";
    /// Tasks not started in time.
    pub const EXPIRED: &str = "caraway_expired_total";
    /// Attempts given up by the deadline sweep.
    pub const OVERDUE: &str = "caraway_overdue_total";
    /// Finished tasks removed because they were past their time.
    pub const REMOVED: &str = "caraway_tasks_removed_total";
    /// Reconnects to the broker, by `role`.
    pub const RECONNECTS: &str = "caraway_broker_reconnects_total";
    /// Times that the broker took no messages any more because it was short of memory or disk, by `role`.
    pub const BLOCKED: &str = "caraway_broker_blocked_total";
    /// Uploads that nobody finished, removed.
    pub const UPLOADS_SWEPT: &str = "caraway_uploads_swept_total";
    /// Database connections that are lent out of their `pool` now.
    pub const CONNECTIONS_IN_USE: &str = "caraway_database_connections_in_use";
    /// Reads answered from Redis, by `kind`.
    pub const CACHE_HITS: &str = "caraway_cache_hits_total";
    /// Reads for which Redis had nothing, by `kind`.
    pub const CACHE_MISSES: &str = "caraway_cache_misses_total";
    /// Reads answered from Redis past the value's time, while it was loaded anew, by `kind`.
    pub const CACHE_STALE: &str = "caraway_cache_stale_total";
    /// Reads answered past the cache, by `kind` and `reason`: Redis is `away`, an invalidation is `outstanding` or may be,
    /// somebody else's load was `waited` for in vain.
    pub const CACHE_BYPASSES: &str = "caraway_cache_bypasses_total";
    /// Reads that shared the round of another.
    pub const CACHE_COALESCED: &str = "caraway_cache_coalesced_total";
    /// Values loaded anew before their time, or just after it, by `kind`.
    pub const CACHE_REFRESHES: &str = "caraway_cache_refreshes_total";
    /// Values that were not kept, `because` the `token` was gone or they were below the `floor`.
    pub const CACHE_FILLS_REFUSED: &str = "caraway_cache_fills_refused_total";
    /// Writes that were answered late, because Redis did not confirm their invalidation.
    pub const CACHE_UNCONFIRMED: &str = "caraway_cache_invalidations_unconfirmed_total";
    /// Invalidations that a relay made because their writer had not.
    pub const CACHE_REPLAYED: &str = "caraway_cache_invalidations_replayed_total";
    /// Age of the oldest invalidation that is owed, seconds.
    pub const CACHE_OUTBOX_AGE: &str = "caraway_cache_outbox_age_seconds";
    /// Questions that Redis did not answer, or with an error.
    pub const CACHE_FAILED: &str = "caraway_cache_failures_total";
    /// Times Redis did not answer and was left alone for a while.
    pub const CACHE_TRIPS: &str = "caraway_cache_breaker_trips_total";
    /// The breaker: 0 closed, 1 trying, 2 open.
    pub const CACHE_BREAKER: &str = "caraway_cache_breaker";
    /// Requests refused because their user had too many in a second.
    pub const RATE_REFUSED: &str = "caraway_rate_refused_total";
    /// Times that requests were taken out of a user's bucket in Redis, several at a time.
    pub const RATE_TAKES: &str = "caraway_rate_takes_total";
    /// Times that Redis did not answer that, and this process's share of the rate had to do for a second.
    pub const RATE_ALONE: &str = "caraway_rate_alone_total";
    /// Requests refused because their user's quota was used up, by `quota`.
    pub const QUOTA_REFUSED: &str = "caraway_quota_refused_total";
    /// Times that a user's tasks or bytes were counted, by `quota`.
    pub const QUOTA_COUNTS: &str = "caraway_quota_counts_total";
    /// Handlers given up that went on all the same, ever.
    pub const OVERSTAYED: &str = "caraway_worker_handlers_overstayed_total";
    /// Those that go on now.
    pub const OVERDUE_HANDLERS: &str = "caraway_worker_overdue_handlers";
    /// Slots that they hold, because too many of them go on.
    pub const WITHHELD_SLOTS: &str = "caraway_worker_withheld_slots";
    /// Requests that wait for a task's end now.
    pub const WAITS: &str = "caraway_waits_open";
    /// Rows read for those who wait for tasks and workflows; all who wait for one share a read.
    pub const WAIT_LOOKS: &str = "caraway_wait_looks_total";
    /// Requests and handlers that wait for a lease, an event, a barrier or a work queue now.
    pub const LEASE_WAITS: &str = "caraway_lease_waits_open";
    /// Leases granted, by `kind`: of a `lock`, a `semaphore`, an item of a `work_queue`.
    pub const LEASES_GRANTED: &str = "caraway_leases_granted_total";
    /// Leases that ran out while their client held them, by `kind`: it died, froze, or asks for too little time.
    pub const LEASES_LOST: &str = "caraway_leases_lost_total";
    /// Grants that a waiter did not fetch in time, by `kind`: each held up those behind it for five seconds.
    pub const LEASES_UNCLAIMED: &str = "caraway_leases_unclaimed_total";
    /// Tasks running now.
    pub const RUNNING: &str = "caraway_tasks_running";
    /// Seconds from queued to claimed.
    pub const WAIT_SECONDS: &str = "caraway_queue_wait_seconds";
    /// Seconds from claimed to the end of the run.
    pub const RUN_SECONDS: &str = "caraway_run_seconds";
    /// Seconds of an HTTP request, by `route` and `status`.
    pub const HTTP_SECONDS: &str = "caraway_http_request_seconds";
    /// Connections over HTTP that are open.
    pub const HTTP_CONNECTIONS: &str = "caraway_http_connections_open";
    /// Lines of libraries that were left out of the log, because the same place had written too many.
    pub const LOG_LINES_LEFT_OUT: &str = "caraway_log_lines_left_out_total";
}

/// How often histograms are folded; without it they grow.
const UPKEEP: Duration = Duration::from_secs(5);
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Rendering takes at most one part in so many of a core's time, however often it is asked for.
const RENDER_PARTS: u32 = 20;
/// What was rendered is shared for so long at most.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// The process's metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
    rendered: Arc<Mutex<Option<Rendered>>>,
}

struct Rendered {
    text: Bytes,
    good_until: Instant,
}

impl Metrics {
    /// Installs the recorder and keeps it tidy on the current runtime. Once per process.
    pub fn install() -> anyhow::Result<Self> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_rows".into()), ROWS)?
            .install_recorder()?;
        // present from the start, so that "0" can be told from "not there"
        for name in [
            names::ACCEPTED,
            names::RELAYED,
            names::PARKED,
            names::AUDITED,
            names::RESCUED,
            names::POISONED,
            names::SESSIONS_DEAD,
            names::REFUSED,
            names::STALE,
            names::HANDED_BACK,
            names::HANDED_ON,
            names::CLAIMED,
            names::HANDED_OVER,
            names::HANDED_OVER_BACK,
            names::HANDED_OVER_UNTOLD,
            names::QUARANTINED,
            names::PROMOTED,
            names::UNBLOCKED,
            names::UNIQUE_ORPHANS,
            names::EXPIRED,
            names::OVERDUE,
            names::OVERSTAYED,
            names::REMOVED,
            names::UPLOADS_SWEPT,
            names::UNROUTABLE,
            names::PUBLISHED,
            names::CACHE_TRIPS,
            names::CACHE_FAILED,
            names::CACHE_HITS,
            names::CACHE_MISSES,
            names::CACHE_STALE,
            names::CACHE_BYPASSES,
            names::CACHE_COALESCED,
            names::CACHE_REFRESHES,
            names::CACHE_FILLS_REFUSED,
            names::CACHE_UNCONFIRMED,
            names::CACHE_REPLAYED,
            names::RATE_REFUSED,
            names::RATE_TAKES,
            names::RATE_ALONE,
        ] {
            ::metrics::counter!(name).absolute(0);
        }
        let upkeep = handle.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(UPKEEP);
            loop {
                tick.tick().await;
                upkeep.run_upkeep();
            }
        });
        Ok(Self { recorder: handle, rendered: Arc::default() })
    }

    /// The text format that Prometheus reads. Those who ask at the same time, or soon after each other, share one text.
    pub fn render(&self) -> Bytes {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if let Some(rendered) = rendered.as_ref().filter(|rendered| rendered.good_until > began) {
            return rendered.text.clone();
        }
        let text = Bytes::from(self.recorder.render());
        let now = Instant::now();
        let good_until = now + ((now - began) * RENDER_PARTS).min(SHARED_FOR);
        *rendered = Some(Rendered { text: text.clone(), good_until });
        text
    }
}
