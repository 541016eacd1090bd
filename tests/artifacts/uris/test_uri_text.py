# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the other tests can save
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.artifacts.uris.uri_text import (
    UriMap,
    is_windows_path,
    join,
    local_path,
    safe_relative,
    scheme_of,
    strip_root,
    uri_below,
    uri_of_path,
)
from mlporter.errors import UsageError
from mlporter.redaction import redact

ROOTS = (
    "/srv/x",
    "/srv/x/",
    "./mlruns",
    "mlruns",
    "file:/srv/x",
    "file:///srv/x",
    "file:///srv/my%20x/",
    "file:mlruns",
    "s3://bucket",
    "s3://bucket/",
    "s3://bucket/a/b",
    "s3://bucket//a",
    "s3://bucket/a?v=1#f",
    "dbfs:/x",
    "gs://b/p",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/1",
    "mlflow-artifacts://host:5000/1",
    "wasbs://box@account.blob.core.windows.net/p",
    "hdfs://h:8020/p?user=me",
    "viewfs:///p",
)
segments = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=12,
).filter(lambda part: part not in (".", ".."))
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
plain = st.from_regex(r"[A-Za-z0-9_-]{1,8}(/[A-Za-z0-9_-]{1,8}){0,3}", fullmatch=True)


@given(st.sampled_from(ROOTS), st.lists(st.one_of(plain, plain.map(lambda p: f"/{p}")), max_size=3))
def test_join_is_mlflows(root, parts):
    from mlflow.utils.uri import append_to_uri_path

    assert join(root, *parts) == append_to_uri_path(root, *parts)


@pytest.mark.parametrize("query", ["a=../b", "a=%2e%2e/b", "a=%252e%252e"])
def test_join_refuses_what_mlflow_refuses(query):
    with pytest.raises(UsageError):
        join(f"s3://b/x?{query}", "y")


@given(st.sampled_from(ROOTS), plain)
def test_what_is_joined_is_stripped(root, path):
    assert strip_root(join(root, path), root) == path


@given(st.sampled_from([root for root in ROOTS if "?" not in root]), paths)
def test_any_path_below_a_local_root_comes_back(root, path):
    if scheme_of(root) in ("", "file"):
        assert strip_root(uri_below(root, path), root) == path


@given(paths)
def test_a_path_below_a_local_root_is_found_by_mlflow(path):
    from mlflow.utils.file_utils import local_file_uri_to_path

    for root in ("/srv/x", "file:///srv/x"):
        uri = uri_below(root, path)
        assert local_path(uri) == Path("/srv/x") / path
        assert local_file_uri_to_path(uri) == f"/srv/x/{path}"


@pytest.mark.parametrize(
    ("uri", "root", "rest"),
    [
        ("/srv/x/a", "file:///srv/x", "a"),
        ("file:///srv/x/a", "/srv/x/", "a"),
        ("file:/srv/x", "file://localhost/srv/x", ""),
        ("/srv//x/./a", "/srv/x", "a"),
        ("/srv/xy/a", "/srv/x", None),
        ("/srv/x/../a", "/srv/x", None),
        ("file:///my%20x/a%20b", "/my x", "a b"),
        ("./mlruns/1/a", "mlruns", "1/a"),
        ("/mlruns/1", "mlruns", None),
        (r"C:\Users\me\mlruns\1\a", "file:///C:/Users/me/mlruns", "1/a"),
        ("c:/Users/x", r"C:\Users", "x"),
        ("D:/Users/x", r"C:\Users", None),
        (r"\\nas\share\x", "file://nas/share", "x"),
        ("s3://b/x/a%20b", "s3://b/x", "a%20b"),
        ("s3://b/x", "s3://b", "x"),
        ("s3://bb/x", "s3://b", None),
        ("s3://b//x/a", "s3://b/x", None),
        ("s3://b/x/", "s3://b/x", ""),
        ("gs://b/x", "s3://b", None),
        ("mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts:/", "1/r/artifacts"),
        ("mlflow-artifacts://host/1", "mlflow-artifacts:/", None),
        ("s3://b/x/a?v=1", "s3://b/x?v=1", "a"),
        ("s3://b/x/a?v=1", "s3://b/x", None),
    ],
)
def test_strip_root(uri, root, rest):
    assert strip_root(uri, root) == rest


def test_relative_places_compare_with_absolute_ones_once_a_base_is_known():
    assert strip_root("./mlruns/1", "/db/mlruns") is None
    assert strip_root("./mlruns/1", "/db/mlruns", Path("/db")) == "1"
    assert strip_root("../mlruns/1", "/mlruns", Path("/db")) == "1"


@pytest.mark.parametrize(
    "uri",
    ["/srv/x", "/srv/a%20b", "file:/srv/x", "file:///srv/a%20b", "file:///a;b", "/a?b#c", "/a;b",
     "file:///a?q#f", "file://localhost/x", "/100%"],
)  # fmt: skip
def test_local_paths_are_mlflows(uri):
    from mlflow.utils.file_utils import local_file_uri_to_path

    assert local_path(uri) == Path(local_file_uri_to_path(uri))


def test_relative_paths_are_taken_from_the_base(tmp_path):
    assert local_path("./mlruns/1", tmp_path) == tmp_path / "mlruns/1"
    assert local_path("file:mlruns/1", tmp_path) == tmp_path / "mlruns/1"
    assert local_path("mlruns") == Path.cwd() / "mlruns"


@pytest.mark.skipif(os.name == "nt", reason="these are local there")
@pytest.mark.parametrize(
    "uri", [r"C:\x", "C:/x", "file:///C:/x", "file:///c|/x", r"\\nas\x", "file:C:/x"]
)
def test_windows_paths_are_not_local_here(uri):
    assert is_windows_path(uri)
    assert local_path(uri) is None


@pytest.mark.parametrize(
    "uri", ["s3://b/x", "mlflow-artifacts:/1", "runs:/1/a", "file://nas/x", "", "/a\0b"]
)
def test_other_uris_are_not_local(uri):
    assert local_path(uri) is None


@given(paths)
def test_the_uri_of_a_path_leads_to_it(path):
    assert local_path(uri_of_path(Path("/", path))) == Path("/", path)


# --- UriMap ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "uri", "mapped"),
    [
        (["s3://old=/new"], "s3://old/1/r", "/new/1/r"),
        (["s3://old=/new"], "s3://old", "/new"),
        (["s3://old=/new"], "s3://older/1", "s3://older/1"),
        (["s3://b/a=/new"], "s3://b/ab", "s3://b/ab"),
        (["s3://b=/one", "s3://b/a=/two"], "s3://b/a/x", "/two/x"),
        (["s3://b/a=/two", "s3://b=/one"], "s3://b/c/x", "/one/c/x"),
        (["mlflow-artifacts:/=/srv/mlartifacts"], "mlflow-artifacts:/1/r", "/srv/mlartifacts/1/r"),
        (["/home/me=/srv"], "file:///home/me/mlruns/1", "/srv/mlruns/1"),
        (["file:///home/me=file:///srv"], "/home/me/a%20b", "file:///srv/a%20b"),
        ([r"C:\Users\me=/srv"], "file:///C:/Users/me/mlruns/1", "/srv/mlruns/1"),
        (["file:///C:/Users=/srv"], r"C:\Users\me\x", "/srv/me/x"),
        (["./mlruns=/srv"], "mlruns/1/r", "/srv/1/r"),
        (["/data/day=3=/srv"], "/data/day=3/x", "/srv/x"),
        (["/data/x=rel"], "/data/x/y", "{cwd}/rel/y"),
        (["s3://b=/new"], "s3://b/a%20b", "/new/a%2520b"),
        (["s3://b=/new"], "s3://b/../x", "s3://b/../x"),
        ([], "s3://b", "s3://b"),
    ],
)
def test_mapping(texts, uri, mapped):
    assert UriMap.parse(texts).apply(uri) == mapped.format(cwd=Path.cwd())


@pytest.mark.parametrize(
    "texts",
    [["s3://b"], ["=x"], ["x="], ["runs:/1=/x"], ["/x=models:/m"], ["/a=/b", "/a/=/c"]],
)
def test_nonsense_is_refused(texts):
    with pytest.raises(UsageError):
        UriMap.parse(texts)


def test_refusals_show_no_password():
    with pytest.raises(UsageError) as caught:
        UriMap.parse(["s3://me:hunter2@b"])
    assert "hunter2" not in str(caught.value)


@given(plain, paths)
def test_mapped_files_keep_their_path(root, path):
    moved = UriMap.parse([f"s3://{root.partition('/')[0]}x=/srv/new"])
    source = "/srv/old"
    assert local_path(UriMap.parse([f"{source}=/srv/new"]).apply(uri_below(source, path))) == (
        Path("/srv/new") / path
    )
    assert moved.apply(uri_below(source, path)) == uri_below(source, path)


# --- redact, safe_relative ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://me:pw@host/x", "s3://me:***@host/x"),
        ("ftp://me:p@w@host/x", "ftp://me:***@host/x"),
        ("see http://me:pw@h/x and ftp://you:pw@h", "see http://me:***@h/x and ftp://you:***@h"),
        ("https://h/x?sig=abc&v=1", "https://h/x?sig=***&v=1"),
        ("https://h/x?X-Amz-Credential=AK&X-Amz-Signature=zz#f",
         "https://h/x?X-Amz-Credential=***&X-Amz-Signature=***#f"),
        ("wasbs://box@account.blob.core.windows.net/x", "wasbs://box@account.blob.core.windows.net/x"),
        ("s3://b/a@b:c", "s3://b/a@b:c"),
        ("/srv/x", "/srv/x"),
    ],
)  # fmt: skip
def test_redact(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "path",
    ["a", "a/b.txt", "a b/ü?#%.txt", r"a\b", "...", "a/.hidden", "ab:c", "a/c:/d", "x\ny"],
)
def test_safe_paths(path):
    assert safe_relative(path)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0", r"\a", r"\\h\s", "C:", "c:a",
     "C:/a", r"a\..\b", r"..\a", "a\udcff"],
)  # fmt: skip
def test_unsafe_paths(path):
    assert not safe_relative(path)


@given(st.text(max_size=30))
def test_a_safe_path_stays_below_its_root(path):
    if safe_relative(path):
        assert os.path.normpath(f"/root/{path}") == f"/root/{path}"
