"""Queues: what `queue.Queue` and `asyncio.Queue` have in common.

With `task_done`, a `get` takes a lease that is renewed until the item is done with; it comes again otherwise. Without, `get`
itself is done with the item before it returns.
"""

import math
import queue
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from . import _api, _types
from ._call import Steps
from ._client import Client
from ._errors import CarawayError
from ._fork import forget_in_child
from ._ids import new_id
from ._keeper import keeper
from ._lease import Lease, lease_lost
from ._line import Deadline, Terms, leave, stand_in_line
from ._priority import as_heap_item, priority_of
from ._problems import LeaseLost, NotConfigured, QueueFull, QueueShutDown, UnknownField
from ._retry import send
from .codec import Codec

T = TypeVar("T")

DEFAULT_TTL = 30.0


class Items:
    """A work queue by its name. `order` is fifo, lifo or priority."""

    def __init__(
        self,
        name: str,
        order: str,
        maxsize: int,
        client: Client,
        codec: Codec,
        me: Callable[[], Hashable],
        ttl: float = DEFAULT_TTL,
        manual: bool = True,
    ) -> None:
        self.name = name
        self.order = order
        self.maxsize = maxsize
        self.client = client
        self.codec = codec
        self.me = me
        self.manual = manual
        self.held: list[tuple[Hashable, Lease]] = []
        forget_in_child(self)
        weakref.finalize(self, _abandon, self.held)
        self.terms = Terms(
            client.pool,
            ttl,
            ask=self._ask,
            renew=(lambda lease_id: _api.extend_work_item(name, lease_id)) if manual else None,
            # An item that came in an answer which was lost must not count as done.
            release=lambda lease_id: _api.give_back_work_item(name, lease_id),
        )

    def forget(self) -> None:
        """After a fork: the items are the parent's."""
        self.held.clear()

    def _ask(self, lease_id: str, wait: float | None) -> Any:
        body: _types.NewItemLease = {"lease_id": lease_id, "owner": self.client.holder, "ttl": self.terms.ttl}
        if not self.client.lacks("until_finished"):
            body["until_finished"] = False
        return _api.get_work_item(self.name, body, wait=wait)

    def configure(self) -> Steps[None]:
        """Once for each client: makes it, and says how it works."""
        if not self.client.prepared("work-queue", self.name, self.order, str(self.maxsize)):
            order: Any = self.order
            maxsize = math.ceil(self.maxsize) if self.maxsize > 0 else None
            yield from send(_api.configure_work_queue(self.name, {"order": order, "maxsize": maxsize}))
            self.client.note_prepared("work-queue", self.name, self.order, str(self.maxsize))

    def unprepare(self) -> None:
        """It has to be made again."""
        self.client.unprepare("work-queue", self.name, self.order, str(self.maxsize))

    def _made(self, steps: Callable[[], Steps[T]]) -> Steps[T]:
        """Runs them on a queue that is there; made again, if somebody deleted it."""
        yield from self.configure()
        try:
            return (yield from steps())
        except NotConfigured:
            self.unprepare()
            yield from self.configure()
            return (yield from steps())

    def put(self, value: Any, timeout: float | None) -> Steps[None]:
        """Puts it in, or raises `queue.Full` when the time is over. With a timeout of 0 it does not wait."""
        payload = self.codec.encode(value)
        priority = priority_of(value) if self.order == "priority" else None
        return self._made(lambda: self._put(payload, priority, timeout))

    def _put(self, payload: Any, priority: float | None, timeout: float | None) -> Steps[None]:
        deadline = Deadline(timeout)
        item_id = new_id()
        try:
            while True:
                body: Any = {"item_id": item_id, "payload": payload}
                if priority is not None:
                    body["priority"] = priority
                try:
                    reply = yield from send(_api.put_work_item(self.name, body, wait=None if timeout == 0 else deadline.wait()))
                except LeaseLost:
                    # It is not in, and its place was forgotten: at the end of the line again.
                    item_id = new_id()
                    continue
                if reply.json()["accepted"]:
                    return
                if deadline.over():
                    answer = yield from leave(_api.withdraw_work_item(self.name, item_id))
                    if answer is None and (yield from self._is_in(item_id)):
                        return
                    raise queue.Full
        except QueueFull:
            raise queue.Full from None
        except GeneratorExit:
            raise
        except (queue.Full, QueueShutDown):
            raise
        except BaseException:
            yield from leave(_api.withdraw_work_item(self.name, item_id))
            raise

    def _is_in(self, item_id: str) -> Steps[bool]:
        """Whether an item whose place could not be given up went in meanwhile: then that is refused as `item_already_in`."""
        from ._problems import ItemAlreadyIn

        try:
            yield from send(_api.withdraw_work_item(self.name, item_id))
        except ItemAlreadyIn:
            return True
        return False

    def get(self, timeout: float | None) -> Steps[Any]:
        """Fetches one, or raises `queue.Empty` when the time is over."""
        return self._made(lambda: self._get(timeout))

    def _get(self, timeout: float | None) -> Steps[Any]:
        owner, deadline = self.me(), Deadline(timeout)
        while True:
            granted = yield from self._granted(timeout if timeout == 0 else deadline.left())
            if granted is None:
                raise queue.Empty
            lease, answer = granted
            if self.manual:
                self.held.append((owner, lease))
                keeper.keep(lease)
                break
            if (yield from self._finished(lease)):
                break
        value: Any = self.codec.decode(answer["payload"])
        return as_heap_item(value) if self.order == "priority" else value

    def _granted(self, timeout: float | None) -> Steps[tuple[Lease, dict[str, Any]] | None]:
        try:
            return (yield from stand_in_line(self.terms, timeout))
        except UnknownField:
            # The server is older; another thread may have found that out at the same time.
            self.client.note_lack("until_finished")
            return (yield from stand_in_line(self.terms, timeout))

    def _finished(self, lease: Lease) -> Steps[bool]:
        """Done with as soon as it is here. Not by `ack: auto`: an item whose answer is lost on its way would be lost with it.
        False, if it took so long that somebody else may have it."""
        try:
            yield from send(_api.work_item_done(self.name, lease.lease_id))
        except LeaseLost:
            return False
        except (GeneratorExit, CarawayError):
            raise
        except BaseException:
            yield from leave(self.terms.release(lease.lease_id))
            raise
        return True

    def done(self) -> Steps[None]:
        """The oldest item that this thread has is done with; if it has none, the oldest of all."""
        if not self.held:
            raise ValueError("task_done() called too many times")
        me = self.me()
        own = next((pair for pair in self.held if pair[0] == me), self.held[0])
        self.held.remove(own)
        lease = own[1]
        keeper.drop(lease)
        held = lease.end()
        try:
            yield from send(_api.work_item_done(self.name, lease.lease_id))
        except LeaseLost:
            held = False
        if not held:
            raise lease_lost(f"an item of {self.name!r}")

    def counts(self) -> Steps[dict[str, Any]]:
        """How it stands."""
        return self._made(self._counts)

    def _counts(self) -> Steps[dict[str, Any]]:
        counts: dict[str, Any] = (yield from send(_api.get_work_queue(self.name))).json()
        return counts

    def resize(self, maxsize: int) -> Steps[None]:
        """Another bound, for all who use it."""
        self.unprepare()
        self.maxsize = maxsize
        yield from self.configure()

    def join(self) -> Steps[None]:
        """Waits until nothing is unfinished."""
        yield from self.configure()
        while not (yield from send(_api.join_work_queue(self.name, wait=60.0))).json()["finished"]:
            pass

    def shut_down(self, immediate: bool) -> Steps[None]:
        """It takes no more; with `immediate` it gives no more either."""
        yield from self.configure()
        if immediate:
            yield from send(_api.shut_work_queue_down(self.name, {"immediate": True}))
        else:
            yield from send(_api.shut_work_queue_down(self.name))


def _abandon(held: list[tuple[Hashable, Lease]]) -> None:
    keeper.abandon([lease for _, lease in held])
