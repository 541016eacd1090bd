"""Bundles forged by somebody who knows the format, and writes the hashes anew."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mlporter.bundle.documents.manifest import load_manifest, manifest_bytes, sums_bytes, sums_of
from mlporter.bundle.folder.layout import MANIFEST, SUMS, pack_path


def read_yaml(text):
    """What PyYAML finds in it, by libyaml: in Python that takes ten times as long."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


def to_yaml(value):
    """The other way round."""
    return yaml.dump(value, Dumper=yaml.CSafeDumper)


def forge(bundle, change):
    """Change the manifest as somebody who can also write the sums anew."""
    value = read_yaml((bundle / MANIFEST).read_text())
    change(value)
    (bundle / MANIFEST).write_text(to_yaml(value))
    manifest = load_manifest(bundle)
    data = manifest_bytes(manifest)
    (bundle / MANIFEST).write_bytes(data)
    (bundle / SUMS).write_bytes(sums_bytes(sums_of(manifest, data)))


def forge_part(bundle, table, rows, schema=None):
    """Replace the rows of a table, hashes and all."""
    path = bundle / f"tables/{table}/00000.parquet"
    schema = schema or pq.read_schema(path)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, store_schema=False)
    data = path.read_bytes()

    def change(value):
        entry = value["tables"][table]
        entry |= {"rows": len(rows), "bytes": len(data)}
        entry["parts"][0] |= {
            "rows": len(rows),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }

    forge(bundle, change)


def pack_of(bundle):
    """The path of the only pack."""
    (path,) = bundle.glob("packs/*/*.tar")
    return path.relative_to(bundle).as_posix()


def rows_of(bundle, table):
    return pq.read_table(bundle / f"tables/{table}/00000.parquet").to_pylist()


def forge_pack(bundle, data, members=None):
    """Replace the only pack, named by its sum; `members` are changed rows of ``contents``."""
    old = bundle / pack_of(bundle)
    name = hashlib.sha256(data).hexdigest()
    old.unlink()
    (bundle / pack_path(name)).parent.mkdir(exist_ok=True)
    (bundle / pack_path(name)).write_bytes(data)
    rows = [
        {**row, "pack": name if row["pack"] else "", **(members or {}).get(row["sha256"], {})}
        for row in rows_of(bundle, "contents")
    ]
    forge_part(bundle, "contents", rows)
    forge(bundle, lambda value: value["artifacts"].update(pack_bytes=len(data)))
    return pack_path(name)
