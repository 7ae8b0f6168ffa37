"""Tests of the command's options, in the process of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path
from django.views.generic import RedirectView

from tests.smoke.inside import Terminal, command, judge
from yourlabs.smoke.run import SmokeRun

pytestmark = pytest.mark.usefixtures("rows")
JSON = ("--format", "json")


def test_strict_counts_doubtful() -> None:
    """With ``--strict`` what is doubtful has failed."""
    arguments = ("--only", "shop:ghost", *JSON)

    assert command(*arguments).code == 0
    assert command(*arguments, "--strict").code == 1


@pytest.mark.parametrize(
    ("option", "reason"),
    [("--max-queries=5", "queries, more than 5"), ("--max-ms=0", "ms, more than 0")],
)
def test_limits_make_failures(option: str, reason: str) -> None:
    """An answer over a limit is a failure that says by how much."""
    done = command("--only", "shop:many", *JSON, option)

    assert done.code == 1
    assert reason in done.by_name()["shop:many"]["reason"]


def test_listed_only() -> None:
    """With ``--listed`` only what apps list is requested."""
    done = command("--listed", *JSON)

    assert [row["url"] for row in done.report["results"]] == [
        "/search/?q=shoe",
        "/staff/",
        "/search/?q=crash",
    ]


@pytest.mark.parametrize(
    ("name", "urls"),
    [
        ("home", ["/"]),
        ("/", ["/"]),
        ("gone/", ["/gone/"]),
        ("/gone/", ["/gone/"]),
        ("shop:staff", ["/staff/", "/staff/"]),
        ("/search/?q=crash", ["/search/?q=crash"]),
    ],
)
def test_only_what_is_named_is_requested(name: str, urls: list[str]) -> None:
    """A pattern is named by its name or route; its listed URLs come with it."""
    done = command("--only", name, *JSON)

    assert urls == [row["url"] for row in done.report["results"]]


def test_name_of_nothing_ends_with_2() -> None:
    """A name that nothing has is told, and is no reason to call a project healthy."""
    alone = command("--only", "hoem", *JSON)
    beside = command("--only", "hoem", "--only", "home", *JSON)

    assert (2, "") == (alone.code, alone.stdout)
    assert "No URL pattern has the name or route 'hoem'." in alone.stderr
    assert (0, ["No URL pattern has the name or route 'hoem'."]) == (
        beside.code,
        beside.report["summary"]["notes"],
    )


def test_apps_limit_what_is_requested() -> None:
    """With the label of an app only its views and admin pages are requested."""
    done = command("people", *JSON)

    assert {row["name"].rsplit("_", 1)[0] for row in done.report["results"]} == {
        "admin:people_person",
        "",
    }


def test_unknown_app_cannot_run() -> None:
    """The name of an app that is not installed ends the run with 2."""
    done = command("not_there")

    assert (2, "") == (done.code, done.stdout)
    assert "No installed app is called 'not_there'" in done.stderr


@pytest.mark.parametrize("app", ["shop", "tests.smoke.project.shop"])
def test_patterns_of_an_app_are_its_views_and_namespace(app: str) -> None:
    """A pattern is of an app by its view's module or by its namespace."""
    from tests.smoke.project.shop import views

    own = path("own/", login_not_required(lambda request: HttpResponse()), name="own")

    found = judge(
        [
            path("view/", views.plain, name="view"),
            own,
            path("", include(([own], "shop"))),
        ],
        apps=(app,),
    )

    assert {"view", "shop:own"} == set(found)


def test_access_file_fails_when_something_opens(tmp_path: Path) -> None:
    """A second run fails where a weaker role is let in than before."""
    target = tmp_path / "access.json"
    arguments = ("--only", "shop:staff", "--access", str(target), *JSON)

    assert command(*arguments).code == 0
    assert command(*arguments, "--only", "home").code == 0
    known = json.loads(target.read_text())
    assert known["shop:staff /staff/"]["superuser"] == 200
    known["shop:staff /staff/"]["staff"] = 302
    target.write_text(json.dumps(known))
    done = command(*arguments)

    assert done.code == 1
    assert done.by_name()["shop:staff"]["reason"] == "became open to staff"
    assert json.loads(target.read_text()) == known


def test_access_file_tells_a_redirect_to_log_in_from_others(tmp_path: Path) -> None:
    """A page that redirects somebody is open to them, unless to a page to log in."""
    target = tmp_path / "access.json"
    module: Any = ModuleType("urls_of_a_test")
    anybody = login_not_required(RedirectView.as_view(url="/elsewhere/"))
    module.urlpatterns = [
        path("login/", login_not_required(RedirectView.as_view()), name="login"),
        path("open/", anybody, name="open"),
        path("people/", RedirectView.as_view(url="/elsewhere/"), name="people"),
    ]

    with override_settings(ROOT_URLCONF=module):
        command("--only", "open", "--only", "people", "--access", str(target))

    known = json.loads(target.read_text())
    assert {200} == set(known["open /open/"].values())
    assert (302, 200) == (
        known["people /people/"]["anonymous"],
        known["people /people/"]["superuser"],
    )


@pytest.mark.parametrize(
    ("option", "content", "reason"),
    [
        ("--access", "[]", "does not hold an object of pattern and roles"),
        ("--access", "no JSON", "Expecting value"),
        ("--junit", None, "No such file or directory"),
    ],
)
def test_file_that_cannot_be_used_ends_with_2(
    tmp_path: Path, option: str, content: str | None, reason: str
) -> None:
    """A file that cannot be read or written ends the command with 2."""
    target = tmp_path / "file"
    if content is None:
        target /= "not-there"
    else:
        target.write_text(content)

    done = command("--only", "home", option, str(target))

    assert done.code == 2
    assert reason in done.stderr


def no_magic() -> str:
    """A value that is not there today."""
    raise LookupError("no magic")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (no_magic, "LookupError: no magic"),
        (f"{__name__}.no_magic", "LookupError: no magic"),
        (f"{__name__}.nothing", "ImportError"),
    ],
)
def test_value_of_the_project_that_is_not_there_ends_with_2(
    value: Any, text: str
) -> None:
    """A value that the setting cannot give ends the command with 2 and is named."""
    with override_settings(SMOKE={"values": {"magic": value}}):
        done = command("--only", "shop:magic")

    assert done.code == 2
    assert f"SMOKE['values']['magic'] gives no value: {text}" in done.stderr


@pytest.mark.parametrize("value", ["abracadabra", lambda: "abracadabra"])
def test_value_of_the_project_is_a_text_or_made(value: Any) -> None:
    """A value that the setting gives is used, made by a callable or as it stands."""
    with override_settings(SMOKE={"values": {"magic": value}}):
        done = command("--only", "shop:magic", *JSON)

    assert "/magic/abracadabra/" == done.by_name()["shop:magic"]["url"]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"SMOKE": ["home"]}, "SMOKE is ['home']; expected a dict"),
        ({"SMOKE": {"skip": ["home"]}}, "unknown keys ['skip']"),
        ({"MIDDLEWARE": ["not.there"]}, "The middleware could not be loaded"),
        ({"ROOT_URLCONF": "not.there"}, "ROOT_URLCONF 'not.there' could not be loaded"),
    ],
)
def test_setting_that_cannot_be_used_ends_with_2(
    setting: dict[str, Any], reason: str
) -> None:
    """A setting that cannot be used ends the command with 2 and is named."""
    with override_settings(**setting):
        done = command("--only", "home")

    assert done.code == 2
    assert reason in done.stderr
    assert done.stdout == ""


def test_wrong_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that no form takes are a note in the report."""
    monkeypatch.setenv("SMOKE_TEST_USERNAME", "nobody@example.com")
    monkeypatch.setenv("SMOKE_TEST_PASSWORD", "wrong")

    done = command("--only", "home", *JSON)

    assert "SMOKE_TEST_USERNAME" in done.report["summary"]["notes"][0]


@pytest.mark.parametrize(
    ("verbosity", "words"),
    [
        ("0", ["failed"]),
        ("1", ["skipped", "failed", "slowest"]),
        ("2", ["ok", "skipped", "failed", "slowest"]),
    ],
)
def test_report_for_people_says_as_much_as_asked(
    verbosity: str, words: list[str]
) -> None:
    """The report names what failed, then more, and ends with the counts."""
    names = ("home", "shop:missing", "shop:nobody")
    only = [part for name in names for part in ("--only", name)]

    done = command(*only, "--verbosity", verbosity)

    lines = done.stdout.strip().splitlines()
    assert words == [line.split(" (")[0] for line in lines[:-1] if line[:1].strip()]
    assert lines[-1] == "3 patterns: 1 ok, 1 failed, 0 doubtful, 1 skipped"


def test_report_of_nothing_has_no_slowest() -> None:
    """Where nothing was requested nothing was slow."""
    assert "slowest" not in command("--only", "shop:excluded").stdout


def test_progress_is_shown_on_a_terminal() -> None:
    """A bar is drawn on a terminal, and is gone in the end."""
    screen = Terminal()

    command("--only", "home", "--only", "shop:staff", stderr=screen)

    steps = screen.getvalue().split("\r")
    assert f"[{'#' * 15}{'.' * 15}] 1/2" in steps
    assert f"[{'#' * 30}] 2/2" in steps
    assert steps[-2:] == [" " * 50, ""]


def test_no_progress_is_shown_elsewhere() -> None:
    """Nothing is drawn where nobody looks."""
    assert command("--only", "home").stderr == ""


def test_defect_of_the_run_itself_ends_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that breaks says so with 2, and with ``--traceback`` why."""

    def fail(self: SmokeRun) -> None:
        raise LookupError("broken")

    monkeypatch.setattr(SmokeRun, "_rounds", fail)

    done = command("--only", "home")

    assert done.code == 2
    assert "The run itself broke: LookupError: broken" in done.stderr
    with pytest.raises(LookupError):
        command("--only", "home", "--traceback")


@login_not_required
def anybody(request: Any, **kwargs: Any) -> HttpResponse:
    """Let everybody in."""
    return HttpResponse(status=405 if request.path == "/post/" else 200)


def somebody(request: Any) -> HttpResponse:
    """Let people in."""
    return HttpResponse()


@pytest.mark.parametrize(
    ("public", "failed"),
    [
        (None, set()),
        (["login", "/open/*", "blog:*"], {"forgotten"}),
        (["*"], set()),
        ([], {"login", "open", "blog:page", "forgotten"}),
    ],
)
def test_page_that_is_not_public_and_open_has_failed(
    public: list[str] | None, failed: set[str]
) -> None:
    """Where the setting says what is public, nobody may see anything else unasked."""
    module: Any = ModuleType("urls_of_a_test")
    blog = ([path("", anybody, name="page")], "blog")
    module.urlpatterns = [
        path("login/", anybody, name="login"),
        path("open/<slug:word>/", anybody, name="open"),
        path("blog/", include(blog)),
        path("forgotten/", anybody, name="forgotten"),
        path("post/", anybody, name="post"),
        path("private/", somebody, name="private"),
        path("away/", login_not_required(RedirectView.as_view(url="/")), name="away"),
    ]
    setting = {} if public is None else {"public": public}
    with override_settings(ROOT_URLCONF=module, SMOKE=setting, LOGIN_URL="/login/"):
        rows = command(*JSON).by_name()

    reason = "anybody may see it (200), but it is not public"
    assert failed == {name for name, row in rows.items() if row["reason"] == reason}
    assert "ok" == rows["private"]["outcome"]


def test_missing_template_variable_can_be_a_failure() -> None:
    """With ``--fail-on-template-vars`` a page lacks no variable of its template."""
    from django.template import engines

    def view(request: Any) -> HttpResponse:
        page = engines["django"].from_string("{% if not_there %}{% endif %}")
        return HttpResponse(page.render({}, request) + "{{ x }}")

    def lacking(request: Any) -> HttpResponse:
        page = engines["django"].from_string("{{ not_there }}")
        return HttpResponse(page.render({}, request))

    module: Any = ModuleType("urls_of_a_test")
    module.urlpatterns = [
        path("login/", anybody, name="login"),
        path("fine/", login_not_required(view), name="fine"),
        path("lacking/", login_not_required(lacking), name="lacking"),
    ]
    with override_settings(ROOT_URLCONF=module):
        usual = command(*JSON).by_name()
        strict = command(*JSON, "--fail-on-template-vars").by_name()

    assert ["ok", "ok"] == [usual[name]["outcome"] for name in ("fine", "lacking")]
    assert ["ok", "failed"] == [strict[name]["outcome"] for name in ("fine", "lacking")]
    assert "template variables not found: not_there" == strict["lacking"]["reason"]
