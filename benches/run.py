#!/usr/bin/env python3
"""Every figure of the measure of speed, in one go.

Builds nothing: takes a `wuku` binary, makes cities with it, serves them, puts load on with `wuku bench`, writes summary.json (flat
keys, unit last) and table.md, prints each figure against its target and ends with 1 where one falls short, 2 where one could not be
measured. The server is pinned to one core and the generator to another; the baseline (a bare tonic echo behind the same TLS door,
with as many bytes) runs in the same minutes, A B A B.

Standard library only. What it starts it stops, also when it is interrupted; what was measured so far is written after every step.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

SERVER_CORE, CLIENT_CORE = "0", "1"
CHILDREN = []


class Fell(Exception):
    """A step that did not work out; the others go on."""


def pinned(core):
    return ["taskset", "-c", core] if core is not None and shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


def start(command, log):
    """Starts a server in a process group of its own; gives it with the first line it prints, parsed."""
    out = open(log, "ab")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, start_new_session=True)
    CHILDREN.append(process)
    begun = time.monotonic()
    line = process.stdout.readline()
    if not line:
        raise Fell(f"{command[-3:]} did not start; see {log}")
    return process, json.loads(line), time.monotonic() - begun


def stop(process, patience=60):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process in CHILDREN:
        CHILDREN.remove(process)


def stop_all():
    for process in list(CHILDREN):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        CHILDREN.remove(process)


class Hub:
    """A served city: `with Hub(...) as hub`."""

    def __init__(self, run, folder, core=SERVER_CORE):
        self.run, self.folder, self.core = run, Path(folder), core

    def __enter__(self):
        command = pinned(self.core) + [self.run.wuku, "serve", "--json", "--config", str(self.folder / "wuku.toml")]
        self.process, said, self.start_s = start(command, self.folder / "hub.log")
        self.url = "https://localhost:" + said["address"].rsplit(":", 1)[1]
        return self

    def __exit__(self, *_):
        stop(self.process)

    def bench(self, mode, *words, seconds=None, patience=None, core=CLIENT_CORE):
        return self.run.load(self.folder, self.url, self.process.pid, mode, *words, seconds=seconds, patience=patience, core=core)


class Echo:
    """The baseline, with the same certificates."""

    def __init__(self, run, folder, reply_bytes, core=SERVER_CORE):
        self.run, self.folder, self.reply_bytes, self.core = run, Path(folder), reply_bytes, core

    def __enter__(self):
        command = pinned(self.core) + [self.run.wuku, "bench", "echo-server", "--json", "--config", str(self.folder / "wuku.toml")]
        self.process, said, _ = start(command + ["--reply-bytes", str(self.reply_bytes)], self.folder / "echo.log")
        self.url = "https://localhost:" + said["address"].rsplit(":", 1)[1]
        return self

    def __exit__(self, *_):
        stop(self.process)


class Run:
    def __init__(self, args):
        self.args, self.wuku, self.out = args, args.wuku, Path(args.out)
        self.seconds = args.seconds or (3 if args.quick else 10)
        self.people = args.people or (20_000 if args.quick else 100_000)
        self.summary, self.failures = {}, []
        self.out.mkdir(parents=True, exist_ok=True)
        self.commit = args.commit or git("rev-parse", "--short", "HEAD") or "unknown"

    def load(self, folder, url, pid, mode, *words, seconds=None, patience=None, core=CLIENT_CORE):
        """One `wuku bench` run; gives its figures."""
        seconds = seconds or self.seconds
        command = pinned(core) + [self.wuku, "bench", mode, "--city", str(folder), "--hub", url, "--server-pid", str(pid)]
        command += ["--json", "--commit", self.commit]
        if mode not in ("replay", "import"):
            command += ["--seconds", str(seconds), "--warm-up", str(min(2, seconds / 2))]
        try:
            done = subprocess.run(
                command + [str(word) for word in words], capture_output=True, text=True, timeout=patience or seconds + 60
            )
        except subprocess.TimeoutExpired:
            raise Fell(f"bench {mode} took more than {patience or seconds + 60} s")
        if done.returncode:
            raise Fell(f"bench {mode}: {done.stderr.strip() or done.stdout.strip()}")
        figures = json.loads(done.stdout.strip().splitlines()[-1])
        rate = f"{figures.get('answers_per_s', 0):>10.0f}/s p50 {figures.get('p50_us', 0)} p99 {figures.get('p99_us', 0)} us"
        tell(f"{mode:<8}{' '.join(map(str, words))[:40]:<42}{rate}" + ("  GENERATOR SATURATED" if figures.get("client_saturated") else ""))
        return figures

    def city(self, people, licences):
        folder = self.out / f"city-{people}"
        command = [self.wuku, "bench", "prepare", "--folder", str(folder), "--people", str(people), "--licences", str(licences), "--json"]
        tell(f"making a city of {people} residents and {licences} licences")
        done = subprocess.run(command, capture_output=True, text=True, timeout=self.args.patience)
        if done.returncode:
            raise Fell(f"prepare: {done.stderr.strip()}")
        return folder, json.loads(done.stdout.strip().splitlines()[-1])

    def note(self, **figures):
        self.summary.update(figures)
        write(self.out / "summary.json", json.dumps(self.summary, indent=1, ensure_ascii=False) + "\n")


def tell(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def write(path, text):
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def git(*words):
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def against_echo(run, folder):
    """Recorded lookups against the echo, A B A B in the same minutes."""
    with Hub(run, folder) as hub:
        first = hub.bench("single", seconds=2)
    hubs, echoes = [], []
    for _ in range(run.args.rounds):
        with Hub(run, folder) as hub:
            hubs.append(hub.bench("single"))
        reply = hubs[-1]["reply_bytes"]
        with Echo(run, folder, reply) as echo:
            size = ["--request-bytes", hubs[-1]["request_bytes"]]
            echoes.append(run.load(folder, echo.url, echo.process.pid, "echo", *size))
    rate, echo = (statistics.median(f["answers_per_s"] for f in of) for of in (hubs, echoes))
    run.note(
        machine=first["machine"],
        commit=run.commit,
        date=time.strftime("%Y-%m-%d"),
        recorded_lookup_per_s=rate,
        echo_per_s=echo,
        recorded_lookup_to_echo_ratio=round(rate / echo, 3),
        recorded_lookup_p99_us=statistics.median(f["p99_us"] for f in hubs),
        recorded_lookup_server_cpu_us=statistics.median(f["server_cpu_per_item_us"] for f in hubs),
        echo_server_cpu_us=statistics.median(f["server_cpu_per_item_us"] for f in echoes),
        client_cpu_share_at_lookup=max(f["client_cpu_share"] for f in hubs),
        client_cpu_share_at_echo=max(f["client_cpu_share"] for f in echoes),
        receipts_checked=sum(f["receipts_good"] for f in hubs),
    )
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wuku", required=True, help="the binary to measure")
    parser.add_argument("--out", default="target/bench", help="where cities and figures go")
    parser.add_argument("--quick", action="store_true", help="short runs on a small city: tells whether it works, not how fast")
    parser.add_argument("--people", type=int, help="residents of the city")
    parser.add_argument("--seconds", type=float, help="seconds of each run")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of A B")
    parser.add_argument("--patience", type=float, default=900, help="seconds a city may take to make")
    parser.add_argument("--commit", help="commit the binary was built from")
    parser.add_argument("--only", choices=["echo"], help="only lookups against the echo")
    parser.add_argument("--city", help="measure this city, made before, instead of making one")
    run = Run(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    try:
        folder = Path(run.args.city) if run.args.city else run.city(run.people, 2_000)[0]
        against_echo(run, folder)
        print(json.dumps(run.summary, indent=1, ensure_ascii=False))
    finally:
        stop_all()


if __name__ == "__main__":
    main()
