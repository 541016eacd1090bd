"""An object store that speaks S3, with the keys and the endpoint of one side.

MLflow and boto3 read the environment of the process, which has room for one side only. So boto3 is
told what a side has of its own, and MLflow's repository is given that client.
"""
# ruff: noqa: PLC0415 -- MLflow and boto3 take long to import, and boto3 is optional

from __future__ import annotations

import json
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

from mlporter.errors import UsageError
from mlporter.stores.addresses.environment import AWS_ENDPOINT, AWS_LOGIN, Environment

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = ["s3_repository"]

_ONE_AT_A_TIME = Lock()
_SIDES = 8
_EXTRA = "MLFLOW_S3_UPLOAD_EXTRA_ARGS"


def s3_repository(address: str, side: Environment) -> ArtifactRepository:
    """MLflow's repository for an ``s3:`` address, as a side with variables of its own sees it.

    Raises:
        UsageError: a variable of the side is not what it must be.
    """
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    with _ONE_AT_A_TIME:
        client = _client(side)
    extra, owner = _extra(side), side.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER")
    repository: Any = S3ArtifactRepository(address)
    repository._get_s3_client = lambda: client  # noqa: SLF001 -- MLflow has no other way in
    repository.get_s3_file_upload_extra_args = lambda: extra
    repository._bucket_owner_params = {"ExpectedBucketOwner": owner} if owner else {}  # noqa: SLF001
    found: ArtifactRepository = repository
    return found


def _extra(side: Environment) -> dict[str, Any] | None:
    text = side.get(_EXTRA)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            "is no JSON object", subject=side.named(_EXTRA), hint='such as \'{"ACL": "private"}\''
        )
    return value


@lru_cache(_SIDES)
def _client(side: Environment) -> Any:  # noqa: ANN401 -- boto3 has no types
    import boto3
    import botocore.session
    from botocore import UNSIGNED
    from botocore.client import Config

    signature: Any = side.get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION") or "s3v4"
    style = side.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") or "auto"
    config = {
        "signature_version": UNSIGNED if signature.lower() == "unsigned" else signature,
        "s3": {"addressing_style": style},
    }
    core = botocore.session.get_session()
    for name, value in _session_settings(side).items():
        core.set_config_variable(name, value)
    session = boto3.Session(
        aws_access_key_id=side.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=side.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=side.get("AWS_SESSION_TOKEN"),
        region_name=side.get("AWS_DEFAULT_REGION") or side.get("AWS_REGION"),
        botocore_session=core,
    )
    return session.client(
        "s3",
        config=Config(**config),
        endpoint_url=next(filter(None, map(side.get, _ENDPOINTS)), None),
        verify=False if side.is_true("MLFLOW_S3_IGNORE_TLS") else side.get("AWS_CA_BUNDLE"),
    )


_ENDPOINTS = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def _session_settings(side: Environment) -> dict[str, Any]:
    """What botocore would take from the process, and is not to, where a side has its own."""
    settings: dict[str, Any] = {}
    if side.owns({"AWS_CONFIG_FILE"}):
        settings["config_file"] = side.get("AWS_CONFIG_FILE")
    if side.owns(AWS_LOGIN) and not side.get("AWS_ACCESS_KEY_ID"):
        # A profile that is named goes before the keys that are set for the process.
        settings["profile"] = side.get("AWS_PROFILE") or "default"
        if file := side.get("AWS_SHARED_CREDENTIALS_FILE"):
            settings["credentials_file"] = file
    if side.owns(AWS_ENDPOINT):
        settings["ignore_configured_endpoint_urls"] = True
    return settings
