#!/usr/bin/env python3
"""Runs all tests, three test programs at a time: two of those that mostly wait go beside one that keeps the machine busy.

Of each is said how long it took and how many seconds it computed, which tells where it belongs (without browsers and databases, which
end after it). What fails beside others is run again alone at the end, and that counts: a machine with two cores that is late once says nothing
of the code. Both results are printed. Called by `make test`; the environment's CARGO is used. Arguments are the names of the programs
to run, all without any.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

CARGO = os.environ.get("CARGO", "cargo")
CORES = os.cpu_count() or 1

# They wait for deadlines, for nodes to be missed, and for the disk. Whoever is done takes the next: first what also computes, so that
# what is measured in the end has little beside it.
WAITING = ["attacks", "cluster_chance", "cluster", "cluster_faults", "crash", "cluster_lists", "sdp", "postgres", "store", "membership", "migration",
           "cluster_media", "cluster_live", "commands", "rtc_usage", "history", "callbacks", "webhooks", "turn"]

# So many of their tests run at a time, where the machine has no more cores than that: each waits for something else.
WAITING_TESTS = {"cluster": 4, "cluster_faults": 4, "commands": 4, "history": 4, "callbacks": 4}

# They are held to times, and compute little or are alone with their computing: whatever else runs gives way to them.
FIRST_SERVED = ["cluster", "cluster_chance", "cluster_faults", "cluster_media", "cluster_live", "live", "short"]

# Its own statistics are what it measures, so it comes when all others but those above are done.
LAST = ["live"]

# What browsers see on emulated links, for which the machine has to be free: it comes when all others are done.
ALONE = ["short"]

# The same with the records in PostgreSQL.
ON_POSTGRES = ["api", "commands", "crash"]

# More than any takes.
MOST_SECONDS = 1200

PRINTING = threading.Lock()


class Program:
    def __init__(self, name, path, folder, environment=None):
        self.name, self.path, self.folder, self.environment = name, path, folder, environment or {}
        self.at_a_time = max(WAITING_TESTS.get(name.split()[0], 0), CORES)
        self.precedence = [] if name in FIRST_SERVED else ["nice", "-n", "10"]
        self.failed = []

    def run(self):
        """Whether all of its tests passed."""
        return self.passes(["--test-threads", str(self.at_a_time)], 0)

    def run_again(self):
        """Whether those that failed pass, as many at a time as the machine has cores."""
        return self.passes(["--exact", *self.failed], len(self.failed))

    def passes(self, arguments, at_least):
        begun = time.monotonic()
        # Not by a pipe: what a test leaves behind would hold it open.
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen([*self.precedence, self.path, *arguments], cwd=self.folder, env={**os.environ, **self.environment},
                                     stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            late = threading.Timer(MOST_SECONDS, child.kill)
            late.start()
            _, status, used = os.wait4(child.pid, 0)
            is_late = not late.is_alive()
            late.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
            said.seek(0)
            printed = said.read().decode(errors="replace")
        code = "it did not end" if is_late else child.returncode
        passed = sum(int(count) for count in re.findall(r"^test result: .*?(\d+) passed", printed, re.M))
        self.failed = sorted(set(re.findall(r"^test (\S+) \.\.\. FAILED", printed, re.M)))
        is_passed = code == 0 and passed >= at_least
        with PRINTING:
            verdict = "ok" if is_passed else f"FAILED ({code})"
            took, computed = time.monotonic() - begun, used.ru_utime + used.ru_stime
            print(f"{took:6.0f} s  {computed:6.0f} s computed  {self.name:28} {passed:4} passed  {verdict}", flush=True)
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
    """Runs one after the other of an iterator, which others may take from as well; those that failed."""
    return [program for program in programs if not program.run()]


def main():
    # The server honours a `nohup`, and signals are among what is tested.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    named = sys.argv[1:]
    programs = [program for program in built() if program.name in named or not named]
    waiting = [program for program in programs if program.name in WAITING]
    last = [program for program in programs if program.name in LAST]
    alone = [program for program in programs if program.name in ALONE]
    busy = [program for program in programs if program not in waiting + last + alone]
    waiting += [Program(f"{one.name} on PostgreSQL", one.path, one.folder, {"ROOMFUL_TEST_STORE": "postgres"})
                for one in programs if one.name in ON_POSTGRES]

    order = {name: at for at, name in enumerate(WAITING)}
    waiting = iter(sorted(waiting, key=lambda program: order.get(program.name.split()[0], len(order))))
    with ThreadPoolExecutor(3) as lanes:
        failed = [program for some in lanes.map(failures, [waiting, waiting, iter(busy + last)]) for program in some]
    failed += failures(alone)
    still = []
    for program in failed:
        print(f"once more, alone: {program.name} {' '.join(program.failed)}", flush=True)
        if not program.run_again():
            still.append(program.name)
    examples = subprocess.run([CARGO, "test", "--workspace", "--doc", "--quiet"], check=False)
    if still or examples.returncode != 0:
        sys.exit(f"failed: {', '.join(still) or 'the examples in the documentation'}")


main()
