"""Fuzz the targets, guided by coverage.

    python tests/fuzz/run.py [--seconds N] [target …]

Each target runs in a process of its own, as many concurrently as there are processors. What reached new code is kept in
.fuzz/<target>/ for the next run; an input that fails is written to .fuzz/, and shown with its traceback:

    python tests/fuzz/run.py --again .fuzz/crash-… path
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / ".fuzz"
# Bytes of an input. Longer ones find nothing that shorter ones do not, and cost time.
LONGEST = 2048


def main() -> int:
    """Run all targets, or those named; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="for each target")
    parser.add_argument("--runs", type=int, help="so many inputs for each target, always the same, and no --seconds")
    parser.add_argument("--together", action="store_true", help="all targets in one process: for a short run")
    parser.add_argument("--kept", type=Path, default=KEPT, help="where inputs are kept; .fuzz if not told")
    parser.add_argument("--again", type=Path, metavar="FILE", help="call a target with this input")
    parser.add_argument("--here", action="store_true", help="fuzz one target in this process; for this program itself")
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    if options.here:
        fuzz(options.targets[0], options.seconds, options.runs, options.kept)
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    from targets import TARGETS

    names = options.targets or list(TARGETS)
    for name in names:
        if name not in TARGETS:
            parser.error(f"no target {name!r}; there are {', '.join(TARGETS)}")
    if options.again is not None:
        TARGETS[names[0]](options.again.read_bytes())
        return 0
    if options.together:
        names = ["together"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = pool.map(lambda name: start(name, options.seconds, options.runs, options.kept), names)
        failed = [name for name, code in zip(names, codes, strict=True) if code]
    print(f"{len(names) - len(failed)} of {len(names)} targets held" + "".join(f"\nfailed: {name}" for name in failed))
    return len(failed)


def start(name: str, seconds: float, runs: int | None, kept: Path) -> int:
    """Fuzz one target in a process of its own; 0 if it held."""
    command = [sys.executable, __file__, "--here", "--seconds", str(seconds), "--kept", str(kept), name]
    environment = dict(os.environ)
    if runs is not None:
        command += ["--runs", str(runs)]
        environment["PYTHONHASHSEED"] = "0"  # the order of a set decides which code is reached
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = done.stdout.splitlines()
    if done.returncode:
        marks = [number for number, line in enumerate(lines) if "Uncaught Python exception" in line]
        print(f"== {name}", *lines[min(marks, default=-60) :], sep="\n", flush=True)
    else:
        summary = next((line for line in reversed(lines) if line.startswith("Done ")), "ended early")
        print(f"{name:12} {summary}", flush=True)
    return done.returncode


def fuzz(name: str, seconds: float, runs: int | None, kept: Path) -> None:
    """Fuzz one target; ends the process."""
    import atheris

    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if runs is not None:  # nonces decide which code is reached, too
        os.urandom = random._urandom = random.Random(1).randbytes
    with atheris.instrument_imports(include=["node_session"]):
        import targets

    targets.hush()
    target, seeds = (targets.TARGETS[name], targets.SEEDS[name]) if name != "together" else together(targets)
    corpus = kept / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={max(1, round(seconds))}"]
    if runs is not None:  # entropic and reload go by the clock
        limits = [f"-runs={runs}", "-seed=1", "-entropic=0", "-reload=0"]
    options = [*limits, f"-max_len={LONGEST}", f"-artifact_prefix={kept}/"]
    # No forks, no leak detection: Python keeps what libFuzzer would take for a leak.
    atheris.Setup([name, *options, "-detect_leaks=0", "-timeout=20", "-rss_limit_mb=1024", str(corpus)], target)
    atheris.Fuzz()


def together(targets: ModuleType) -> tuple[Callable[[bytes], None], list[bytes]]:
    """A target of which the first byte says which one it is, and its seeds."""
    names = list(targets.TARGETS)

    def target(data: bytes) -> None:
        if data:
            targets.TARGETS[names[data[0] % len(names)]](data[1:])

    return target, [bytes([number]) + seed for number, name in enumerate(names) for seed in targets.SEEDS[name]]


if __name__ == "__main__":
    sys.exit(main())
