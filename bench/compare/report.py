"""The comparison as a table for people."""


def table(rows):
    """Lines of rows of cells, columns aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def section_text(name, section):
    rows = [["", "tokens/s", "min..max", "octavo w8a8 to it", "of the limit", "others", "its fastest setting"]]
    for case, contestants in section["cases"].items():
        rows.append([case] + [""] * 6)
        ratios = contestants.get("octavo w8a8", {}).get("ratios", {})
        for contestant, row in contestants.items():
            ratio = ratios.get(contestant)
            limit = row["details"].get("fraction_of_limit")
            others = row["details"].get("others_cpu_share")
            rows.append(["  " + contestant, f"{row['median']:.1f}", f"{row['min']:.1f}..{row['max']:.1f}",
                         f"{ratio['median']:.2f}x ({ratio['min']:.2f}..{ratio['max']:.2f})" if ratio else "",
                         f"{limit:.2f}" if limit is not None else "",
                         f"{100 * others:.0f} %" if others is not None else "", row["setting"]])
    lines = [f"== {name}: {section['rounds']} rounds, commit {section['commit']}; others: their share of the processor time",
             table(rows)]
    failed = {f"{f['contestant']} ({f['setting']})" for f in section["failures"]}
    return "\n".join(lines + [f"failed at least once: {line}" for line in sorted(failed)])


def targets_text(targets):
    rows = [["target", "", "wanted", "measured", ""]]
    for t in targets:
        value = "not measured" if t["value"] is None else f"{t['value']:.2f}"
        verdict = {True: "met", False: "NOT MET", None: ""}[t["met"]]
        rows.append([f"{t['section']}: {t['case']}, {t['contestant'].removeprefix('octavo ')}", t["what"], t["wanted"], value, verdict])
    return table(rows)
