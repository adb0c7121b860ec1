"""What the slow tests share: the program, the demo's inputs, and folders made of them."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OCTAVO = os.environ.get("OCTAVO", str(ROOT / "build/release/octavo"))
DEMO = pathlib.Path(os.environ.get("OCTAVO_DEMO", ROOT / "build/demo"))


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
