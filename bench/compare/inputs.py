"""The models that the comparison runs on, made once in a folder: one set of weights in each contestant's format."""
import json
import pathlib

import dummy_gguf
from peers import run_program

HERE = pathlib.Path(__file__).resolve().parent
SCHEMES = {"w8a8": ["--scheme", "w8a8", "--head", "8"], "w8a16": ["--scheme", "w8a16"]}


class Inputs:
    """`sources` is the folder that tools/demo_inputs.sh fills.  What is older than the octavo that wrote it is made anew."""

    def __init__(self, folder, sources, octavo, llama_bin):
        self.folder = pathlib.Path(folder)
        self.sources = pathlib.Path(sources)
        self.octavo = octavo
        self.llama_bin = llama_bin
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def text(self):
        return self.sources / "heldout.txt"

    def _made(self, name, command, after):
        """The path of `name`, made by command(path) unless it is there and newer than `after`."""
        path = self.folder / name
        if not path.exists() or path.stat().st_mtime < after.stat().st_mtime:
            print(f"making {path}", flush=True)
            if path.is_dir():
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
            command(path)
        return path

    def smollm2(self):
        """The 16-bit folder of SmolLM2-135M-Instruct."""
        source = self.sources / "SmolLM2-135M-Instruct.Q4_1.gguf"
        return self._made("smollm2", lambda out: run_program([self.octavo, "pull", source, "--out", out]), self.octavo)

    def smollm2_quantized(self, kind):
        base = self.smollm2()
        return self._made(f"smollm2-{kind}", lambda out: run_program(
            [self.octavo, "quantize", base, *SCHEMES[kind], "--out", out]), base)

    def smollm2_gguf(self, kind):
        """`kind` F16 or Q8_0."""
        quantize = self.llama_bin / "llama-quantize"
        if kind == "F16":
            source, more = self.sources / "SmolLM2-135M-Instruct.Q4_1.gguf", ["--allow-requantize"]
        else:
            source, more = self.smollm2_gguf("F16"), []
        return self._made(f"smollm2-{kind.lower()}.gguf", lambda out: run_program([quantize, *more, source, out, kind]), source)

    def shape(self, name, scheme):
        """Random weights of a shape in bench/configs, with an int8 lm_head."""
        config = HERE.parent / "configs" / name
        # The shortest measurement, for the sake of --write.
        return self._made(f"{name}-{scheme}", lambda out: run_program(
            [self.octavo, "bench", "--dummy", config, "--scheme", scheme, "--head", "8", "--write", out, "--no-limits",
             "--prefill", "1", "--decode", "1", "--context", "1"]), self.octavo)

    def shape_gguf(self, name):
        config = HERE.parent / "configs" / name / "config.json"

        def write(path):
            part = path.with_suffix(".part")
            with open(part, "wb") as out:
                dummy_gguf.write(json.loads(config.read_text()), name, out)
            part.rename(path)

        return self._made(f"{name}-q8_0.gguf", write, config)
