//! What the specification promises, over random histories.
//!
//! The file is long because each promise has its test here, over the same generators and the same helpers.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::coordination::{Get, ItemState, Put};

fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

fn share(number: u8) -> Share {
    Share { id: id(number), secret: None }
}

/// A request of its own.
fn asker(wait: Millis) -> Asker {
    Asker { id: Uuid::nil(), wait }
}

fn by(number: u8, wait: Millis) -> Asker {
    Asker { id: id(number), wait }
}

fn op() -> impl Strategy<Value = Op> {
    let acquire = (0..8_u8, 1..4, any::<bool>(), 0..3_u8, prop_oneof![Just(0), Just(20_000)]).prop_map(
        |(at, permits, reentrant, owner, wait)| {
            let terms = Terms { owner: owner.to_string(), permits, ttl_ms: 2_000, reentrant, ..Terms::default() };
            Op::Acquire { id: id(at), terms, expect: None, asker: asker(wait) }
        },
    );
    prop_oneof![
        4 => acquire,
        2 => (0..8_u8).prop_map(|at| Op::Release(share(at))),
        1 => (0..8_u8).prop_map(|at| Op::Renew { share: share(at), ttl_ms: None }),
        1 => (1..5).prop_map(Op::Resize),
    ]
}

/// Leases that hold, and the permits of them; all holds of one fence count once.
fn held(object: &Object) -> (BTreeMap<Uuid, i64>, i32) {
    let held = object.leases.values().filter(|lease| lease.is_held());
    let by_fence: BTreeMap<i64, i32> = held.clone().map(|lease| (lease.turn, lease.terms.permits)).collect();
    (held.map(|lease| (lease.id, lease.turn)).collect(), by_fence.values().sum())
}

fn keeps_its_promises(kind: Kind, steps: &[(Millis, Op)]) -> Result<(), TestCaseError> {
    let mut object = Object::new(kind, 0, (1, i64::MAX));
    let mut last = 0;
    for (later, op) in steps {
        // one permit is what a lock has
        if kind == Kind::Lock && matches!(op, Op::Resize(_) | Op::Acquire { terms: Terms { permits: 2.., .. }, .. }) {
            continue;
        }
        object.now += later;
        let before = object.clone();
        object.step(op);
        let (had, used_before) = held(&before);
        // the step lets in whom time lets in before it lowers the capacity
        let mut passed = before.clone();
        passed.pass();
        let used_before = used_before.max(held(&passed).1);
        let (has, used) = held(&object);
        let capacity = if kind == Kind::Lock { 1 } else { object.settings.capacity.unwrap_or(0) };
        prop_assert!(used <= capacity.max(used_before), "{used} permits of {capacity} are held");
        let mut granted: Vec<i64> =
            has.iter().filter(|(id, _)| !had.contains_key(*id)).map(|(_, fence)| *fence).collect();
        granted.sort_unstable();
        granted.dedup(); // a waiter may be let in and its owner re-enter in one step; the next check tells whose they are
        let holders = || object.leases.values().filter(|lease| lease.is_held());
        for (a, b) in holders().flat_map(|a| holders().map(move |b| (a, b))) {
            let one_owner = a.terms.reentrant && b.terms.reentrant && a.terms.owner == b.terms.owner;
            prop_assert!(a.id == b.id || a.turn != b.turn || one_owner, "two owners have one fence");
        }
        for fence in granted {
            let re_entry = had.values().any(|known| *known == fence);
            prop_assert!(fence > last || re_entry, "fence {fence} after {last}");
            last = last.max(fence);
        }
        for lease in before.leases.values().filter(|lease| !lease.is_live()) {
            prop_assert_eq!(Some(lease), object.leases.get(&lease.id), "what has ended never lives again");
        }
        // nobody who lives and fits is left standing in front
        if let Some(first) = object.first_in("").and_then(|first| object.leases.get(&first)) {
            prop_assert!(first.until > object.now && used + first.terms.permits > capacity);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_lock_keeps_its_promises(steps in vec((0..3_000_i64, op()), 1..60)) {
        keeps_its_promises(Kind::Lock, &steps)?;
    }

    #[test]
    fn a_semaphore_keeps_its_promises(steps in vec((0..3_000_i64, op()), 1..60)) {
        keeps_its_promises(Kind::Semaphore, &steps)?;
    }
}

#[test]
fn a_condition_loses_no_notify_and_needs_the_lock() {
    let mut lock = Object::new(Kind::Lock, 0, (1, 1000));
    let acquire = |at: u8| Op::Acquire { id: id(at), terms: Terms::default(), expect: None, asker: asker(0) };
    assert!(matches!(lock.step(&acquire(0)), Reply::Held(_)));
    let park = Op::Park { share: share(0), id: id(1), line: "c".into(), asker: asker(1_000), timeout: None };
    assert_eq!((lock.step(&park), lock.step(&park)), (Reply::Parked(None), Reply::Parked(None)), "safe to repeat");
    let notify = |at: u8| Op::Notify { share: share(at), line: "c".into(), count: 1 };
    assert_eq!(lock.step(&notify(2)), Reply::NotHeld);
    assert!(matches!(lock.step(&acquire(2)), Reply::Held(_)));
    assert_eq!(lock.step(&notify(2)), Reply::Notified(1));
    assert!(matches!(lock.step(&park), Reply::Waiting(1)), "notified, and behind who holds it");
    assert_eq!(lock.step(&Op::Release(share(2))), Reply::Released);
    assert!(lock.done.woken.contains(&id(1)));
    assert!(matches!(lock.step(&park), Reply::Woken { notified: true, .. }));
}

/// A waiter that gives its place up may have been granted an item, and not know it: the item is not done.
#[test]
fn giving_up_a_place_finishes_nothing() {
    let get = |at: u8, wait| Op::Get(Get { id: id(at), terms: Terms::default(), auto: false, asker: asker(wait) });
    let put = Put { id: id(100), priority: 0.0, delay: 0, payload: Bytes::from_static(b"1"), asker: asker(0) };
    for give_up in [Op::Finish(share(0)), Op::GiveBack(share(0), 0)] {
        let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
        queue.step(&Op::Configure { capacity: Some(None), order: None, attempts_max: Some(1) });
        assert!(matches!(queue.step(&get(0, 1_000)), Reply::Waiting(1)));
        assert_eq!(queue.step(&Op::Put(put.clone())), Reply::Accepted { known: false });
        assert!(queue.leases[&id(0)].is_held(), "it was granted");
        assert_eq!((queue.step(&give_up), queue.step(&give_up)), (Reply::Released, Reply::Released));
        let Reply::Fetched(fetched) = queue.step(&get(1, 0)) else { panic!("the item is gone") };
        assert_eq!((fetched.item, fetched.attempt), (id(100), 1));
        assert_eq!(queue.step(&get(0, 0)), Reply::Lost);
        assert_eq!(queue.step(&Op::Finish(share(1))), Reply::Released);
        assert_eq!(queue.items[&id(100)].state, ItemState::Done);
    }
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    queue.step(&Op::Configure { capacity: Some(None), order: None, attempts_max: Some(1) });
    assert!(matches!(queue.step(&get(0, 1_000)), Reply::Waiting(1)));
    assert_eq!(queue.step(&Op::GiveBack(share(0), 0)), Reply::Released, "a place");
    assert_eq!(queue.step(&Op::GiveBack(share(1), 0)), Reply::Released, "a request that is still on its way");
    assert_eq!(queue.step(&get(1, 1_000)), Reply::Lost);
}

/// Two producers have room at once, and the one that came later hears of it first.
#[test]
fn items_of_producers_that_waited_are_in_the_order_of_their_line() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    queue.step(&Op::Configure { capacity: Some(Some(2)), order: None, attempts_max: Some(1) });
    let put = |at| {
        Op::Put(Put { id: id(at), priority: 0.0, delay: 0, payload: Bytes::from_static(b"1"), asker: asker(1_000) })
    };
    let get = |at| Op::Get(Get { id: id(at), terms: Terms::default(), auto: true, asker: asker(0) });
    let accepted = Reply::Accepted { known: false };
    assert_eq!((queue.step(&put(101)), queue.step(&put(102))), (accepted.clone(), accepted.clone()));
    assert!(matches!((queue.step(&put(103)), queue.step(&put(104))), (Reply::Waiting(_), Reply::Waiting(_))));
    let fetched = |queue: &mut Object, at| match queue.step(&get(at)) {
        Reply::Fetched(fetched) => fetched.item,
        other => panic!("{other:?}"),
    };
    assert_eq!([fetched(&mut queue, 1), fetched(&mut queue, 2)], [id(101), id(102)]);
    assert_eq!((queue.step(&put(104)), queue.step(&put(103))), (accepted.clone(), accepted));
    assert_eq!([fetched(&mut queue, 3), fetched(&mut queue, 4)], [id(103), id(104)]);
}

#[test]
fn waiters_are_counted_in_all_lines() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, i64::MAX));
    queue.step(&Op::Configure { capacity: Some(Some(1)), order: None, attempts_max: Some(1) });
    let put = |at: i64| {
        let id = Uuid::from_u128(u128::try_from(at).unwrap() + 1);
        Op::Put(Put { id, priority: 0.0, delay: 0, payload: Bytes::from_static(b"1"), asker: asker(1_000) })
    };
    assert_eq!(queue.step(&put(0)), Reply::Accepted { known: false });
    queue.view.beside = limits::WAITERS_MAX - 1;
    assert!(matches!(queue.step(&put(1)), Reply::Waiting(_)));
    assert_eq!(queue.step(&put(2)), Reply::TooManyWaiters);
    let mut lock = Object::new(Kind::Lock, 0, (1, i64::MAX));
    lock.view.beside = limits::WAITERS_MAX;
    assert!(matches!(
        lock.step(&Op::Acquire { id: id(0), terms: Terms::default(), expect: None, asker: asker(0) }),
        Reply::Held(_)
    ));
    let park = Op::Park { share: share(0), id: id(1), line: "c".into(), asker: asker(1_000), timeout: None };
    assert_eq!(lock.step(&park), Reply::TooManyWaiters);
    assert!(lock.leases[&id(0)].is_held(), "and the lock is kept");
}

/// Who waits for more than there is since the semaphore was made smaller does not keep the others out.
#[test]
fn a_smaller_semaphore_sends_home_who_never_fits() {
    let mut semaphore = Object::new(Kind::Semaphore, 0, (1, 1000));
    let acquire = |at: u8, permits, wait| Op::Acquire {
        id: id(at),
        terms: Terms { permits, ..Terms::default() },
        expect: None,
        asker: asker(wait),
    };
    semaphore.step(&Op::Resize(2));
    assert!(matches!(semaphore.step(&acquire(0, 1, 0)), Reply::Held(_)));
    assert!(matches!(semaphore.step(&acquire(1, 2, 1_000)), Reply::Waiting(_)));
    assert!(matches!(semaphore.step(&acquire(2, 1, 1_000)), Reply::Waiting(_)));
    semaphore.step(&Op::Resize(1));
    assert_eq!(semaphore.step(&acquire(1, 2, 1_000)), Reply::NeverFits(1));
    assert_eq!(semaphore.step(&Op::Release(share(0))), Reply::Released);
    assert!(matches!(semaphore.step(&acquire(2, 1, 1_000)), Reply::Held(_)));
}

fn abandon(lease: u8, asker: u8) -> Op {
    Op::Abandon { id: id(lease), asker: id(asker) }
}

/// A client that hung up: its place is free at once, its grant goes on, and the same id may ask again.
#[test]
fn what_a_client_was_not_told_of_goes_to_the_next() {
    let mut lock = Object::new(Kind::Lock, 0, (1, 1000));
    let acquire = |lease: u8, number: u8| Op::Acquire {
        id: id(lease),
        terms: Terms::default(),
        expect: None,
        asker: by(number, 20_000),
    };
    assert!(matches!(lock.step(&acquire(0, 100)), Reply::Held(_)));
    for (lease, number) in [(1, 101), (2, 102), (3, 103)] {
        assert!(matches!(lock.step(&acquire(lease, number)), Reply::Waiting(_)));
    }
    assert_eq!(lock.step(&abandon(1, 101)), Reply::Released);
    assert_eq!(lock.waiting(), 2);
    assert!(matches!(lock.step(&acquire(1, 111)), Reply::Waiting(3)), "the same id stands last");
    // asked for again meanwhile, over another connection: the first one's end changes nothing
    assert!(matches!(lock.step(&acquire(2, 112)), Reply::Waiting(3)));
    assert_eq!(lock.step(&abandon(2, 102)), Reply::Missing);
    // granted and not fetched, and granted and fetched by an answer that was not written
    assert_eq!(lock.step(&Op::Release(share(0))), Reply::Released);
    assert!(lock.leases[&id(2)].is_held());
    assert_eq!(lock.step(&abandon(2, 112)), Reply::Released);
    assert!(matches!(lock.step(&acquire(3, 113)), Reply::Held(_)));
    assert_eq!(lock.step(&abandon(3, 113)), Reply::Released);
    assert!(matches!(lock.step(&acquire(1, 121)), Reply::Held(_)));
    // what its client knows of stays
    assert!(matches!(lock.step(&Op::Renew { share: share(1), ttl_ms: None }), Reply::Held(_)));
    assert_eq!(lock.step(&abandon(1, 121)), Reply::Missing);
    assert!(lock.leases[&id(1)].is_held());
    assert!(matches!(lock.step(&acquire(1, 131)), Reply::Held(_)), "asked for again, and hung up then");
    assert_eq!(lock.step(&abandon(1, 131)), Reply::Missing);
    assert!(lock.leases[&id(1)].is_held());
}

/// An item in an answer that was not written: as if it had never been fetched.
#[test]
fn an_item_that_nobody_has_seen_comes_back_uncounted() {
    for auto in [false, true] {
        let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
        queue.step(&Op::Configure { capacity: None, order: None, attempts_max: Some(1) });
        let payload = Bytes::from_static(b"1");
        queue.step(&Op::Put(Put { id: id(100), priority: 0.0, delay: 0, payload, asker: asker(0) }));
        let get = |at: u8| Op::Get(Get { id: id(at), terms: Terms::default(), auto, asker: by(at, 0) });
        for at in 0..5 {
            let Reply::Fetched(fetched) = queue.step(&get(at)) else { panic!("nothing to fetch") };
            assert_eq!((fetched.item, fetched.attempt), (id(100), 1));
            let abandon = Op::Abandon { id: id(at), asker: id(at) };
            assert_eq!(queue.step(&abandon), Reply::Released);
        }
        assert!(matches!(queue.step(&get(9)), Reply::Fetched(_)));
    }
}

/// An answer may be lost after it was written: a client that asks again, under its own id and with its own secret, gets it again.
#[test]
fn an_item_that_was_taken_at_once_is_told_again() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    queue.step(&Op::Configure { capacity: None, order: None, attempts_max: None });
    for at in [100, 101] {
        let payload = Bytes::from_static(b"1");
        queue.step(&Op::Put(Put { id: id(at), priority: 0.0, delay: 0, payload, asker: asker(0) }));
    }
    let get = |at: u8, asked: u8, secret: Option<Vec<u8>>| {
        let terms = Terms { secret, ..Terms::default() };
        Op::Get(Get { id: id(at), terms, auto: true, asker: by(asked, 0) })
    };
    let secret = Some(vec![1]);
    let Reply::Fetched(first) = queue.step(&get(1, 1, secret.clone())) else { panic!("nothing to fetch") };
    for asked in 2..4 {
        let Reply::Fetched(again) = queue.step(&get(1, asked, secret.clone())) else { panic!("not told again") };
        assert_eq!((again.item, again.attempt, again.grant.fence), (first.item, 1, first.grant.fence));
        assert_eq!(queue.step(&abandon(1, asked)), Reply::Missing, "it was told once");
    }
    assert_eq!(queue.step(&get(1, 4, None)), Reply::WrongSecret);
    assert!(matches!(queue.step(&get(2, 5, None)), Reply::Fetched(other) if other.item == id(101)));
    queue.now += limits::REMEMBERED + 1;
    assert!(!matches!(queue.step(&get(1, 6, secret)), Reply::Fetched(_)), "it was forgotten");
}

/// One notify reaches somebody who lives: whoever does not fetch the lock, hangs up, or leaves its place, passes it on; who gives
/// up in order is told.
#[test]
fn a_notify_of_one_who_is_gone_goes_to_the_next() {
    let acquire = |lease: u8| Op::Acquire { id: id(lease), terms: Terms::default(), expect: None, asker: by(lease, 0) };
    let park = |from: u8, to: u8| Op::Park {
        share: share(from),
        id: id(to),
        line: "c".into(),
        asker: by(to, 60_000),
        timeout: None,
    };
    let start = || {
        let mut lock = Object::new(Kind::Lock, 0, (1, 1000));
        for at in 0..3 {
            assert!(matches!(lock.step(&acquire(at)), Reply::Held(_)));
            assert_eq!(lock.step(&park(at, 10 + at)), Reply::Parked(None));
        }
        assert!(matches!(lock.step(&acquire(3)), Reply::Held(_)));
        assert_eq!(lock.step(&Op::Notify { share: share(3), line: "c".into(), count: 1 }), Reply::Notified(1));
        lock
    };
    // not fetched
    let mut lock = start();
    assert_eq!(lock.step(&Op::Release(share(3))), Reply::Released);
    lock.now += limits::CLAIM;
    assert!(matches!(lock.step(&park(1, 11)), Reply::Woken { notified: true, .. }));
    assert_eq!(lock.step(&park(0, 10)), Reply::Lost);
    assert_eq!(lock.step(&park(2, 12)), Reply::Parked(None), "one only");
    // hung up in the lock's line, twice
    let mut lock = start();
    assert_eq!(lock.step(&abandon(10, 10)), Reply::Released);
    assert_eq!(lock.step(&abandon(11, 11)), Reply::Released);
    assert_eq!(lock.step(&Op::Release(share(3))), Reply::Released);
    assert!(matches!(lock.step(&park(2, 12)), Reply::Woken { notified: true, .. }));
    // gave up in order, also when it is asked again
    let mut lock = start();
    assert_eq!(
        [lock.step(&Op::Release(share(10))), lock.step(&Op::Release(share(10)))],
        [Reply::ReleasedNotified, Reply::ReleasedNotified]
    );
    assert_eq!(lock.step(&park(1, 11)), Reply::Parked(None));
    assert_eq!(lock.step(&Op::Release(share(11))), Reply::Released);
}

#[test]
fn a_broken_lease_goes_to_the_next_and_its_fence_is_void() {
    let mut lock = Object::new(Kind::Lock, 0, (1, 1000));
    let acquire =
        |lease: u8| Op::Acquire { id: id(lease), terms: Terms::default(), expect: None, asker: by(lease, 1_000) };
    let Reply::Held(grant) = lock.step(&acquire(0)) else { panic!("it is free") };
    assert!(matches!(lock.step(&acquire(1)), Reply::Waiting(_)));
    assert_eq!(lock.step(&Op::Break(grant.fence + 1)), Reply::Missing);
    lock.view.pinned.insert(id(0));
    assert_eq!(lock.step(&Op::Break(grant.fence)), Reply::Pinned);
    lock.view.pinned.clear();
    assert_eq!(lock.step(&Op::Break(grant.fence)), Reply::Released);
    assert_eq!(lock.step(&Op::Renew { share: share(0), ttl_ms: None }), Reply::Lost);
    let Reply::Held(next) = lock.step(&acquire(1)) else { panic!("it is the next one's") };
    assert!(next.fence > grant.fence);
    assert!(matches!(lock.step(&acquire(2)), Reply::Waiting(_)));
    assert!(matches!(lock.step(&Op::Delete), Reply::Done(_)));
    assert_eq!([lock.step(&acquire(1)), lock.step(&acquire(2))], [Reply::Lost, Reply::Lost]);
    assert!(matches!(lock.step(&acquire(3)), Reply::Held(grant) if grant.fence > next.fence));
}

#[test]
fn what_is_left_out_of_a_queues_settings_stays() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    let configure = |capacity, order| Op::Configure { capacity, order, attempts_max: None };
    queue.step(&Op::Configure { capacity: Some(Some(7)), order: Some(Order::Priority), attempts_max: Some(3) });
    queue.step(&configure(None, None));
    let settings = &queue.settings;
    assert_eq!((settings.capacity, settings.order, settings.attempts_max), (Some(7), Order::Priority, 3));
    queue.step(&configure(Some(None), None));
    assert_eq!((queue.settings.capacity, queue.settings.order), (None, Order::Priority));
    let put = Put { id: id(0), priority: 1.0, delay: 0, payload: Bytes::from_static(b"1"), asker: asker(0) };
    queue.step(&Op::Put(put.clone()));
    assert_eq!(queue.step(&configure(None, Some(Order::Fifo))), Reply::NotEmpty);
    assert!(matches!(queue.step(&configure(Some(Some(1)), Some(Order::Priority))), Reply::Done(_)));
    assert_eq!(queue.step(&Op::Put(Put { payload: Bytes::from_static(b"2"), ..put.clone() })), Reply::Reused);
    assert_eq!(queue.step(&Op::Put(put.clone())), Reply::Accepted { known: true });
    // no room: a producer that gives up, and its request that comes late
    let other = Put { id: id(1), asker: by(1, 1_000), ..put };
    assert!(matches!(queue.step(&Op::Put(other.clone())), Reply::Waiting(_)));
    assert_eq!(queue.step(&Op::Put(Put { payload: Bytes::from_static(b"2"), ..other.clone() })), Reply::Reused);
    assert_eq!(queue.step(&Op::Withdraw(id(0))), Reply::AlreadyIn);
    assert_eq!(
        [queue.step(&Op::Withdraw(id(1))), queue.step(&Op::Withdraw(id(1)))],
        [Reply::Released, Reply::Released]
    );
    assert_eq!(queue.step(&Op::Put(other)), Reply::Lost);
}

#[test]
fn dead_items_come_back_to_their_places() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    queue.step(&Op::Configure { capacity: None, order: None, attempts_max: Some(1) });
    let get = |at: u8| Op::Get(Get { id: id(at), terms: Terms::default(), auto: false, asker: by(at, 0) });
    for at in 100..103 {
        let payload = Bytes::from_static(b"1");
        queue.step(&Op::Put(Put { id: id(at), priority: 0.0, delay: 0, payload, asker: asker(0) }));
    }
    for at in 0..2 {
        assert!(matches!(queue.step(&get(at)), Reply::Fetched(_)));
        assert_eq!(queue.step(&Op::GiveBack(share(at), 0)), Reply::Released);
    }
    assert_eq!(queue.items[&id(100)].state, ItemState::Dead);
    assert_eq!(queue.step(&Op::PutBack(vec![id(101), id(100), id(102), id(9)])), Reply::PutBack(2));
    let next: Vec<Uuid> = (10..13)
        .map(|at| match queue.step(&get(at)) {
            Reply::Fetched(fetched) => fetched.item,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(next, [id(100), id(101), id(102)]);
}

/// A wait whose time limit is over stands in the lock's line, takes no notify from others, and says how it ended.
#[test]
fn a_wait_on_a_condition_ends_in_time() {
    let mut lock = Object::new(Kind::Lock, 0, (1, 1000));
    let acquire =
        |lease: u8| Op::Acquire { id: id(lease), terms: Terms::default(), expect: None, asker: by(lease, 9_000) };
    let park = |from: u8, to: u8, timeout| {
        let asker = by(to, 60_000);
        Op::Park { share: share(from), id: id(to), line: "c".into(), asker, timeout: Some(timeout) }
    };
    assert!(matches!(lock.step(&acquire(0)), Reply::Held(_)));
    assert_eq!(lock.step(&park(0, 10, 1_000)), Reply::Parked(Some(1_000)));
    assert!(matches!(lock.step(&acquire(1)), Reply::Held(_)));
    assert_eq!(lock.step(&park(1, 11, 5_000)), Reply::Parked(Some(5_000)));
    assert!(matches!(lock.step(&acquire(2)), Reply::Held(_)));
    lock.now += 1_000;
    let notify = Op::Notify { share: share(2), line: "c".into(), count: 1 };
    assert_eq!(lock.step(&notify), Reply::Notified(1), "the one whose time is not over");
    assert!(matches!(lock.step(&park(0, 10, 1_000)), Reply::Waiting(2)));
    assert_eq!(lock.step(&Op::Release(share(2))), Reply::Released);
    let woken = |lock: &mut Object, from, to| match lock.step(&park(from, to, 1_000)) {
        Reply::Woken { notified, .. } => notified,
        other => panic!("{other:?}"),
    };
    assert!(!woken(&mut lock, 0, 10), "it stood in the line first");
    assert_eq!(lock.step(&Op::Release(share(10))), Reply::Released);
    assert!(woken(&mut lock, 1, 11));
    lock.now += 9_000;
    assert!(woken(&mut lock, 1, 11), "the limit is void, and the answer stays");
    // no time at all: it stands behind who stands there
    assert!(matches!(lock.step(&acquire(3)), Reply::Waiting(1)));
    assert_eq!(lock.step(&park(11, 12, 0)), Reply::Parked(Some(0)));
    assert!(lock.leases[&id(3)].is_held());
    assert!(matches!(lock.step(&park(11, 12, 0)), Reply::Waiting(1)));
}

#[test]
fn a_barrier_breaks_for_all_or_for_nobody() {
    let mut barrier = Object::new(Kind::Barrier, 0, (1, 1000));
    let arrive = |at: u8, timeout| Op::Arrive { id: id(at), timeout };
    let here = |count, left| Reply::Arrived { count, left };
    assert_eq!(
        [barrier.step(&Op::Abort), barrier.step(&Op::Leave(id(0)))],
        [Reply::NotConfigured, Reply::NotConfigured]
    );
    barrier.step(&Op::Resize(3));
    assert_eq!(barrier.step(&arrive(0, None)), here(1, None));
    assert_eq!(barrier.step(&arrive(1, Some(500))), here(2, Some(500)));
    barrier.now += 500;
    assert_eq!([barrier.step(&arrive(0, None)), barrier.step(&arrive(1, None))], [Reply::Broken, Reply::Broken]);
    assert_eq!([barrier.step(&arrive(2, None)), barrier.step(&Op::Leave(id(0)))], [Reply::Broken, Reply::Broken]);
    assert!(matches!(barrier.step(&Op::Reset), Reply::Done(settings) if !settings.flag && settings.generation == 0));
    assert_eq!(barrier.step(&arrive(0, None)), Reply::Broken, "of the one before");
    for at in 3..5 {
        barrier.step(&arrive(at, Some(500)));
    }
    assert_eq!([barrier.step(&Op::Leave(id(4))), barrier.step(&Op::Leave(id(4)))], [Reply::Released, Reply::Released]);
    assert_eq!(barrier.step(&arrive(4, None)), Reply::Lost);
    assert_eq!([barrier.step(&Op::Leave(id(5))), barrier.step(&arrive(5, None))], [Reply::Released, Reply::Lost]);
    barrier.step(&arrive(6, None));
    assert_eq!(barrier.step(&arrive(7, None)), Reply::Passed(1, 2));
    barrier.now += 1_000;
    assert_eq!(barrier.step(&arrive(3, None)), Reply::Passed(1, 0), "its limit is void");
    assert_eq!(barrier.step(&Op::Leave(id(6))), Reply::Passed(1, 1));
    assert!(matches!(barrier.step(&Op::Abort), Reply::Done(settings) if settings.flag));
    assert_eq!(barrier.step(&arrive(3, None)), Reply::Passed(1, 0), "who has passed has passed");
}

#[test]
fn a_queue_is_purged_and_halted() {
    let mut queue = Object::new(Kind::WorkQueue, 0, (1, 1000));
    assert_eq!(queue.step(&Op::Purge), Reply::NotConfigured);
    queue.step(&Op::Configure { capacity: Some(Some(2)), order: None, attempts_max: Some(3) });
    let put = |at: u8, delay| {
        Op::Put(Put { id: id(at), priority: 0.0, delay, payload: Bytes::from_static(b"1"), asker: by(at, 9_000) })
    };
    let get = |at: u8, leaves_empty, wait| {
        let terms = Terms { leaves_empty, ..Terms::default() };
        Op::Get(Get { id: id(at), terms, auto: false, asker: by(at, wait) })
    };
    for (at, delay) in [(102, 9_000), (100, 0), (101, 0)] {
        queue.step(&put(at, delay));
    }
    assert!(matches!(queue.step(&get(0, false, 0)), Reply::Fetched(_)));
    queue.step(&put(103, 0));
    assert!(matches!(queue.step(&put(104, 0)), Reply::Waiting(_)), "it is full");
    assert_eq!(
        [queue.step(&Op::Purge), queue.step(&put(104, 0))],
        [Reply::Purged(3), Reply::Accepted { known: false }]
    );
    assert_eq!(queue.step(&put(103, 0)), Reply::Accepted { known: true }, "as one that is done");
    // consumers that choose differently, when nothing is ready and one is in flight
    assert!(matches!(queue.step(&get(1, false, 0)), Reply::Fetched(_)));
    assert!(matches!(
        (queue.step(&get(2, true, 9_000)), queue.step(&get(3, false, 9_000))),
        (Reply::Waiting(1), Reply::Waiting(2))
    ));
    assert_eq!(queue.step(&Op::Finish(share(1))), Reply::Released);
    queue.step(&Op::Flag(true));
    assert_eq!(
        [queue.step(&get(2, true, 9_000)), queue.step(&get(3, false, 9_000))],
        [Reply::ShutDown, Reply::Waiting(1)]
    );
    assert_eq!(queue.step(&get(4, true, 9_000)), Reply::ShutDown);
    assert!(matches!(queue.step(&Op::Halt), Reply::Done(settings) if settings.flag && settings.halted));
    assert_eq!(queue.step(&get(3, false, 9_000)), Reply::ShutDown);
    let before = queue.settings.generation;
    assert_eq!(queue.step(&Op::GiveBack(share(0), 0)), Reply::Released);
    assert_eq!((queue.items[&id(100)].state, queue.settings.generation), (ItemState::Done, before + 1));
    assert!(matches!(queue.step(&Op::Flag(false)), Reply::Done(settings) if !settings.halted));
}
