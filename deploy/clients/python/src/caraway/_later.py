"""Calls of which the document in this repository does not know yet. Those that it knows are generated, and leave this file."""

from typing import Any

from ._call import Call, make


def wait_on_condition(name: str, body: dict[str, Any], *, wait: float | None = None) -> Call:
    """Wait on a condition, with a time limit"""
    return make("POST", "/v1/conditions/{}/waits", (name,), query={"wait": wait}, body=body)


def arrive_at_barrier(name: str, body: dict[str, Any], *, wait: float | None = None) -> Call:
    """Arrive at a barrier, with a time limit"""
    return make("POST", "/v1/barriers/{}/arrivals", (name,), query={"wait": wait}, body=body)


def withdraw_arrival(name: str, arrival_id: str) -> Call:
    """Take an arrival back"""
    return make("DELETE", "/v1/barriers/{}/arrivals/{}", (name, arrival_id))


def abort_barrier(name: str) -> Call:
    """Break a barrier"""
    return make("POST", "/v1/barriers/{}/abort", (name,))


def reset_barrier(name: str) -> Call:
    """Reset a barrier"""
    return make("POST", "/v1/barriers/{}/reset", (name,))


def get_work_item(name: str, body: dict[str, Any], *, wait: float | None = None) -> Call:
    """Fetch an item, and be told of a shutdown as soon as nothing is ready"""
    return make("POST", "/v1/work-queues/{}/leases", (name,), query={"wait": wait}, body=body)


def shut_work_queue_down(name: str, body: dict[str, Any]) -> Call:
    """Shut a work queue down, at once where that is asked for"""
    return make("POST", "/v1/work-queues/{}/shutdown", (name,), body=body)


def wait_for_tasks(body: dict[str, Any], *, wait: float | None = None) -> Call:
    """Wait for many tasks"""
    return make("POST", "/v1/tasks/wait", query={"wait": wait}, body=body)


def put_data(key: str, body: dict[str, Any], *, if_match: str | None = None, if_none_match: str | None = None) -> Call:
    """Store a value, for some time where that is asked for"""
    return make("PUT", "/v1/data/{}", (key,), headers={"If-Match": if_match, "If-None-Match": if_none_match}, body=body)
