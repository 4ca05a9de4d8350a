"""Copy lines and redrawn progress bars from standard input, each under a prefix: prefix_lines.py PREFIX."""

import sys

prefix, line = sys.argv[1], ""
while character := sys.stdin.read(1):
    if character not in "\r\n":
        line += character
        continue
    if line.strip():
        print(prefix, line, flush=True)
    line = ""
