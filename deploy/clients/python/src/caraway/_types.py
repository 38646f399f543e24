"""What the API takes and answers, as types."""

# Made by deploy/clients/generate of api/openapi.json, as long as that is: change neither by hand.

from __future__ import annotations

from typing import Any, Literal, TypedDict, Union


Ack = Literal["manual", "auto"]
"""When an item is done with."""

class ApiKey(TypedDict):
    """A key as the API shows it; its secret is not part of it."""

    id: KeyId
    """Its id, which stands in the key as well."""
    user_id: int
    """Whose it is."""
    name: str
    """For people."""
    scopes: list[KeyScope]
    """What it may do."""
    queues: list[str]
    """On which queues: patterns, of which one must match. None: on all."""
    created_at: str
    """When it was made."""
    expires_at: str | None
    """From when on it is refused."""
    last_used_at: str | None
    """To the minute."""
    revoked_at: str | None
    """When it was revoked."""

class _ArrivalAlways(TypedDict):
    arrival_id: str
    open: bool

class Arrival(_ArrivalAlways, total=False):
    """An arrival, and what has come of it."""

    generation: int
    """Which opening it was, from 1."""
    index: int
    """The how many-th of the arrivals this was, from 0: so exactly one of them is 0."""
    arrived: int
    """How many have arrived."""

class Attempt(TypedDict):
    """One attempt as the API shows it."""

    epoch: int
    """The claim it was; unique within the task."""
    attempt: int
    """Its number as the budget counts."""
    outcome: str
    """How it ended; `running` while it has not."""
    times: int
    """How many it stands for: snoozes that follow each other are one entry, from the start of the first to the end of the last."""
    error: TaskError | None
    worker: str | None
    """Who ran it."""
    started_at: str | None
    """When it began."""
    ended_at: str | None
    """When it ended."""

class AuditEntry(TypedDict):
    """An order that was carried out, as the API shows it."""

    id: int
    """Rises with time."""
    at: str
    """When."""
    user_id: int
    """The user who gave the order."""
    key_id: int | None
    """The key it was given with; null on an open installation."""
    owner_id: int
    """The user whose object it was about."""
    action: str
    """What was done."""
    object: str
    """The name or id of what it was done to."""
    reason: str | None
    """As the caller gave it."""
    detail: dict[str, Any] | None
    """What else there is to tell: a fence, counts, a search."""

class Backoff(TypedDict, total=False):
    """How long to wait between attempts. Durations are seconds, as everywhere in the JSON."""

    type: BackoffKind
    """How the wait grows."""
    initial: float
    """Wait after the first attempt, seconds."""
    factor: float
    """Growth per attempt (exponential only)."""
    max: float
    """Longest wait, seconds, not below `initial`; 600 where nothing is said, or `initial` if that is more."""

BackoffKind = Literal["constant", "linear", "exponential"]
"""How the wait grows."""

class Barrier(TypedDict):
    """A barrier."""

    name: str
    parties: int
    """How many open it."""
    arrived: int
    """How many have arrived since it was last open."""
    generation: int
    """How often it was open."""
    broken: bool
    """Who arrives is refused, until it is reset."""

class BarrierCondition(TypedDict):
    """Whether a barrier is broken."""

    broken: bool

class BarrierSize(TypedDict):
    """How many it takes."""

    parties: int
    """How many open it."""

class _BatchAlways(TypedDict):
    tasks: list[Submission]

class Batch(_BatchAlways, total=False):
    """Tasks to be run."""

    atomic: bool | None
    """One task that cannot be accepted keeps all of them out."""

class BatchAnswer(TypedDict):
    """The answer: one entry a task, in the order given."""

    batch_id: str
    accepted: int
    """How many are new."""
    tasks: list[BatchEntry]
    """In the order given."""

class _BatchEntryAlways(TypedDict):
    status: int
    """What a request with this task alone would have been answered."""

class BatchEntry(_BatchEntryAlways, total=False):
    """What became of one task."""

    task: Task | None
    existing_task_id: TaskId | None
    problem: Problem | None

class BrokenLease(TypedDict):
    """What is to be broken."""

    fence: str
    """The fence of the lease, as `holders` tell it."""

class CachedData(TypedDict):
    """A value."""

    value: Any
    """Any JSON, as it was stored."""

class CancelAnswer(TypedDict):
    """The answer: one entry a task, in the order given or the newest first."""

    dry_run: bool
    """Whether nothing was done."""
    cancelled: int
    """How many had not started, and are cancelled."""
    requested: int
    """How many run, and were asked to stop."""
    tasks: list[CancelEntry]
    """In the order given, or the newest first."""
    next_cursor: str | None
    """Where a search goes on; null at its end."""

class _CancelEntryAlways(TypedDict):
    id: TaskId
    status: int
    """200: it is cancelled. 202: it runs, and was asked to stop. With `dry_run`: it would be."""

class CancelEntry(_CancelEntryAlways, total=False):
    """What became of one task."""

    problem: Problem | None

class CancelFilter(TypedDict, total=False):
    """Which tasks; what is left out matches all that have not ended."""

    state: str | None
    """One or several of `scheduled`, `waiting`, `queued`, `running`, with commas between; all of them where nothing is said."""
    queue: str | None
    name: str | None
    tag: str | None
    """With this tag, of at most 64 bytes; without state, queue and name."""
    batch_id: str | None
    """Of this batch; without state, queue and name."""
    created_after: str | None
    """Accepted then or later."""
    created_before: str | None
    """Accepted earlier."""

class _CancelMatchingAlways(TypedDict):
    filter: CancelFilter

class CancelMatching(_CancelMatchingAlways, total=False):
    """What a search finds and has not ended."""

    dry_run: bool | None
    """Tell what would be done, and do nothing."""
    limit: int | None
    """Tasks to look at, at most."""
    cursor: str | None
    """The `next_cursor` of the answer before."""

Cancels = Union["TaskIds", "CancelMatching"]
"""What to cancel: these, or what a search finds."""

class Chain(TypedDict):
    """Tasks to be run one after the other."""

    steps: list[ChainStep]

class _ChainStepAlways(TypedDict):
    task: Submission

class ChainStep(_ChainStepAlways, total=False):
    """A step of a chain."""

    immutable: bool | None
    """It does not get the result of the step before as its first argument."""

class _ChordAlways(TypedDict):
    tasks: list[Submission]
    """Without any, the body gets `[]`."""
    body: Submission
    """Gets the list of the results before its other arguments; with everything in it, they may have 1 MiB."""

class Chord(_ChordAlways, total=False):
    """Tasks to be run beside each other, and one after them."""

    return_exceptions: bool | None
    """Failures stand in that list; where nothing is said, the first one cancels the others and the body."""
    max_in_flight: int | None
    """Tasks at work at once, at most."""

CodePattern = str
"""An error code, at most 128 bytes; up to two `*` stand for anything."""

class Data(TypedDict):
    """A value and its version."""

    key: str
    version: int
    """Rises with every change; the `ETag` is made of it."""

class DataUpdate(TypedDict):
    """A new value."""

    new_value: Any
    """Any JSON."""

class DataValue(TypedDict):
    """A value, whole."""

    key: str
    version: int
    """Rises with every change; the `ETag` is made of it."""
    value: Any
    """Any JSON, as it was stored."""

class DeadItem(TypedDict):
    """An item that was fetched too often without being done."""

    item_id: str
    """As it was put in."""
    attempts: int
    """How often it was fetched."""
    payload: Any
    """As it was put in."""

class DeadItems(TypedDict, total=False):
    """Which items."""

    item_ids: list[str] | None
    """Left out: the first 500."""

class DeadItemsPutBack(TypedDict):
    """What was put back."""

    put_back: int
    """How many. What is not dead stays as it is."""

class Task(TypedDict):
    """A task: everything about it. Every field is always there; what is not known is null."""

    id: TaskId
    """UUID version 7."""
    name: str
    """Which handler."""
    version: int
    """Its version when the task was accepted."""
    queue: str
    """Where it queues."""
    priority: int
    """0–9."""
    state: State
    """Where it stands."""
    waiting_reason: str | None
    """Why it waits, where something is known."""
    attempt: int
    """The current attempt, or the last one; 0 before the first."""
    max_attempts: int
    """Attempts in all."""
    created_at: str
    """Accepted."""
    run_at: str | None
    """Not before; only while it is scheduled."""
    queued_at: str | None
    """Entered the queue (the last time)."""
    started_at: str | None
    """The last attempt began."""
    finished_at: str | None
    """Terminal since."""
    expires_at: str | None
    """Not started after."""
    cancel_requested_at: str | None
    """Cancellation was asked for."""
    timeout: float | None
    """The hard time limit of an attempt, seconds."""
    soft_timeout: float | None
    """When an attempt is asked to end, seconds."""
    result_ttl: float | None
    """How long the finished task is kept, seconds; by its state where nothing was said."""
    store_result: bool
    """Whether the result is kept."""
    tags: list[str]
    """Words to find it by."""
    metadata: dict[str, Any] | None
    """Whatever the client keeps beside it."""
    worker: str | None
    """Who runs it, or ran it last."""
    progress: Any
    """What the handler last said of its progress."""
    result: Any
    """What it returned, when succeeded."""
    error: TaskError | None
    root_id: str | None
    """The first task of its line."""
    parent_id: str | None
    """The task that submitted it."""
    batch_id: str | None
    """The batch it came in."""
    retry_of: str | None
    """The task that it repeats."""
    traceparent: str | None
    """W3C trace context."""
    workflow_id: str | None
    """The workflow of which it is a node."""
    node_key: str | None
    """The node's key."""

class Deduplicated(Task, total=False):
    """An earlier task that stands for this one."""

    deduplicated: bool
    """True where it is an earlier task."""

class Event(TypedDict):
    """An event."""

    name: str
    set: bool
    generation: int
    """How often it was set: rises each time that it changes from clear to set."""

class Fault(TypedDict):
    """Something is wrong with one part of the request body."""

    pointer: str
    """Which part: a JSON pointer (RFC 6901) into the whole body, or `?name` for a part of the query, or `{name}` for one of the path."""
    code: ProblemCode
    """What kind of fault."""
    detail: str
    """For people."""

class FetchedItem(TypedDict):
    """An item that was fetched."""

    lease_id: str
    """By this id it is done with, given back, or kept longer."""
    item_id: str
    attempt: int
    """How often it was fetched, this time included."""
    fence: str
    """Greater than that of every fetch before: a decimal number."""
    expires_in: float
    """Seconds from the moment at which this was answered."""
    payload: Any
    """As it was put in."""

Fit = Literal["inside", "outside", "cover", "contain", "fill"]
"""How a picture meets a box of another ratio: whole inside, whole around, cut, on a canvas, or stretched."""

Format = Literal["jpeg", "jpg", "png", "webp", "avif"]
"""A picture's format; `jpg` is `jpeg`."""

class GiveBack(TypedDict, total=False):
    """When it may be fetched again."""

    delay: float | None
    """Seconds."""

class GivenUp(TypedDict):
    """A wait on a condition that was given up after a notify had come for it."""

    notified: bool
    """It was notified: act on it, or notify another one. You do not hold the lock."""

class _GraphAlways(TypedDict):
    nodes: list[GraphNode]
    """Without cycles, and up to 100 one behind the other."""

class Graph(_GraphAlways, total=False):
    """A graph of tasks."""

    fail_fast: bool | None
    """The first failure that no other node takes care of cancels everything."""
    return_exceptions: bool | None
    """Failures stand in the results, and are no failure of the workflow."""
    max_in_flight: int | None
    """Nodes at work at once, at most."""

class _GraphDependencyAlways(TypedDict):
    node: str
    """The key of the node."""

class GraphDependency(_GraphDependencyAlways, total=False):
    """A dependency."""

    when: When | None

class _GraphNodeAlways(TypedDict):
    key: str
    """What the other nodes call it."""
    task: Submission
    """Its arguments may refer to what its dependencies left behind."""

class GraphNode(_GraphNodeAlways, total=False):
    """A task, and what it waits for."""

    depends_on: list[GraphDependency] | None
    on_dependency_failure: OnDependencyFailure | None

Gravity = Literal["center", "centre", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest", "smart"]
"""Which part stays where `cover` cuts; `smart` finds it."""

class _GroupAlways(TypedDict):
    tasks: list[Submission]
    """None is done at once, with `[]`."""

class Group(_GroupAlways, total=False):
    """Tasks to be run beside each other."""

    return_exceptions: bool | None
    """Failures stand in the results; where nothing is said, the first one cancels the others and fails the group."""
    max_in_flight: int | None
    """Tasks at work at once, at most."""

class Holder(TypedDict):
    """Who holds."""

    owner: str
    """The label that it gave."""
    fence: str
    """Its fence, a decimal number."""
    permits: int
    """Permits."""
    expires_in: float
    """Seconds until it ends, unless it is renewed."""

class ImageOptions(TypedDict, total=False):
    """How the picture shall become. What is left out is the handler's to choose."""

    width: int | None
    """Pixels."""
    height: int | None
    """Pixels."""
    fit: Fit | None
    gravity: Gravity | None
    without_enlargement: bool | None
    """Never larger than the original."""
    background: str | None
    """Behind transparency that the result cannot have, and in the bars of `contain`: `#rrggbb` or `#rrggbbaa`."""
    rotate: Rotate | None
    blur: float | None
    """The sigma of a Gaussian blur, in pixels of the result."""
    sharpen: float | None
    """The sigma of sharpening, in pixels of the result."""
    page: int | None
    """The page of a TIFF, or the frame of an animation."""
    format: Format | None
    quality: int | None
    """Of JPEG, lossy WebP and AVIF; 80, and 50 for AVIF, where it is left out."""
    lossless: bool | None
    """WebP without loss."""
    progressive: bool | None
    """JPEG and PNG that are shown coarsely first."""
    grayscale: bool | None
    keep_profile: bool | None
    """The colours stay in the picture's own profile, which comes along; else they become sRGB."""
    metadata: Metadata | None

class _ItemAlways(TypedDict):
    id: str
    content_type: str
    """As recognised by its first bytes, else as declared."""
    bytes: int
    """Its size."""
    sha256: str
    """Of its content."""
    created_at: str

class Item(_ItemAlways, total=False):
    """An item as the API shows it."""

    task_id: str | None
    """The task that made it; absent where a client uploaded it."""

ItemOrder = Literal["fifo", "lifo", "priority"]
"""In which order items leave."""

class ItemWait(TypedDict):
    """That there is none yet."""

    lease_id: str
    waiting: int
    """How many consumers wait."""

class Joined(TypedDict):
    """What is left."""

    finished: bool
    """At one moment since the request came, nothing was unfinished."""
    unfinished: int
    """How many items are ready, delayed or fetched and not done, now."""

KeyId = int
"""A key's id. Tells nothing and is no secret."""

KeyScope = Literal["submit", "read", "cancel", "admin"]
"""A kind of action."""

Kind = Literal["workflow", "group", "chain", "chord", "map"]
"""What a workflow was asked for as."""

class _LeaseAlways(TypedDict):
    lease_id: str
    """By this id it is renewed, given back, and asked for again."""
    state: LeaseState

class Lease(_LeaseAlways, total=False):
    """A lease as its client sees it."""

    fence: str
    """Greater than all that were given before for this object: a decimal number. Pass it to whatever you act on."""
    expires_in: float
    """Seconds from the moment at which this was answered. Count from when you sent the request."""
    waiting: int
    """How many stand in the line, this one included."""
    notified: bool
    """Of a wait on a condition that has the lock again: whether it was notified, or its `timeout` was over before."""

LeaseState = Literal["held", "waiting", "parked"]
"""Where a lease stands."""

class ListAttempt(TypedDict):
    """What every list looks like."""

    data: list[dict[str, Any]]
    """All of them, at once."""

class ListProblemKind(TypedDict):
    """What every list looks like."""

    data: list[dict[str, Any]]
    """All of them, at once."""

class ListQueue(TypedDict):
    """What every list looks like."""

    data: list[dict[str, Any]]
    """All of them, at once."""

class ListTaskType(TypedDict):
    """What every list looks like."""

    data: list[dict[str, Any]]
    """All of them, at once."""

class ListWorker(TypedDict):
    """What every list looks like."""

    data: list[dict[str, Any]]
    """All of them, at once."""

class ListedBarrier(TypedDict):
    """A barrier in a list."""

    name: str
    parties: int | None
    """How many open it; null for one that has no size."""
    arrived: int
    """How many have arrived since it was last open, no further than 100."""
    generation: int
    """How often it was open."""
    broken: bool
    """Who arrives is refused, until it is reset."""

class ListedEvent(TypedDict):
    """An event in a list."""

    name: str
    set: bool
    generation: int
    """How often it was set."""

class ListedLock(TypedDict):
    """A lock in a list."""

    name: str
    held: int
    """How many leases hold it: several where one owner holds it several times. No further than 100."""
    waiting: int
    """How many wait for it, and on conditions beside it, no further than 100."""

class ListedSemaphore(TypedDict):
    """A semaphore in a list."""

    name: str
    permits: int | None
    """Permits in all; null for one that was used and has no size."""
    held: int
    """How many leases hold permits, no further than 100."""
    waiting: int
    """How many wait, no further than 100."""

class ListedWorkQueue(TypedDict):
    """A work queue in a list."""

    name: str
    order: ItemOrder
    maxsize: int | None
    """How many items may be ready; null: any number."""
    max_attempts: int
    shut_down: bool
    """It takes no more."""
    in_flight: int
    """Items that were fetched and are not done, and places promised to producers, no further than 100."""
    waiting: int
    """Consumers and producers that wait, no further than 100."""

class _LoadedQueueAlways(TypedDict):
    name: str
    """Which queue."""
    slots: int
    """Tasks at once."""
    busy: int
    """Slots that are taken now."""

class LoadedQueue(_LoadedQueueAlways, total=False):
    """A queue as one worker serves it."""

    overdue: int
    """Handlers that go on though their attempt was given up: they ran past their hard limit, or past the grace after a cancel request, and cannot be ended."""
    withheld: int
    """Of the busy slots, those that such a handler holds because too many are overdue."""

class Lock(TypedDict):
    """A lock."""

    name: str
    holders: list[Holder]
    """Who holds it: several where one owner holds it several times."""
    waiting: int
    """How many stand in the line."""

class MadeApiKey(ApiKey):
    """A new key, with its secret."""

    key: str
    """To be sent as `Authorization: Bearer …`. It is shown only now."""

class _MapAlways(TypedDict):
    task: Submission
    items: list[Any]
    """The first argument of each task; without any, all is done at once, with `[]`."""

class Map(_MapAlways, total=False):
    """One task to be run over many arguments."""

    chunk: int | None
    """So many of them go to one task, as a list."""
    return_exceptions: bool | None
    """Failures stand in the results; where nothing is said, the first one cancels the others and fails the map."""
    max_in_flight: int | None
    """Tasks at work at once, at most."""

Members = TypedDict("Members", {
    "state": "State",
    "error": "TaskError",
    "existing_task_id": "TaskId",
    "bytes_max": "int",
    "bytes": "int",
    "scope": "KeyScope",
    "queue": "str",
    "quota": "str",
    "limit": "int",
    "violated-policies": "list[str]",
    "index": "int",
    "workflow_id": "str",
    "expires_in": "float",
    "checks": "dict[str, str]",
}, total=False)
"""What some kinds of problem tell beside."""

Metadata = Literal["none", "keep"]
"""Whether camera, lens, exposure, time and author come along; never where the picture was taken."""

class _NewApiKeyAlways(TypedDict):
    name: str
    """For people."""
    scopes: list[KeyScope]

class NewApiKey(_NewApiKeyAlways, total=False):
    """A key to be."""

    queues: list[str] | None
    """Patterns, in which `*` stands for anything, up to three times. Left out: all queues. `admin` goes with all."""
    expires_at: str | None
    """From when on it is refused."""
    user_id: int | None
    """Whose; left out: your own. For the operator only."""

class _NewArrivalAlways(TypedDict):
    arrival_id: str
    """New for each arrival: however often it is sent, it counts once."""

class NewArrival(_NewArrivalAlways, total=False):
    """An arrival."""

    timeout: float | None
    """Seconds after which it breaks the barrier for all, unless that has opened before; as Python's `wait(timeout)` does. Counts from the first request with this `arrival_id`."""

class _NewConditionWaitAlways(TypedDict):
    lock: str
    """The lock that guards what is waited for."""
    lease_id: str
    """Your lease of it, which is given back."""
    wait_id: str
    """The lease that you will have then: a new id."""

class NewConditionWait(_NewConditionWaitAlways, total=False):
    """A wait."""

    timeout: float | None
    """Seconds after which it no longer waits for a notify, and goes into the lock's line without one. Counts from the first request with this `wait_id`."""

class _NewDataAlways(TypedDict):
    value: Any
    """Any JSON."""

class NewData(_NewDataAlways, total=False):
    """A new value."""

    ttl: float | None
    """Seconds after which it is gone, as if it had been deleted; left out, it lasts until it is changed."""

class NewItemLease(TypedDict, total=False):
    """What is wanted."""

    lease_id: str | None
    """New for each fetch; made here where it is left out, but then the request cannot be repeated."""
    owner: str | None
    """A label, for people."""
    ttl: float | None
    """Seconds after which the item comes back unless it is done or the lease is renewed."""
    ack: Ack | None
    until_finished: bool | None
    """On a queue that is shut down: whether to wait for what others have fetched, which may come back. False: be told `queue_shut_down` as soon as nothing is ready, as Python's `get` is."""

class NewLockLease(TypedDict, total=False):
    """A lock that is wanted."""

    lease_id: str | None
    """New for each lease; made here where it is left out, but then the request cannot be repeated."""
    owner: str | None
    """A label, for people; and whoever re-enters must give the same."""
    ttl: float | None
    """Seconds until it ends unless it is renewed."""
    reentrant: bool | None
    """Whether the owner may hold it several times, each time as a lease of its own with the same fence."""
    expect_fence: str | None
    """Only where the owner holds it with this fence: re-entry, and never a new start."""

class NewPermitLease(TypedDict, total=False):
    """Permits that are wanted."""

    lease_id: str | None
    """New for each lease; made here where it is left out, but then the request cannot be repeated."""
    owner: str | None
    """A label, for people."""
    ttl: float | None
    """Seconds until it ends unless it is renewed."""
    permits: int | None
    """How many permits."""

class NewQuotas(TypedDict, total=False):
    """How much a user may take. Null is no limit."""

    queued_tasks: int | None
    """Tasks that are scheduled, waiting or queued."""
    stored_bytes: int | None
    """Bytes of items, values by key and items of work queues, those that tasks have made included."""
    requests_per_second: int | None
    """Requests a second, and how many may come at once."""

class NewShutDown(TypedDict, total=False):
    """How it is shut down."""

    immediate: bool | None
    """Remove what nobody has, and give nothing more."""

class _NewTaskWaitAlways(TypedDict):
    ids: list[TaskId]
    """All different."""

class NewTaskWait(_NewTaskWaitAlways, total=False):
    """Which tasks."""

    until: TaskWaitUntil | None

class _NewUserAlways(TypedDict):
    name: str

class NewUser(_NewUserAlways, total=False):
    """A user to be."""

    quotas: NewQuotas | None

class _NewWorkItemAlways(TypedDict):
    payload: Any
    """Any JSON, up to 64 KiB."""

class NewWorkItem(_NewWorkItemAlways, total=False):
    """An item."""

    item_id: str | None
    """New for each item; made here where it is left out, but then the request cannot be repeated."""
    priority: float | None
    """The lowest leaves first, where the order is `priority`."""
    delay: float | None
    """Seconds before which it is not to be fetched."""

class NewWorkQueueSettings(TypedDict, total=False):
    """How a queue is to work."""

    order: ItemOrder | None
    maxsize: int | None
    """How many items may be ready before producers wait; null: any number, as for a new queue."""
    max_attempts: int | None
    """An item that was fetched so often and is not done is dead; 5 for a new queue."""

class Notified(TypedDict):
    """Who was notified."""

    notified: int
    """How many stand in the lock's line now. They have it one after the other, when you have given it back."""

class _NotifyAlways(TypedDict):
    lock: str
    """The lock that guards what is waited for."""
    lease_id: str
    """Your lease of it."""

class Notify(_NotifyAlways, total=False):
    """Whom to notify."""

    count: int | None
    """How many; as many may wait as one request notifies."""

OnConflict = Literal["return_existing", "reject", "replace", "keep_latest"]
"""What becomes of a second task."""

OnDependencyFailure = Literal["cancel", "run", "ignore"]
"""What becomes of a node of which a dependency has ended otherwise than was asked for."""

class PageApiKey(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageAuditEntry(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageDeadItem(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageItem(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageListedBarrier(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageListedEvent(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageListedLock(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageListedSemaphore(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageListedWorkQueue(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageQuarantinedMessage(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageTaskLine(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageUser(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageWorkflow(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

class PageWorkflowNode(TypedDict):
    """One page of a list that may be long."""

    data: list[dict[str, Any]]
    next_cursor: str | None
    """Where the next page begins; null at the end."""

Priority = int
"""0–9, higher is more urgent; 4 where nothing is said (what RabbitMQ 4.3 gives to messages without one)."""

class _ProblemAlways(Members):
    type: str
    """The address of a page about this kind of problem."""
    title: str
    """The kind of problem in a few words, always the same."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong with this request, for people."""
    code: ProblemCode
    retryable: bool
    """Whether the same request may well succeed later."""

class Problem(_ProblemAlways, total=False):
    """Why a request was not done (RFC 9457)."""

    instance: str | None
    """The request's id, which finds it in the log."""
    errors: list[Fault]
    """Everything that is wrong with the request, part by part."""

ProblemCode = Literal["bad_request", "empty_body", "malformed_json", "unauthorized", "missing_scope", "queue_forbidden", "foreign_host", "foreign_origin", "not_found", "task_not_found", "workflow_not_found", "item_not_found", "data_not_found", "user_not_found", "api_key_not_found", "method_not_allowed", "body_timeout", "task_not_finished", "task_failed", "task_cancelled", "task_expired", "result_not_kept", "task_already_finished", "task_not_scheduled", "task_in_workflow", "workflow_not_finished", "workflow_failed", "workflow_cancelled", "workflow_already_finished", "duplicate_task", "contended", "name_taken", "operator_stays", "too_many_keys", "idempotency_in_flight", "idempotency_key_reused", "invalid_idempotency_key", "precondition_failed", "body_too_large", "input_too_large", "unsupported_media_type", "unfit_form", "range_not_satisfiable", "content_type_mismatch", "invalid_request", "unknown_field", "unknown_parameter", "unsupported_search", "nul_character", "nested_too_deep", "unknown_task", "unknown_queue", "invalid_arguments", "item_not_image", "would_block", "lease_lost", "lease_not_found", "not_owner", "wrong_secret", "lease_id_reused", "not_configured", "never_fits", "too_many_waiters", "too_many_holds", "held_twice", "broken_barrier", "queue_full", "queue_not_empty", "item_already_in", "item_id_reused", "queue_shut_down", "payload_too_large", "lease_in_use", "rate_limited", "quota_exceeded", "internal", "database_unavailable", "database_read_only", "outcome_unknown", "overloaded", "no_worker_yet", "not_ready"]
"""What kind of problem. The list is closed: a code is never renamed and never reused."""

class ProblemKind(TypedDict):
    """A code as the API explains it."""

    code: ProblemCode
    status: int
    """The HTTP status that goes with it, always the same."""
    title: str
    """The kind of problem in a few words, always the same."""
    meaning: str
    """What it means."""
    remedy: str
    """What a client should do about it."""
    retryable: bool
    """Whether the same request may well succeed later."""
    example: Problem
    """A document of this kind."""

class PurgedItems(TypedDict):
    """What was removed."""

    purged: int
    """How many items."""
    more: bool
    """There may be more: repeat it."""

class QuarantinedMessage(TypedDict):
    """A message that was put aside, as the API shows it."""

    id: int
    """Rises with time."""
    queue: str
    """The broker queue it came from."""
    reason: str
    """What was wrong with it."""
    body_hex: str
    """Its first 4 KiB, in hexadecimal."""
    seen_at: str
    """When."""

class Queue(TypedDict):
    """A queue as the API shows it."""

    name: str
    """Its name."""
    depth: int
    """Tasks that wait. Exact up to ten thousand, an upper bound above."""
    oldest_age: float | None
    """How long the oldest of them has waited, seconds."""
    running: int
    """Tasks that run."""
    workers: int
    """Workers that serve it."""
    slots: int
    """Their slots for it."""

class QueueCounts(TypedDict):
    """How many items stand where."""

    ready: int
    """To be fetched now."""
    delayed: int
    """To be fetched later."""
    in_flight: int
    """Fetched and not done."""
    unfinished: int
    """All of these together: what `join` waits for."""
    dead: int
    """Fetched too often without being done; kept for a week."""

QueueName = str
"""The name of a queue."""

class Quotas(TypedDict):
    """A user's quotas. None is none: nothing is counted, and nothing paid for it."""

    queued_tasks: int | None
    """Tasks that are scheduled, waiting or queued."""
    stored_bytes: int | None
    """Bytes of items, those that tasks have made included."""
    requests_per_second: int | None
    """Requests a second, and how many may come at once."""

class _ReadinessAlways(TypedDict):
    status: str
    """`alive`, `ready`, or `degraded`: tasks are accepted, and something behind is away."""

class Readiness(_ReadinessAlways, total=False):
    """Readiness"""

    checks: dict[str, str] | None
    """`up` or `down` for every server behind, with `?verbose`; of PostgreSQL also `read_only`."""

class Renewal(TypedDict, total=False):
    """More time."""

    ttl: float | None
    """Seconds from now; left out, as before."""

Retries = Union["TaskIds", "RetryMatching"]
"""What to retry: these, or what a search finds."""

class Retry(TypedDict, total=False):
    """How often, when, and after which errors a task is tried again."""

    max_attempts: int | None
    """Attempts in all; 5 where nothing is said."""
    backoff: Backoff | None
    jitter: float | None
    """How much of the wait is left to chance; 1 where nothing is said: anything between nothing and the whole wait."""
    retry_on: list[CodePattern] | None
    """Only errors with one of these codes are tried again; all that are retryable where nothing is said. `worker_lost` and `timed_out` are such codes too."""
    no_retry_on: list[CodePattern] | None
    """Errors with one of these codes are not tried again, `worker_lost` and `timed_out` included."""
    max_retry_duration: float | None
    """No attempt begins later than this after acceptance, seconds."""

class RetryAnswer(TypedDict):
    """The answer: one entry a task, in the order given or the newest first."""

    dry_run: bool
    """Whether nothing was done."""
    batch_id: str | None
    """The new tasks are a batch."""
    retried: int
    """How many new tasks there are."""
    tasks: list[RetryEntry]
    """In the order given, or the newest first."""
    next_cursor: str | None
    """Where a search goes on; null at its end."""

class _RetryEntryAlways(TypedDict):
    retry_of: TaskId
    """The task that had ended."""
    status: int
    """202: there is a new one. 200: there would be (`dry_run`)."""

class RetryEntry(_RetryEntryAlways, total=False):
    """What became of one task."""

    id: TaskId | None
    problem: Problem | None

class RetryFilter(TypedDict, total=False):
    """Which tasks; what is left out matches all."""

    state: str | None
    """`failed` where nothing is said."""
    queue: str | None
    name: str | None
    error_code: str | None
    """Failed with this code, of at most 64 bytes."""
    created_after: str | None
    """Accepted then or later."""
    created_before: str | None
    """Accepted earlier."""

class _RetryMatchingAlways(TypedDict):
    filter: RetryFilter

class RetryMatching(_RetryMatchingAlways, total=False):
    """What a search finds and was not retried yet."""

    dry_run: bool | None
    """Tell what would be done, and do nothing."""
    limit: int | None
    """Tasks at most."""
    cursor: str | None
    """The `next_cursor` of the answer before."""

Rotate = int
"""A turn clockwise, in degrees: 0, 90, 180 or 270."""

Scope = Literal["queued", "incomplete", "period"]
"""How long a task keeps others like it away."""

class SeenEvent(Event):
    """An event, and what has become of what was waited for."""

    fired: bool
    """It is set, or was since the generation that you know; without `since`, since the request came."""

class Semaphore(TypedDict):
    """A semaphore."""

    name: str
    permits: int
    """Permits in all."""
    available: int
    """Permits that nobody holds."""
    holders: list[Holder]
    """Who holds some, the first 100 that were granted."""
    waiting: int
    """How many stand in the line."""

class SemaphoreSize(TypedDict):
    """How large it is."""

    permits: int
    """Permits in all."""

class ShutDown(TypedDict):
    """Whether a queue takes more."""

    shut_down: bool
    immediate: bool
    """It gives nothing either, and drops what nobody has."""

class Started(TypedDict):
    """The whole answer, as the cheatsheet has it."""

    message: str
    task_id: TaskId

State = Literal["scheduled", "waiting", "queued", "running", "succeeded", "failed", "cancelled", "expired"]
"""Where a task stands. `succeeded`, `failed`, `cancelled` and `expired` are terminal and never change."""

class _SubmissionAlways(TypedDict):
    name: TaskName
    """Which task type; `GET /v1/task-types` lists what workers have announced."""

class Submission(_SubmissionAlways, total=False):
    """A task to be run."""

    args: list[Any] | None
    """Arguments by place. `args` and `kwargs` may hold 256 KiB together, and nest 32 deep."""
    kwargs: dict[str, Any] | None
    """Arguments by name."""
    queue: QueueName | None
    priority: Priority | None
    delay: float | None
    """Seconds until it may start, up to the year 9999. Not beside `run_at`."""
    run_at: str | None
    """When it may start, from 1970 to 9999; a time that has passed is now. (The last 26 hours of 9999 count as their beginning.)"""
    expires_at: str | None
    """It expires if it has not started by then, also while it is scheduled: for its first attempt or for another. Later than its start, and in the future."""
    timeout: float | None
    """The hard time limit of an attempt, seconds; by default its type's, which is an hour unless its workers say otherwise. Null: none."""
    soft_timeout: float | None
    """When an attempt is asked to end, seconds; not above the hard limit."""
    retry: Retry | None
    unique: Unique | None
    result_ttl: float | None
    """How long the finished task is kept, seconds, up to 90 days; by default a day if it succeeded, else a week."""
    store_result: bool | None
    """Whether the result is kept; it is where nothing is said."""
    tags: list[Tag] | None
    """Words to find it by."""
    metadata: dict[str, Any] | None
    """Whatever you want to keep beside it, up to 16 KiB."""
    parent_id: TaskId | None

Tag = str
"""A tag: at most 64 bytes."""

class TaskChange(TypedDict, total=False):
    """When a scheduled task starts: one of the two."""

    delay: float | None
    """Seconds from now; 0 is now."""
    run_at: str | None
    """Then; a time that has passed is now."""

class _TaskErrorAlways(TypedDict):
    code: str
    """Stable, `snake_case`; at most [`TaskError::CODE_BYTES_MAX`] bytes."""
    message: str
    """For people; at most 4096 bytes."""

class TaskError(_TaskErrorAlways, total=False):
    """An error as people see it: a stable code to match on, a sentence to read, anything else as JSON."""

    details: Any
    """Whatever helps, as JSON."""

TaskId = str
"""A task's id: a UUID version 7 made by the API, so that ids sort by time of acceptance."""

class _TaskIdsAlways(TypedDict):
    ids: list[TaskId]

class TaskIds(_TaskIdsAlways, total=False):
    """These tasks."""

    dry_run: bool | None
    """Tell what would be done, and do nothing."""

class TaskLine(TypedDict):
    """A task in a list: what tells it from others. Its whole document is at its own address."""

    id: TaskId
    """UUID version 7."""
    name: str
    """Which handler."""
    queue: str
    """Where it queues."""
    priority: int
    """0–9."""
    state: State
    """Where it stands."""
    waiting_reason: str | None
    """Why it waits, where something is known."""
    attempt: int
    """The current attempt, or the last one; 0 before the first."""
    max_attempts: int
    """Attempts in all."""
    created_at: str
    """Accepted."""
    run_at: str | None
    """Not before; only while it is scheduled."""
    started_at: str | None
    """The last attempt began."""
    finished_at: str | None
    """Terminal since."""
    worker: str | None
    """Who runs it, or ran it last."""
    error: TaskError | None
    tags: list[str]
    """Words to find it by."""
    batch_id: str | None
    """The batch it came in."""
    retry_of: str | None
    """The task that it repeats."""

TaskName = str
"""The name of a task type."""

class TaskType(TypedDict):
    """A task type as the API shows it."""

    name: TaskName
    version: int
    parameters: list[str]
    """In their order."""
    queue: QueueName
    """Where its tasks queue unless they say otherwise."""
    timeout: float | None
    """The hard time limit of its attempts unless they say otherwise, seconds."""
    cpu: bool
    """Whether it burns CPU."""

class TaskWait(TypedDict):
    """Where they stand."""

    done: bool
    """What was waited for is so: one has ended, or all have."""
    ended: int
    """How many have ended, or are not there."""
    tasks: list[WaitedTask]
    """In the order given."""

TaskWaitUntil = Literal["any", "all"]
"""When the answer is wanted."""

Unique = TypedDict("Unique", {
    "key": "str | None",
    "by": "list[UniquePart] | None",
    "while": "Scope | None",
    "period": "float | None",
    "on_conflict": "OnConflict | None",
}, total=False)
"""Keeps other tasks that count as the same away. By `key`, or `by` what they are; `by: ["name", "args"]` where neither is said."""

UniquePart = str
"""A part of a task that makes it the same as another."""

class Updated(TypedDict):
    """That it was done."""

    message: str

class User(TypedDict):
    """A user as the API shows it."""

    id: int
    """A whole number, from 1."""
    name: str
    """Its name, which no other has."""
    quotas: Quotas
    """How much it may take; null is no limit."""
    created_at: str
    """When it was made."""
    disabled_at: str | None
    """Since when its keys are refused; null where they are not."""

class _WaitedTaskAlways(TypedDict):
    id: TaskId

class WaitedTask(_WaitedTaskAlways, total=False):
    """Where one task stands. What is left out is not known, or not there yet."""

    state: State
    result: Any
    """Of one that has ended: what it returned; null where it returned nothing, failed, or was told to keep no result."""
    error: TaskError
    """Of one that has ended: the error of its last attempt that had one."""
    store_result: bool
    """Of one that has succeeded: whether its result was kept."""
    omitted: bool
    """It has ended, and what it left did not fit into this answer: `GET /v1/tasks/{id}/result` has it."""
    problem: Problem
    """Why nothing is told: there is no such task, or the key is not for its queue. It is waited for no longer."""

When = Literal["succeeded", "failed", "finished"]
"""How a dependency must end."""

class WorkItemPut(TypedDict):
    """An item and whether it is in."""

    item_id: str
    accepted: bool
    """It is in the queue, or was; else it waits for room."""

class _WorkQueueAlways(QueueCounts):
    name: str
    order: ItemOrder
    max_attempts: int
    shut_down: bool
    """It takes no more."""
    immediate: bool
    """It gives nothing either, and drops what nobody has."""
    waiting: int
    """Consumers that wait for an item."""
    waiting_producers: int
    """Producers that wait for room."""

class WorkQueue(_WorkQueueAlways, total=False):
    """A work queue."""

    maxsize: int | None
    """How many items may be ready; null: any number."""

class _WorkQueueSettingsAlways(TypedDict):
    order: ItemOrder
    max_attempts: int
    """An item that was fetched so often and is not done is dead."""

class WorkQueueSettings(_WorkQueueSettingsAlways, total=False):
    """How a queue works."""

    maxsize: int | None
    """How many items may be ready before producers wait; null: any number."""

class Worker(TypedDict):
    """A worker as the API shows it."""

    id: int
    """The session."""
    name: str
    """`host:pid`."""
    host: str
    """The host."""
    kind: str
    """`native`."""
    queues: list[LoadedQueue]
    """What it serves."""
    overdue: int
    """Handlers that go on though their attempt was given up, of all its queues."""
    draining: bool
    """Told to stop taking work."""
    started_at: str
    """When it started."""
    seen_at: str
    """Its last beat."""

class _WorkflowAlways(TypedDict):
    id: str
    """UUID version 7."""
    kind: Kind
    """What it was asked for as."""
    state: WorkflowState
    """Where it stands."""
    return_exceptions: bool
    """Failures stand in the results, as objects with `error`."""
    counts: WorkflowCounts
    """How many of its nodes stand where."""
    created_at: str
    """Accepted."""

class Workflow(_WorkflowAlways, total=False):
    """A workflow. Every field is always there; what is not known is null."""

    max_in_flight: int | None
    """Nodes at work at once, at most."""
    finished_at: str | None
    """Terminal since."""
    cancel_requested_at: str | None
    """Cancellation was asked for."""

class WorkflowCounts(TypedDict):
    """How many nodes stand where."""

    total: int
    """All of them."""
    open: int
    """Not ended."""
    succeeded: int
    """Ended with a result."""
    failed: int
    """Ended without."""
    cancelled: int
    """Cancelled, by somebody or because it was not to run."""
    expired: int
    """Not started in time."""

class WorkflowDocument(Workflow):
    """A workflow and some of its nodes."""

    nodes: PageWorkflowNode
    """In the order given."""

WorkflowState = Literal["running", "succeeded", "failed", "cancelled"]
"""Where a workflow stands. All but `running` are terminal, until somebody retries it."""
