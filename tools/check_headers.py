#!/usr/bin/env python3
"""Compiles each of the given headers, and every header that includes one of them, by itself: one that leans on its
includer's includes fails here.  Usage, at the root: check_headers.py src/MODULE/FILE.h..."""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

from check_layers import INCLUDE

COMPILE = ["g++", "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Isrc", '-DOCTAVO_VERSION=""', '-DOCTAVO_TESTDATA=""', "-x", "c++", "-"]


def with_includers(changed, includes):
    """The headers of `changed`, and those that include one of them, however far away."""
    found = set(changed)
    while more := {header for header, targets in includes.items() if header not in found and found & targets}:
        found |= more
    return sorted(found)


def compiles(header):
    if subprocess.run(COMPILE, input=f'#include "{header}"\n', text=True).returncode == 0:
        return True
    print(f"src/{header}: does not compile alone", file=sys.stderr)
    return False


def main():
    src = pathlib.Path("src")
    includes = {str(path.relative_to(src)): {target for _, target in INCLUDE.findall(path.read_text())} for path in src.rglob("*.h")}
    wanted = with_includers({name.removeprefix("src/") for name in sys.argv[1:]}, includes)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(compiles, wanted))) else 1


if __name__ == "__main__":
    sys.exit(main())
