# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the suites print, line by line, as results."""
import fnmatch
import json
import re

from packages import note

ANSI = re.compile(r"\x1b\[[0-9;]*m")
ENDS = {137: " (killed: time limit)", 143: " (killed: time limit)", 98: " (no work directory)"}
SHOWN = {"ok": "passed", "FAIL": "failed", "skip": "skipped", "known": "known"}


def say(*words):
    print(*words, flush=True)


def is_known(key, known):
    """Whether a result is listed, by its name or by a pattern with a *."""
    return key in known or any("*" in pattern and fnmatch.fnmatchcase(key, pattern) for pattern in known)


class Results:
    def __init__(self, known, verbose):
        self.known, self.verbose = known, verbose
        self.rows = []  # (suite, status, name, reason)
        self.suite = None
        self.suites, self.info, self.bench = {}, {}, {}
        self.kernel_complaints, self.notes = [], []
        self.mounted = self.done = False

    def add(self, status, name, reason=""):
        key = "%s:%s" % (self.suite or "harness", name)
        if is_known(key, self.known):
            if status == "FAIL":
                status = "known"
            elif status == "ok" and key in self.known:
                self.notes.append("passes though listed as a known failure: " + key)
        self.rows.append((self.suite or "harness", status, name, reason))
        if status == "FAIL" or self.verbose:
            say("%-6s %s%s" % (status, key, " - " + reason if reason else ""))

    def count(self, suite=None):
        rows = [r for r in self.rows if suite in (None, r[0])]
        return {status: sum(r[1] == status for r in rows) for status in SHOWN}

    def line(self, text):
        text = ANSI.sub("", text.replace("\r", "")).rstrip()
        if text.startswith("@@"):
            self.event(*(text[2:].split(" ", 1) + [""])[:2])
        elif m := re.match(r"BENCH (\S+) ([\d.]+) (\S+)", text):
            self.measure(m[1], float(m[2]), m[3])
        elif text.startswith("BENCHERR"):
            self.add("FAIL", "bench_" + text.split()[1], text[9:])
        elif self.suite == "pjdfstest":
            self.pjdfstest(text)
        elif m := re.match(r"(ok|FAIL|skip) ([\w-]+)(?:: (.*))?$", text):
            self.add(m[1], m[2], m[3] or "")
        elif text and (self.verbose or text.startswith("note ") or self.suite in (None, "shell")):
            note(text)

    def pjdfstest(self, text):
        if m := re.match(r"([a-z_0-9]+(?:::\w+)+)\s+(ok|FAILED|skipped)$", text):
            self.add({"ok": "ok", "FAILED": "FAIL", "skipped": "skip"}[m[2]], m[1])
        elif text.startswith("\t") and self.rows and self.rows[-1][1] != "ok" and not self.rows[-1][3]:
            suite, status, name, _ = self.rows[-1]
            self.rows[-1] = (suite, status, name, text.strip())
            if status == "FAIL":
                say("         " + text.strip())

    def event(self, kind, text):
        if kind == "begin":
            self.suite = text
            note("suite", text)
        elif kind == "end":
            self.end_of_suite(*re.match(r"(\S+) rc=(\d+) secs=(\S+)", text).groups())
        elif kind == "mount":
            self.mounted = text.startswith("ok")
            self.info["mount"] = text
            note("mount", text)
        elif kind == "fio":
            fields = text.split(";")
            for what, field in (("read", fields[6]), ("write", fields[47])):
                if float(field or 0):
                    self.measure("fio_%s_%s" % (fields[2], what), float(field) / 1024, "MiB/s")
        elif kind == "dmesg":
            self.kernel_complaints.append(text)
            say("dmesg  " + text)
        elif kind == "done":
            self.done = True
        else:
            self.info[kind] = text
            note(kind, text)

    def measure(self, name, value, unit):
        self.bench[name] = (value, unit)
        say("bench  %s %.1f %s" % (name, value, unit))

    def end_of_suite(self, suite, rc, seconds):
        rc, seconds = int(rc), float(seconds)
        counts = self.count(suite)
        explained = counts["FAIL"] or counts["known"]
        if rc in ENDS or (rc and not explained):
            self.add("FAIL", "suite_end", "rc=%d after %.0f s%s" % (rc, seconds, ENDS.get(rc, "")))
            counts = self.count(suite)
        self.suites[suite] = dict(counts, rc=rc, seconds=seconds)
        note("suite %s: %d ok, %d failed, %d known failures, %d skipped, %.1f s"
             % (suite, counts["ok"], counts["FAIL"], counts["known"], counts["skip"], seconds))
        self.suite = None

    def write(self, path, **more):
        rows = {SHOWN[status]: [[r[0], r[2], r[3]] for r in self.rows if r[1] == status] for status in SHOWN}
        with open(path, "w") as f:
            json.dump(dict(more, info=self.info, suites=self.suites, totals=self.count(), bench=self.bench,
                           dmesg=self.kernel_complaints, **rows), f, indent=1)


def known_failures(paths):
    """The lines `suite:name` of lists of known failures; `#` begins a comment."""
    known = set()
    for path in paths:
        with open(path) as f:
            known.update(key for line in f if (key := line.split("#")[0].strip()))
    return known
