"""The two drivers: one blocks the thread, the other awaits. What they run is the same."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ._call import Exchange, Reply, Sleep, Steps

T = TypeVar("T")


def drive(steps: Steps[T], exchange: Callable[[Exchange], Reply]) -> T:
    """Runs the steps in this thread."""
    try:
        step = next(steps)
        while True:
            answer: Any = None
            try:
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                else:
                    answer = exchange(step)
            except BaseException as error:  # the steps clean up, also after Ctrl-C, and raise it again
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def drive_async(
    steps: Steps[T],
    exchange: Callable[[Exchange], Awaitable[Reply]],
    first: Exchange | Sleep | None = None,
) -> T:
    """Runs the steps in this task. `first`: they have begun, and this is what they asked for."""
    # Whoever uses threads only does not load it.
    import asyncio

    try:
        step = first or next(steps)
        while True:
            answer: Any = None
            try:
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await exchange(step)
            except BaseException as error:  # the steps clean up, also when the task is cancelled, and raise it again
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
