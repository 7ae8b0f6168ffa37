"""Tests of the project, which the tests of the servers run."""

from __future__ import annotations

import urllib.request

from django.test import LiveServerTestCase


class PagesTest(LiveServerTestCase):
    """Requests through the test client and through a real server."""

    def test_client(self) -> None:
        assert self.client.get("/").status_code == 200

    def test_live_server(self) -> None:
        with urllib.request.urlopen(self.live_server_url) as response:
            assert response.status == 200
