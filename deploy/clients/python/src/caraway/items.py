"""Items: bytes that tasks work on and leave behind. And who the users are."""

from typing import TYPE_CHECKING, Any, cast

from . import _api
from ._call import Reply, Steps
from ._retry import send

if TYPE_CHECKING:
    from ._client import AsyncCaraway, Caraway

Document = dict[str, Any]


def _document(steps: Steps[Reply]) -> Steps[Document]:
    return cast(Document, (yield from steps).json())


def _all() -> Steps[list[Document]]:
    found: list[Document] = []
    cursor: str | None = None
    while True:
        page = (yield from send(_api.list_items(cursor=cursor, limit=100))).json()
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _upload(content: bytes, content_type: str) -> Steps[Document]:
    # The one request without an id of ours: repeated after a lost answer, it leaves two items with the same content.
    return _document(send(_api.upload_item(content, content_type=content_type)))


def _content(item_id: str) -> Steps[bytes]:
    return (yield from send(_api.get_item_content(item_id))).body


def _delete(item_id: str) -> Steps[None]:
    yield from send(_api.delete_item(item_id))


class Items:
    """For threads."""

    def __init__(self, client: "Caraway") -> None:
        self._client = client

    def list(self) -> list[Document]:
        """All items of this user, page by page."""
        return self._client.run(_all())

    def get(self, item_id: str) -> Document:
        """What is known of one."""
        return self._client.run(_document(send(_api.get_item(item_id))))

    def upload(self, content: bytes, content_type: str = "application/octet-stream") -> Document:
        """Stores one."""
        return self._client.run(_upload(content, content_type))

    def content(self, item_id: str) -> bytes:
        """Its bytes."""
        return self._client.run(_content(item_id))

    def delete(self, item_id: str) -> None:
        """Removes it."""
        self._client.run(_delete(item_id))


class AsyncItems:
    """For asyncio."""

    def __init__(self, client: "AsyncCaraway") -> None:
        self._client = client

    async def list(self) -> list[Document]:
        """All items of this user, page by page."""
        return await self._client.run(_all())

    async def get(self, item_id: str) -> Document:
        """What is known of one."""
        return await self._client.run(_document(send(_api.get_item(item_id))))

    async def upload(self, content: bytes, content_type: str = "application/octet-stream") -> Document:
        """Stores one."""
        return await self._client.run(_upload(content, content_type))

    async def content(self, item_id: str) -> bytes:
        """Its bytes."""
        return await self._client.run(_content(item_id))

    async def delete(self, item_id: str) -> None:
        """Removes it."""
        await self._client.run(_delete(item_id))


class Users:
    """For threads."""

    def __init__(self, client: "Caraway") -> None:
        self._client = client

    def get(self, user_id: int) -> Document:
        """What is known of one."""
        return self._client.run(_document(send(_api.get_user(str(user_id)))))


class AsyncUsers:
    """For asyncio."""

    def __init__(self, client: "AsyncCaraway") -> None:
        self._client = client

    async def get(self, user_id: int) -> Document:
        """What is known of one."""
        return await self._client.run(_document(send(_api.get_user(str(user_id)))))
