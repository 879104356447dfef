"""Remotes for DVC that are served on this machine: a folder, an SSH server, an S3 store."""

import asyncio
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Remote:
    """What `dvc remote add` and `dvc remote modify` take, and the environment of every dvc that uses it."""

    url: str
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def folder(place: Path) -> Iterator[Remote]:
    """A folder that both clones see."""
    yield Remote(str(place / "remote"))


@contextmanager
def ssh(place: Path) -> Iterator[Remote]:
    """An SSH server with SFTP, for the one key in `place`."""
    pytest.importorskip("dvc_ssh", reason="needs the extra `ssh`")
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(place / "key")
    key.write_public_key(place / "key.pub")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(place / "key.pub"),
            sftp_factory=True,
        )

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(60)
    try:
        url = f"ssh://127.0.0.1:{server.get_port()}{place / 'remote'}"
        yield Remote(url, {"user": "team", "keyfile": str(place / "key")})
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)


@contextmanager
def s3(place: Path) -> Iterator[Remote]:
    """An S3 server with one bucket, in memory."""
    pytest.importorskip("dvc_s3", reason="needs the extra `s3`")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/team", method="PUT"), timeout=60).close()  # noqa: S310
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        yield Remote("s3://team/synthmix", {"endpointurl": endpoint}, keys)
    finally:
        server.stop()


REMOTES = {"folder": folder, "ssh": ssh, "s3": s3}
