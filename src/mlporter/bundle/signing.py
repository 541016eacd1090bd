"""Signatures in the OpenSSF model-signing format, by the package `model-signing` (extra ``sign``).

Keys are elliptic-curve keys in PEM files, as ``openssl ecparam -name prime256v1 -genkey`` makes
them; a private key may be encrypted, with its password in ``MLPORTER_SIGNING_PASSWORD``. The format
and all cryptography are the package's: ``model_signing verify key`` checks the same signatures.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlporter.bundle.folder.layout import MANIFEST, MAX_MANIFEST_BYTES, SIGNATURE
from mlporter.bundle.storage.local import LocalStorage
from mlporter.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.bundle.storage.protocol import Storage

__all__ = [
    "MODEL_SIGNATURE",
    "PASSWORD",
    "check_folder",
    "check_manifest",
    "check_private_key",
    "sign_folder",
    "sign_manifest",
]

MODEL_SIGNATURE = "model.sig"
"""What the signature of a model is called in its folder, by the format's convention."""
PASSWORD = "MLPORTER_SIGNING_PASSWORD"  # noqa: S105 -- the name of a variable
_NOT_COVERED = (".git", ".gitattributes", ".github", ".gitignore")


def _package() -> Any:  # noqa: ANN401 -- it has no types
    try:
        import model_signing.signing  # noqa: PLC0415
        import model_signing.verifying  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "signatures need the package model-signing", hint="pip install 'mlporter[sign]'"
        ) from error
    return model_signing


def _key(path: str) -> Path:
    found = Path(path)
    if not found.is_file():
        raise UsageError("there is no such key file", subject=path)
    return found


def check_private_key(key: str) -> None:
    """Refuse a key that could not sign, before there is anything to sign.

    Raises:
        UsageError: there is no such key file, it is none, or the package is not installed.
    """
    _signer(key)


def _signer(key: str) -> Any:  # noqa: ANN401 -- as `_package`
    try:
        return (
            _package()
            .signing.Config()
            .use_elliptic_key_signer(private_key=_key(key), password=os.environ.get(PASSWORD))
        )
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"is no private key that can be used: {error}",
            subject=key,
            hint=f"an elliptic-curve key in PEM; its password, if any, in {PASSWORD}",
        ) from error


def sign_folder(folder: Path, signature: Path, key: str) -> None:
    """Sign the files of a folder.

    Args:
        folder: The folder.
        signature: The file of the signature, outside of the folder.
        key: The file of a private key.

    Raises:
        UsageError: there is no such key file, it is none, or the package is not installed.
    """
    _check_covered(folder, str(folder))
    _signer(key).sign(folder, signature)


def check_folder(folder: Path, signature: Path, key: str, subject: str) -> None:
    """Refuse files that are not those that were signed.

    Args:
        folder: The files.
        signature: The file of the signature.
        key: The file of the public key.
        subject: What was signed, for errors.

    Raises:
        RefusedError: the signature is another key's, or files were changed, added or removed.
        UsageError: there is no such key file, it is none, or the package is not installed.
    """
    package = _package()
    _check_covered(folder, subject)
    try:
        config = package.verifying.Config().use_elliptic_key_verifier(public_key=_key(key))
    except (ValueError, TypeError) as error:
        raise UsageError(f"is no public key that can be used: {error}", subject=key) from error
    try:
        config.verify(folder, signature)
    except Exception as error:
        # The package raises whatever its parts raise: any of it means that nothing is proved.
        what = str(error).strip() or type(error).__name__
        raise RefusedError(
            f"its signature is not valid: {what:.300}",
            subject=subject,
            hint="it was changed after it was signed, or was signed by someone else",
        ) from error


def _check_covered(folder: Path, subject: str) -> None:
    """Refuse files that a signature in this format says nothing of: git's own."""
    found = [name for name in _NOT_COVERED if (folder / name).exists()]
    if found:
        raise RefusedError(
            f"holds {found[0]}, which a signature in this format does not cover",
            subject=subject,
            hint="remove it from the model, then sign it again",
        )


@contextmanager
def _alone(bundle: Storage) -> Iterator[Path]:
    """A folder with nothing in it but a bundle's manifest: what is signed of the bundle."""
    with tempfile.TemporaryDirectory(prefix="mlporter-sign-") as scratch:
        folder = Path(scratch, "bundle")
        folder.mkdir()
        (folder / MANIFEST).write_bytes(bundle.read(MANIFEST, MAX_MANIFEST_BYTES))
        yield folder


def sign_manifest(bundle: Path, key: str) -> None:
    """Sign the manifest in a folder, and so by its chain of hashes all of the bundle.

    Raises:
        UsageError: there is no such key file, it is none, or the package is not installed.
    """
    with _alone(LocalStorage(bundle)) as folder:
        sign_folder(folder, bundle / SIGNATURE, key)


def check_manifest(bundle: Storage, key: str) -> None:
    """Refuse a bundle whose manifest is not as it was signed.

    Raises:
        RefusedError: it has no signature, or one that does not hold.
        BundleDamagedError: it has no manifest that can be read.
    """
    if bundle.size(SIGNATURE) is None:
        raise RefusedError(
            "is not signed",
            subject=bundle.name,
            hint="`mlporter export --sign KEY` signs what it writes",
        )
    with tempfile.TemporaryDirectory(prefix="mlporter-sign-") as scratch, _alone(bundle) as folder:
        signature = Path(scratch, SIGNATURE)
        signature.write_bytes(bundle.read(SIGNATURE, MAX_MANIFEST_BYTES))
        check_folder(folder, signature, key, bundle.name)
