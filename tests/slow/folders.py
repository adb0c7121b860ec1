"""Model folders put together and taken apart in Python, apart from octavo's own code."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

def module_of(name):
    return name.rsplit(".", 1)[0]


def is_linear(module):
    return module.endswith("_proj")


def read(folder):
    """(all tensors by name, config.json)"""
    return load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())


def mix(out, base, sources):
    """A folder whose linear layers come from the first artifact in `sources` whose key is a part of their name, and
    otherwise from the base; its quantization_config has a group for each artifact, by exact names."""
    shutil.copytree(base, out)
    (out / "octavo.json").unlink()
    tensors, config = read(base)
    groups, ignored, folders = {}, ["lm_head"], {}
    for folder in dict.fromkeys(sources.values()):
        its_tensors, its_config = read(folder)
        its_config = its_config["quantization_config"]
        group = dict(its_config["config_groups"]["group_0"], targets=[], format=its_config["format"])
        groups[f"group_{len(groups)}"] = group
        folders[folder] = (its_tensors, group)
    for module in sorted({module_of(name) for name in tensors if is_linear(module_of(name))}):
        source = next((folder for part, folder in sources.items() if part in module), None)
        if source is None:
            ignored.append(module)
            continue
        its_tensors, group = folders[source]
        group["targets"].append(module)
        del tensors[module + ".weight"]
        tensors.update({name: t for name, t in its_tensors.items() if module_of(name) == module})
    formats = {group["format"] for group in groups.values()}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": formats.pop() if len(formats) == 1 else "mixed-precision",
        "quantization_status": "compressed", "config_groups": groups, "ignore": ignored,
        "kv_cache_scheme": None, "global_compression_ratio": None}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config))
    return out


def is_quantized(module, tensors):
    return module + ".weight_scale" in tensors


def dequantize(module, tensors):
    """The f32 weight of a linear module, whatever its storage."""
    if not is_quantized(module, tensors):
        return tensors[module + ".weight"].float()
    if module + ".weight_packed" in tensors:
        rows, columns = tensors[module + ".weight_shape"].tolist()
        words = tensors[module + ".weight_packed"].to(torch.int64) & 0xFFFFFFFF
        bits = 32 * words.shape[1] // columns
        fields = torch.stack([(words >> shift) & (2**bits - 1) for shift in range(0, 32, bits)], -1)
        codes = fields.reshape(rows, -1)[:, :columns].float() - 2 ** (bits - 1)
    else:
        codes = tensors[module + ".weight"].float()
    scales = tensors[module + ".weight_scale"].float()
    scales = scales if scales.ndim == 2 else scales.reshape(-1, 1)
    return codes * scales.repeat_interleave(codes.shape[1] // scales.shape[1], 1)


def as_floats(out, folder):
    """The folder with its weights as the f32 numbers that they stand for, and no quantization_config."""
    tensors, config = read(folder)
    modules = dict.fromkeys(module_of(name) for name in tensors)
    floats = {module + ".weight": dequantize(module, tensors).contiguous() for module in modules}
    out.mkdir()
    del config["quantization_config"]
    save_file(floats, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config))
    return out


def with_float_activations(out, folder):
    """The folder with its codes as they are, and activations left alone."""
    shutil.copytree(folder, out)
    _, config = read(out)
    for group in config["quantization_config"]["config_groups"].values():
        group["input_activations"] = None
    (out / "config.json").write_text(json.dumps(config))
    return out
