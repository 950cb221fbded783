"""Prints the figures of a run as a table, and fails where one falls short or none is there."""
import datetime
import json
import os
import platform
import subprocess
import sys

figures = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")] if os.path.exists(sys.argv[1]) else []
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
print(f"Machine: {os.cpu_count()} x {model}. Commit: {commit}. Date: {datetime.date.today()}.\n")
print("| harness | figure | value | target | form | |\n|---|---|---:|---:|---|---|")
for f in figures:
    target = "" if f["target"] is None else f"{f['sign']} {f['target']:g}"
    print(f"| {f['harness']} | {f['name']} | {f['value']:g} {f['unit']} | {target} | {f['form']} | {'✔' if f['met'] else '✘'} |")
short = [f"{f['harness']}: {f['name']}" for f in figures if not f["met"]]
if not figures or short:
    sys.exit("falls short: " + ("no figure was noted" if not figures else "; ".join(short)))
