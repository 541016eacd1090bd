"""Objects encrypted at rest in the age format (https://age-encryption.org/v1), by `pyrage`.

Paths, the number of objects and about how large each is stay visible, and so do locks and
``repository.yaml``; see docs/repository-format.md.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from mlporter.closing import closed_on_error
from mlporter.errors import AccessDeniedError, BundleDamagedError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlporter.bundle.storage.protocol import Storage, StoredObject

__all__ = ["IDENTITY", "EncryptedStorage", "Keys"]

IDENTITY = "MLPORTER_IDENTITY"
"""The variable that names the file with the private key."""

_PLAIN = ("repository.yaml", "locks/")
"""Objects that are not encrypted: what says to whom the others are, and who is at work."""


class Keys:
    """To whom objects are encrypted, and by whose private keys they are read."""

    def __init__(self, recipients: Sequence[str], identity: Path | None, where: str) -> None:
        """Read the keys.

        Args:
            recipients: Public keys: ``age1…``, or of SSH: ``ssh-ed25519 …``, ``ssh-rsa …``.
            identity: The file of a private key, as `age-keygen` or `ssh-keygen` writes it.
            where: The place that they are for; redacted.

        Raises:
            UsageError: a key is none.
            AccessDeniedError: there is no private key.
            UnsupportedError: pyrage is not installed.
        """
        self._age = _pyrage(where)
        self._where = where
        self._recipients = [self._recipient(text) for text in recipients]
        if identity is None:
            raise AccessDeniedError(
                "is encrypted, and there is no key to read it",
                subject=where,
                hint=f"let {IDENTITY} name the file of the private key (age or SSH format)",
            )
        self._identities = self._read(identity)

    def _recipient(self, text: str) -> Any:  # noqa: ANN401 -- pyrage's own
        kind = self._age.ssh if text.startswith("ssh-") else self._age.x25519
        try:
            return kind.Recipient.from_str(text)
        except self._age.RecipientError as error:
            raise UsageError(
                f"is no public key of age or SSH: {error}",
                subject=text[:80],
                hint="age-keygen -y KEYFILE prints the one of a private key",
            ) from None

    def _read(self, file: Path) -> list[Any]:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise AccessDeniedError(
                f"the file of the private key cannot be read: {error.strerror}", subject=str(file)
            ) from None
        try:
            if b"OPENSSH PRIVATE KEY" in data or b"RSA PRIVATE KEY" in data:
                return [self._age.ssh.Identity.from_buffer(data)]
            lines = (line.strip() for line in data.decode().splitlines())
            keys = [line for line in lines if line and not line.startswith("#")]
            found = [self._age.x25519.Identity.from_str(key) for key in keys]
        except (self._age.IdentityError, ValueError):
            found = []
        if not found:
            raise UsageError("holds no private key of age or SSH", subject=str(file))
        return found

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt a small object."""
        return cast("bytes", self._age.encrypt(data, self._recipients))

    def encrypt_file(self, source: Path, target: Path) -> None:
        """Encrypt a file, in chunks."""
        with source.open("rb") as reader, target.open("wb") as writer:
            self._age.encrypt_io(reader, writer, self._recipients)

    def decrypt(self, data: bytes, path: str) -> bytes:
        """Decrypt a small object."""
        with self._errors(path):
            return cast("bytes", self._age.decrypt(data, self._identities))

    def decrypt_file(self, reader: BinaryIO, writer: BinaryIO, path: str) -> None:
        """Decrypt a file, in chunks."""
        with self._errors(path):
            self._age.decrypt_io(reader, writer, self._identities)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except self._age.DecryptError as error:
            if "No matching keys" in str(error):
                raise AccessDeniedError(
                    "is encrypted to another key",
                    subject=self._where,
                    hint=f"let {IDENTITY} name the private key of one of its recipients",
                ) from None
            raise BundleDamagedError(
                f"{path} cannot be decrypted: {error}", subject=self._where
            ) from None


class EncryptedStorage:
    """Another storage, all objects of which are encrypted but for `_PLAIN`.

    Implements `mlporter.bundle.storage.protocol.Storage`. Sizes are those of what is stored.
    """

    is_local = False
    reads_parts = False

    def __init__(self, inner: Storage, keys: Keys) -> None:
        """Encrypt what goes into `inner`, and decrypt what comes from there."""
        self._inner = inner
        self._keys = keys

    @property
    def name(self) -> str:
        """What people call the place."""
        return self._inner.name

    def elsewhere(self) -> None:
        """Keys go to no other process."""

    def whole(self, path: str, sha256: str) -> None:
        """What is stored is not what is read."""

    def brought(self, path: str) -> None:
        """Nothing is remembered of what is there."""

    def scratch(self) -> Path:
        """The other storage's."""
        return self._inner.scratch()

    def put(self, path: str, data: bytes) -> None:
        """Encrypt and write an object."""
        self._inner.put(path, data if _is_plain(path) else self._keys.encrypt(data))

    def put_new(self, path: str, data: bytes) -> bool:
        """Encrypt and write an object unless there is one."""
        return self._inner.put_new(path, data if _is_plain(path) else self._keys.encrypt(data))

    def put_file(self, path: str, file: Path) -> None:
        """Encrypt a file, and move what that gives."""
        with tempfile.NamedTemporaryFile(dir=self.scratch(), delete=False) as sealed:
            target = Path(sealed.name)
        try:
            self._keys.encrypt_file(file, target)
            self._inner.put_file(path, target)
        finally:
            target.unlink(missing_ok=True)
        file.unlink()

    def size(self, path: str) -> int | None:
        """Bytes of an object as it is stored."""
        return self._inner.size(path)

    def open(self, path: str) -> BinaryIO:
        """An object, decrypted to a file without a name."""
        plain = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        with closed_on_error(plain):
            with self._inner.open(path) as sealed:
                self._keys.decrypt_file(sealed, plain, path)
            plain.seek(0)
        return plain

    def read(self, path: str, limit: int) -> bytes:
        """A small object."""
        if _is_plain(path):
            return self._inner.read(path, limit)
        data = self._keys.decrypt(self._inner.read(path, 2 * limit + 2**16), path)
        if len(data) > limit:
            message = f"{path} is longer than {limit:,} bytes"
            raise BundleDamagedError(message, subject=self.name)
        return data

    def read_range(self, path: str, start: int, size: int) -> bytes:
        """Some bytes of an object, all of which is decrypted."""
        with self.open(path) as file:
            file.seek(start)
            return file.read(size)

    def walk(self, below: str = "") -> Iterator[StoredObject]:
        """Every object below a folder."""
        return self._inner.walk(below)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove objects."""
        self._inner.remove(paths)


def _is_plain(path: str) -> bool:
    return path.startswith(_PLAIN)


def _pyrage(where: str) -> Any:  # noqa: ANN401 -- an optional package without types
    try:
        return import_module("pyrage")
    except ImportError:
        raise UnsupportedError(
            "needs the package pyrage, which is not installed",
            subject=where,
            hint="pip install 'mlporter[encrypt]'",
        ) from None
