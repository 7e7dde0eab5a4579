#!/usr/bin/env python3
"""Writes docs/reference/*.md from the tables in the code; with --check, says whether they are current."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def table(header, macro):
    """The rows of an X-macro table: lists of its arguments, strings without their quotes."""
    text = (ROOT / "src" / header).read_text().replace("\\\n", "\n")
    body = re.search(r"#define " + macro + r"\(X\)(.*?)(?=\n#|\nenum|\nstruct|\n\n)", text, re.S).group(1)
    rows = []
    for match in re.finditer(r"\bX\(((?:\"(?:[^\"\\]|\\.)*\"|[^\")])*)\)", body):
        row = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,"\s][^,"]*)', match.group(1))
        rows.append([quoted or bare.strip() for quoted, bare in row])
    return rows


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def options():
    rows = []
    for flag, kind, _, placeholder, default, text in (r + [""] * (6 - len(r)) for r in table_options()):
        shown = f"`--{flag}{' ' + placeholder if placeholder else ''}`"
        rows.append([shown, f"`WARP_{flag.upper().replace('-', '_')}`", f"`{default}`" if default not in ("", "NULL") else "", text])
    return ("# Options of `warp run`\n\nA flag beats the environment, which beats the file (`name: value` in YAML), which beats the"
            " default. Sizes: `512`, `64k`, `256m`, `2g`, `1t` (binary). Durations: `250ms`, `30s`, `5m`, `2h`, `7d`, `1w`.\n\n"
            + markdown(["flag", "environment", "default", "what"], rows))


def table_options():
    """The option table has empty strings and NULL, which must keep their places."""
    text = (ROOT / "src/conf/config.h").read_text().replace("\\\n", "\n")
    body = re.search(r"#define CONFIG_OPTIONS\(X\)(.*?)\n\n", text, re.S).group(1)
    for match in re.finditer(r'X\("([^"]*)",\s*(\w+),\s*(\w+),\s*"([^"]*)",\s*("[^"]*"|NULL),\s*"((?:[^"\\]|\\.)*)"\)', body):
        flag, kind, field, placeholder, default, help_text = match.groups()
        yield [flag, kind, field, placeholder, default.strip('"'), help_text]


def metrics():
    kinds = {"C": "counter", "G": "gauge", "H": "histogram"}
    rows = [[f"`{name}{'_total' if kind == 'C' else ''}`", kinds[kind], f"`{labels}`" if labels else "", text]
            for name, kind, labels, text in table_metrics()]
    outcomes = ", ".join(f"`{row[0]}`" for row in table("stat/metrics.h", "OUTCOMES"))
    return ("# Metrics\n\n`/metrics` on the admin listener: Prometheus text, OpenMetrics on Accept. One outcome per request, of: "
            + outcomes + ".\n\n" + markdown(["metric", "kind", "labels", "what"], rows))


def table_metrics():
    text = (ROOT / "src/stat/metrics.h").read_text().replace("\\\n", "\n")
    body = re.search(r"#define METRICS\(X\)(.*?)\n\n", text, re.S).group(1)
    return re.findall(r'X\((\w+),\s*(\w),\s*"([^"]*)",\s*"([^"]*)"\)', body)


def reasons():
    parts = ["# Reasons\n\nWords that appear in metrics, access records and `Cache-Status`.\n"]
    for title, header, macro, heads, pick in [
            ("Why an answer was not stored (`warp_not_stored_total`)", "cache/storable.h", "NOT_STORED_REASONS",
             ["word", "meaning"], lambda r: [f"`{r[1]}`", r[2]]),
            ("Why a request was refused (`warp_refused_requests_total`)", "http/h1_parse.h", "H1_ERRORS",
             ["word", "status", "meaning"], lambda r: [f"`{r[1]}`", r[2], r[3]]),
            ("... in HTTP/2 besides", "http/h2_message.h", "H2_ERRORS",
             ["word", "status", "meaning"], lambda r: [f"`{r[1]}`", r[2], r[3]]),
            ("Why an origin gave no answer", "proto/stream.h", "CLIENT_FAILURES",
             ["word", "Proxy-Status error"], lambda r: [f"`{r[2]}`", f"`{r[1]}`"]),
            ("Limits that were reached (`warp_limit_hits_total`)", "proto/stream.h", "STREAM_LIMITS",
             ["word"], lambda r: [f"`{r[1]}`"]),
            ("Why a TLS handshake failed (`warp_tls_handshake_failures_total`)", "net/net.h", "NET_HANDSHAKE_FAILURES",
             ["word", "meaning"], lambda r: [f"`{r[1]}`", r[2]]),
            ("How an exchange ended, when not complete", "proto/stream.h", "STREAM_ENDS", ["word"], lambda r: [f"`{r[1]}`"])]:
        rows = [pick(r) for r in table(header, macro) if r[1] != "stored"]
        parts.append(f"\n## {title}\n\n" + markdown(heads, rows))
    return "".join(parts)


def forwarding():
    words = {row[0]: row[2] for row in table("cache/forward.h", "FORWARD_REASONS")}
    rows = [[f"`{name}`", words[reason]] for name, reason in table("cache/forward.h", "FORWARD_DENIED")]
    return ("# Request fields that are not passed on\n\nEverything else a client sends reaches the origin. A name that ends in `*`"
            " is a prefix.\n\n" + markdown(["field", "why"], rows))


def api():
    access = {row[0]: row[1] for row in table("admin/routes.h", "ADMIN_ACCESSES")}
    rows = []
    for method, path, who, right, scope, _, params, body, answer, statuses, text in table("admin/routes.h", "ADMIN_ROUTES"):
        if who == "OPEN":
            needs = "nothing"
        else:
            needs = "any token" if who == "ANY" else f"`{right.lower()}`" + (" for all tenants" if scope == "ALL" else "") + (
                "; on loopback nothing while no tenant is configured by name" if who == "LOCAL" else
                "; nothing without `--metrics-auth`" if who == "NUMBERS" else "")
        query = " ".join(f"`{name}`" for name in params.split(",") if name)
        rows.append([f"`{method} {path}`", needs, query, body, answer, text])
    params = [[f"`{name}`", text] for name, _, text in table("admin/routes.h", "ADMIN_PARAMS")]
    rights = [[f"`{row[1]}`", row[2]] for row in table("tenant/tokens.h", "TOKEN_RIGHTS")]
    return ("# Paths of the admin listener\n\nBodies and answers under `/api/v1` are described by `/api/v1/openapi.json`; how it is used:"
            " [api.md](../api.md).\n\n" + markdown(["path", "needs", "query", "body", "answer", "what"], rows)
            + "\n## Parameters\n\n" + markdown(["name", "what"], params) + "\n## Rights of tokens\n\n" + markdown(["right", "may"], rights))


PAGES = {"api.md": api, "options.md": options, "metrics.md": metrics, "reasons.md": reasons, "forwarding.md": forwarding}


def binary():
    """The newest one that was built, or $WARP_BIN; None: there is none."""
    if os.environ.get("WARP_BIN"):
        return os.environ["WARP_BIN"]
    built = sorted((ROOT / "build").glob("*/src/main/warp"), key=lambda path: path.stat().st_mtime)
    return built[-1] if built else None


def of_the_binary(name):
    return subprocess.run([binary(), "reference", name], check=True, capture_output=True, text=True).stdout


# Written by the binary from its tables; tests/integration says whether they are current.
BUILT = ("config.md", "config.schema.json")


def man_pages():
    """One for the binary, and one for each command that help lists."""
    return ["warp.1"] + [f"warp-{row[0]}.1" for row in table("main/commands_table.h", "COMMANDS") if row[3]]


def main():
    check = "--check" in sys.argv[1:]
    stale = []
    pages = dict(PAGES)
    if not check and binary() is None:
        print("reference: not without a binary:", ", ".join(BUILT), "and docs/man (make builds it)")
    elif not check:
        pages.update({name: lambda name=name: of_the_binary(name) for name in (*BUILT, *man_pages())})
    for name, make in pages.items():
        path, text = ROOT / ("docs/man" if name.endswith(".1") else "docs/reference") / name, make()
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale:
        print("docs/reference is not current:", ", ".join(stale), "(tools/reference.py writes it)")
    else:
        print(f"reference: {len(pages)} pages " + ("are current" if check else "written"))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
