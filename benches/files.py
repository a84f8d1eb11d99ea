#!/usr/bin/env python3
"""What the program costs by itself; then the same file by `xtls send`, magic-wormhole and nc, one after the other, in rounds.

`cargo xtask bench files` runs this, with a server: XTLS_PROSODY_QUIET names the file that describes it, XTLS_BIN the program.
XTLS_WORMHOLE may name a folder with the programs of magic-wormhole and its two servers, which run on the loopback. What is
missing is left out. With --check it fails if the program is larger, or takes more to start or to wait, than it may. Prints the median of the seconds from the first program's start to the last one's end, and of the CPU time of
all processes that took part, servers too.
"""

import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a stripped program may have, what it may take until it is connected, and what a listener may hold that waits.
MAX_SIZE = 15 << 20
MAX_START = 0.050
MAX_IDLE = 14 << 10

ROUNDS = int(os.environ.get("XTLS_ROUNDS", "5"))
MIB = int(os.environ.get("XTLS_MIB", "64"))
TICK = os.sysconf("SC_CLK_TCK")


def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(number):
    for _ in range(600):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", number)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {number}")


def used(process):
    """CPU seconds of a process that runs."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def listener_of(number):
    """The process that listens on this port of the loopback."""
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == "0A" and int(row[1].rsplit(":", 1)[1], 16) == number}
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for handle in os.scandir(f"/proc/{process}/fd"):
                link = os.readlink(handle.path)
                if link.startswith("socket:[") and link[8:-1] in inodes:
                    return int(process)
        except OSError:
            pass
    sys.exit(f"no process of mine listens on port {number}")


def until(process, words):
    for line in process.stderr:
        if words in line:
            return line
    sys.exit(f"it ended before it said {words!r}")


class Xtls:
    name = "xtls send, through Prosody"

    def __init__(self, folder):
        facts = Path(os.environ["XTLS_PROSODY_QUIET"]).read_text()
        self.facts = dict(line.split("=", 1) for line in facts.splitlines())
        self.program = os.environ["XTLS_BIN"]
        self.home = folder / "home"
        self.servers = [listener_of(int(self.facts["starttls_port"]))]
        keys = {}
        for who in ("romeo", "juliet"):
            told = subprocess.check_output([*self.base("id", who), "--json"], text=True)
            keys[who] = re.search(r'"fingerprint":"([0-9a-f]+)"', told).group(1)
        for who, other in (("romeo", "juliet"), ("juliet", "romeo")):
            pin = [*self.base("trust", who)[:2], "pin", f"{other}@{self.facts['domain']}", keys[other]]
            subprocess.check_call(pin + self.base("trust", who)[2:], stderr=subprocess.DEVNULL)

    def base(self, verb, who):
        return [self.program, verb, "--account", f"{who}@{self.facts['domain']}", "--home", str(self.home / who)]

    def online(self, verb, who):
        server = ["--server", f"localhost:{self.facts['starttls_port']}", "--ca-file", self.facts["ca_file"]]
        return self.base(verb, who) + server + ["--password-file", self.facts[f"{who}_password_file"]]

    def run(self, source, target):
        domain = self.facts["domain"]
        receive = self.online("receive", "juliet") + ["--accept", f"romeo@{domain}", "--yes", "--dir", str(target)]
        receiver = subprocess.Popen(receive, stderr=subprocess.PIPE, text=True)
        until(receiver, "listening as")
        send = self.online("send", "romeo") + [f"juliet@{domain}", str(source)]
        sender = subprocess.Popen(send, stderr=subprocess.DEVNULL)
        return sender, receiver


def by_itself(xtls, folder):
    """Prints the size, the CPU time until it is connected, and the memory of a listener, and whether they are what they may be."""
    stripped = folder / "stripped"
    shutil.copy(xtls.program, stripped)
    subprocess.run(["strip", stripped], check=True)
    size = stripped.stat().st_size
    starts, idle = [], []
    for _ in range(ROUNDS):
        listen = xtls.online("chat", "juliet") + ["--listen", "--accept", "any"]
        listener = subprocess.Popen(listen, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(listener, "listening as")
        starts.append(used(listener.pid))
        time.sleep(1)
        status = Path(f"/proc/{listener.pid}/status").read_text()
        idle.append(int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)))
        listener.send_signal(signal.SIGTERM)
        listener.wait()
    met = True
    for what, figure, most, text in (
        ("stripped", size, MAX_SIZE, "{:.1f} of {:.0f} MiB".format(size / 2**20, MAX_SIZE / 2**20)),
        ("start", statistics.median(starts), MAX_START, "{:.0f} of {:.0f} ms of CPU".format(statistics.median(starts) * 1e3, MAX_START * 1e3)),
        ("idle listener", statistics.median(idle), MAX_IDLE, "{:.1f} of {:.0f} MiB".format(statistics.median(idle) / 2**10, MAX_IDLE / 2**10)),
    ):
        met &= figure <= most
        print(f"{what}: {text}: {'met' if figure <= most else 'MISSED'}", flush=True)
    return met


class Wormhole:
    name = "magic-wormhole, one end straight to the other"
    more = []

    def __init__(self, folder):
        programs = os.environ.get("XTLS_WORMHOLE")
        if not programs:
            raise FileNotFoundError("XTLS_WORMHOLE")
        self.wormhole = f"{programs}/wormhole"
        mailbox, relay = port(), port()
        twist = [f"{programs}/twist"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        started = [
            subprocess.Popen(twist + ["wormhole-mailbox", f"--port=tcp:{mailbox}:interface=127.0.0.1"], **quiet),
            subprocess.Popen(twist + ["transitrelay", f"--port=tcp:{relay}:interface=127.0.0.1"], **quiet),
        ]
        self.started = started
        self.servers = [process.pid for process in started]
        wait_for(mailbox)
        wait_for(relay)
        self.where = ["--relay-url", f"ws://127.0.0.1:{mailbox}/v1", "--transit-helper", f"tcp:127.0.0.1:{relay}"]

    def run(self, source, target):
        send = [self.wormhole, *self.where, "send", "--hide-progress", "--no-qr", "--code", "7-guitarist-revenge", *self.more, str(source)]
        sender = subprocess.Popen(send, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        take = [self.wormhole, *self.where, "receive", "--hide-progress", "--accept-file", *self.more, "7-guitarist-revenge"]
        receiver = subprocess.Popen(take, cwd=target, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return sender, receiver


class Relayed(Wormhole):
    name = "magic-wormhole, through its relay"
    more = ["--no-listen"]


class Nc:
    name = "nc, in the clear, straight over the loopback"
    servers = []

    def __init__(self, folder):
        self.nc = shutil.which("nc")
        if not self.nc:
            raise FileNotFoundError("nc")

    def run(self, source, target):
        number = str(port())
        out = open(target / source.name, "wb")
        receiver = subprocess.Popen([self.nc, "-l", "127.0.0.1", number], stdout=out, stdin=subprocess.DEVNULL)
        while f":{int(number):04X} " not in Path("/proc/net/tcp").read_text():
            time.sleep(0.005)
        sender = subprocess.Popen([self.nc, "-N", "127.0.0.1", number], stdin=open(source, "rb"))
        return sender, receiver


def measure(contender, source, folder):
    target = Path(tempfile.mkdtemp(dir=folder))
    before, spent = sum(map(used, contender.servers)), children()
    began = time.monotonic()
    for process in contender.run(source, target):
        if process.wait(timeout=120) != 0:
            sys.exit(f"{contender.name}: code {process.returncode}")
    seconds = time.monotonic() - began
    cpu = children() - spent + sum(map(used, contender.servers)) - before
    if (target / source.name).read_bytes() != source.read_bytes():
        sys.exit(f"{contender.name}: another file arrived")
    shutil.rmtree(target)
    return seconds, cpu


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "file"
        source.write_bytes(os.urandom(MIB << 20))
        met = by_itself(Xtls(folder), folder)
        contenders = []
        for kind in (Xtls, Wormhole, Relayed, Nc):
            try:
                contenders.append(kind(folder))
            except FileNotFoundError as error:
                print(f"left out: {kind.name} ({error})")
        try:
            figures = {contender: [] for contender in contenders}
            for number in range(ROUNDS + 1):
                for contender in contenders:
                    seconds, cpu = measure(contender, source, folder)
                    print(f"{number}: {seconds:6.2f} s, CPU {cpu:6.2f} s  {contender.name}", flush=True)
                    # The first round warms up.
                    if number > 0:
                        figures[contender].append((seconds, cpu))
            print(f"\n{MIB} MiB, medians of {ROUNDS} rounds")
            for contender, rounds in figures.items():
                seconds, cpu = (statistics.median(column) for column in zip(*rounds))
                rate = (MIB << 20) / 1e6 / seconds
                print(f"{seconds:6.2f} s, {rate:6.1f} MB/s, CPU {cpu:6.2f} s  {contender.name}")
        finally:
            for contender in contenders:
                for process in getattr(contender, "started", []):
                    process.send_signal(signal.SIGTERM)
                    process.wait()
    if "--check" in sys.argv and not met:
        sys.exit(1)


if __name__ == "__main__":
    main()
