"""Values under a key, for some time. `get_or_load` lets one process load what is missing, and never stores what became stale
while it was loaded."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from . import _api, _types
from ._call import Reply, Steps
from ._client import AsyncCaraway, Caraway, default, default_async
from ._errors import UnsupportedByServer
from ._ids import new_id
from ._problems import DataNotFound, PreconditionFailed, UnknownField
from ._retry import send
from .asyncio import Lock as AsyncLock
from .codec import _pairs
from .threading import Lock

T = TypeVar("T")

# Stands in place of a value that is being loaded. Whoever deletes or sets the key meanwhile replaces it, and then the loaded
# value, which may be older, is not stored.
_LOADING = "$caraway.loading"


class _Data:
    """The steps, for both."""

    def __init__(self, name: str) -> None:
        self.name = name

    def key(self, key: str) -> str:
        return f"{self.name}:{key}"

    def get(self, key: str) -> Steps[tuple[Any, str | None]]:
        """The value and its version; what is being loaded is not there yet, and has a version."""
        try:
            reply = yield from send(_api.get_data(self.key(key)))
        except DataNotFound:
            return _MISSING, None
        value: Any = reply.json()["value"]
        loading = _is_mark(value)
        answer: Any = _MISSING if loading else value
        return answer, reply.headers["etag"]

    def set(self, key: str, value: Any, ttl: float | None) -> Steps[None]:
        yield from self._put(key, value, ttl, None, None)

    def delete(self, key: str) -> Steps[None]:
        try:
            yield from send(_api.delete_data(self.key(key)))
        except DataNotFound:
            pass

    def announce(self, key: str, version: str | None) -> Steps[str | None]:
        """That it is being loaded; the version to be replaced, or None if somebody was faster."""
        mark = {_LOADING: new_id()}
        try:
            reply = yield from self._put(key, mark, None, version, None if version else "*")
        except PreconditionFailed:
            # Or this request was, and its first answer was lost.
            reply = yield from send(_api.get_data(self.key(key)))
            if reply.json()["value"] != mark:
                return None
        return reply.headers["etag"]

    def replace(self, key: str, value: Any, ttl: float | None, version: str) -> Steps[None]:
        """Stores what was loaded, unless somebody has changed or deleted it meanwhile."""
        try:
            yield from self._put(key, value, ttl, version, None)
        except (PreconditionFailed, DataNotFound):
            pass

    def _put(self, key: str, value: Any, ttl: float | None, if_match: str | None, if_none_match: str | None) -> Steps[Reply]:
        body: _types.NewData = {"value": value}
        if ttl is not None:
            body["ttl"] = ttl
        try:
            return (yield from send(_api.put_data(self.key(key), body, if_match=if_match, if_none_match=if_none_match)))
        except UnknownField as error:
            raise UnsupportedByServer("the server keeps values for ever: it is older than this client") from error


_MISSING: Any = object()


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and list(_pairs(value)) == [_LOADING]


class Cache:
    """For threads."""

    def __init__(self, name: str, *, client: Caraway | None = None) -> None:
        self._client = client or default()
        self._data = _Data(name)

    def get(self, key: str, otherwise: Any = None) -> Any:
        """The value, or what is given instead."""
        value, _ = self._client.run(self._data.get(key))
        return otherwise if value is _MISSING else value

    def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        """Stores it, for so many seconds or until it is deleted."""
        self._client.run(self._data.set(key, value, ttl))

    def delete(self, key: str) -> None:
        """Removes it; what is being loaded at this moment will not be stored."""
        self._client.run(self._data.delete(key))

    def get_or_load(self, key: str, load: Callable[[], T], *, ttl: float | None = None) -> T:
        """The value; if it is missing, one process loads it, and the others wait."""
        run = self._client.run
        value, _ = run(self._data.get(key))
        if value is _MISSING:
            with Lock(self._data.key(key), client=self._client, strict=False):
                value, version = run(self._data.get(key))
                if value is _MISSING:
                    mark = run(self._data.announce(key, version))
                    value = load()
                    if mark:
                        run(self._data.replace(key, value, ttl, mark))
        result: T = value
        return result


class AsyncCache:
    """For asyncio."""

    def __init__(self, name: str, *, client: AsyncCaraway | None = None) -> None:
        self._client = client or default_async()
        self._data = _Data(name)

    async def get(self, key: str, otherwise: Any = None) -> Any:
        """The value, or what is given instead."""
        value, _ = await self._client.run(self._data.get(key))
        return otherwise if value is _MISSING else value

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        """Stores it, for so many seconds or until it is deleted."""
        await self._client.run(self._data.set(key, value, ttl))

    async def delete(self, key: str) -> None:
        """Removes it; what is being loaded at this moment will not be stored."""
        await self._client.run(self._data.delete(key))

    async def get_or_load(self, key: str, load: Callable[[], Awaitable[T]], *, ttl: float | None = None) -> T:
        """The value; if it is missing, one task of all processes loads it, and the others wait."""
        run = self._client.run
        value, _ = await run(self._data.get(key))
        if value is _MISSING:
            async with AsyncLock(self._data.key(key), client=self._client, strict=False):
                value, version = await run(self._data.get(key))
                if value is _MISSING:
                    mark = await run(self._data.announce(key, version))
                    value = await load()
                    if mark:
                        await run(self._data.replace(key, value, ttl, mark))
        result: T = value
        return result
