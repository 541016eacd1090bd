"""Objects that S3 copies itself: what is proved, what is streamed, and what is left alone."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from mlporter.artifacts.disk.write_log import WriteLog
from mlporter.artifacts.places import WholeObject, Written
from mlporter.errors import BundleDamagedError, RefusedError
from mlporter.execute.files.tasks import Landed, PutObject
from mlporter.stores.addresses.environment import environment_of
from mlporter.stores.artifact_places.places import Places, open_place
from mlporter.stores.artifact_places.portable import PlacedFile, StoredPlace, place_elsewhere
from tests.support.copying_s3 import watched_copies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.stores.protocols import Openable
    from tests.support.copying_s3 import Copies
    from tests.support.engines import S3

ODD = "a/ü ?#%41&+.bin"
KEY = f"from/{ODD}"
DATA = b"what is stored"


@pytest.fixture
def copies(s3: S3) -> Iterator[Copies]:
    with watched_copies() as watched:
        yield watched


class Sides:
    """An object in one bucket, and a place in another."""

    def __init__(self, s3: S3) -> None:
        self.client = s3.client()
        self.source, self.target = s3.new_bucket(), s3.new_bucket()
        self.log = WriteLog()
        self.places = Places(log=self.log)
        self.place: Any = self.places.open(f"{self.target}/to/")

    @property
    def found(self) -> Openable:
        """The object, as the source says where it is."""
        place = place_elsewhere(open_place(f"{self.source}/from"))
        assert place is not None
        return PlacedFile(place, ODD)

    def store(self, content: bytes, bucket: str = "", key: str = KEY, **more: Any) -> None:
        bucket = (bucket or self.source).removeprefix("s3://")
        self.client.put_object(Bucket=bucket, Key=key, Body=content, **more)

    def store_in_parts(self, *parts: bytes) -> None:
        where = {"Bucket": self.source.removeprefix("s3://"), "Key": KEY}
        begun = self.client.create_multipart_upload(**where, ChecksumAlgorithm="SHA256")
        done = []
        for number, part in enumerate(parts, 1):
            of_part = {"PartNumber": number, "UploadId": begun["UploadId"]}
            sent = self.client.upload_part(
                **where, **of_part, Body=part, ChecksumAlgorithm="SHA256"
            )
            done.append({"PartNumber": number, "ETag": sent["ETag"]})
        self.client.complete_multipart_upload(
            **where, UploadId=begun["UploadId"], MultipartUpload={"Parts": done}
        )

    def put(self, found: Openable | None = None, **more: Any) -> Written:
        found = found or self.found
        return self.place.put_from(ODD, found.open, found.whole, **more)

    def store_there(self, content: bytes, **more: Any) -> None:
        self.store(content, self.target, f"to/{ODD}", **more)

    def replace(self, old: bytes, whole: WholeObject | None = None) -> Written | None:
        """Replace the target's object, if it has that content."""
        sha256, found = hashlib.sha256(old).hexdigest(), self.found
        replaced: Written | None = self.place.replace_by_storage(
            ODD, found.open, whole or found.whole, lambda there: there == sha256
        )
        return replaced

    def there(self) -> bytes | None:
        """What S3 itself says of the target's object."""
        bucket, key = self.target.removeprefix("s3://"), f"to/{ODD}"
        if not self.client.list_objects_v2(Bucket=bucket).get("Contents"):
            return None
        found: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return found


@pytest.fixture
def sides(s3: S3) -> Iterator[Sides]:
    made = Sides(s3)
    with closing(made.client):
        yield made


def written(content: bytes, *, by_storage: bool, created: bool = True) -> Written:
    return Written(hashlib.sha256(content).hexdigest(), len(content), created, by_storage)


def test_what_s3_copies_is_not_read_and_is_proved_by_its_hash(sides, copies):
    sides.store(DATA)
    assert sides.put() == written(DATA, by_storage=True)
    assert copies.read == []
    assert sides.there() == DATA
    assert sides.places.undo() == []
    assert sides.there() is None


def test_what_is_there_is_not_read_where_s3_has_its_hash(sides, copies):
    same = written(DATA, by_storage=False, created=False)
    sides.store(DATA)
    sides.put()
    assert sides.put() == same
    assert copies.read == [KEY]
    sides.store(DATA, ChecksumAlgorithm="SHA256")
    assert sides.put() == same
    assert copies.read == [KEY]
    sides.store(b"something else", ChecksumAlgorithm="SHA256")
    with pytest.raises(RefusedError, match="another file is already there"):
        sides.put()
    assert sides.there() == DATA


@pytest.mark.parametrize("is_old", [False, True])
def test_an_object_of_parts_is_copied_only_with_a_hash_of_all_of_it(sides, copies, is_old):
    parts = (b"p" * (5 << 20), b"last")
    sides.store_in_parts(*parts)
    copies.is_old = is_old
    assert sides.put() == written(b"".join(parts), by_storage=not is_old)
    assert sides.there() == b"".join(parts)


def test_what_a_store_of_no_hashes_copied_is_written_again_and_it_is_not_asked_again(sides, copies):
    sides.store(DATA)
    copies.is_old = True
    for _ in range(2):
        assert sides.put(is_new=True) == written(DATA, by_storage=False)
        assert sides.there() == DATA
    assert len(copies.asked) == 1


def test_a_store_that_does_not_allow_it_is_asked_three_times(sides, copies):
    from moto.s3.exceptions import S3AccessDeniedError  # noqa: PLC0415 -- for S3 only

    def deny() -> None:
        raise S3AccessDeniedError

    sides.store(DATA)
    copies.before = deny
    for _ in range(5):
        assert sides.put(is_new=True) == written(DATA, by_storage=False)
    assert len(copies.asked) == 3


def test_an_object_that_changed_since_it_was_looked_at_is_streamed_as_it_is_now(sides, copies):
    sides.store(DATA)
    copies.before = lambda: sides.store(b"another")
    assert sides.put() == written(b"another", by_storage=False)
    assert sides.there() == b"another"
    assert sides.places.undo() == []
    assert sides.there() is None


@pytest.mark.parametrize("is_new", [False, True])
def test_what_somebody_puts_there_meanwhile_stays(sides, copies, is_new):
    sides.store(DATA)
    copies.before = lambda: sides.store(b"somebody's", sides.target, f"to/{ODD}")
    with pytest.raises(RefusedError, match="another file is already there"):
        sides.put(is_new=is_new)
    assert sides.places.undo() == []
    assert sides.there() == b"somebody's"


@pytest.mark.parametrize("is_known", [False, True])
def test_another_object_is_replaced_if_it_is_still_what_it_was(sides, copies, is_known):
    sides.store(DATA)
    sides.store_there(b"old", **({"ChecksumAlgorithm": "SHA256"} if is_known else {}))
    assert sides.replace(b"other") is None
    assert sides.there() == b"old"
    assert copies.asked == []
    copies.read.clear()
    assert sides.replace(b"old") == written(DATA, by_storage=True)
    assert copies.read == ([] if is_known else [f"to/{ODD}"])
    assert sides.there() == DATA


def test_what_somebody_edits_meanwhile_is_not_replaced(sides, copies):
    sides.store(DATA)
    sides.store_there(b"old")
    copies.before = lambda: sides.store_there(b"somebody's")
    assert sides.replace(b"old") is None
    assert len(copies.asked) == 1
    assert sides.there() == b"somebody's"


def test_nothing_is_replaced_by_what_changed_since_it_was_looked_at(sides, copies):
    sides.store(DATA)
    sides.store_there(b"old")
    copies.before = lambda: sides.store(b"another")
    assert sides.replace(b"old") is None
    assert sides.there() == b"old"


def test_what_a_store_of_no_hashes_replaced_is_written_over(sides, copies):
    sides.store(DATA)
    sides.store_there(b"old")
    copies.is_old = True
    assert sides.replace(b"old") == written(DATA, by_storage=False)
    assert sides.there() == DATA
    assert sides.replace(DATA) is None
    assert len(copies.asked) == 1


def test_what_a_name_promises_is_known_before_anything_is_replaced(sides, copies):
    sides.store(b"damaged")
    sides.store_there(b"old")
    bucket, sha256 = sides.source.removeprefix("s3://"), hashlib.sha256(DATA).hexdigest()
    whole = WholeObject(bucket, KEY, "", sha256)
    assert sides.replace(b"old", whole) is None
    sides.store(b"damaged", ChecksumAlgorithm="SHA256")
    assert sides.replace(b"old", whole) is None
    assert copies.asked == []
    sides.store(DATA, ChecksumAlgorithm="SHA256")
    assert sides.replace(b"old", whole) == written(DATA, by_storage=True)


def test_what_an_earlier_attempt_at_a_task_had_copied_is_ours(sides, copies):
    sides.store(DATA)
    there = place_elsewhere(sides.place)
    assert isinstance(there, StoredPlace)
    task = PutObject(sides.found, there, ODD, is_new=True)
    sha256 = hashlib.sha256(DATA).hexdigest()
    assert task.do() == Landed(sha256, len(DATA), created=True, by_storage=True)
    assert task.do() == Landed(sha256, len(DATA), created=True)


def test_a_copy_of_something_else_than_its_name_says_does_not_stay(sides, copies):
    sides.store(b"damaged")
    bucket, sha256 = sides.source.removeprefix("s3://"), hashlib.sha256(DATA).hexdigest()

    class Damaged:
        whole = WholeObject(bucket, KEY, "", sha256)
        folder = ""

        @staticmethod
        def open() -> Any:
            raise BundleDamagedError("does not match its name", subject="bundle")

    with pytest.raises(BundleDamagedError):
        sides.put(Damaged())
    assert len(copies.asked) == 1
    assert sides.there() is None


def test_settings_of_uploads_go_along_or_else_it_is_uploaded(sides, copies, monkeypatch):
    sides.store(DATA)
    monkeypatch.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '{"ServerSideEncryption": "aws:kms"}')
    assert sides.put().by_storage
    where = {"Bucket": sides.target.removeprefix("s3://"), "Key": f"to/{ODD}"}
    assert sides.client.head_object(**where)["ServerSideEncryption"] == "aws:kms"
    monkeypatch.setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '{"ContentType": "text/plain"}')
    assert sides.put(is_new=True) == written(DATA, by_storage=False)
    assert len(copies.asked) == 1


def test_two_sides_are_one_account_only_with_the_same_variables(sides, s3, copies, monkeypatch):
    sides.store(DATA)
    for prefix, key in (("SAME_", "testing"), ("OTHER_", "other")):
        for name, value in (s3.environment | {"AWS_ACCESS_KEY_ID": key}).items():
            monkeypatch.setenv(f"{prefix}{name}", value)
    whole = sides.found.whole
    for prefix in ("SAME_", "OTHER_"):
        place: Any = open_place(f"{sides.target}/{prefix}", environment=environment_of(prefix))
        put = place.put_from(ODD, lambda: io.BytesIO(DATA), whole)
        assert put.by_storage is (prefix == "SAME_")


def test_a_side_that_the_config_file_tells_how_to_reach_is_opened_by_no_other_process(s3):
    told = environment_of("", {}, lambda _: s3.environment)
    place = open_place(f"{s3.new_bucket()}/x", environment=told)
    assert place_elsewhere(place) is None
    assert environment_of("", {}, lambda _: {"PGPASSWORD": "of no store"}).for_others == ""
