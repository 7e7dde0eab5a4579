#!/usr/bin/python3
"""What is printed of a run. Alone: `table.py build/bench.json` prints the table again, `table.py --markdown` a short
one for README.md."""
import argparse
import json
import pathlib

TITLES = {"cpu_us": "CPU us", "per_core": "req/s/core", "handshakes_per_core": "handshakes/s/core", "load_us": "load us", "p50_us": "p50 us", "p99_us": "p99 us", "busy": "busy",
          "origin_requests": "fetches", "first_p50_us": "first p50 ms", "first_max_us": "first max ms", "max_us": "last max ms",
          "bytes": "bytes", "ram_bytes": "RAM bytes", "disk_bytes": "disk bytes", "lost": "lost", "put_ns": "put ns", "find_ns": "find ns",
          "miss_ns": "miss ns", "purge_cpu_us": "CPU us a purge", "purges_per_second": "purges/s", "hits_before": "hits/s before", "hits_during": "hits/s during",
          "purge_beside_us": "CPU us beside hits", "kept_by_cpu": "kept by CPU", "purge_p99_ms": "purge p99 ms"}
DRIP_TITLES = {"p50_us": "last p50 ms"}
BASES = ("warp-uring", "warp-epoll", "floor-epoll", "floor-uring", "floor-nghttp2")


def shown(key, value, in_ms=False):
    if value is None:
        return "-"
    if key.endswith("_us") and key not in ("cpu_us", "load_us") and in_ms:
        return f"{value / 1000:.1f}"
    if key in ("busy", "kept_by_cpu"):
        return f"{value:.2f}"
    if key in ("cpu_us", "load_us") and value < 1000:
        return f"{value:.2f}"
    if key.endswith("p50_us") and value < 100:
        return f"{value:.1f}"
    if key == "bytes" and value < 100:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def times(value):
    return "-" if value is None else f"{value:.2f}"


def lines_of(columns):
    """Columns as wide as they need, the first to the left."""
    widths = [max(len(cell) for cell in column) for column in zip(*columns)]
    for cells in columns:
        first, *others = (cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths)))
        yield "  ".join([first, *others]).rstrip()


def text(result):
    out = []
    for workload in result["workloads"]:
        bases = [base for base in BASES if base in result["servers"] and (workload["main"] == "cpu_us" or base.startswith("warp"))
                 and any((row.get("ratios") or {}).get(base) is not None for row in workload["rows"])]
        in_ms = "first_p50_us" in workload["shows"]
        titles = {**TITLES, **(DRIP_TITLES if in_ms else {})}
        out += ["", f"{workload['name']}: {workload['says']}"]
        lines, why = [["", *(titles[key] for key in workload["shows"]), *(f"/ {base}" for base in bases)]], []
        for row in workload["rows"]:
            empty = ["-"] * (len(workload["shows"]) + len(bases))
            if row.get("cannot"):
                lines.append([row["server"], *empty])
                why.append(f"  - {row['server']}: {row['cannot']}")
                continue
            if not row["good_rounds"]:
                lines.append([row["server"], "refused", *empty[1:]])
            else:
                lines.append([row["server"], *(shown(key, row["figures"].get(key), in_ms) for key in workload["shows"]),
                              *(times(row["ratios"].get(base)) for base in bases)])
            if row["refused"]:
                why.append(f"  ! {row['server']}: refused in {len(row['refused'])} of {row['rounds']} rounds: {row['refused'][0]}")
        out += [*lines_of(lines), *why]
    machine, network = result["machine"], result["network"]
    out += ["", f"{result['rounds']} rounds of {result['seconds']} s a cell; {machine['cpu']}, kernel {machine['kernel']}, generator and "
            f"origin on core {machine['cores'][0]}, server on core {machine['cores'][1]}; "
            f"{'own network' if network['namespace'] else 'no network of its own'}, {network['congestion_control']}."]
    out += ["Ratios are medians of ratios inside a round. p50 and p99 are the closed loop's, and noisy. Loopback's large "
            "segments understate what bytes cost on a real card."]
    out += [f"Left out: {note}" for note in result["left_out"]] + [f"Note: {note}" for note in result["notes"]]
    return "\n".join(out).lstrip("\n")


def markdown_table(result, workloads, floor):
    rows = [["CPU us per request", *(workload["name"] for workload in workloads)], ["---"] * (len(workloads) + 1)]
    for name in result["servers"]:
        cells = [name]
        for workload in workloads:
            row = next((row for row in workload["rows"] if row["server"] == name), None)
            if row is None or row.get("cannot"):
                cells.append("-")
            elif not row["good_rounds"]:
                cells.append("refused")
            else:
                over = row["ratios"].get(floor)
                cells.append(shown("cpu_us", row["figures"]["cpu_us"]) + (f" ({over:.2f})" if over else ""))
        if set(cells[1:]) != {"-"}:
            rows.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def markdown(result):
    """Servers down, workloads across: CPU microseconds, in brackets the ratio to the floor of the same round, which is
    floor-epoll in the clear, floor-nghttp2 with TLS or HTTP/2."""
    tables = []
    for floor in ("floor-epoll", "floor-nghttp2"):
        plain = {"tls": False, "spoken": "h1"}
        workloads = [workload for workload in result["workloads"] if workload["main"] == "cpu_us"
                     and (workload.get("wire", plain) == plain) == (floor == "floor-epoll")]
        if workloads:
            tables.append(markdown_table(result, workloads, floor))
    return "\n\n".join(tables)


def main():
    parser = argparse.ArgumentParser(description="Prints the result of a run again.")
    parser.add_argument("file", nargs="?", default=pathlib.Path(__file__).resolve().parents[2] / "build/bench.json")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    result = json.loads(pathlib.Path(arguments.file).read_text())
    print(markdown(result) if arguments.markdown else text(result))


if __name__ == "__main__":
    main()
