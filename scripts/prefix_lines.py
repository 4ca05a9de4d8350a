"""Copy lines and redrawn progress bars from standard input, each under a prefix: prefix_lines.py PREFIX."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_IGN)  # what the stopped run says last is shown
prefix, line = sys.argv[1], ""
while character := sys.stdin.read(1):
    if character not in "\r\n":
        line += character
        continue
    if line.strip():
        print(prefix, line, flush=True)
    line = ""
