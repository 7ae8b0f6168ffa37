"""The URLs that a project's apps list themselves, in ``<app>/smoke.py``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.urls import reverse

from yourlabs.smoke import SmokeUrl
from yourlabs.smoke.describing import describe, failure_reason, needed
from yourlabs.smoke.exchange import traceback_text
from yourlabs.smoke.knowledge import Candidate
from yourlabs.smoke.outcomes import Outcome, Result
from yourlabs.smoke.roles import Role

if TYPE_CHECKING:
    from yourlabs.smoke.exchange import Answer
    from yourlabs.smoke.run import SmokeRun


def iter_lists(wanted: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """The label of each app that has a ``smoke.py``, and that module's name."""
    for config in apps.get_app_configs():
        if wanted and not {config.label, config.name} & set(wanted):
            continue
        if config.name == "yourlabs.smoke":
            continue
        name = f"{config.name}.smoke"
        with contextlib.suppress(ImportError, ValueError):
            if find_spec(name) is not None:
                yield config.label, name


def listed_results(run: SmokeRun) -> list[Result]:
    """Request what the apps list; one result a URL."""
    results = []
    for label, module in iter_lists(run.options.apps):
        try:
            kind = getattr(import_module(module), "Smoke", None)
            if kind is None:
                continue
            smoke = kind()
            items = [_as_url(item) for item in smoke.get_urls()]
        except Exception as error:
            results.append(_broken(label, error))
            continue
        results += [_result(run, label, smoke, item) for item in items]
    return [r for r in results if run.options.asks_for(r.name, r.pattern, r.url)]


def _as_url(item: Any) -> SmokeUrl:
    return item if isinstance(item, SmokeUrl) else SmokeUrl(str(item))


def _broken(label: str, error: Exception) -> Result:
    text = f"{type(error).__name__}: {error}"
    return Result(
        "",
        f"{label}.smoke",
        role="listed",
        outcome=Outcome.FAILED,
        reason=f"its list of URLs could not be read: {text}",
        exception=error,
        is_listed=True,
    )


def _result(run: SmokeRun, label: str, smoke: Any, item: SmokeUrl) -> Result:
    url = item.url
    if not url.startswith("/"):
        try:
            url = reverse(url)
        except Exception as error:
            result = _broken(label, error)
            result.pattern = url
            result.reason = f"{url!r} is neither a path nor the name of a pattern"
            return result
    path = url.split("?")[0]
    match = run.knowledge.finder.find(path)
    leaf = match.leaf if match else None
    result = Result(
        leaf.name if leaf else "",
        leaf.pattern if leaf else path,
        url,
        tags=item.tag_list,
        is_listed=True,
        provenance="listed",
        view=leaf.view if leaf else "",
    )
    if not run.options.asks_for(result.name, result.pattern, url):
        return result
    if run.conf.excludes(result.name, path):
        result.role, result.reason = "listed", "excluded"
        return result
    answer = _ask(run, smoke, url)
    describe(result, answer)
    result.role = "listed"
    if not answer.request_text:
        # get_client() raised, so that nothing was requested.
        result.status = result.ms = result.queries = None
        result.response_text = ""
    is_bad = answer.exception is not None or answer.status >= 400
    if answer.status in (405, run.conf.expected(result.name, path)) or not is_bad:
        result.outcome = Outcome.OK
    elif needed(answer):
        result.reason, result.is_refused = needed(answer), True
    else:
        result.outcome, result.reason = Outcome.FAILED, failure_reason(answer)
    return result


def _ask(run: SmokeRun, smoke: Any, url: str) -> Answer:
    """Request a URL with the cookies and headers of the project's own client."""
    cookies: dict[str, str] = {}
    headers: dict[str, str] = {}
    errors: list[Exception] = []

    def prepare(user: Any) -> Candidate | None:
        try:
            client = smoke.get_client() if hasattr(smoke, "get_client") else None
        except Exception as error:
            errors.append(error)
            return None
        if client is not None:
            cookies.update({key: m.value for key, m in client.cookies.items()})
            texts = {k: v for k, v in client.defaults.items() if isinstance(v, str)}
            headers.update(texts)
        return Candidate(url, "listed")

    answer = run.client.ask(
        url, Role("anonymous"), prepare=prepare, cookies=cookies, headers=headers
    )
    if errors:
        answer.url, answer.exception = url, errors[0]
        answer.traceback = traceback_text(errors[0])
    return answer
