"""Tasks, what is made of them, and what comes of them, on the built-in worker."""

import asyncio
import concurrent.futures
import unittest
from datetime import datetime, timedelta, timezone

import caraway._api
from caraway import App, Retry, TaskCancelled, TaskFailed, TaskNotFound, chain, chord, gather, group
from caraway.concurrent import Executor

from . import name, until

app = App("tests")
ONCE = Retry(max_attempts=1)


@app.task(name="add")
def add(x: int, y: int) -> int:
    return x + y


@app.task(name="echo")
async def echo(message: object) -> object:
    return message


@app.task(name="fail", retry=ONCE)
def fail(times: int) -> int:
    return times


@app.task(name="sleep")
def sleep(seconds: float, result: object = None) -> object:
    return result


class Declared(unittest.TestCase):
    def test_it_is_called_here(self) -> None:
        self.assertEqual(add(1, 2), 3)
        self.assertEqual(asyncio.run(echo("here")), "here")

    def test_its_name(self) -> None:
        @app.task
        def local() -> None: ...

        self.assertEqual(local.name, f"{__name__}.Declared.test_its_name.<locals>.local")
        self.assertEqual(local.__name__, "local")

    def test_delay_and_get(self) -> None:
        result = add.delay(1, 2)
        self.assertEqual((result.get(timeout=20), result.status, result.state), (3, "SUCCESS", "succeeded"))
        self.assertTrue(result.ready() and result.successful() and not result.failed())
        self.assertEqual(app.AsyncResult(result.id).result, 3)
        result.forget()
        with self.assertRaises(TaskNotFound):
            result.state

    def test_a_failure_is_raised(self) -> None:
        result = fail.delay(9)
        with self.assertRaises(TaskFailed) as caught:
            result.get(timeout=20)
        self.assertEqual((caught.exception.error or {})["code"], "asked_to_fail")
        self.assertIsInstance(result.result, TaskFailed)
        self.assertEqual(result.status, "FAILURE")

    def test_options(self) -> None:
        eta = datetime.now(timezone.utc) + timedelta(hours=1)
        result = add.apply_async((1,), {"y": 2}, eta=eta, priority=9, expires=7200, tags=["of-python"], unique=name("unique"))
        info = result.info
        self.assertEqual((info["state"], info["priority"], info["tags"]), ("scheduled", 9, ["of-python"]))
        self.assertEqual(result.status, "PENDING")
        with self.assertRaises(TimeoutError):
            result.get(timeout=0.1)
        result.revoke()
        self.assertEqual(result.status, "REVOKED")
        with self.assertRaises(TaskCancelled):
            result.get()

    def test_an_idempotency_key_makes_it_one(self) -> None:
        key = name("key")
        self.assertEqual(add.apply_async((1, 2), idempotency_key=key), add.apply_async((1, 2), idempotency_key=key))

    def test_what_the_server_refuses(self) -> None:
        with self.assertRaises(LookupError):
            app.send_task("no-such-task")
        with self.assertRaises(ValueError):
            add.apply_async((1, 2), priority=10)


class Canvas(unittest.TestCase):
    def test_a_chain(self) -> None:
        self.assertEqual((add.s(1, 2) | add.s(3) | echo.s()).delay().get(20), 6)  # type: ignore[call-arg]
        self.assertEqual(chain(add.s(1, 2), add.si(5, 5)).delay().get(20), 10)

    def test_a_group_keeps_the_order(self) -> None:
        together = group(sleep.s(0.3, "slow"), sleep.s(0, "fast"))
        self.assertEqual(together.delay().get(20), ["slow", "fast"])
        self.assertEqual(group(add.s(i, i) for i in range(20)).delay().join(20), [2 * i for i in range(20)])
        self.assertEqual(group().delay().get(20), [])

    def test_the_first_failure_is_raised(self) -> None:
        result = group(sleep.s(30), fail.s(9)).delay()
        with self.assertRaises(TaskFailed):
            result.get(20)
        self.assertTrue(result.failed())

    def test_failures_among_results(self) -> None:
        looks_like_one = {"error": {"code": "no"}, "state": "failed"}
        ok, failed, same = group(add.s(1, 1), fail.s(9), echo.s(looks_like_one), return_exceptions=True).delay().get(20)
        self.assertEqual((ok, same), (2, looks_like_one))
        self.assertIsInstance(failed, TaskFailed)

    def test_a_chord(self) -> None:
        self.assertEqual(chord([add.s(1, 1), add.s(2, 2)])(echo.s()).get(20), [2, 4])  # type: ignore[call-arg]
        self.assertEqual((group(add.s(1, 1), add.s(2, 2)) | echo.s()).delay().get(20), [2, 4])  # type: ignore[call-arg]

    def test_a_map(self) -> None:
        self.assertEqual(echo.map([1, 2, 3]).delay().get(20), [1, 2, 3])
        self.assertEqual(echo.map(range(5), chunk=2).delay().get(20), [[0, 1], [2, 3], [4]])


class Awaited(unittest.IsolatedAsyncioTestCase):
    async def test_results_are_awaited(self) -> None:
        self.assertEqual(await (await add.adelay(1, 2)), 3)
        self.assertEqual(await app.call("echo", "by name"), "by name")
        self.assertEqual(await (await (add.s(1, 2) | add.s(3)).adelay()), 6)  # type: ignore[call-arg]

    async def test_gather(self) -> None:
        self.assertEqual(await gather(add.s(1, 1), add.s(2, 2)), [2, 4])
        self.assertEqual(await gather(), [])
        with self.assertRaises(TaskFailed):
            await gather(add.s(1, 1), fail.s(9))
        found = await gather(add.s(1, 1), fail.s(9), return_exceptions=True)
        self.assertIsInstance(found[1], TaskFailed)

    async def test_a_cancelled_gather_cancels_its_tasks(self) -> None:
        tag = name("cancelled")
        waiting = asyncio.create_task(gather(sleep.s(60).set(tags=[tag], countdown=3600)))

        def listed() -> list[str]:
            return [one["state"] for one in app.client.call(caraway._api.list_tasks(tag=tag)).json()["data"]]

        await asyncio.to_thread(until, lambda: listed() == ["scheduled"])
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(until, lambda: listed() == ["cancelled"])


class Futures(unittest.TestCase):
    def test_an_executor(self) -> None:
        with Executor(app) as pool:
            first, second = pool.submit(add, 1, 2), pool.submit(fail, 9)
            done, _ = concurrent.futures.wait([first, second], timeout=20)
            self.assertEqual((len(done), first.result()), (2, 3))
            self.assertIsInstance(second.exception(), TaskFailed)
            self.assertEqual(list(pool.map(add, range(30), range(30), timeout=30)), [2 * i for i in range(30)])
            fast, slow = pool.submit(sleep, 0, "fast"), pool.submit(sleep, 1, "slow")
            self.assertEqual([one.result() for one in concurrent.futures.as_completed([slow, fast], 20)], ["fast", "slow"])
        with self.assertRaises(RuntimeError):
            pool.submit(add, 1, 2)

    def test_a_future_is_cancelled_with_its_task(self) -> None:
        @app.task(name="add", countdown=3600)
        def later(x: int, y: int) -> int:
            return x + y

        pool = Executor(app)
        future = pool.submit(later, 1, 2)
        self.assertTrue(future.cancel() and future.cancelled())
        self.assertEqual(app.AsyncResult(future.task_id).state, "cancelled")  # type: ignore[attr-defined]
        pool.shutdown(cancel_futures=True)
