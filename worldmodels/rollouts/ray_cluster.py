"""Joins the Ray cluster that RAY_ADDRESS names, or says why not in one line. Read `connect`."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec

from worldmodels.core.wording import one_line
from worldmodels.rollouts.episode import RolloutError
from worldmodels.rollouts.local_engine import worker_count

ADDRESS = "RAY_ADDRESS"
ANSWER_WITHIN = 6.0  # seconds: what is wrong with a cluster is said within ten

# Asks without joining the cluster, in a process that can be killed: Ray itself waits for minutes.
PROBE = """
import json, sys
from ray._common.usage.usage_lib import get_cluster_metadata
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._raylet import GcsClient
print("asking", flush=True)
address = canonicalize_bootstrap_address_or_die(sys.argv[1])
print(json.dumps([address, get_cluster_metadata(GcsClient(address=address))]))
"""


def connect(address: str) -> None:
    """Join the cluster at this address, or start one on this machine for "local".

    Raises:
        RolloutError: Ray is not installed, does not answer, is another, or cannot be joined.
    """
    if find_spec("ray") is None:
        raise RolloutError(
            f"{ADDRESS}={address}: expected Ray to be installed, got none; `make cluster` installs "
            f"it, or unset {ADDRESS} to play on this machine"
        )
    # Ray's own switch for it: listen on the loopback alone, and find what does so.
    if address == "local" or address.startswith(("127.0.0.1:", "localhost:")):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", str(int(ANSWER_WITHIN)))
    settings: dict[str, object]
    if address == "local":
        # Other users of this machine reach the loopback too; Ray would write a token into the home.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Two of Ray's processes would each hold the pipe by whose end the other knows to end.
        os.environ.setdefault("RAY_enable_pipe_based_agent_to_parent_health_check", "0")
        # A dead server takes no message: Ray's agents would try a minute to send it their last one.
        os.environ.setdefault("RAY_gcs_grpc_max_request_queued_max_bytes", "1")
        settings = {"address": "local", "num_cpus": worker_count(), "include_dashboard": False}
    else:
        settings = {"address": _checked_address(address)}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    import ray

    try:
        ray.init(**settings, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        expected, remedy = "to start a cluster on this machine", ""
        if address != "local":
            expected = "a cluster that this machine is a node of"
            remedy = f"; `ray start --address={address} --num-cpus=0` joins it"
        raise RolloutError(
            f"{ADDRESS}={address}: expected {expected}, got: {one_line(str(error))}{remedy}"
        ) from error
    finally:
        for number, handler in handlers.items():  # Ray has put its own in their place
            signal.signal(number, handler)


def _checked_address(address: str) -> str:
    """Where the cluster is, host and port, once it has answered and is of the same versions."""
    said = f"{ADDRESS}={address}"
    expected = f"{said}: expected a Ray cluster, as host:port, auto or local"
    if "://" in address:
        raise RolloutError(f"{expected}, got another protocol; run this on a node of the cluster")
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=3.0).close()
        except (OSError, ValueError, OverflowError) as error:
            raise RolloutError(f"{expected}, got {one_line(str(error))}") from None
    probe = subprocess.Popen(
        [sys.executable, "-c", PROBE, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert probe.stdout is not None
        probe.stdout.readline()  # it has read Ray's code, which may take its time
        output, complaint = probe.communicate(timeout=ANSWER_WITHIN)
    except subprocess.TimeoutExpired:
        raise RolloutError(f"{expected}, got no answer from Ray") from None
    finally:
        probe.kill()
        probe.wait()
    if probe.returncode != 0:
        last = complaint.strip().splitlines()[-1]
        raise RolloutError(f"{expected}, got {one_line(last)}")
    found, metadata = json.loads(output.splitlines()[-1])
    there = metadata["ray_version"], metadata["python_version"]
    import ray

    here = ray.__version__, ".".join(map(str, sys.version_info[:3]))
    if there != here:
        raise RolloutError(
            f"{said}: expected Ray {here[0]} and Python {here[1]} there, got Ray {there[0]} and "
            f"Python {there[1]}; start it from an environment that `make cluster` made"
        )
    return str(found)
