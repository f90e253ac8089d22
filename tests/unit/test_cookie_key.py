"""The secret that signs cookies where the settings name none."""

from __future__ import annotations

import multiprocessing
import stat

import pytest

from gateway.cookie_key import CookieKeyUnusable, with_cookie_key
from tests.builders import make_settings

OWN = "2026a:0123456789abcdef"


def keys_of(folder, *own):
    loaded = with_cookie_key(make_settings(data_dir=folder, cookies={"keys": own}))
    return [key.get_secret_value() for key in loaded.cookies.keys]


def _keys_in_a_process(folder, results):
    results.put(keys_of(folder))


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path):
    """A restart reads it again: else every visitor's signed cookie would be foreign."""
    [first] = keys_of(tmp_path)
    assert [first] == keys_of(tmp_path)
    assert 0o600 == stat.S_IMODE((tmp_path / "cookie.key").stat().st_mode)
    assert ["cookie.key"] == [each.name for each in tmp_path.iterdir()]


def test_keys_of_the_settings_need_no_file(tmp_path):
    """Nothing is made beside them."""
    assert [OWN] == keys_of(tmp_path, OWN)
    assert [] == list(tmp_path.iterdir())


def test_keys_that_come_later_leave_what_was_signed_before_readable(tmp_path):
    """The file's key goes behind them."""
    [made] = keys_of(tmp_path)
    assert [OWN, made] == keys_of(tmp_path, OWN)
    assert [made] == keys_of(tmp_path, made)


def test_processes_that_start_together_agree(tmp_path):
    """The first one's key is everybody's."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_keys_in_a_process, args=(tmp_path, results)) for _ in range(4)]
    for process in processes:
        process.start()
    keys = {tuple(results.get(timeout=60)) for _ in processes}
    for process in processes:
        process.join()
    results.close()
    results.join_thread()
    assert 1 == len(keys)


@pytest.mark.parametrize("content", [b"", b"no colon at all, but a secret", b"\xff\xfe"])
def test_a_broken_key_file_is_told_without_its_content(tmp_path, content):
    """The mend is named, the secret is not."""
    (tmp_path / "cookie.key").write_bytes(content)
    with pytest.raises(CookieKeyUnusable) as caught:
        keys_of(tmp_path)
    assert "cookie.key" in str(caught.value)
    assert "cookies.keys" in caught.value.hint
    assert "secret" not in str(caught.value)
