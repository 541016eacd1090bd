"""An S3 that asks for keys: moto's server in a process of its own, with one user."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .forks import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
REGION = "us-east-1"


@dataclass(frozen=True)
class GuardedS3:
    """An S3 with one bucket and one user's keys, which are all that it takes."""

    endpoint: str
    key: str
    secret: str
    bucket: str

    def variables(self, prefix: str) -> dict[str, str]:
        """What says how it is reached, of a side."""
        return {
            f"{prefix}AWS_ACCESS_KEY_ID": self.key,
            f"{prefix}AWS_SECRET_ACCESS_KEY": self.secret,
            f"{prefix}AWS_DEFAULT_REGION": REGION,
            f"{prefix}MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        """boto3's client for it."""
        return _client("s3", self.endpoint, self.key, self.secret)

    def stored(self) -> list[str]:
        """What the bucket holds."""
        with contextlib.closing(self.client()) as client:
            found = client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"] for entry in found]


def _client(service: str, endpoint: str, key: str, secret: str) -> Any:
    import boto3  # noqa: PLC0415 -- for S3 only

    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


@contextmanager
def guarded_s3(bucket: str, log: Path) -> Iterator[GuardedS3]:
    """Run it with an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    server = start(words, environment={**os.environ, "AWS_DEFAULT_REGION": REGION}, log=log)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        while not _is_up(endpoint):
            assert server.poll() is None, log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(0.02)
        yield _with_a_user(endpoint, bucket)
    finally:
        server.kill()
        server.wait()


def _with_a_user(endpoint: str, bucket: str) -> GuardedS3:
    with contextlib.closing(_client("iam", endpoint, "any", "any")) as iam:
        iam.create_user(UserName="me")
        iam.put_user_policy(UserName="me", PolicyName="all", PolicyDocument=json.dumps(_ALL))
        made = iam.create_access_key(UserName="me")["AccessKey"]
    found = GuardedS3(endpoint, made["AccessKeyId"], made["SecretAccessKey"], bucket)
    with contextlib.closing(found.client()) as s3:
        s3.create_bucket(Bucket=bucket)
    # From now on every request needs these keys.
    request = urllib.request.Request(  # noqa: S310 -- http
        f"{endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200
    return found


def _is_up(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5):  # noqa: S310
            return True
    except OSError:
        return False
