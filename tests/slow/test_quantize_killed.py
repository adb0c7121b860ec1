"""`octavo quantize` with GPTQ on rotated weights, killed (SIGKILL) at random moments and started again until it ends: the
same bytes as a run that nobody disturbed, and blocks that were finished stay finished."""

import hashlib
import os
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import DEMO, OCTAVO, octavo

KILLS = 20
METHODS = {
    "rotated": ["--rotate", "fold", "--method", "gptq"],
    "rotated-balanced": ["--rotate", "fold", "--method", "gptq", "--smooth", "auto", "--head", "8"],
}


@pytest.fixture(scope="module")
def calibration(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration") / "science"
    octavo("calibrate", base, "--text", DEMO / "genres/science.txt", "--context", 64, "--samples", 32, "--out", folder)
    return folder


def start(base, calibration, method, out):
    command = [OCTAVO, "quantize", base, "--scheme", "w8a8", *METHODS[method], "--calibration", calibration, "--out", out]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)


def digests(folder):
    """SHA-256 by name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize("method", METHODS)
def test_killed_and_started_again(method, base, calibration, tmp_path):
    begun = time.monotonic()
    undisturbed = start(base, calibration, method, tmp_path / "undisturbed")
    said = undisturbed.communicate()[1]
    assert undisturbed.returncode == 0, said
    seconds = time.monotonic() - begun
    want = digests(tmp_path / "undisturbed")
    assert "model.safetensors" in want

    seed = int(os.environ.get("OCTAVO_SEED", random.randrange(1 << 32)))
    moments = random.Random(seed)
    kills = runs = 0
    while kills < KILLS:
        out = tmp_path / f"killed-{runs}"
        finished = 0
        while True:
            process = start(base, calibration, method, out)
            try:
                said = process.communicate(timeout=moments.uniform(0, seconds / 2))[1]
                killed = False
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said = process.communicate()[1]
                killed = True
            going_on = re.search(r"going on after block (\d+)", said)
            if going_on or not killed:  # one that was killed may not have got that far
                assert int(going_on[1] if going_on else 0) == finished
            if not killed:
                assert process.returncode == 0, said
                break
            kills += 1
            if out.exists():  # it had just been published
                break
            finished = len(list(tmp_path.glob(f".{out.name}.octavo.blocks/block-*.safetensors")))
        assert digests(out) == want
        runs += 1
    print(f"{method}: an undisturbed run takes {seconds:.0f} s; {kills} kills in {runs} runs; OCTAVO_SEED={seed}")
