#!/usr/bin/env python3
"""Runs all tests, two test programs at a time: what mostly waits goes beside what keeps the machine busy.

What fails beside others is run again alone at the end, and that counts: a machine with two cores that is late once says nothing
of the code. Both results are printed. Called by `make test`; the environment's CARGO is used. Arguments are the names of the programs
to run, all without any.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

CARGO = os.environ.get("CARGO", "cargo")

# They wait for deadlines, for nodes to be missed, and for the disk. The order is that of their lengths.
WAITING = ["attacks", "cluster_chance", "cluster", "cluster_faults", "cluster_lists", "rtc_usage", "crash", "postgres", "history", "callbacks", "store",
           "cluster_live", "cluster_media", "migration", "membership"]

# Its own statistics are what it measures, so it comes when all others but those above are done.
LAST = ["live"]

# The same with the records in PostgreSQL.
ON_POSTGRES = ["api", "commands", "crash"]

# More than any takes.
MOST_SECONDS = 1200

PRINTING = threading.Lock()


class Program:
    def __init__(self, name, path, folder, environment=None):
        self.name, self.path, self.folder, self.environment = name, path, folder, environment or {}
        self.failed = []

    def run(self, tests=()):
        """Whether all of its tests passed, or these."""
        begun = time.monotonic()
        command = [self.path, *(["--exact", *tests] if tests else [])]
        try:
            done = subprocess.run(command, cwd=self.folder, env={**os.environ, **self.environment}, timeout=MOST_SECONDS,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            code, printed = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, printed = "it did not end", late.stdout or b""
        printed = printed.decode(errors="replace")
        passed = sum(int(count) for count in re.findall(r"^test result: .*?(\d+) passed", printed, re.M))
        self.failed = sorted(set(re.findall(r"^test (\S+) \.\.\. FAILED", printed, re.M)))
        is_passed = code == 0 and passed >= len(tests)
        with PRINTING:
            verdict = "ok" if is_passed else f"FAILED ({code})"
            print(f"{time.monotonic() - begun:6.0f} s  {self.name:28} {passed:4} passed  {verdict}", flush=True)
            if not is_passed:
                print(printed, flush=True)
        return is_passed


def built():
    """Builds all test programs."""
    command = [CARGO, "test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as building:
        found = []
        for line in building.stdout:
            said = json.loads(line)
            if said.get("reason") == "compiler-artifact" and said["profile"]["test"] and said.get("executable"):
                found.append(Program(said["target"]["name"], said["executable"], os.path.dirname(said["manifest_path"])))
    if building.returncode != 0:
        sys.exit(building.returncode)
    return found


def failures(programs):
    """Runs them one after the other; those that failed."""
    return [program for program in programs if not program.run()]


def main():
    # The server honours a `nohup`, and signals are among what is tested.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    named = sys.argv[1:]
    programs = [program for program in built() if program.name in named or not named]
    waiting = [program for name in WAITING for program in programs if program.name == name]
    last = [program for program in programs if program.name in LAST]
    busy = [program for program in programs if program not in waiting and program not in last]
    waiting += [Program(f"{one.name} on PostgreSQL", one.path, one.folder, {"ROOMFUL_TEST_STORE": "postgres"})
                for one in programs if one.name in ON_POSTGRES]

    with ThreadPoolExecutor(2) as lanes:
        failed = [program for some in lanes.map(failures, [waiting, busy + last]) for program in some]
    still = []
    for program in failed:
        print(f"once more, alone: {program.name} {' '.join(program.failed)}", flush=True)
        if not program.run(program.failed):
            still.append(program.name)
    examples = subprocess.run([CARGO, "test", "--workspace", "--doc", "--quiet"], check=False)
    if still or examples.returncode != 0:
        sys.exit(f"failed: {', '.join(still) or 'the examples in the documentation'}")


main()
