"""What the slow tests share: the program, the demo's inputs, and folders made of them."""

import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OCTAVO = os.environ.get("OCTAVO", str(ROOT / "build/release/octavo"))
DEMO = pathlib.Path(os.environ.get("OCTAVO_DEMO", ROOT / "build/demo"))
PEERS = pathlib.Path(os.environ.get("OCTAVO_PEERS", ROOT / "build/peers"))  # made by bench/compare/setup.sh
TEXT = pathlib.Path(os.environ.get("OCTAVO_TEXT", DEMO / "heldout.txt"))
# Of a perplexity that two runtimes measure. Two roundings of plain W8A8 that differ in a few codes are some 0.25 nats apart
# at a token: over 24 half windows that is a standard error of 0.3 %, well inside the 1 % that is allowed.
CONTEXT, CHUNKS = 512, 24

# What `octavo quantize` is asked for; CALIBRATION stands for a folder that `octavo calibrate` made.  One line here holds
# another kind of artifact to every other loader.
CALIBRATION = "CALIBRATION"
ARTIFACTS = {
    "w8a16": ["--scheme", "w8a16"],
    "w8a16-g64": ["--scheme", "w8a16-g64"],
    "w8a8": ["--scheme", "w8a8"],
    "w8a8-head8": ["--scheme", "w8a8", "--head", "8"],
    "w8a8-smooth": ["--scheme", "w8a8", "--smooth", "auto", "--calibration", CALIBRATION],
    "w8a8-rotate": ["--scheme", "w8a8", "--rotate", "fold", "--method", "gptq", "--calibration", CALIBRATION],
    "w8a8-keep": ["--scheme", "w8a8", "--keep", "down_proj=16"],
    "w8a8-static": ["--scheme", "w8a8-static", "--keep", "down_proj=w8a8", "--rotate", "fold", "--method", "gptq",
                    "--calibration", CALIBRATION],
    "w4a16-g32": ["--scheme", "w4a16-g32"],
    "w4a16-g32-awq": ["--scheme", "w4a16-g32", "--smooth", "awq", "--method", "gptq", "--calibration", CALIBRATION],
}


def octavo(*arguments, **options):
    """Runs the program, which must succeed, and returns what it printed."""
    result = subprocess.run([OCTAVO, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True, **options)
    return result.stdout


@pytest.fixture(scope="session")
def gguf():
    return next(DEMO.glob("*.gguf"))


@pytest.fixture(scope="session")
def base(gguf, tmp_path_factory):
    """The demo's model as a 16-bit Hugging Face folder."""
    folder = tmp_path_factory.mktemp("models") / "base"
    octavo("pull", gguf, "--out", folder)
    return folder


@pytest.fixture(scope="session")
def int8(base):
    """Its weight-only INT8 artifact."""
    folder = base.parent / "int8"
    octavo("quantize", base, "--out", folder)
    return folder


@pytest.fixture(scope="session")
def artifact(base):
    """Gives the artifact of a name in ARTIFACTS, made once."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = base.parent / name
            flags = [calibration() if flag is CALIBRATION else flag for flag in ARTIFACTS[name]]
            octavo("quantize", base, "--out", made[name], *flags)
        return made[name]

    def calibration():
        """Of another text than the one that perplexities are measured on."""
        if CALIBRATION not in made:
            made[CALIBRATION] = base.parent / "calibration"
            octavo("calibrate", base, "--text", DEMO / "genres/science.txt", "--context", 256,
                   "--samples", 32, "--out", made[CALIBRATION])
        return made[CALIBRATION]

    return make


def octavo_perplexity(folder, base, scratch):
    """What octavo itself makes of the folder: the perplexity on the text, second half of each window."""
    octavo("eval", folder, "--baseline", base, "--perplexity", TEXT, "--context", CONTEXT, "--chunks", CHUNKS,
           "--no-speed", "--no-memory", "--json", scratch / "eval.json")
    return json.loads((scratch / "eval.json").read_text())["perplexity"][0]["candidate"]


def run_peer(command, environment=None):
    """The output of another program, which must succeed."""
    done = subprocess.run([str(part) for part in command], env={**os.environ, **(environment or {})}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def vllm_perplexity(folder, scratch):
    """(perplexity, the kernels that its log names) of the folder in vLLM's CPU build."""
    preloaded = [*sorted(pathlib.Path("/usr/lib/x86_64-linux-gnu").glob("libtcmalloc_minimal.so.4")), PEERS / "vllm/lib/libiomp5.so"]
    said = run_peer([PEERS / "vllm/bin/python", ROOT / "tests/slow/vllm_perplexity.py", folder, TEXT, CONTEXT, CHUNKS], {
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CACHE_ROOT": str(scratch), "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_LOGGING_LEVEL": "INFO", "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "LD_PRELOAD": ":".join(str(path) for path in preloaded)})
    found = re.search(r"^perplexity ([\d.]+)$", said, re.MULTILINE)
    assert found, said[-3000:]
    return float(found[1]), sorted(set(re.findall(r"(?:Selected|Using) (\w+Kernel) for", said)))
