"""The HTTP side: FastAPI, as its documentation shows it. A plain `def`, because `.delay()` blocks."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

import tasks

api = FastAPI()
KNOWN = {"noop": tasks.noop, "thumbnail": tasks.thumbnail}


class Submission(BaseModel):
    name: str
    args: Any


@api.post("/tasks", status_code=202)
def submit(submission: Submission):
    return {"id": KNOWN[submission.name].delay(submission.args).id, "state": "queued"}
