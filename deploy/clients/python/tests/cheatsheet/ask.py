"""An application of FastAPI for the blocks that need one, asked without a server, and what they import from elsewhere."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

import caraway.fastapi
from caraway import App, Caraway, Problem

app = FastAPI()
app.add_exception_handler(Problem, caraway.fastapi.problem_response)

celery_app = App("my_app")
_loop = asyncio.new_event_loop()


@celery_app.task(name="process_image")
def process_image(image_id: str) -> Any: ...


def ask(method: str, target: str) -> tuple[int, Any]:
    """One request to the application: status and JSON."""
    return _loop.run_until_complete(_ask(method, target))


async def _ask(method: str, target: str) -> tuple[int, Any]:
    parts = urlsplit(target)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": parts.path,
        "raw_path": parts.path.encode(), "query_string": parts.query.encode(), "headers": [], "server": ("test", 80), "root_path": "",
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


class _EndOf:
    """How a task ended."""

    def __call__(self, task_id: str) -> str:
        return celery_app.AsyncResult(task_id).wait(60).state

    def image(self) -> str:
        """A picture to process."""
        photo = Path(__file__).resolve().parents[4] / "photos" / "rocket.jpg"
        with Caraway() as client:
            return str(client.items.upload(photo.read_bytes(), "image/jpeg")["id"])


end_of = _EndOf()
__all__ = ["app", "ask", "end_of", "os", "process_image"]
