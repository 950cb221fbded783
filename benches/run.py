#!/usr/bin/env python3
"""Every figure of the measure of speed, in one go.

Builds nothing: takes a `wuku` binary, makes cities with it, serves them, puts load on with `wuku bench`, writes summary.json (flat
keys, unit last) and table.md, prints each figure against its target and ends with 1 where one falls short, 2 where one could not be
measured. The server is pinned to one core and the generator to another; the baseline (a bare tonic echo over mutual TLS, with as many
bytes) runs in the same minutes, A B A B. Imports and the replay have both cores.

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

SERVER_CORE, CLIENT_CORE, BOTH = "0", "1", None
CHILDREN = []

# Key, what it is, "at least" or "at most", how much. A function of the summary where one figure is held against another.
TARGETS = [
    ("recorded_lookup_to_echo_ratio", "recorded lookups, of a bare echo's rate", ">=", 0.45),
    ("sm2_lookup_to_ed25519_ratio", "recorded lookups of a hub of suite sm2, of one of suite ed25519", ">=", 0.55),
    ("p99_at_70pct_us", "p99 at 70 % of that rate, open loop", "<=", 5_000),
    ("alone_p50_us", "p50 of one caller alone: 500 us + one fsync", "<=", lambda s: 500 + s["fsync_p50_us"]),
    ("batch200_items_ratio", "items/s of batches of 200, of single lookups", ">=", 3),
    ("lookup_p99_during_import_us", "p99 of lookups while residents are imported", "<=", 20_000),
    ("replay_s", "800,000 calls of 37 systems of a county", "<=", 60),
    ("goodput_5x_ratio", "answers at 5 x the load it can bear, of its peak", ">=", 0.9),
    ("import_population_rows_per_s", "residents imported, all checks on", ">=", 60_000),
    ("import_licence_rows_per_s", "licences imported, each signature verified", ">=", 15_000),
    ("rate_1m_to_100k_ratio", "lookups with 1,000,000 residents and licences, of those with 100,000", ">=", 0.85),
    ("rss_1m_mib", "memory with 1,000,000 residents and licences, under load", "<=", 1_024),
    ("start_1m_s", "start with 1,000,000 residents and licences", "<=", 3),
]


class Fell(Exception):
    """A step that did not work out; the others go on."""


def pinned(core):
    return ["taskset", "-c", core] if core is not None and shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


def start(command, log):
    """Starts a server in a process group of its own; gives it with the first line it prints, parsed, and how long that took."""
    begun = time.monotonic()
    with open(log, "ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
    CHILDREN.append(process)
    line = process.stdout.readline()
    if not line:
        stop(process)
        raise Fell(f"{' '.join(command[-4:])} did not start: {tail(log)}")
    return process, json.loads(line), time.monotonic() - begun


def tail(path):
    lines = Path(path).read_text(errors="replace").strip().splitlines()
    return " / ".join(lines[-2:])


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


def command_of(command, patience, what):
    """Runs a command in a process group of its own, so that nothing of it is left behind; gives its last line, parsed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    CHILDREN.append(process)
    try:
        out, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Fell(f"{what} took more than {patience:.0f} s")
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # interrupted: nothing of it goes on
        raise
    finally:
        CHILDREN.remove(process)
    if process.returncode:
        raise Fell(f"{what}: {(errors.strip() or out.strip())[-600:]}")
    return json.loads(out.strip().splitlines()[-1])


class Served:
    """A process that answers, pinned: `with Hub(...) as hub`."""

    def __init__(self, run, folder, core=SERVER_CORE):
        self.run, self.folder, self.core = run, Path(folder), core

    def __enter__(self):
        self.process, said, self.start_s = start(pinned(self.core) + self.command(), self.folder / "hub.log")
        self.url = "https://localhost:" + said["address"].rsplit(":", 1)[1]
        return self

    def __exit__(self, *_):
        stop(self.process)

    def bench(self, mode, *words, core=CLIENT_CORE, seconds=None, patience=None):
        """One `wuku bench` run against it; gives its figures."""
        run = self.run
        seconds = seconds or run.seconds
        patience = patience or seconds + 60
        command = pinned(core) + [run.wuku, "bench", mode, "--city", str(self.folder), "--hub", self.url]
        command += ["--server-pid", str(self.process.pid), "--json", "--commit", run.commit]
        if mode not in ("replay", "import"):
            command += ["--seconds", str(seconds), "--warm-up", str(min(2, seconds / 2))]
        figures = command_of(command + [str(word) for word in words], patience, f"bench {mode}")
        if figures.get("lost", 0) + figures.get("failed", 0) > 0:
            tell(f"  note: {figures['lost']} calls lost, {figures['failed']} failed, statuses {figures['statuses']}")
        if mode != "import":
            rate = f"{figures['answers_per_s']:>9.0f}/s  p50 {figures['p50_us']}  p99 {figures['p99_us']} us"
            rate += f"  server {figures.get('server_cpu_share', 0):.2f}  generator {figures['client_cpu_share']:.2f}"
            tell(f"  {mode:<7}{' '.join(map(str, words))[:44]:<46}{rate}" + ("  GENERATOR SATURATED" if figures["client_saturated"] else ""))
        run.runs.append(figures)
        return figures


class Hub(Served):
    def command(self):
        return [self.run.wuku, "serve", "--json", "--config", str(self.folder / "wuku.toml")]


class Echo(Served):
    """The baseline, with the city's certificates: tonic alone, or (`door`) behind the hub's own door."""

    def __init__(self, run, folder, reply_bytes, door=False):
        super().__init__(run, folder)
        self.reply_bytes, self.door = reply_bytes, door

    def command(self):
        config = ["--config", str(self.folder / "wuku.toml"), "--reply-bytes", str(self.reply_bytes)]
        return [self.run.wuku, "bench", "echo-server", "--json", *config, *([] if self.door else ["--bare"])]


class Quota:
    """A fifth of a core for a process, by cgroup (v1 or v2); nothing where the machine gives none: then `how` says so."""

    def __init__(self, pid, part=0.2):
        self.folder, self.how = None, "a whole core: no cgroup"
        period = 10_000
        for root, name, value in (
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", str(int(period * part))),
            ("/sys/fs/cgroup", "cpu.max", f"{int(period * part)} {period}"),
        ):
            folder = Path(root) / f"wuku-bench-{os.getpid()}"
            try:
                folder.mkdir()
                self.folder = folder
                if name == "cpu.cfs_quota_us":
                    (folder / "cpu.cfs_period_us").write_text(str(period))
                (folder / name).write_text(value)
                (folder / "cgroup.procs").write_text(str(pid))
                self.how = f"{part:.0%} of a core by cgroup {name}"
                return
            except OSError:
                self.end()

    def end(self):
        if self.folder:
            try:
                self.folder.rmdir()
            except OSError:
                pass
            self.folder = None


class Run:
    def __init__(self, args):
        self.args, self.wuku, self.out = args, str(Path(args.wuku).resolve()), Path(args.out).resolve()
        quick = args.quick
        self.seconds = args.seconds or (2 if quick else 10)
        self.small = args.people or (5_000 if quick else 100_000)
        self.large = 20_000 if quick else 1_000_000
        self.rounds = args.rounds or (1 if quick else 2)
        self.calls = 10_000 if quick else 800_000
        self.import_rows = 10_000 if quick else 600_000
        self.begun = time.monotonic()
        self.summary, self.runs, self.fell = {}, [], []
        self.out.mkdir(parents=True, exist_ok=True)
        self.commit = args.commit or git("rev-parse", "--short", "HEAD") or "unknown"

    def city(self, people, licences, *words, suite="ed25519"):
        folder = self.out / (f"city-{people}" if suite == "ed25519" else f"city-{people}-{suite}")
        tell(f"making a city of {people:,} residents and {licences:,} licences, suite {suite}")
        command = [self.wuku, "bench", "prepare", "--folder", str(folder), "--suite", suite, "--json"]
        command += ["--people", str(people), "--licences", str(licences), *words]
        return folder, command_of(command, self.args.patience, "bench prepare")

    def note(self, **figures):
        self.summary.update(figures)
        write(self.out / "summary.json", json.dumps(self.summary, indent=1, ensure_ascii=False) + "\n")
        write(self.out / "runs.json", json.dumps(self.runs, indent=1, ensure_ascii=False) + "\n")
        write(self.out / "table.md", table(self.summary, self.fell))

    def step(self, what, *args):
        """A step; one that falls is told at the end, the others go on."""
        tell(what.__doc__.strip().splitlines()[0])
        try:
            return what(self, *args)
        except (Fell, OSError, ValueError, KeyError, ZeroDivisionError) as error:
            self.fell.append(f"{what.__name__.replace('_', ' ')}: {error}")
            tell(f"  FELL: {error}")
            self.note()
            return None


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


def median(of, key):
    return statistics.median(figures[key] for figures in of)


def disk(run):
    """What the disk takes to make a small write durable."""
    run.note(**command_of([run.wuku, "bench", "disk", "--folder", str(run.out), "--json"], 120, "bench disk"))


def against_echo(run, folder):
    """Recorded lookups against the bare echo, A B A B; and against an echo behind the hub's own door."""
    hubs, echoes, doors = [], [], []
    with Hub(run, folder) as hub:
        hub.bench("single", seconds=min(2, run.seconds))  # warms the page cache; not counted
    for _ in range(run.rounds):
        with Hub(run, folder) as hub:
            hubs.append(hub.bench("single"))
        with Echo(run, folder, hubs[-1]["reply_bytes"]) as echo:
            echoes.append(echo.bench("echo", "--request-bytes", hubs[-1]["request_bytes"]))
        with Echo(run, folder, hubs[-1]["reply_bytes"], door=True) as echo:
            doors.append(echo.bench("echo", "--request-bytes", hubs[-1]["request_bytes"]))
    rate, echo = median(hubs, "answers_per_s"), median(echoes, "answers_per_s")
    run.note(
        machine=hubs[0]["machine"],
        commit=run.commit,
        date=time.strftime("%Y-%m-%d"),
        seed=hubs[0]["seed"],
        residents=hubs[0]["residents"],
        request_bytes=hubs[-1]["request_bytes"],
        reply_bytes=hubs[-1]["reply_bytes"],
        recorded_lookup_per_s=rate,
        echo_per_s=echo,
        recorded_lookup_to_echo_ratio=round(rate / echo, 3),
        door_echo_per_s=median(doors, "answers_per_s"),
        recorded_lookup_to_door_echo_ratio=round(rate / median(doors, "answers_per_s"), 3),
        recorded_lookup_p50_us=median(hubs, "p50_us"),
        recorded_lookup_p99_us=median(hubs, "p99_us"),
        recorded_lookup_server_cpu_us=median(hubs, "server_cpu_per_item_us"),
        echo_server_cpu_us=median(echoes, "server_cpu_per_item_us"),
        door_echo_server_cpu_us=median(doors, "server_cpu_per_item_us"),
        client_cpu_share_at_lookup=max(f["client_cpu_share"] for f in hubs),
        client_cpu_share_at_echo=max(f["client_cpu_share"] for f in echoes),
        receipts_checked=sum(f["receipts_good"] for f in hubs),
    )


def suites(run, folder):
    """The same city in a hub of suite sm2, A B A B."""
    about = json.loads((folder / "bench.json").read_text())
    of_sm2, _ = run.city(about["people"], about["licences"], suite="sm2")
    found = {folder: [], of_sm2: []}
    try:
        for place in found:
            with Hub(run, place) as hub:
                hub.bench("single", seconds=min(2, run.seconds))  # warms the page cache; not counted
        for _ in range(run.rounds):
            for place in found:
                with Hub(run, place) as hub:
                    found[place].append(hub.bench("single"))
    finally:
        if not run.args.keep:
            shutil.rmtree(of_sm2, ignore_errors=True)
    ed25519, sm2 = (median(figures, "answers_per_s") for figures in found.values())
    run.note(
        sm2_recorded_lookup_per_s=sm2,
        ed25519_recorded_lookup_per_s=ed25519,
        sm2_lookup_to_ed25519_ratio=round(sm2 / ed25519, 3),
        sm2_lookup_server_cpu_us=median(found[of_sm2], "server_cpu_per_item_us"),
        ed25519_lookup_server_cpu_us=median(found[folder], "server_cpu_per_item_us"),
        sm2_lookup_p99_us=median(found[of_sm2], "p99_us"),
    )


def latency(run, folder):
    """How long one waits: at 70 % of the rate, and alone."""
    with Hub(run, folder) as hub:
        loaded = hub.bench("single", "--rate", round(run.summary["recorded_lookup_per_s"] * 0.7))
        run.note(
            p50_at_70pct_us=loaded["p50_us"],
            p99_at_70pct_us=loaded["p99_us"],
            p999_at_70pct_us=loaded["p999_us"],
            missed_at_70pct_ratio=loaded["missed_ratio"],
        )
        alone = hub.bench("single", "--connections", 1, "--in-flight", 1, seconds=min(5, run.seconds))
        run.note(alone_p50_us=alone["p50_us"], alone_p99_us=alone["p99_us"])


def kinds(run, folder):
    """The other questions."""
    with Hub(run, folder) as hub:
        for mode in ("match", "holder", "mix"):
            figures = hub.bench(mode, "--in-flight", 4 if mode == "mix" else 8, seconds=min(5, run.seconds))
            run.note(**{f"{mode}_per_s": figures["answers_per_s"], f"{mode}_p99_us": figures["p99_us"]})


def batches(run, folder):
    """Batches of 200 against single lookups, A B A B."""
    singles, batches = [], []
    with Hub(run, folder) as hub:
        for _ in range(run.rounds):
            singles.append(hub.bench("single", seconds=min(5, run.seconds)))
            batches.append(hub.bench("batch", "--connections", 4, "--in-flight", 2, seconds=min(5, run.seconds)))
    items, single = median(batches, "items_per_s"), median(singles, "items_per_s")
    run.note(batch200_items_per_s=items, batch200_items_ratio=round(items / single, 2))


def overload(run, folder):
    """Five times what it can bear, for twenty seconds, the server on a fifth of a core."""
    with Hub(run, folder) as hub:
        quota = Quota(hub.process.pid)
        try:
            peak = hub.bench("single", seconds=min(10, run.seconds))["answers_per_s"]
            flood = hub.bench("single", "--rate", round(peak * 5), "--connections", 16, seconds=4 if run.args.quick else 20)
        finally:
            stop(hub.process)
            quota.end()
        run.note(
            goodput_5x_ratio=round(flood["answers_per_s"] / peak, 3),
            goodput_5x_arrangement=quota.how,
            goodput_5x_shed_per_s=round(flood["shed"] / flood["measured_s"]),
            goodput_5x_missed_ratio=flood["missed_ratio"],
        )


def replay(run, folder):
    """A county: so many calls of 37 systems, recorded, in one go; hub and generator share both cores."""
    with Hub(run, folder, core=BOTH) as hub:
        words = ["--calls", run.calls, "--connections", 48, "--in-flight", 6]
        figures = hub.bench("replay", *words, core=BOTH, patience=600)
        run.note(
            replay_s=figures["measured_s"],
            replay_calls=run.calls,
            replay_answers_per_s=figures["answers_per_s"],
            replay_items_per_s=figures["items_per_s"],
            replay_refused=figures["refused"],
            replay_p99_us=figures["p99_us"],
        )
        if figures["answered"] != run.calls:
            raise Fell(f"{figures['answered']} of {run.calls} calls were answered")


def beside_an_import(run, folder):
    """Lookups while residents are imported: two cores, shared as they come."""
    with Hub(run, folder, core=BOTH) as hub:
        command = [run.wuku, "bench", "import", "--city", str(folder), "--hub", hub.url, "--server-pid", str(hub.process.pid), "--json"]
        quiet = hub.bench("single", "--rate", 500, core=BOTH, seconds=2)
        once = command_of(command + ["--rows", str(run.import_rows), "--seed", "1"], 300, "bench import")
        # The second time beside lookups, which end before the import does: they only make it slower.
        importer = subprocess.Popen(
            command + ["--rows", str(run.import_rows), "--seed", "2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        CHILDREN.append(importer)
        if "sending" not in importer.stderr.readline():
            raise Fell("bench import ended early")
        words = ["--rate", 500, "--questions", 2_000]
        beside = hub.bench("single", *words, core=BOTH, seconds=max(1, 0.7 * once["import_s"]))
        if importer.poll() is not None:
            tell("  note: the import was over before the lookups were")
        out, _ = importer.communicate(timeout=300)
        CHILDREN.remove(importer)
        run.note(
            lookup_p50_during_import_us=beside["p50_us"],
            lookup_p99_during_import_us=beside["p99_us"],
            lookup_p99_without_import_us=quiet["p99_us"],
            import_again_rows_per_s=once["rows_per_s"],
            import_beside_lookups_rows_per_s=json.loads(out.strip().splitlines()[-1])["rows_per_s"],
        )


def large(run, small):
    """A million residents and a million licences: import, start, memory, rate."""
    folder, made = run.city(run.large, run.large, "--people-only")
    run.note(
        import_population_rows_per_s=made["import_population_rows_per_s"],
        import_licence_rows_per_s=made.get("import_licence_rows_per_s", 0),
        import_population_rows=made["import_population_rows"],
        import_licence_rows=made.get("import_licence_rows", 0),
        import_rss_peak_mib=made["import_rss_peak_mib"],
    )
    many, few, starts, rss = [], [], [], []
    for _ in range(run.rounds):
        with Hub(run, folder) as hub:
            starts.append(hub.start_s)
            many.append(hub.bench("single"))
            rss.append(hub.bench("holder", seconds=min(3, run.seconds))["server_rss_peak_mib"])
        with Hub(run, small) as hub:
            few.append(hub.bench("single"))
    rate, base = median(many, "answers_per_s"), median(few, "answers_per_s")
    run.note(
        rate_1m_per_s=rate,
        rate_1m_to_100k_ratio=round(rate / base, 3),
        rss_1m_mib=max(rss),
        start_1m_s=round(statistics.median(starts), 2),
    )
    if not run.args.keep:
        shutil.rmtree(folder, ignore_errors=True)


def held(summary, key, sign, target):
    """(shown target, does the figure hold): the figure may be missing."""
    try:
        bound = target(summary) if callable(target) else target
    except KeyError:
        return "unknown", None
    value = summary.get(key)
    good = None if value is None else (value >= bound if sign == ">=" else value <= bound)
    return f"{'≥' if sign == '>=' else '≤'} {bound:,}", good


def table(summary, fell):
    """The figures against their targets, ready to paste."""
    lines = [
        f"Machine: {summary.get('machine', 'unknown')}. Commit {summary.get('commit', 'unknown')}, {summary.get('date', '')}."
        + f" {summary.get('residents', 0):,} residents, seed {summary.get('seed', 0)}."
        + " Server on one core, generator on the other; imports on both.",
        "",
        "| figure | what | measured | target | |",
        "|---|---|---:|---:|---|",
    ]
    for key, what, sign, target in TARGETS:
        shown, good = held(summary, key, sign, target)
        value = summary.get(key)
        mark = {True: "reached", False: "**short**", None: "**not measured**"}[good]
        lines.append(f"| `{key}` | {what} | {'' if value is None else f'{value:,}'} | {shown} | {mark} |")
    others = [key for key in summary if key not in {t[0] for t in TARGETS} and isinstance(summary[key], (int, float))]
    lines += ["", "| beside them | measured |", "|---|---:|", *(f"| `{key}` | {summary[key]:,} |" for key in others)]
    lines += ["", *(f"Not measured: {what}" for what in fell)] if fell else []
    return "\n".join(lines) + "\n"


def verdict(run):
    """Prints each figure against its target; 0 all reached, 1 one short, 2 one not measured."""
    code = 0
    print()
    for key, what, sign, target in TARGETS:
        shown, good = held(run.summary, key, sign, target)
        value = run.summary.get(key)
        mark = {True: "reached       ", False: "SHORT         ", None: "NOT MEASURED  "}[good]
        print(f"{mark}{key:<32}{'-' if value is None else f'{value:,}':>12}  {shown:<12} {what}")
        code = max(code, {True: 0, False: 1, None: 2}[good])
    for what in run.fell:
        print(f"fell: {what}")
    print(f"\n{run.out / 'summary.json'}, table.md, runs.json; {time.monotonic() - run.begun:.0f} s")
    return max(code, 2 if run.fell else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wuku", required=True, help="the binary to measure")
    parser.add_argument("--out", default="target/bench", help="where cities and figures go")
    parser.add_argument("--quick", action="store_true", help="short runs on small cities: tells whether it works, not how fast")
    parser.add_argument("--people", type=int, help="residents of the smaller city")
    parser.add_argument("--seconds", type=float, help="seconds of each run")
    parser.add_argument("--rounds", type=int, help="rounds of A B")
    parser.add_argument("--patience", type=float, default=600, help="seconds a city may take to make")
    parser.add_argument("--commit", help="commit the binary was built from")
    parser.add_argument("--only", help="only these steps, comma between: echo suites latency kinds batches replay overload large import")
    parser.add_argument("--city", help="measure this city, made before by `wuku bench prepare`, instead of making one")
    parser.add_argument("--keep", action="store_true", help="keep the large city and that of suite sm2")
    args = parser.parse_args()
    steps = {
        "echo": against_echo,
        "suites": suites,
        "latency": latency,
        "kinds": kinds,
        "batches": batches,
        "replay": replay,
        "overload": overload,
        "large": large,
        "import": beside_an_import,  # last: it makes the smaller city larger
    }
    only = args.only.split(",") if args.only else list(steps)
    if set(only) - set(steps):
        parser.error(f"--only: {', '.join(sorted(set(only) - set(steps)))}")
    run = Run(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    try:
        run.step(disk)
        if args.city:
            folder = Path(args.city).resolve()
        else:
            folder, _ = run.city(run.small, run.small)
        for name in only:
            run.step(steps[name], folder)
    except (Fell, OSError) as error:
        run.fell.append(str(error))
    finally:
        stop_all()
        run.note()
    return verdict(run)


if __name__ == "__main__":
    sys.exit(main())
