"""The two clients: `Caraway` for threads, `AsyncCaraway` for asyncio. Both run the same steps."""

import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from ._call import Call, Exchange, Reply, Sleep, Steps
from ._clock import now
from ._drive import drive, drive_async
from ._fork import forget_in_child
from ._retry import send
from ._settings import origin
from .transport.http import Pool

if TYPE_CHECKING:
    from .items import AsyncItems, AsyncUsers, Items, Users

T = TypeVar("T")

ASK_AGAIN_SECONDS = 60.0


class Client:
    """What both clients have."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self._origin = origin(url, key)
        # For what has no event loop: the keeper, and threads.
        self.pool = Pool(self._origin)
        self._shared: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._lacks: dict[str, float] = {}
        self._prepared: set[tuple[str, ...]] = set()
        self.forget()
        forget_in_child(self)

    def forget(self) -> None:
        """After a fork: another process is another holder."""
        # Of whom a lease is, for people who look at it.
        self.holder = f"{socket.gethostname()[:60]}:{os.getpid()}"
        self._guard = threading.Lock()

    def prepared(self, *what: str) -> bool:
        """Whether this client has set it up before."""
        return what in self._prepared

    def note_prepared(self, *what: str) -> None:
        """It is set up. Noted afterwards: until then others set it up, too, which does no harm."""
        self._prepared.add(what)

    def unprepare(self, *what: str) -> None:
        """It has to be set up again: it was not there."""
        self._prepared.discard(what)

    def shared(self, name: str, make: Callable[[], T]) -> T:
        """What all objects of this client with that name have in common, as long as one of them lives."""
        with self._guard:
            found: Any = self._shared.get(name)
            if found is None:
                found = self._shared[name] = make()
            thing: T = found
            return thing

    def lacks(self, what: str) -> bool:
        """Whether the server is known not to have it. It is asked again after a minute: it may have been upgraded."""
        return now() < self._lacks.get(what, 0.0)

    def note_lack(self, what: str) -> None:
        """The server has refused it."""
        self._lacks[what] = now() + ASK_AGAIN_SECONDS

    def __repr__(self) -> str:
        scheme = "https" if self._origin.tls else "http"
        return f"<caraway.{type(self).__name__} {scheme}://{self._origin.host}:{self._origin.port}{self._origin.prefix}>"


class Caraway(Client):
    """A connection to Caraway for threads, safe to be shared by all of them.

    `url` and `key` come from CARAWAY_URL and CARAWAY_API_KEY where they are not given.
    """

    def run(self, steps: Steps[T]) -> T:
        """Runs the steps of a primitive in this thread."""
        return drive(steps, self.pool.exchange)

    def call(self, call: Call) -> Reply:
        """Sends a call of `caraway.api`, again and again until it is answered; a problem is raised."""
        return self.run(send(call))

    @property
    def items(self) -> "Items":
        """What is stored here."""
        from .items import Items

        return Items(self)

    @property
    def users(self) -> "Users":
        """Who uses it."""
        from .items import Users

        return Users(self)

    def close(self) -> None:
        """Closes connections. What is held is kept until it is given back."""
        self.pool.close()

    def __enter__(self) -> "Caraway":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class AsyncCaraway(Client):
    """A connection to Caraway for asyncio, safe to be shared by all tasks of all loops."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        from .transport.aio import AsyncPool

        super().__init__(url, key)
        self._streams = AsyncPool(self._origin)

    async def run(self, steps: Steps[T], first: Exchange | Sleep | None = None) -> T:
        """Runs the steps of a primitive in this task. `first`: they have begun, and this is what they asked for."""
        return await drive_async(steps, self._exchange, first)

    async def _exchange(self, step: Exchange) -> Reply:
        return await self._streams.exchange(step)

    async def call(self, call: Call) -> Reply:
        """Sends a call of `caraway.api`, again and again until it is answered; a problem is raised."""
        return await self.run(send(call))

    @property
    def items(self) -> "AsyncItems":
        """What is stored here."""
        from .items import AsyncItems

        return AsyncItems(self)

    @property
    def users(self) -> "AsyncUsers":
        """Who uses it."""
        from .items import AsyncUsers

        return AsyncUsers(self)

    async def aclose(self) -> None:
        """Closes the connections of this event loop. What is held is kept until it is given back."""
        await self._streams.close()

    async def __aenter__(self) -> "AsyncCaraway":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()


_making = threading.Lock()
_default: Caraway | None = None
_default_async: AsyncCaraway | None = None


def default() -> Caraway:
    """The client of this process, made at first use from the environment."""
    global _default
    if _default is None:
        with _making:
            _default = _default or Caraway()
    return _default


def default_async() -> AsyncCaraway:
    """The client for asyncio of this process, made at first use from the environment."""
    global _default_async
    if _default_async is None:
        with _making:
            _default_async = _default_async or AsyncCaraway()
    return _default_async


def connect(url: str | None = None, key: str | None = None) -> Caraway:
    """Makes the client that all objects use for which no other is named."""
    global _default, _default_async
    with _making:
        _default, _default_async = Caraway(url, key), None
        if url or key:
            _default_async = AsyncCaraway(url, key)
    return _default


class _Making:
    def forget(self) -> None:
        """After a fork: the lock may have been held by a thread that is not here."""
        global _making
        _making = threading.Lock()


_forgetful = _Making()
forget_in_child(_forgetful)
