from contextlib import closing

import pytest

from mlporter.artifacts.listing import FoundFile, Problem
from mlporter.errors import UnreachableError
from mlporter.stores.artifact_places import s3_objects
from mlporter.stores.artifact_places.places import open_place
from mlporter.stores.artifact_places.s3_objects import objects_in_order
from tests.support.listed import listed


@pytest.fixture(autouse=True)
def page(monkeypatch):
    monkeypatch.setattr(s3_objects, "_PAGE", 2)


def ordered(*paths):
    found = (FoundFile(path, len(path)) if path else Problem("", "bad", "") for path in paths)
    return [item.path for item in objects_in_order("s3://bucket/x", found)]


def test_what_comes_in_order_is_passed_on_as_it_comes():
    asked = []

    def objects():
        for path in ("a", "a/b", "b", "c"):
            asked.append(path)
            yield FoundFile(path, 0)

    found = objects_in_order("s3://bucket/x", objects())
    assert next(found).path == "a"
    assert len(asked) == 2
    assert [file.path for file in found] == ["a/b", "b", "c"]


def test_a_store_that_lists_in_another_order_is_sorted():
    assert ordered("b", "a", "", "\U0001f600", "\uff5e") == ["a", "b", "\uff5e", "\U0001f600", ""]


def test_a_store_that_leaves_the_order_is_told_of():
    with pytest.raises(UnreachableError, match="lists b after others"):
        ordered("a", "c", "b")


def test_a_bucket_is_listed_in_the_order_of_local_folders(s3):
    bucket = s3.new_bucket()
    paths = ["a", "a/b", "a-b/x", "a.b", "a0", "A/\U0001f600/x", "A/\uff5e", "é"]
    with closing(s3.client()) as client:
        for path in paths:
            client.put_object(Bucket=bucket.removeprefix("s3://"), Key=f"x/{path}", Body=b"1")
    found = listed(open_place(f"{bucket}/x")).files
    assert [file.path for file in found] == sorted(paths, key=str.encode)
