"""The pages for people: all chains at a glance, one chain, and what steers it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_POST, require_safe

from yourlabs.runner.exceptions import RunnerError, UnknownChain
from yourlabs.runner.failures.redact import redact
from yourlabs.runner.steer import control, table
from yourlabs.runner.steer.document import chain_document
from yourlabs.runner.steer.reading import (
    Reading,
    TaskReading,
    read_chain,
    read_chains,
    require,
)
from yourlabs.runner.web import access, charts

REFRESH_S = 10
"""How often the pages are read again, in seconds: by a header, without a script."""

ACTIONS = {
    "wake": "The next task runs now, once, after the one that is running.",
    "pause": "The running task ends; none begins until the chain is resumed.",
    "resume": "The next task begins when it is due.",
    "silence": "Nobody is told of failures; what is owed is told at the end, once.",
    "unsilence": "What was held back is told now.",
}
"""What the page can do, and what it says of it."""

LENGTHS = {"": 0, "15 min": 900, "1 h": 3_600, "4 h": 14_400, "1 d": 86_400}
"""For how long a pause or a silence can be had with one choice, in seconds."""


@never_cache
@require_safe
@access.viewers_only
def status_page(request: HttpRequest) -> HttpResponseBase:
    """Show all chains at a glance: who needs somebody comes first."""
    now = time.time()
    rows = [_row(reading, now) for reading in read_chains(hours=charts.DAY)]
    rows.sort(key=lambda row: (row["urgency"], row["chain"]["name"]))
    words = [row["word"] for row in rows]
    hosts = {row["chain"]["owner"]["host"] for row in rows if row["chain"]["owner"]}
    return _page(
        request,
        "runner/status.html",
        rows=rows,
        hosts=len(hosts),
        tiles=[
            ("chains", len(rows), ""),
            ("runs in this hour", sum(row["this_hour"] for row in rows), ""),
            *((word, words.count(word), word) for word in ("failing", "stalled")),
            ("paused", words.count("paused"), "paused"),
        ],
        now=_moment(now),
        title="Chains",
    )


@never_cache
@require_safe
@access.viewers_only
def chain_page(request: HttpRequest, chain: str) -> HttpResponseBase:
    """Show one chain: its tasks, its last week, and what was asked of it."""
    return _chain_page(request, chain)


@csrf_protect
@never_cache
def control_page(request: HttpRequest, chain: str) -> HttpResponseBase:
    """Steer a chain: for superusers, with a POST."""
    if not access.may_control(request):
        raise PermissionDenied
    return _control(request, chain)


@require_POST
def _control(request: HttpRequest, chain: str) -> HttpResponseBase:
    action, user = request.POST.get("action", ""), getattr(request, "user", None)
    if action not in ACTIONS:
        return _chain_page(request, chain, problem="There is no such action.")
    options: dict[str, Any] = {"by": user.get_username() if user else "somebody"}
    options["reason"] = request.POST.get("reason", "")
    try:
        if action in ("pause", "silence"):
            options["until"] = _until(request.POST.get("until", ""))
        getattr(control, action)(chain, **options)
    except UnknownChain as exc:
        raise Http404(str(exc)) from exc
    except (RunnerError, ValueError) as exc:
        return _chain_page(request, chain, problem=str(exc))
    return redirect("runner:chain", chain=chain)


def _until(text: str) -> datetime | timedelta | None:
    """
    Return what the field ``until`` says: a choice of `LENGTHS`, a time, or nothing.

    Raises:
        ValueError: It is something else.
    """
    if text in LENGTHS:
        return timedelta(seconds=LENGTHS[text]) if text else None
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromtimestamp(float(text), timezone.utc)
    except (ValueError, OverflowError, OSError):
        msg = "The end is no time: give it like 2030-12-31T18:00, or choose one."
        raise ValueError(msg) from None


def _chain_page(request: HttpRequest, name: str, problem: str = "") -> HttpResponse:
    try:
        reading = read_chain(require(name), hours=charts.WEEK)
    except UnknownChain as exc:
        raise Http404("There is no such chain.") from exc
    now = time.time()
    may_control = access.may_control(request)
    hours = charts.hours_of(reading.tasks.values(), now, charts.WEEK)
    response = _page(
        request,
        "runner/chain.html",
        row=_row(reading, now),
        tasks=[_task(task, now) for task in reading.tasks.values()],
        charts=[
            ("Runs by hour, 7 days", charts.runs_chart(hours)),
            ("Longest run by hour, 7 days", charts.durations_chart(hours)),
        ],
        hours=hours.rows(),
        failures=_failures(reading.tasks.values()),
        recent=_recent(reading.tasks.values()),
        acts=[(_moment(act.at), *act[1:]) for act in reversed(reading.desired.acts)],
        actions=ACTIONS.items() if may_control else (),
        lengths=[*LENGTHS][1:],
        problem=problem,
        now=_moment(now),
        title=name,
        # Who fills in a form must not lose it.
        refresh=not may_control,
    )
    response.status_code = 400 if problem else 200
    return response


def _page(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    has_admin = apps.is_installed(access.ADMIN) and getattr(request, "user", None)
    if has_admin:
        from django.contrib.admin import site

        context = {**site.each_context(request), **context}
    parent = "admin/base_site.html" if has_admin else "runner/plain.html"
    is_still = request.GET.get("refresh") == "off" or not context.get("refresh", True)
    context |= {"parent": parent, "is_still": is_still, "refresh_s": REFRESH_S}
    response = render(request, template, context)
    if not is_still:
        # No script, and nothing in the page that a reader has to sit through.
        response["Refresh"] = str(REFRESH_S)
    return response


def _row(reading: Reading, now: float) -> dict[str, Any]:
    """Return what the pages show of a chain, in words."""
    chain = chain_document(reading, now)
    hours = charts.hours_of(reading.tasks.values(), now, charts.DAY)
    word = table.shown_state(chain)
    return {
        "chain": chain,
        "word": word,
        "state": table.STATES[word].capitalize(),
        "urgency": table.urgency(chain),
        "said": [*_said(reading, chain, now)],
        "chart": charts.runs_chart(hours),
        "this_hour": hours.runs[-1],
        "last_run": table.ago(table.last_run(chain), now),
        "next_run": table.next_run(chain, now),
        "runs_in": table.runs_in(chain),
        "kind": (chain["owner"] or {}).get("kind", ""),
    }


def _said(reading: Reading, chain: dict[str, Any], now: float) -> Iterable[str]:
    """Yield what has to be said of a chain beside its state."""
    if chain["reason"]:
        yield chain["reason"]
    if chain["current"] is not None:
        since = table.length(max(0.0, now - chain["current"]["since"]))
        yield f"{chain['current']['task']} since {since}"
    for task in chain["tasks"]:
        if task["exception"] is not None:
            lasts = table.length(max(0.0, now - task["down_since"]))
            times = f"{task['consecutive']} failure{'s'[: task['consecutive'] != 1]}"
            yield f"{task['name']} down for {lasts}, {times} in a row"
            yield f"{task['exception']['type']}: {task['exception']['message']}"[:300]
    if chain["silenced"] is not None:
        held = sum(held for _, held in reading.channels.values())
        yield f"Silenced by {chain['silenced']['by']}, {held} reports held back"
    desired, seen = reading.desired.at(now), reading.seen.at(now)
    is_seen = (desired.paused, desired.silenced) == (seen.paused, seen.silenced)
    if desired.wake > seen.wake or not is_seen:
        yield "Asked, not yet seen"


def _task(task: TaskReading, now: float) -> dict[str, Any]:
    history = task.history
    return {
        "name": task.name,
        "path": task.path,
        "runs": history.runs,
        "failures": history.failures,
        "last_run": table.ago(history.last_run, now),
        "last_success": table.ago(history.last_success, now),
        "last_duration": history.last_duration,
        "is_down": task.downtime.is_down,
    }


def _failures(tasks: Iterable[TaskReading]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "at": _moment(one.at),
            "task": task.name,
            "type": one.exception_type,
            "message": redact(one.message),
            "traceback": redact(one.traceback),
        }
        for task in tasks
        for one in task.history.failed_runs
    ]
    return sorted(found, key=lambda one: one["at"], reverse=True)[:50]


def _recent(tasks: Iterable[TaskReading]) -> list[tuple[Any, ...]]:
    found = [
        (_moment(at), task.name, duration, well)
        for task in tasks
        for at, duration, well in task.history.recent
    ]
    return sorted(found, reverse=True)[:20]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
