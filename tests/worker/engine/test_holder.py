import json
import os
import subprocess
import sys

import pytest

from worker.engine.holder import is_gone, this_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see processes")


def test_a_living_process_is_not_gone_and_a_dead_one_is() -> None:
    script = "import json; from worker.engine.holder import this_process\n"
    script += "print(json.dumps(this_process()), flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    holder = json.loads(process.stdout.readline())
    assert not is_gone(holder)
    process.kill()
    process.communicate()
    assert is_gone(holder)


def test_a_pid_that_was_given_again_does_not_hide_a_death() -> None:
    assert is_gone(this_process() | {"started": "1"})
    assert not is_gone(this_process())


def test_of_another_machine_nothing_is_known() -> None:
    assert not is_gone(this_process() | {"machine": "other", "pid": os.getpid() + 1})
    assert not is_gone({})


def test_a_process_knows_its_age() -> None:
    script = "import time; from worker.engine.holder import age; first = age(); time.sleep(0.3)\n"
    script += "print(first, age())"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    first, then = map(float, done.stdout.split())
    assert 0 < first < then - 0.25 < 600
