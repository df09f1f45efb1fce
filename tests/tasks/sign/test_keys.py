"""Private keys: where they may lie, who may read them, and that no word of theirs is told."""

import os
import stat

import pytest

from tasks.errors import SigningError
from tasks.sign import keys
from tasks.sign.device.verify import fingerprint

WORDS = "correct horse battery staple"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """The folder of keys of this test alone."""
    for name in (keys.PASSPHRASE, keys.PASSPHRASE_FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(keys.FOLDER, str(tmp_path / "keys"))
    return tmp_path / "keys"


def name_of(key):
    return fingerprint(key.public_key())


def test_a_key_is_for_its_owner_alone(place):
    before = os.umask(0)
    try:
        made = keys.make()
    finally:
        os.umask(before)
    (path,) = place.iterdir()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.name == f"{name_of(made)[:16]}.pem"
    assert keys.load(name_of(made)).private_numbers() == made.private_numbers()
    assert not keys.encrypts()


def test_a_folder_or_key_that_is_open_to_others_is_refused(place):
    made = keys.make()
    path = keys.path_of(name_of(made))
    path.chmod(0o640)
    with pytest.raises(SigningError, match="chmod 600"):
        keys.load(name_of(made))
    place.chmod(0o755)
    with pytest.raises(SigningError, match="chmod 700"):
        keys.make()
    assert list(place.iterdir()) == [path]


@pytest.mark.parametrize("mark", [".git", ".dvc", "dvc.yaml"])
def test_no_key_lies_in_a_project_or_a_work_tree(tmp_path, monkeypatch, mark):
    """A `.git` may be a file, as of a second work tree; a link does not lead in either."""
    project = tmp_path / "project"
    project.mkdir()
    (project / mark).write_text("")
    link = tmp_path / "link"
    link.symlink_to(project)
    for folder in (project, project / "a/b", link / "keys"):
        monkeypatch.setenv(keys.FOLDER, str(folder))
        with pytest.raises(SigningError, match=f"{project} holds {mark}"):
            keys.make()
    assert [path.name for path in project.iterdir()] == [mark]


def test_without_a_word_they_lie_in_the_users_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv(keys.FOLDER)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert keys.folder() == tmp_path / "config/tercet/keys"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys.folder() == tmp_path / ".config/tercet/keys"


@pytest.mark.parametrize("by_file", [False, True])
def test_a_passphrase_encrypts_and_is_asked_for(tmp_path, monkeypatch, by_file):
    if by_file:
        (tmp_path / "words").write_text(f"{WORDS}\n")
        monkeypatch.setenv(keys.PASSPHRASE_FILE, str(tmp_path / "words"))
    else:
        monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    made = keys.make()
    assert keys.path_of(name_of(made)).read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert keys.load(name_of(made)).private_numbers() == made.private_numbers()
    monkeypatch.setenv(keys.PASSPHRASE, "another secret")
    with pytest.raises(SigningError, match="encrypted by another passphrase") as error:
        keys.load(name_of(made))
    assert "another secret" not in str(error.value)
    assert error.value.__cause__ is None
    monkeypatch.delenv(keys.PASSPHRASE)
    monkeypatch.delenv(keys.PASSPHRASE_FILE, raising=False)
    with pytest.raises(SigningError, match="encrypted; set TERCET_KEYS_PASSPHRASE"):
        keys.load(name_of(made))


def test_a_plain_key_is_read_where_a_passphrase_is_set(monkeypatch):
    made = keys.make()
    monkeypatch.setenv(keys.PASSPHRASE, WORDS)
    assert name_of(keys.load(name_of(made))) == name_of(made)


@pytest.mark.parametrize("variable", [keys.PASSPHRASE, keys.PASSPHRASE_FILE])
def test_an_empty_passphrase_makes_no_plain_key(place, tmp_path, monkeypatch, variable):
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv(variable, "" if variable == keys.PASSPHRASE else str(tmp_path / "empty"))
    with pytest.raises(SigningError, match=f"{variable} is empty"):
        keys.make()
    assert not place.exists() or not list(place.iterdir())


def test_a_key_that_is_absent_or_another(place):
    one, two = keys.make(), keys.make()
    path = keys.path_of(name_of(one))
    path.write_bytes(keys.path_of(name_of(two)).read_bytes())
    with pytest.raises(SigningError, match="holds another key"):
        keys.load(name_of(one))
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(SigningError, match="no private key"):
        keys.load(name_of(one))
    path.unlink()
    with pytest.raises(SigningError, match="not on this machine"):
        keys.load(name_of(one))
