"""`.delay().get()`, one after the other, for so many seconds; prints how many there were and how long each took,
in microseconds, the first ones left out."""

import json
import sys
import time

import tasks

WARM_UP = 20

for _ in range(WARM_UP):
    tasks.noop.delay({"n": 1}).get(timeout=10)
micros, until = [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    asked = time.perf_counter()
    tasks.noop.delay({"n": 1}).get(timeout=10)
    micros.append(int((time.perf_counter() - asked) * 1e6))
print(json.dumps({"executed": WARM_UP + len(micros), "latencies_us": micros}))
