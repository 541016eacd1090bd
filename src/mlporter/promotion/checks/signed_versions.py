"""Signatures of model versions: made of what the target has, checked at the source."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlporter.bundle.signing import MODEL_SIGNATURE, check_folder, check_manifest, sign_folder
from mlporter.errors import RefusedError
from mlporter.promotion.checks.load_check import model_folder
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.bundles.repository_places import storage_of

if TYPE_CHECKING:
    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.promotion.promoted_source import Move
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["check_signature", "sign_version", "signature_name"]

_FOLDER = "promotions"
_MOST = 64 << 20


def signature_name(move: Move) -> str:
    """What the signature of a promoted version is called among the artifacts of its run."""
    return f"{_FOLDER}/{move.name}-{move.number}.sig"


def sign_version(source: Source, facts: VersionFacts, key: str) -> str:
    """Sign the files of a version; the signature, as text.

    Raises:
        UsageError: there is no such key file, or no package that signs.
    """
    with tempfile.TemporaryDirectory(prefix="mlporter-sign-") as scratch:
        signature = Path(scratch, MODEL_SIGNATURE)
        with model_folder(source, facts, without=(MODEL_SIGNATURE,)) as folder:
            sign_folder(folder, signature, key)
        return signature.read_text(encoding="utf-8")


def check_signature(place: Address, source: Source, facts: VersionFacts, key: str) -> None:
    """Refuse a version whose files are not as they were signed.

    The signature is ``model.sig`` in the model's folder, or what an earlier promotion put among the
    artifacts of the run. A bundle may be signed as a whole instead.

    Raises:
        RefusedError: it is not signed, or the signature does not hold.
    """
    signature = _find(source, facts)
    if signature is None:
        if place.kind is AddressKind.BUNDLE:
            check_manifest(storage_of(place), key)
            return
        raise RefusedError(
            "is not signed",
            subject=f"models:/{facts}",
            hint=f"{MODEL_SIGNATURE} in the model's folder is looked for, and "
            f"{_FOLDER}/{facts.key[1]}-{facts.key[2]}.sig among the artifacts of its run",
        )
    with tempfile.TemporaryDirectory(prefix="mlporter-sign-") as scratch:
        there = Path(scratch, MODEL_SIGNATURE)
        with source.open_file(signature) as stream:
            there.write_bytes(stream.read(_MOST))
        with model_folder(source, facts, without=(MODEL_SIGNATURE,)) as folder:
            check_folder(folder, there, key, f"models:/{facts}")


def _find(source: Source, facts: VersionFacts) -> ArtifactFile | None:
    own = next((one.file for one in facts.files if one.path == MODEL_SIGNATURE), None)
    if own is not None or facts.run_id is None:
        return own
    wanted = f"{_FOLDER}/{facts.key[1]}-{facts.key[2]}.sig"
    files = source.files(lambda _: None, lambda kind, id_: (kind, id_) == ("run", facts.run_id))
    return next((file for file in files if file.path == wanted), None)
