//! Publish: pointers become persistent, mandatory messages; the outbox's rows are paid once the broker has confirmed them.
//!
//! Invariants: a queue that the broker refuses concerns nobody else, and what is owed to it is parked; nothing is paid before its
//! confirm; an acked but returned message is unroutable and pays nothing; whatever is dropped here stays owed, and a relay takes
//! it. One task owns the channel, so that frames and confirms keep one order; confirms are awaited in a window, never one by one.
//!
//! Bundles fill by themselves, as the batches of the database's writers do: with little on its way a pointer goes out at
//! once; with much, the next message takes what has gathered when a confirm comes. The broker's cost is per message.
//!
//! The file is long because it is one session's whole life: all of it shares the state of one channel.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    BrokerError, Link,
    full::Full,
    hand_on::hand_on,
    link::RPC_TIMEOUT,
    messages::messages,
    payments::{Part, Payments},
    refusals::Refusals,
    spread::Spread,
    topology::{declare_apart, name},
};
use crate::{
    broken::Rule,
    store::{Store, tasks::Owed},
    task::{Bundle, Class, Pointer, QueueName, SessionId},
    telemetry::names,
};

/// Messages whose confirm may be outstanding.
const WINDOW: usize = 256;
/// With fewer messages on their way than this, what is offered goes out at once.
const EAGER_MAX: usize = 4;
/// A confirm that takes longer ends the channel; what it carried stays owed.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// What a worker hands on is with the broker within this, or goes back with its delivery.
const HAND_ON_TIMEOUT: Duration = Duration::from_secs(2);
/// Offers that may wait; more are dropped, and a relay takes them.
const OFFERS_MAX: usize = 4096;
/// Offers of relays at a time.
const RELAYS_MAX: usize = 2;
/// Offers taken at a time.
const TAKE_MAX: usize = 256;
/// Payments are written this late, so that many go in one statement.
const PAY_EVERY: Duration = Duration::from_millis(300);
/// The relay may take an accepted row after a second; the publisher beside the accept leaves it a little earlier.
const FRESH: Duration = Duration::from_millis(800);
/// A relay holds what it took for ten seconds.
const RELAYED: Duration = Duration::from_secs(8);
/// Between two sessions with a broker that refuses.
const PAUSE: Duration = Duration::from_millis(500);

/// Before a queue that was deleted is made anew: until then RabbitMQ has told its consumers. Where the queue is back by the
/// time that it turns to them, it consumes it in their stead, and forgets that it did (3.10, `rabbit_channel`: what handles
/// `eol` drops the state that its own `basic_consume` made): they count as consumers, take messages and hear nothing.
/// Shorter than a relay leaves what was just accepted, or that would be tried in vain and held for ten seconds.
const GONE_PAUSE: Duration = Duration::from_millis(500);

/// Whole rows of the outbox, as far as their tasks are queued.
struct Offer {
    owed: Vec<Owed>,
    /// Past it somebody else publishes this.
    until: Instant,
    /// A relay's, given back when all is on its way: what is owed is in the database, and not in our memory.
    place: Option<OwnedSemaphorePermit>,
}

/// The door to the publishing task. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    offers: mpsc::Sender<Offer>,
    relays: Arc<Semaphore>,
    link: Link,
    spread: Spread,
}

impl Publisher {
    /// Starts publishing over `link` on the current runtime.
    pub fn start(link: Link, store: Store, shutdown: CancellationToken) -> Self {
        let (offers, waiting) = mpsc::channel(OFFERS_MAX);
        let spread = Spread::default();
        tokio::spawn(spread.clone().keep_fresh(store.clone(), shutdown.clone()));
        tokio::spawn(run(link.clone(), store, waiting, spread.clone(), shutdown));
        Self { offers, relays: Arc::new(Semaphore::new(RELAYS_MAX)), link, spread }
    }

    /// Offers what was just committed. Never waits: when too much waits already, a relay takes it in a second.
    pub fn offer(&self, owed: Vec<Owed>) {
        let _ = self.offers.try_send(Offer { owed, until: Instant::now() + FRESH, place: None });
    }

    /// Publishes what a relay took; waits for a place. False when shutting down.
    pub(super) async fn relay(&self, owed: Vec<Owed>) -> bool {
        let until = Instant::now() + RELAYED;
        let Ok(place) = Arc::clone(&self.relays).acquire_owned().await else { return false };
        self.offers.send(Offer { owed, until, place: Some(place) }).await.is_ok()
    }

    /// Slots of this queue that are free in other sessions than this one, as far as their beats have told.
    pub fn free_beside(&self, queue: &QueueName, session: SessionId) -> usize {
        self.spread.known().free_beside(queue, session)
    }

    /// Publishes pointers that a worker holds and cannot run, `size` to a message. Their delivery may be settled once this
    /// has returned `Ok`, and not before.
    pub async fn hand_on(
        &self,
        queue: &QueueName,
        class: Class,
        pointers: &[Pointer],
        size: usize,
    ) -> Result<(), BrokerError> {
        let handing = hand_on(&self.link, queue, class, pointers, size);
        timeout(HAND_ON_TIMEOUT, handing).await.map_err(|_| BrokerError::Timeout)?
    }

    /// Whether a publish has a chance now.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }
}

async fn run(link: Link, store: Store, mut offers: mpsc::Receiver<Offer>, spread: Spread, shutdown: CancellationToken) {
    let mut taken = Vec::new();
    let (mut refusals, mut full) = (Refusals::new(), Full::new());
    loop {
        full.anew();
        let opening = Session::open(&link, &store, &spread, &mut refusals, &mut full);
        let ended = match shutdown.run_until_cancelled(opening).await {
            None | Some(Err(BrokerError::Stopped)) => return,
            Some(Err(error)) => error,
            Some(Ok(mut session)) => {
                let served = session.serve(&mut offers, &mut taken, &shutdown).await;
                session.payments.write(&store); // what was confirmed before the end
                match served {
                    Ok(Served::Shutdown) => return,
                    Ok(Served::Doubted) => continue, // its channel closes as it is dropped
                    Err(error) => error,
                }
            }
        };
        tracing::warn!(error = %ended, "publishing is interrupted; what is owed stays owed");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a session ended in order: everything that it sent has been answered.
enum Served {
    Shutdown,
    /// A queue took nothing for a while, and a new channel may tell why.
    Doubted,
}

/// Whether a broker queue can be published to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Declared {
    There,
    /// It was just deleted, and is left so for a moment.
    Gone,
    /// The broker refuses it.
    Refused,
}

/// What a message carried, and what became of it.
struct Confirmed {
    message: u64,
    key: (QueueName, Class),
    parts: Vec<Part>,
    answer: Result<Confirmation, BrokerError>,
}

/// One channel's life.
struct Session<'a> {
    link: &'a Link,
    store: &'a Store,
    spread: &'a Spread,
    channel: Channel,
    declared: HashSet<(QueueName, Class)>,
    /// Queues that were deleted behind our back, and when that was seen.
    gone: HashMap<(QueueName, Class), Instant>,
    /// They outlive the session, or each would tell of them anew.
    refusals: &'a mut Refusals<(QueueName, Class)>,
    full: &'a mut Full<(QueueName, Class)>,
    unconfirmed: FuturesUnordered<BoxFuture<'static, Confirmed>>,
    messages: u64,
    /// Returned by the broker, their own confirm still to come.
    returned: HashSet<u64>,
    payments: Payments,
}

impl<'a> Session<'a> {
    async fn open(
        link: &'a Link,
        store: &'a Store,
        spread: &'a Spread,
        refusals: &'a mut Refusals<(QueueName, Class)>,
        full: &'a mut Full<(QueueName, Class)>,
    ) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        timeout(RPC_TIMEOUT, confirms).await.map_err(|_| BrokerError::Timeout)??;
        let unconfirmed = FuturesUnordered::new();
        Ok(Self {
            link,
            store,
            spread,
            channel,
            declared: HashSet::new(),
            gone: HashMap::new(),
            refusals,
            full,
            unconfirmed,
            messages: 0,
            returned: HashSet::new(),
            payments: Payments::default(),
        })
    }

    /// Publishes until the channel breaks (an error), is in doubt, or shutdown.
    async fn serve(
        &mut self,
        offers: &mut mpsc::Receiver<Offer>,
        taken: &mut Vec<Offer>,
        shutdown: &CancellationToken,
    ) -> Result<Served, BrokerError> {
        self.publish_all(taken.drain(..)).await?; // what the last session took and could not publish any more
        let mut pay = tokio::time::interval(PAY_EVERY);
        loop {
            let anew = self.gone.values().min().map(|seen| *seen + GONE_PAUSE);
            tokio::select! {
                () = sleep_until(anew.unwrap_or_else(Instant::now)), if anew.is_some() => self.make_anew().await?,
                Some(confirmed) = self.unconfirmed.next() => self.confirmed(confirmed)?,
                count = offers.recv_many(taken, TAKE_MAX), if self.unconfirmed.len() < EAGER_MAX => {
                    if count == 0 {
                        return self.finish(Served::Shutdown).await;
                    }
                    self.check_open()?; // before anything of it is drained
                    self.publish_all(taken.drain(..)).await?;
                }
                _ = pay.tick() => {
                    self.payments.write(self.store);
                    self.check_open()?;
                    let now = Instant::now();
                    self.refusals.forget(now);
                    self.full.forget(now);
                    if self.full.doubts(now) {
                        return self.finish(Served::Doubted).await;
                    }
                }
                () = shutdown.cancelled() => return self.finish(Served::Shutdown).await,
            }
        }
    }

    /// Nobody else tells a session that has nothing to publish that its channel is gone.
    fn check_open(&self) -> Result<(), BrokerError> {
        if self.channel.status().connected() {
            return Ok(());
        }
        Err(lapin::Error::from(std::io::Error::other("the channel is closed")).into())
    }

    /// Messages of each queue and class, as full as run times and free slots allow.
    async fn publish_all(&mut self, offers: impl Iterator<Item = Offer>) -> Result<(), BrokerError> {
        let now = Instant::now();
        let mut places = Vec::new();
        let live = offers.filter(|offer| offer.until > now);
        let parts = live.flat_map(|offer| {
            places.extend(offer.place);
            Part::of(offer.owed)
        });
        let known = self.spread.known();
        for (key, bundle) in messages(parts, &known) {
            self.publish(key, bundle).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, key: (QueueName, Class), parts: Vec<Part>) -> Result<(), BrokerError> {
        while self.unconfirmed.len() >= WINDOW
            && let Some(confirmed) = self.unconfirmed.next().await
        {
            self.confirmed(confirmed)?;
        }
        match self.declare(&key).await? {
            Declared::There => (),
            Declared::Gone => return Ok(()), // what it carries stays owed
            Declared::Refused => {
                self.payments.refused(key, parts);
                return Ok(());
            }
        }
        self.messages += 1;
        let message = self.messages;
        let properties =
            BasicProperties::default().with_delivery_mode(2).with_message_id(ShortString::from(message.to_string()));
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let body = Bundle(parts.iter().map(|part| part.pointer).collect()).encode();
        let queue = name(&key.0, key.1, self.link.queue_type());
        // a blocked connection makes this wait for ever
        let publishing = self.channel.basic_publish("".into(), queue, options, &body, properties);
        let confirm = timeout(CONFIRM_TIMEOUT, publishing).await.map_err(|_| BrokerError::Timeout)??;
        fail::fail_point!("publisher.sent", |_| std::process::abort());
        if Rule::MarkAfterConfirm.is_broken() {
            self.payments.confirmed(message, parts.clone());
        }
        let confirmed = timeout(CONFIRM_TIMEOUT, confirm).map(move |answer| {
            let answer = answer.map_err(|_| BrokerError::Timeout).and_then(|answer| answer.map_err(Into::into));
            Confirmed { message, key, parts, answer }
        });
        self.unconfirmed.push(confirmed.boxed());
        Ok(())
    }

    /// The queues that were deleted a while ago; now, and not when there is next something to publish, for that could be just after
    /// they were deleted once more.
    async fn make_anew(&mut self) -> Result<(), BrokerError> {
        let now = Instant::now();
        let over: Vec<_> = self.gone.extract_if(|_, seen| now - *seen >= GONE_PAUSE).map(|(key, _)| key).collect();
        for key in over {
            self.declare(&key).await?;
        }
        Ok(())
    }

    /// Whether the queue is there, as we want it.
    async fn declare(&mut self, key: &(QueueName, Class)) -> Result<Declared, BrokerError> {
        let now = Instant::now();
        if self.declared.contains(key) {
            return Ok(Declared::There);
        }
        if self.gone.get(key).is_some_and(|seen| now - *seen < GONE_PAUSE) {
            return Ok(Declared::Gone);
        }
        if self.refusals.stands(key, now) {
            return Ok(Declared::Refused);
        }
        match declare_apart(self.link, &key.0, key.1).await {
            Ok(()) => {
                self.declared.insert(key.clone());
                self.refusals.lift(key);
                Ok(Declared::There)
            }
            Err(BrokerError::Refused(error)) => {
                if self.refusals.note(key.clone(), now) {
                    let class = key.1.as_str();
                    tracing::error!(queue = %key.0, class, %error, "the broker refuses a queue; its tasks stay owed");
                }
                Ok(Declared::Refused)
            }
            Err(error) => Err(error),
        }
    }

    fn confirmed(&mut self, confirmed: Confirmed) -> Result<(), BrokerError> {
        let Confirmed { message, key, parts, answer } = confirmed;
        fail::fail_point!("publisher.confirmed", |_| std::process::abort());
        match answer? {
            Confirmation::Ack(returned) => {
                metrics::counter!(names::PUBLISHED).increment(1);
                self.full.took(&key);
                if !self.returned.remove(&message) {
                    self.payments.confirmed(message, parts);
                }
                if let Some(returned) = returned {
                    self.take_back(&returned);
                }
            }
            // refused (a full queue), or a channel without confirms: what it carries stays owed
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                metrics::counter!(names::REFUSED_MESSAGES).increment(1);
                self.payments.refused(key.clone(), parts);
                if self.full.refused(key.clone(), Instant::now()) {
                    let class = key.1.as_str();
                    tracing::warn!(queue = %key.0, class, "the broker refuses messages: a full queue; its tasks stay owed");
                }
            }
        }
        Ok(())
    }

    /// lapin attaches a returned message to whichever confirm completes next, so it is matched by its own id: its confirm
    /// may have come already, or be still to come. Its queue is missing, and left so for a moment.
    fn take_back(&mut self, returned: &BasicReturnMessage) {
        metrics::counter!(names::UNROUTABLE).increment(1);
        let delivery = &returned.delivery;
        match message_number(&delivery.properties) {
            Some(message) if !self.payments.forget(message) => drop(self.returned.insert(message)),
            Some(_) => (),
            None => self.payments.forget_all(),
        }
        let (queue_type, now) = (self.link.queue_type(), Instant::now());
        let is_it = |key: &(QueueName, Class)| name(&key.0, key.1, queue_type) == delivery.routing_key;
        for (queue, class) in self.declared.extract_if(is_it) {
            tracing::warn!(%queue, class = class.as_str(), "a message was returned: its queue is gone");
            self.gone.insert((queue, class), now);
        }
    }

    async fn finish(&mut self, served: Served) -> Result<Served, BrokerError> {
        while let Some(confirmed) = self.unconfirmed.next().await {
            self.confirmed(confirmed)?;
        }
        self.payments.write(self.store);
        Ok(served)
    }
}

fn message_number(properties: &BasicProperties) -> Option<u64> {
    properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok())
}
