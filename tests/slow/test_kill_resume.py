"""`octavo run` killed (SIGKILL) at random moments and run again: the same artifact, and a registry that opens."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import DEMO, OCTAVO, octavo

KILLS = 20
PIPELINE = """
base = "{base}"
run = "run"
[quantize]
scheme = "w8a16"
[eval]
suite = "suite.toml"
[gate]
policy = "policy.toml"
[promote]
channel = "killed"
"""
SUITE = """
[[text]]
name = "brown"
file = "{text}"
context = 128
chunks = 8
"""
POLICY = """
[[rule]]
metric = "memory.weights_ratio"
max = 0.65
"""


@pytest.fixture
def pipeline(tmp_path, gguf):
    (tmp_path / "octavo.toml").write_text(PIPELINE.format(base=gguf))
    (tmp_path / "suite.toml").write_text(SUITE.format(text=DEMO / "heldout.txt"))
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def forget(pipeline):
    for name in ("run", "home"):
        shutil.rmtree(pipeline / name, ignore_errors=True)


def run(pipeline, **options):
    environment = dict(os.environ, OCTAVO_HOME=str(pipeline / "home"))
    return subprocess.Popen([OCTAVO, "run", str(pipeline / "octavo.toml")], env=environment, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True, **options)


def promoted(pipeline):
    environment = dict(os.environ, OCTAVO_HOME=str(pipeline / "home"))
    return json.loads(octavo("show", "killed", "--json", env=environment))


def artifact_digest(pipeline):
    manifest = json.loads((pipeline / "run/artifact/octavo.json").read_text())
    return json.dumps(manifest["files"], sort_keys=True)


def test_kill_and_resume(pipeline):
    start = time.monotonic()
    assert run(pipeline).wait() == 0
    seconds = time.monotonic() - start
    want = artifact_digest(pipeline)
    assert promoted(pipeline)

    seed = int(os.environ.get("OCTAVO_SEED", random.randrange(1 << 32)))
    print(f"an undisturbed run takes {seconds:.1f} s; OCTAVO_SEED={seed}")
    moments = random.Random(seed)
    killed = 0
    for _ in range(KILLS):
        forget(pipeline)
        process = run(pipeline)
        time.sleep(moments.uniform(0, seconds))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        assert run(pipeline).wait() == 0
        assert artifact_digest(pipeline) == want
        assert promoted(pipeline)
        leftovers = [p for p in (pipeline / "run").iterdir() if p.name.startswith(".")]
        assert not leftovers, leftovers
    print(f"{killed} of {KILLS} runs were killed before their end")
    assert killed >= KILLS / 2
