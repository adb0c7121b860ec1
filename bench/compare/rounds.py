"""Runs that take turns for several rounds, and what their figures come to."""
import os
import resource
import statistics
import sys
import time

from peers import Failure

# More than this share of the processor time for others, and a run is not undisturbed.
QUIET = 0.10
ATTEMPTS = 3
# A setting that the first round shows this far behind the best of its contestant, in every case, is not run again.
HOPELESS = 0.85


def busy_seconds():
    """Processor time of everything on this machine, time stolen from it included; None where the system does not say."""
    try:
        with open("/proc/stat") as file:
            user, nice, system, _idle, _wait, irq, soft, steal = (int(x) for x in file.readline().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def child_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def wait_for_quiet(patience_s):
    """Returns when others leave the machine alone, or after that long."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end and (busy := busy_seconds()) is not None:
        time.sleep(0.5)
        if busy_seconds() - busy <= QUIET * 0.5 * os.cpu_count():
            return


def undisturbed(run, failures, patience_s):
    """(figures, others' share): with patience, of several attempts the one during which others used the least."""
    tries = []
    for _ in range(ATTEMPTS if patience_s else 1):
        wait_for_quiet(patience_s)
        busy, own = busy_seconds(), child_seconds()
        figures = measured(run, failures)
        spent = busy_seconds() - busy if busy is not None else 0
        others = max(0.0, 1 - (child_seconds() - own) / spent) if spent > 0 else None
        if figures is None:
            break
        for figure in figures.values():
            figure.details = figure.details | {"others_cpu_share": others}
        tries.append((others or 0.0, figures))
        if tries[-1][0] <= QUIET:
            break
    return min(tries, key=lambda one: one[0])[1] if tries else None


def measured(run, failures):
    """The run's figures; a failure is noted, tried once more, and noted again."""
    for _ in range(2):
        try:
            return run.measure()
        except Failure as failure:
            failures.append({"contestant": run.contestant, "setting": run.setting, "error": str(failure)})
            print(f"  {run.contestant} ({run.setting}) failed: {failure}", file=sys.stderr, flush=True)
    return None


def hopeful(runs, first):
    """Those runs whose figures of the first round come near the best setting of their contestant in some case."""
    best = {}
    for run in runs:
        for case, figure in (first.get(id(run)) or {}).items():
            key = (run.contestant, case)
            best[key] = max(best.get(key, 0), figure.tokens_per_s)
    return [run for run in runs if any(figure.tokens_per_s >= HOPELESS * best[run.contestant, case]
                                       for case, figure in (first.get(id(run)) or {}).items())]


def take_turns(runs, rounds, patience_s=0):
    """({case: {contestant: {setting: [Figure, None where it failed or was not run again]}}}, failures)"""
    figures, failures, live = {}, [], list(runs)
    for number in range(rounds):
        got = {}
        for run in live if number % 2 == 0 else live[::-1]:
            got[id(run)] = undisturbed(run, failures, patience_s)
            for case, figure in (got[id(run)] or {}).items():
                others = figure.details["others_cpu_share"]
                note = f", others {100 * others:.0f} %" if others else ""
                print(f"  round {number + 1}: {case}: {run.contestant} ({run.setting}): {figure.tokens_per_s:.1f}{note}", flush=True)
                settings = figures.setdefault(case, {}).setdefault(run.contestant, {})
                settings.setdefault(run.setting, [None] * rounds)[number] = figure
        if number == 0:
            live = hopeful(live, got)
    return figures, failures


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(figures):
    """{case: {contestant: its fastest setting, spread, every setting, and the ratios of octavo to peers}}"""
    out = {}
    for case, contestants in figures.items():
        rows = {}
        for contestant, settings in contestants.items():
            every = {setting: [f.tokens_per_s if f else None for f in row] for setting, row in settings.items()}
            most = max(sum(x is not None for x in row) for row in every.values())
            # Fastest among those that were run to the end: one lucky round is no median.
            full = {s: row for s, row in every.items() if sum(x is not None for x in row) == most}
            fastest = max(full, key=lambda s: statistics.median(x for x in full[s] if x is not None))
            details = [f.details for f in settings[fastest] if f]
            rows[contestant] = spread([x for x in full[fastest] if x is not None]) | {
                "setting": fastest, "rounds": full[fastest], "settings": every, "details": medians(details), "ratios": {}}
        for name, row in rows.items():
            for peer, other in rows.items():
                pairs = [a / b for a, b in zip(row["rounds"], other["rounds"]) if a and b]
                if name.startswith("octavo") and not peer.startswith("octavo") and pairs:
                    row["ratios"][peer] = {"median": row["median"] / other["median"], "min": min(pairs), "max": max(pairs)}
        out[case] = rows
    return out


def medians(details):
    """Of the numbers that each round told; other values are those of the last round."""
    out = dict(details[-1]) if details else {}
    for key, value in out.items():
        values = [d[key] for d in details if isinstance(d.get(key), (int, float))]
        if isinstance(value, (int, float)) and values:
            out[key] = statistics.median(values)
    return out
