"""How each contestant is started and its figures are read: octavo, llama.cpp, vLLM."""
import dataclasses
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time
from typing import Callable

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 3600


class Failure(Exception):
    """A program did not give its figures; the message says which, how it ended and what it wrote last."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured: `sequences` prompts of `prompt` tokens are read (write 0), or so many tokens written behind them."""
    name: str
    sequences: int
    prompt: int
    write: int = 0


@dataclasses.dataclass
class Figure:
    tokens_per_s: float
    details: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Run:
    """One contestant with one of its settings.  `measure` gives a Figure for each of its cases."""
    contestant: str
    setting: str
    measure: Callable[[], dict]
    documents: list = dataclasses.field(default_factory=list)


def cpus():
    return sorted(os.sched_getaffinity(0))


def run_program(command, env=None, timeout=TIMEOUT_S):
    """(stdout, stderr) of a program that must succeed."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, env=os.environ | (env or {}), capture_output=True, text=True, timeout=timeout)
    except OSError as error:
        raise Failure(f"{command[0]} does not start: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{' '.join(command)} took more than {timeout} s") from error
    if done.returncode:
        raise Failure(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout[-1000:] + done.stderr[-1000:]).strip()}")
    return done.stdout, done.stderr


class Octavo:
    def __init__(self, program, isa):
        self.program = program
        self.env = {"OCTAVO_ISA": isa} if isa else {}

    def bench(self, name, model, cases, *, compute="f32", kv=None):
        """`cases` agree in what one call of octavo bench can measure: the prompts' length, and the tokens written."""
        reading = [case for case in cases if not case.write]
        writing = [case for case in cases if case.write]
        arguments = ["--compute", compute] + (["--kv", kv] if kv else [])
        setting = f"compute {compute}" + (f", kv {kv}" if kv else "")
        # What is not asked for cannot be left out, only made short.
        arguments += ["--prefill", reading[0].prompt if reading else 16, "--prompts", reading[0].sequences if reading else 1]
        arguments += ["--decode", writing[0].write if writing else 1, "--context", writing[0].prompt if writing else 16]
        arguments += ["--batch", ",".join(str(case.sequences) for case in writing) or "1"]
        run = Run(name, setting, lambda: measure())

        def measure():
            out, _ = run_program([self.program, "bench", model, "--json", *arguments], self.env)
            document = json.loads(out)
            run.documents.append(document)
            rows = list(zip(reading, document["prefill"])) + list(zip(writing, document["decode"]))
            return {case.name: Figure(row["tokens_per_s"], row) for case, row in rows}

        return run

    def evaluate(self, name, candidate, baseline, text, case, *, compute="f32"):
        run = Run(name, f"compute {compute}", lambda: measure())

        def measure():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                run_program([self.program, "eval", candidate, "--baseline", baseline, "--perplexity", text, "--context",
                             case.prompt, "--chunks", case.sequences, "--no-speed", "--no-memory", "--compute", compute,
                             "--json", f"{folder}/eval.json"], self.env)
                seconds = time.perf_counter() - start
                document = json.loads(pathlib.Path(folder, "eval.json").read_text())
            run.documents.append({"machine": document["runtime"], "perplexity": document["perplexity"],
                                  "divergence": document["divergence"]})
            details = {"mean_kld": document["divergence"][0]["mean_kld"], "ratio": document["perplexity"][0]["ratio"]}
            return {case.name: Figure(case.sequences * case.prompt / seconds, details)}

        return run


class LlamaCpp:
    """`amx` False keeps it from its AMX kernels, which it has only for repacked weights."""

    def __init__(self, folder, amx):
        self.bin = folder
        self.repacked = (True, False) if amx else (False,)

    def settings(self, micro_batches):
        return [(flash, micro, repack) for repack in self.repacked for flash in (True, False) for micro in micro_batches]

    @staticmethod
    def _named(flash, micro, repack):
        return f"{'flash attention' if flash else 'no flash attention'}, ub {micro}, {'repacked' if repack else 'as stored'}"

    def one_sequence(self, name, model, case, repeats=3):
        """llama-bench; the micro-batch matters only where prompts are read."""
        for flash, micro, repack in self.settings((512,) if case.write else (512, 2048)):
            def measure(flash=flash, micro=micro, repack=repack):
                what = ["-p", 0, "-n", case.write, "-d", case.prompt] if case.write else ["-p", case.prompt, "-n", 0]
                out, _ = run_program([self.bin / "llama-bench", "-m", model, "-t", len(cpus()), "-b", 2048, "-ub", micro, "-fa",
                                      int(flash), "--repack", int(repack), "-r", repeats, "-o", "json", *what])
                row = json.loads(out)[0]
                return {case.name: Figure(statistics.median(row["samples_ts"]), {"build": row["build_commit"]})}

            yield Run(name, self._named(flash, micro, repack), measure)

    def sequences(self, name, model, cases, repeats=3):
        """llama-batched-bench; the cases have one prompt length and one number of written tokens."""
        write, prompt = cases[0].write, cases[0].prompt
        most = max(case.sequences for case in cases)
        context = -(-(prompt + max(write, 1)) // 256) * 256 * most
        for flash, micro, repack in self.settings((512,) if write else (512, 2048)):
            def measure(flash=flash, micro=micro, repack=repack):
                side_by_side = ",".join(str(case.sequences) for case in cases for _ in range(repeats))
                out, err = run_program([self.bin / "llama-batched-bench", "-m", model, "-t", len(cpus()), "-c", context, "-b", 2048,
                                        "-ub", micro, "-fa", "on" if flash else "off", "--repack" if repack else "--no-repack",
                                        "-npp", prompt, "-ntg", max(write, 1), "-npl", side_by_side, "--output-format", "jsonl"])
                rows = [json.loads(line) for line in (out + "\n" + err).splitlines() if line.startswith('{"n_kv_max"')]
                key = "speed_tg" if write else "speed_pp"
                return {case.name: Figure(statistics.median(r[key] for r in rows if r["pl"] == case.sequences)) for case in cases}

            yield Run(name, self._named(flash, micro, repack), measure)

    def divergence(self, name, base, candidate, text, case):
        """Two passes: the base's logits go to a file, which the second compares itself with."""
        for flash, micro, repack in self.settings((512, 2048)):
            def measure(flash=flash, micro=micro, repack=repack):
                with tempfile.TemporaryDirectory() as folder:
                    common = ["-f", text, "-c", case.prompt, "-b", 2048, "-ub", micro, "--chunks", case.sequences, "-t", len(cpus()),
                              "-fa", "on" if flash else "off", "--repack" if repack else "--no-repack",
                              "--kl-divergence-base", f"{folder}/logits"]
                    start = time.perf_counter()
                    run_program([self.bin / "llama-perplexity", "-m", base, *common])
                    out, err = run_program([self.bin / "llama-perplexity", "-m", candidate, *common, "--kl-divergence"])
                    seconds = time.perf_counter() - start
                found = re.search(r"Mean\s+KLD:\s+([\d.]+)", out + err)
                if not found:
                    raise Failure(f"llama-perplexity printed no mean KLD:\n{(out + err)[-1000:]}")
                return {case.name: Figure(case.sequences * case.prompt / seconds, {"mean_kld": float(found[1])})}

            yield Run(name, self._named(flash, micro, repack), measure)


class Vllm:
    """`folder` is its Python environment.  Nothing keeps it from AMX: it has two copies of oneDNN and kernels compiled at
    run time, of which ONEDNN_MAX_CPU_ISA holds some only, and the mixture ends in illegal instructions."""

    def __init__(self, folder, cache, note=""):
        self.note = note
        self.python = folder / "bin/python"
        preloaded = [*sorted(pathlib.Path("/usr/lib/x86_64-linux-gnu").glob("libtcmalloc_minimal.so.4")), folder / "lib/libiomp5.so"]
        self.env = {
            "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": ",".join(str(cpu) for cpu in cpus()),
            "VLLM_CACHE_ROOT": str(cache), "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "INFO",
            # Its scheduler in the process that asks: a second one would want a core of its own.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # As its installation guide asks.
            "LD_PRELOAD": ":".join(str(path) for path in preloaded),
        }
        self.versions = {}

    def sequences(self, name, model, cases, repeats=3):
        for compiled in (False, True):
            def measure(compiled=compiled):
                request = {"model": str(model), "compiled": compiled, "repeats": repeats,
                           "cases": {c.name: {"sequences": c.sequences, "prompt": c.prompt, "write": c.write} for c in cases}}
                out, err = run_program([self.python, HERE / "vllm_speed.py", json.dumps(request)], self.env)
                # vLLM's own messages stand before and behind it.
                answer = json.loads(next(line for line in out.splitlines() if line.startswith('{"tokens_per_s"')))
                self.versions = {"vllm": answer["vllm"], "torch": answer["torch"]}
                kernels = sorted(set(re.findall(r"Selected (\w+LinearKernel)", out + err)))
                return {case: Figure(speed, {"kernels": kernels}) for case, speed in answer["tokens_per_s"].items()}

            yield Run(name, ("compiled" if compiled else "eager") + self.note, measure)
