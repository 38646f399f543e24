"""For FastAPI: a client as a dependency, and problems of Caraway as problems of your API.

`app = FastAPI(lifespan=caraway.fastapi.lifespan)`, and `cw: AsyncCaraway = Depends(caraway.fastapi.client)`.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from ._client import AsyncCaraway, default_async
from ._errors import Problem

__all__ = ["AsyncCaraway", "client", "lifespan", "problem_response"]


async def client() -> AsyncCaraway:
    """The client of this process, from the environment."""
    return default_async()


@asynccontextmanager
async def lifespan(app: Any) -> AsyncGenerator[None, None]:
    """Answers with the problem where a handler raises one, and closes the connections at the end."""
    app.add_exception_handler(Problem, problem_response)
    try:
        yield
    finally:
        await default_async().aclose()


async def problem_response(request: Any, problem: Exception) -> "_Answer":
    """The response of a problem: the same status and document that the server gave."""
    if not isinstance(problem, Problem):
        raise problem
    return _Answer(problem)


class _Answer:
    """A response as ASGI has it, so that nothing of FastAPI is imported here."""

    def __init__(self, problem: Problem) -> None:
        self._status = problem.status
        self._body = json.dumps(problem.document).encode()

    async def __call__(self, scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(self._body)).encode())]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
