"""What weight-only INT8 costs SmolLM2 on the demo's held-out text."""

import json
import os
import shutil

from safetensors.torch import load_file, save_file

from conftest import DEMO, octavo

# Measured on 24 windows: mean divergence 0.002677 nats [0.0025, 0.0028], perplexity ratio 1.00386 [1.0014, 1.0063].
MOST_KLD = 0.0035
MOST_RATIO = 1.01


def evaluate(candidate, base, chunks, out, *options, **environment):
    """Perplexity and divergence on the first windows of the held-out text."""
    octavo("eval", candidate, "--baseline", base, "--perplexity", DEMO / "heldout.txt", "--context", 512, "--chunks", chunks,
           "--no-speed", "--no-memory", "--json", out, *options, env=dict(os.environ, **environment))
    document = json.loads(out.read_text())
    assert document["complete"]
    return document["perplexity"][0], document["divergence"][0]


def test_int8_costs_little(int8, base, tmp_path):
    perplexity, divergence = evaluate(int8, base, 24, tmp_path / "eval.json")
    print(f"mean KLD {divergence['mean_kld']:.6f} {divergence['mean_kld_ci95']}, "
          f"ratio {perplexity['ratio']:.6f} {perplexity['ratio_ci95']}, "
          f"perplexity {perplexity['baseline']:.4f} -> {perplexity['candidate']:.4f}")
    assert perplexity["tokens"] == divergence["tokens"] == 24 * 256
    assert divergence["mean_kld"] <= MOST_KLD
    assert perplexity["ratio"] <= MOST_RATIO
    # Rounding to 8 bits is not free: less than this, and the base was compared with itself.
    assert divergence["mean_kld"] > MOST_KLD / 10


def test_the_figures_are_the_same_on_any_threads_and_instruction_set(int8, base, tmp_path):
    first = evaluate(int8, base, 3, tmp_path / "first.json", "--threads", 1)
    assert evaluate(int8, base, 3, tmp_path / "second.json", "--threads", 2) == first
    with open("/proc/cpuinfo") as cpu:
        if " avx2 " in cpu.read():
            third = tmp_path / "third.json"
            assert evaluate(int8, base, 3, third, OCTAVO_ISA="avx2") == first
            assert json.loads(third.read_text())["runtime"]["isa"] == "avx2"


def test_a_damaged_layer_is_seen(int8, base, tmp_path):
    """The limit can be broken: the scales of one layer of thirty, 3 % off."""
    broken = tmp_path / "broken"
    shutil.copytree(int8, broken)
    (broken / "octavo.json").unlink()
    weights = load_file(broken / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight_scale"] *= 1.03
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert evaluate(broken, base, 3, tmp_path / "eval.json")[1]["mean_kld"] > MOST_KLD
