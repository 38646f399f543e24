"""Must-show 2: the blocks of the cheatsheet, each in two processes at once, with only the named lines replaced."""

import os
import subprocess
import sys
import unittest
from pathlib import Path
from uuid import uuid4

from .blocks import Block, blocks
from .rows import ROWS, Row

HERE = Path(__file__).resolve().parents[2]


def program(block: Block, row: Row, what: str, role: str) -> str:
    """The block with its lines replaced. A line that is not in it is an error, so that rows stay true."""
    lines = block.text.splitlines()
    for old, new in row.instead:
        if old not in lines:
            raise AssertionError(f"{block.key} has no line {old!r}")
        lines[lines.index(old)] = new
    after = row.a if role == "a" else row.b
    return "\n".join([f"N, ROLE = {what!r}, {role!r}", row.prelude, *lines, after, ""])


class Cheatsheet(unittest.TestCase):
    def test_every_block_has_a_row(self) -> None:
        self.assertEqual([block.key for block in blocks()], list(ROWS))
        self.assertEqual(sum(isinstance(row, Row) for row in ROWS.values()), 19)


def case(block: Block, row: Row) -> object:
    """The test of one block."""

    def test(self: unittest.TestCase) -> None:
        python = f"{os.environ['CARAWAY_CHECKERS']}/python" if block.section.startswith("5") else sys.executable
        what = f"sheet-{uuid4().hex[:12]}"
        env = {**os.environ, "PYTHONPATH": f"{HERE / 'src'}:{HERE}"}
        running = [
            subprocess.Popen(
                [python, "-c", program(block, row, what, role)],
                cwd=HERE, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for role in "ab"
        ]  # fmt: skip
        said = [process.communicate(timeout=90) for process in running]
        for process, (_, errors) in zip(running, said, strict=True):
            self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(tuple(out.strip() for out, _ in said), row.says)

    return test


for _block in blocks():
    _row = ROWS.get(_block.key)
    if isinstance(_row, Row):
        setattr(Cheatsheet, f"test_{_block.key.replace('.', '_').replace('#', '_')}", case(_block, _row))
