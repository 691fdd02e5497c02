"""`tabserve keys`: a key is shown once, the file has its hash."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.serving.access import file
from bentos.serving.access.key_ring import KeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*arguments: object) -> Result:
    """Run `tabserve keys`; standard output and error apart."""
    return CliRunner().invoke(main, ["keys", *map(str, arguments)])


def test_a_key_is_made_listed_and_revoked(path: Path) -> None:
    """The key alone is on standard output; no other command can show it again."""
    made = run("create", "ben", "--scopes", "feedback,predict", "--expires", "90d", "--file", path)
    assert made.exit_code == 0, made.output
    text = made.stdout.strip()
    assert "\n" not in text and "not shown again" in made.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    client = KeyRing(path).find(text.encode())
    assert client is not None and client.needs == {"predict", "feedback", "any"}
    listed = run("list", "--file", path)
    (line,) = listed.stdout.splitlines()[1:]
    assert line.split()[1:3] == ["ben", "predict,feedback"]
    revoked = run("revoke", "ben", "--file", path)
    assert revoked.stdout == f"revoked {client.key.id} of ben\n"
    assert file.read_keys(path) == ()
    for shown in (listed.output, revoked.output, path.read_text()):
        assert text not in shown and text[17:] not in shown


def test_limits_are_written_as_they_were_given(path: Path) -> None:
    """Each option is a member of the key's limits."""
    rates = ("--requests-per-second", 5, "--rows-per-second", 100)
    run(
        "create",
        "ben",
        "--scopes",
        "predict",
        *rates,
        "--burst",
        3,
        "--concurrency",
        2,
        "--file",
        path,
    )
    (key,) = file.read_keys(path)
    assert key.expires is None
    limits = key.limits
    assert (limits.requests_per_second, limits.rows_per_second) == (5, 100)
    assert (limits.burst_seconds, limits.concurrency) == (3, 2)
    assert "5 requests/s, 100 rows/s, 2 at a time" in run("list", "--file", path).stdout


def test_two_keys_of_one_name(path: Path) -> None:
    """A client changes over from one key to the next; revoking asks which one is meant."""
    for _ in range(2):
        run("create", "ben", "--scopes", "predict", "--file", path)
    first, second = file.read_keys(path)
    refused = run("revoke", "ben", "--file", path)
    assert refused.exit_code == 2 and first.id in refused.stderr and second.id in refused.stderr
    assert run("revoke", first.id, "--file", path).exit_code == 0
    assert file.read_keys(path) == (second,)
    run("create", "ben", "--scopes", "predict", "--file", path)
    assert run("revoke", "ben", "--all", "--file", path).exit_code == 0
    assert file.read_keys(path) == ()


def test_commands_at_the_same_time_lose_no_key(path: Path) -> None:
    """One changes the file after the other."""
    arguments = ["create", "ben", "--scopes", "predict", "--file", path]
    threads = [threading.Thread(target=run, args=arguments) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read_keys(path)) == 8
    assert [one.name for one in path.parent.iterdir()] == ["keys.json"]


def test_the_file_keeps_its_mode_and_its_link(path: Path) -> None:
    """What a service reads through its group stays readable; a link goes on leading there."""
    run("create", "ben", "--scopes", "predict", "--file", path)
    path.chmod(0o640)
    link = path.parent / "link.json"
    link.symlink_to(path)
    run("create", "ann", "--scopes", "predict", "--file", link)
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert [key.name for key in file.read_keys(path)] == ["ben", "ann"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "Ben", "--scopes", "predict"), 2, "NAME"),
        (("create", "anonymous", "--scopes", "predict"), 2, "NAME"),
        (("create", "b\u00e9n", "--scopes", "predict"), 2, "NAME"),
        (("create", "ben"), 2, "--scopes"),
        (("create", "ben", "--scopes", "predict,root"), 2, "known scopes are"),
        (("create", "ben", "--scopes", ""), 2, "known scopes are"),
        (("create", "ben", "--scopes", "predict", "--expires", "2001-01-01"), 2, "a time to come"),
        (("create", "ben", "--scopes", "predict", "--expires", "soon"), 2, "in how long"),
        (("create", "ben", "--scopes", "predict", "--burst", 0), 2, "--burst"),
        (("create", "ben", "--scopes", "predict", "--rows-per-second", "nan"), 2, "per-second"),
        (("revoke", "ben"), 1, "No such file"),
        (("list",), 1, "No such file"),
    ],
)
def test_wrong_arguments(path: Path, arguments: tuple[object, ...], code: int, said: str) -> None:
    """One line, and the file is not made."""
    refused = run(*arguments, "--file", path)
    assert refused.exit_code == code, refused.output
    assert said in refused.stderr.splitlines()[-1] and "Traceback" not in refused.output
    assert not path.exists()


def test_without_a_file_to_work_on(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """The setting names the file where the option does not; without both, one line says so."""
    monkeypatch.chdir(path.parent)
    assert "--file" in run("list").stderr
    monkeypatch.setenv("TABSERVE_KEYS_FILE", str(path))
    assert run("create", "ben", "--scopes", "predict").exit_code == 0
    assert len(file.read_keys(path)) == 1
    assert "No such file" in run("list", "--file", path.parent / "no" / "keys.json").stderr
