#!/usr/bin/env python3
"""Refuses every #include that src/layers.toml does not allow: between modules, of third-party headers outside their
owners, and in circles.  Usage: check_layers.py [SRC_DIR]; prints one line a violation and exits 1 if there is any."""
import fnmatch
import pathlib
import re
import sys
import tomllib

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def read_layers(path):
    """(module -> allowed modules, in file order; header glob -> owner globs; problems of the table itself)."""
    table = tomllib.loads(path.read_text())
    owners = table.pop("owners", {})
    problems = []
    above = set()
    for module, allowed in table.items():
        for other in allowed:
            if other not in table:
                problems.append(f"{path.name}: {module} lists {other}, which is no module")
            elif other not in above:
                problems.append(f"{path.name}: {module} lists {other}, which must stand above it (no cycles)")
        above.add(module)
    return table, owners, problems


def matches(name, globs):
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def check_include(file, bracket, target, layers, owners, src):
    """What is wrong with one include of `file` (a path below src), or None."""
    module = file.split("/")[0]
    if bracket == '"':
        other = target.split("/")[0]
        if not (src / target).is_file():
            return f'"{target}" does not exist below src (write includes from src on)'
        if other != module and other not in layers.get(module, []):
            return f'{module} may not include "{target}": {other} is not in its list'
        return None
    if "." not in target and "/" not in target:
        return None  # the C++ standard library
    globs = [owners[header] for header in owners if fnmatch.fnmatchcase(target, header)]
    if not globs:
        return f"<{target}> has no owner in layers.toml"
    if not any(matches(file, owner) for owner in globs):
        return f"<{target}> belongs to {', '.join(sum(globs, []))}"
    return None


def find_cycle(graph):
    """The files of one circle of includes, or None."""
    state = {}

    def visit(node, path):
        state[node] = "open"
        for other in graph.get(node, ()):
            if state.get(other) == "open":
                return path[path.index(other):] + [other] if other in path else None
            if other not in state and (cycle := visit(other, path + [other])):
                return cycle
        state[node] = "done"
        return None

    for node in graph:
        if node not in state and (cycle := visit(node, [node])):
            return cycle
    return None


def check(src):
    """All violations below `src`, as lines."""
    layers, owners, problems = read_layers(src / "layers.toml")
    for folder in sorted(p.name for p in src.iterdir() if p.is_dir()):
        if folder not in layers:
            problems.append(f"{folder}/: not a module of layers.toml")
    graph = {}
    for path in sorted(p for p in src.rglob("*") if p.suffix in (".h", ".cc", ".inc")):
        file = path.relative_to(src).as_posix()
        text = path.read_text()
        graph[file] = []
        for match in INCLUDE.finditer(text):
            bracket, target = match.groups()
            if bracket == '"':
                graph[file].append(target)
            if problem := check_include(file, bracket, target, layers, owners, src):
                line = text.count("\n", 0, match.start(1)) + 1
                problems.append(f"{file}:{line}: {problem}")
    if cycle := find_cycle(graph):
        problems.append("a circle of includes: " + " -> ".join(cycle))
    return problems


def main():
    src = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "src")
    problems = check(src)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
