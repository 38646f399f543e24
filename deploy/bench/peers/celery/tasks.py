"""The Celery side: a no-op that gives back its argument, and a thumbnail made by Pillow."""

import hashlib
import io
import os
import tempfile

from celery import Celery
from PIL import Image

SAFE = os.environ["BENCH_SAFE"] == "1"

app = Celery("tasks", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
if SAFE:
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        broker_transport_options={"confirm_publish": True},
    )


@app.task
def noop(value):
    return value


@app.task
def thumbnail(path):
    """The longer side becomes 256 pixels; the picture is decoded in full before."""
    with Image.open(path) as picture:
        kind = picture.format
        picture.load()
        picture.thumbnail((256, 256), resample=Image.Resampling.LANCZOS, reducing_gap=None)
        out = io.BytesIO()
        picture.save(out, format=kind)
    content = out.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    with open(os.path.join(tempfile.gettempdir(), f"caraway-bench-{digest}"), "wb") as file:
        file.write(content)
    return {"width": picture.width, "height": picture.height, "bytes": len(content), "sha256": digest}
