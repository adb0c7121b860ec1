"""Artifacts in vLLM's CPU build, which runs W8A8 and W4A16 (W8A16 it refuses, which test_vllm_config.py holds it to): the
kernel that its log names, and perplexity within 1 % of octavo's own."""

import shutil

import pytest

from conftest import ARTIFACTS, octavo_perplexity, vllm_perplexity
from folders import mix


def compare(folder, base, scratch):
    octavos = octavo_perplexity(folder, base, scratch)
    vllms, kernels = vllm_perplexity(folder, scratch)
    print(f"{folder.name}: perplexity {octavos:.4f} in octavo, {vllms:.4f} in vLLM ({vllms / octavos - 1:+.2%}), by {kernels}")
    assert abs(vllms / octavos - 1) <= 0.01
    return kernels


@pytest.mark.parametrize("name", [name for name in ARTIFACTS if not name.startswith("w8a16")])
def test_perplexity(name, artifact, base, tmp_path):
    int8 = name.startswith("w8a8")
    assert compare(artifact(name), base, tmp_path) == ["CPUInt8ScaledMMLinearKernel" if int8 else "CPUWNA16LinearKernel"]


def test_a_mixed_artifact(artifact, base, tmp_path):
    """INT8 attention, INT4 gate and up, 16-bit down: one layer of each kind in every block."""
    folder = mix(tmp_path / "mixed", base, {"self_attn": artifact("w8a8"), "gate_proj": artifact("w4a16-g32"),
                                            "up_proj": artifact("w4a16-g32")})
    assert compare(folder, base, tmp_path) == ["CPUInt8ScaledMMLinearKernel", "CPUWNA16LinearKernel"]


def test_other_weights_are_seen(artifact, base, tmp_path):
    """The comparison can fail: vLLM reads a copy whose q_proj of one layer has its rows turned around."""
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(artifact("w8a8"), broken)
    (broken / "octavo.json").unlink()
    tensors = load_file(broken / "model.safetensors")
    name = "model.layers.3.self_attn.q_proj.weight"
    tensors[name] = tensors[name].flip(0).contiguous()
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    octavos = octavo_perplexity(artifact("w8a8"), base, tmp_path)
    vllms, _ = vllm_perplexity(broken, tmp_path)
    assert abs(vllms / octavos - 1) > 0.01
