#!/usr/bin/env python3
"""Writes the files of a site as C arrays (src/demo/site.h): embed.py OUTPUT FILE...

The output depends on names and bytes only, so that the same sources give the same program.
"""
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def array(name, data):
    lines = [", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24)]
    return "static const unsigned char %s[] = {\n    %s};\n" % (name, ",\n    ".join(lines))


def text(s):
    return '{"%s", %d}' % (s.replace("\\", "\\\\").replace('"', '\\"'), len(s))


def main():
    output, files = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
    arrays, entries = [], []
    for i, path in enumerate(files):
        name = os.path.basename(path)
        with open(path, "rb") as f:
            data = f.read()
        if not data:
            sys.exit("embed.py: %s is empty" % path)
        etag = '"%s"' % hashlib.sha256(data).hexdigest()[:20]
        arrays.append(array("bytes_%d" % i, data))
        entries.append("    {%s, %s,\n     %s, {(const char *)bytes_%d, sizeof(bytes_%d)}},\n" % (
            text("/" if name == "index.html" else "/" + name), text(TYPES[os.path.splitext(name)[1]]), text(etag), i, i))
    with open(output, "w", encoding="ascii") as f:
        f.write("/* Made by tools/embed.py. */\n#include \"demo/site.h\"\n\n")
        f.write("\n".join(arrays))
        f.write("\nconst struct site_file site_files[] = {\n%s};\n" % "".join(entries))
        f.write("const unsigned site_files_count = %d;\n" % len(files))


if __name__ == "__main__":
    main()
