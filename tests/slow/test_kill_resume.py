"""`octavo run` killed (SIGKILL) at random moments and run again: every file in the same bytes, and a registry that opens."""

import collections
import hashlib
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
STEPS = ["pull", "quantize", "eval", "gate", "promote"]
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
[measure]
speed = false
memory = false
"""
POLICY = """
[[rule]]
metric = "divergence[brown].mean_kld"
max = 0.05
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
                            stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def finish(process):
    """Waits for a run that must succeed; what it said of its steps."""
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


def promoted(pipeline):
    environment = dict(os.environ, OCTAVO_HOME=str(pipeline / "home"))
    return json.loads(octavo("show", "killed", "--json", env=environment))


def finished_steps(pipeline):
    """The steps that the journal of an interrupted run remembers."""
    try:
        return list(json.loads((pipeline / "run/journal.json").read_text())["steps"])
    except FileNotFoundError:
        return []


def everything(pipeline):
    """SHA-256 of every file that a run leaves, by path; the journal and SQLite's file hold times and are read instead."""
    files = [p for name in ("run", "home") for p in (pipeline / name).rglob("*") if p.is_file()]
    kept = [p for p in files if p.name not in ("journal.json", "registry.sqlite")]
    return {str(p.relative_to(pipeline)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def wait_for_steps(pipeline, process, count):
    """Until the journal remembers so many steps, or the process is gone."""
    while len(finished_steps(pipeline)) < count and process.poll() is None:
        time.sleep(0.002)


def undisturbed(pipeline):
    """Runs the pipeline and returns how long each step took."""
    process, seconds, start = run(pipeline), [], time.monotonic()
    for count in range(1, len(STEPS) + 1):
        wait_for_steps(pipeline, process, count)
        seconds.append(time.monotonic() - start)
        start = time.monotonic()
    finish(process)
    return seconds


def strike(pipeline, step, seconds):
    """Starts a new run and kills it so long after it began the step; False if it ended before."""
    forget(pipeline)
    process = run(pipeline)
    wait_for_steps(pipeline, process, step)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def test_kill_and_resume(pipeline):
    seconds = undisturbed(pipeline)
    want = everything(pipeline)
    digest = promoted(pipeline)["digest"]
    assert f"home/artifacts/{digest}/model.safetensors" in want and "run/eval.json" in want

    seed = int(os.environ.get("OCTAVO_SEED", random.randrange(1 << 32)))
    steps = ", ".join(f"{step} {s:.2f} s" for step, s in zip(STEPS, seconds))
    print(f"an undisturbed run takes {sum(seconds):.1f} s ({steps}); OCTAVO_SEED={seed}")
    moments = random.Random(seed)
    ended = 0
    struck = collections.Counter()
    for i in range(KILLS):
        # Each step gets its share, or nearly all would strike the longest.
        step, longest = i % len(STEPS), seconds[i % len(STEPS)]
        while not strike(pipeline, step, moments.uniform(0, longest)):
            longest /= 2  # this time the run was faster and came to its end
            ended += 1
        done = finished_steps(pipeline)
        struck[STEPS[len(done)] if len(done) < len(STEPS) else "after the last step"] += 1
        said = finish(run(pipeline))
        again = [step for step in done if f"{step:<9} unchanged" not in said]
        assert not again, f"{again} were finished and ran again:\n{said}"
        assert everything(pipeline) == want
        assert promoted(pipeline)["digest"] == digest
    print(f"{KILLS} runs were killed, in the steps {dict(struck)}; {ended} ended before that and were repeated")
    assert {"pull", "quantize", "eval", "promote"} <= set(struck), "gate takes no time to speak of; the others must be there"
