"""Tests of reading the setting of the smoke tests."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from yourlabs.smoke.conf import Conf, read_conf


@pytest.mark.parametrize("value", [None, {}, {"exclude": None, "expect": {}}])
def test_setting_may_be_left_out(value: Any) -> None:
    """Without the setting nothing is excluded and nothing expected."""
    with override_settings(SMOKE=value):
        assert Conf() == read_conf()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["home"], "SMOKE is ['home']; expected a dict"),
        ({"skip": []}, "unknown keys ['skip']"),
        ({"exclude": "admin:*"}, "SMOKE['exclude'] is 'admin:*'; expected a list"),
        ({"exclude": [404]}, "SMOKE has 404"),
        ({"expect": ["home"]}, "SMOKE['expect'] is ['home']; expected a dict"),
        ({"expect": {"home": "410"}}, "SMOKE['expect']['home'] is '410'"),
        ({"values": "magic"}, "SMOKE['values'] is 'magic'; expected a dict"),
    ],
)
def test_setting_that_is_wrong_is_named(value: Any, text: str) -> None:
    """A setting of another shape is an error that names the part and says what for."""
    with override_settings(SMOKE=value), pytest.raises(ImproperlyConfigured) as caught:
        read_conf()

    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "names", "does_match"),
    [
        ("admin:*", ("admin:index", "/admin/"), True),
        ("admin:*", ("administer", "/administer/"), False),
        ("/secret/*", ("shop:secret", "/secret/1/"), True),
        ("secret/*", ("shop:secret", "/secret/1/"), True),
        ("/", ("home", "/"), True),
        ("/", ("shop:secret", "/secret/"), False),
        ("*", ("", "/anything/"), True),
        ("Home", ("home", "/"), False),
    ],
)
def test_names_and_paths_are_matched(
    wanted: str, names: tuple[str, ...], does_match: bool
) -> None:
    """A name or a path matches as it is written, and ``*`` stands for anything."""
    assert does_match == Conf(exclude=(wanted,)).excludes(*names)
    assert (410 if does_match else None) == Conf(expect={wanted: 410}).expected(*names)
