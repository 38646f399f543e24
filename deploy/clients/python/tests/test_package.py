"""The package: what it costs to import, and that its wheel works where nothing else is installed."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

PROGRAM = """
import caraway, sys
from caraway import threading, queue
assert "site-packages" in caraway.__file__, caraway.__file__
with threading.Lock("wheel") as lock:
    assert lock.fence > 0
q = queue.Queue("wheel")
q.put({"a": 1})
assert q.get() == {"a": 1}
q.task_done()
print(caraway.__version__)
"""


class Wheel(unittest.TestCase):
    @unittest.skipUnless("CARAWAY_CHECKERS" in os.environ, "deploy/dev test-python installs what builds it")
    def test_it_is_built_and_works_in_a_clean_environment(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            shutil.copytree(HERE, folder / "source", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "build", "dist"))
            build = [f"{os.environ['CARAWAY_CHECKERS']}/pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
            subprocess.run([*build, "-w", place, str(folder / "source")], check=True)
            (wheel,) = folder.glob("caraway-*-py3-none-any.whl")
            venv.create(folder / "clean", with_pip=True)
            python = folder / "clean" / "bin" / "python"
            subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel], check=True)
            env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            said = subprocess.run([python, "-c", PROGRAM], check=True, env=env, cwd=place, capture_output=True, text=True)
            self.assertEqual(said.stdout.strip(), wheel.name.split("-")[1])


class Imports(unittest.TestCase):
    def test_the_package_loads_what_is_asked_for(self) -> None:
        program = "import sys, caraway; print([name for name in sys.modules if name.startswith('caraway.')])"
        said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        self.assertEqual(said.stdout.strip(), "['caraway._version']")
        program = "import sys, caraway.threading; print('asyncio' in sys.modules)"
        said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        self.assertEqual(said.stdout.strip(), "False")

    def test_what_it_names_is_there(self) -> None:
        import caraway

        for name in caraway.__all__:
            self.assertIsNotNone(getattr(caraway, name))


class Generated(unittest.TestCase):
    def test_it_is_what_the_document_says(self) -> None:
        generate = HERE.parent / "generate"
        subprocess.run([sys.executable, str(generate), "--check"], check=True)
