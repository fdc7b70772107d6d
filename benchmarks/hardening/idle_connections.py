"""What idle connections cost other clients: each server under `ulimit -n 256` while 300 connections are held.

The held connections send half of their headers, half of a body, nothing, or one request and then no other; each one
that the server closes is opened again. Meanwhile another client requests /health on a new connection each second.
Printed for each server: requests answered within 10 s, median and longest time to the answer, bytes of the log.
"""

import argparse
import tempfile
from pathlib import Path
from typing import get_args

from memicos_testing.held_connections import Kind, held, measure_service
from memicos_testing.programs import PREFIXES, running_programs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=300)
    parser.add_argument("--open-files", type=int, default=256, help="limit of open files of each server")
    parser.add_argument("--seconds", type=float, default=35)
    parser.add_argument("--kinds", nargs="+", choices=get_args(Kind), default=["header"])
    parser.add_argument("--servers", nargs="+", choices=list(PREFIXES), default=list(PREFIXES))
    args = parser.parse_args()
    print("server       held     answered  median s  longest s  log bytes")
    for kind in args.kinds:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_programs(Path(folder), open_files=args.open_files) as programs,
        ):
            for name in args.servers:
                program = programs[name]
                logged = program.log_file.stat().st_size
                with held(program.port, args.connections, kind):
                    service = measure_service(program.port, args.seconds, every=1, timeout=10)
                answered = f"{len(service.seconds)}/{service.requests}"
                longest = max(service.seconds, default=float("inf"))
                print(
                    f"{name:<12} {kind:<8} {answered:<9} {service.median:<9.3f} {longest:<10.3f} "
                    f"{program.log_file.stat().st_size - logged:,}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
