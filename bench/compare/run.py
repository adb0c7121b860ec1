#!/usr/bin/env python3
"""octavo against llama.cpp and vLLM on this machine: the contestants take turns for several rounds with prompts of the same
lengths on all cores, each peer at the fastest of its settings.  Prints tables and what of octavo's targets holds, and writes
bench/baselines/CPU-ISA.json.  docs/benchmarks.md says more; `./dev compare` builds and fetches what this needs first."""
import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

import report
import rounds
import targets
from inputs import Inputs
from peers import Failure, LlamaCpp, Octavo, Vllm, cpus, run_program
from sections import SECTIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="SECTION,...", help=f"of {', '.join(SECTIONS)} [all]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=0, metavar="SECONDS",
                        help="before each run wait so long for others to leave the machine alone, and repeat a disturbed run")
    parser.add_argument("--isa", default="", help="as OCTAVO_ISA; below amx llama.cpp is kept from AMX too; vLLM cannot be [the best]")
    parser.add_argument("--without", default="", metavar="PEER,...", help="llama.cpp, vllm")
    parser.add_argument("--octavo", type=pathlib.Path, default=ROOT / "build/release/octavo")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build/peers", help="what setup.sh filled")
    parser.add_argument("--sources", type=pathlib.Path, default=ROOT / "build/demo", help="what tools/demo_inputs.sh filled")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "build/compare", help="where models are made")
    parser.add_argument("--baselines", type=pathlib.Path, default=ROOT / "bench/baselines", help="where the JSON goes")
    chosen = parser.parse_args()
    chosen.only = [name for name in chosen.only.split(",") if name] or list(SECTIONS)
    chosen.without = {name for name in chosen.without.split(",") if name}
    if unknown := set(chosen.only) - set(SECTIONS):
        parser.error(f"--only: there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if unknown := chosen.without - {"llama.cpp", "vllm"}:
        parser.error(f"--without: there is no peer {', '.join(sorted(unknown))}; there are llama.cpp and vllm")
    if chosen.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return chosen


def require(path, remedy):
    if not path.exists():
        sys.exit(f"{path} is missing; {remedy}")


class Absent:
    """A peer that was left out: no runs."""

    def __getattr__(self, name):
        return lambda *_, **__: iter(())


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    # A section that was just written changes nothing that is measured.
    changed = git("status", "--porcelain", "--untracked-files=no", ":!bench/baselines")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def versions(llama, vllm):
    out = {}
    if isinstance(llama, LlamaCpp):
        # Its own number is that of the copy that the package was made from.
        text = "\n".join(run_program([llama.bin / "llama-bench", "--version"]))
        out["llama.cpp"] = {"package": "llama-cpp-python " + (llama.bin.parent / "ready").read_text().strip(),
                            "version": (re.search(r"version: (.+)", text) or [None, None])[1]}
    if isinstance(vllm, Vllm) and vllm.versions:
        out["vllm"] = vllm.versions
    return out


def documents(runs):
    return [{"contestant": run.contestant, "setting": run.setting, "document": d} for run in runs for d in run.documents]


def baseline_path(folder, document):
    """bench/baselines/CPU-ISA.json, in letters that any system takes."""
    words = f"{document['cpu']}-{document['isa']}"
    return folder / (re.sub(r"[^a-z0-9_+]+", "-", re.sub(r"\((r|tm)\)", "", words.lower())).strip("-") + ".json")


def save(chosen, section_name, section, machine, peers):
    """Replaces one section of the file; returns the path and all of it."""
    head = {"cpu": machine["cpu"], "isa": machine["isa"], "threads": len(cpus()), "commit": section["commit"]}
    path = baseline_path(chosen.baselines, head)
    whole = json.loads(path.read_text()) if path.exists() else {}
    kept = whole.get("sections", {}) if all(whole.get(k) == head[k] for k in ("cpu", "isa", "threads")) else {}
    ordered = kept | {section_name: section}
    whole = {"schema": 1, **head, "peers": whole.get("peers", {}) | peers,
             "sections": {name: ordered[name] for name in SECTIONS if name in ordered}}
    whole["targets"] = targets.judge(whole["sections"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(whole, indent=1) + "\n")
    part.rename(path)
    return path, whole


def main():
    chosen = arguments()
    require(chosen.octavo, "run ./dev build")
    require(chosen.sources / "heldout.txt", f"run tools/demo_inputs.sh {chosen.sources}")
    has_amx = "amx_int8" in pathlib.Path("/proc/cpuinfo").read_text()
    amx = has_amx and chosen.isa in ("", "amx")
    octavo = Octavo(chosen.octavo, chosen.isa)
    llama, vllm = Absent(), Absent()
    llama_bin = chosen.peers / "llama.cpp/bin"
    if "llama.cpp" not in chosen.without:
        require(chosen.peers / "llama.cpp/ready", "run bench/compare/setup.sh, or leave it out with --without llama.cpp")
        llama = LlamaCpp(llama_bin, amx)
    if "vllm" not in chosen.without:
        require(chosen.peers / "vllm/ready", "run bench/compare/setup.sh, or leave it out with --without vllm")
        vllm = Vllm(chosen.peers / "vllm", chosen.models / "vllm-cache", ", with AMX" if has_amx else "")
    inputs = Inputs(chosen.models, chosen.sources, chosen.octavo, llama_bin)

    path, whole, printed = None, None, []
    for name in chosen.only:
        print(f"== {name}", flush=True)
        load = os.getloadavg()[0]
        runs = list(SECTIONS[name](octavo, llama, vllm, inputs))
        figures, failures = rounds.take_turns(runs, chosen.rounds, chosen.patience)
        measured = [run for run in runs if run.documents]
        if not measured:
            sys.exit(f"octavo gave no figures in section {name}; see the messages above")
        machine = measured[0].documents[-1]["machine"]
        section = {"commit": commit(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                   "rounds": chosen.rounds, "load_before": load,
                   "cases": rounds.summary(figures), "failures": failures, "octavo": documents(runs)}
        path, whole = save(chosen, name, section, machine, versions(llama, vllm))
        printed.append(report.section_text(name, section))
        print(printed[-1] + "\n", flush=True)
    print("\n\n".join(printed) + "\n")
    print(f"{whole['cpu']}, {whole['isa']}, {whole['threads']} threads; peers: {json.dumps(whole['peers'])}")
    print(report.targets_text(whole["targets"]))
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(str(failure))
