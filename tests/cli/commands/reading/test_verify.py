from pathlib import Path

import pytest

from tests.cli.examples import DIFFERENT, IDENTICAL, verified
from tests.support.contents import damage_content

PROBLEM = ("blobs/ab/abc", "sha256", "does not match its name")


def test_an_undamaged_bundle(mlporter, fake, golden):
    fake("verify", verified())

    finished = mlporter("verify", "backup")

    assert (finished.code, finished.err) == (0, "")
    golden("verify", finished.out)


def test_a_damaged_bundle(mlporter, fake, golden):
    result = verified(*[PROBLEM] * 60)
    fake("verify", result)

    finished = mlporter("verify", "backup")

    assert finished.code == 5
    golden("verify-damaged", finished.out)


@pytest.mark.parametrize(
    ("diff", "code", "verdict"),
    [
        (IDENTICAL, 0, "Undamaged, and identical to the other place."),
        (DIFFERENT, 1, "Undamaged, but different from the other place."),
    ],
)
def test_against_another_place(mlporter, fake, diff, code, verdict):
    fake("verify", verified(diff=diff))

    finished = mlporter("verify", "backup", "--against", "sqlite:///x.db")

    assert finished.code == code
    assert finished.out.endswith(f"\n{verdict}\n")


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("100%", 1.0), ("0.25", 0.25), ("0.5%", 0.005)]
)
def test_sample(mlporter, fake, text, share):
    calls = fake("verify", verified())

    assert mlporter("verify", "backup", "--sample", text).code == 0
    assert calls[0][1]["sample"] == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-5%", "5", "five", "nan"])
def test_no_sample(mlporter, text):
    assert mlporter("verify", "backup", f"--sample={text}").code == 2


def test_quick_and_sample_exclude_each_other(mlporter):
    assert mlporter("verify", "backup", "--quick", "--sample", "5%").code == 2


def test_a_changed_byte_of_a_real_bundle(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    assert mlporter("verify", "backup", "--quick", "-q").out == ""
    damage_content(Path("backup"))

    assert mlporter("verify", "backup", "-q").out.startswith("Damaged: ")
    finished = mlporter("verify", "backup", "--json")

    assert finished.code == finished.json["exit_code"] == 5
    (pack,) = Path("backup/packs").glob("*/*.tar")
    assert pack.name in finished.json["check"]["problems"][0]["path"]
