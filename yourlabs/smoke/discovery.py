"""Find every leaf of the URL resolver, and the leaf that a path leads to."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.conf import global_settings, settings
from django.urls import LocalePrefixPattern, get_resolver
from django.urls.resolvers import RegexPattern
from django.utils import translation

from yourlabs.smoke import shapes
from yourlabs.smoke.introspection import unwrap

MAX_LANGUAGES = 6
"""In how many languages the patterns of ``i18n_patterns`` are listed."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """One URL pattern that leads to a view, in one language.

    Attributes:
        chain: The resolvers below the root, then the pattern itself.
        pattern: The route as ``ResolverMatch.route`` has it.
        language: The language of the URL; None outside ``i18n_patterns``.
    """

    chain: tuple[Any, ...]
    namespaces: tuple[str, ...]
    pattern: str
    language: str | None = None
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def callback(self) -> Any:
        """What the resolver would call."""
        return self.chain[-1].callback

    @property
    def name(self) -> str:
        """The name with its namespaces; empty when the pattern has no name."""
        own = getattr(self.chain[-1], "name", None)
        return ":".join([*self.namespaces, str(own)]) if own else ""

    @property
    def label(self) -> str:
        """What to call the leaf in a report: its name, else its route."""
        return self.name or self.pattern or "/"

    @functools.cached_property
    def converters(self) -> dict[str, Any]:
        """The path converters of the whole route, by parameter."""
        return {
            name: converter
            for part in self.chain
            for name, converter in getattr(part.pattern, "converters", {}).items()
        }

    @functools.cached_property
    def view(self) -> str:
        """The dotted path of the view."""
        view = unwrap(self.callback)
        name = getattr(view, "__qualname__", None) or type(view).__qualname__
        return f"{getattr(view, '__module__', type(view).__module__)}.{name}"

    @functools.cached_property
    def shapes(self) -> list[shapes.Shape]:
        """The ways to write a path to this leaf, each starting with a slash."""
        with speaking(self.language):
            try:
                several = [_pattern_shapes(part.pattern) for part in self.chain]
            except Exception:  # a project's own pattern class may do anything
                return []
        return shapes.combine([[("/",)], *several])

    @property
    def is_open_ended(self) -> bool:
        """Whether the route ends nowhere, or takes any text in between."""
        pattern = self.chain[-1].pattern
        text = str(pattern)
        is_regex = isinstance(pattern, RegexPattern)
        has_end = text.endswith(("$", r"\Z", r"\z"))
        return is_regex and (not has_end or ".*" in text or ".+" in text)

    @property
    def has_parameters(self) -> bool:
        """Whether every way to write the path needs a value."""
        return all(shapes.slots(shape) for shape in self.shapes)


@dataclass(frozen=True)
class Match:
    """Where a path leads, and the texts of its parameters, by slot name."""

    leaf: Leaf
    values: dict[str, str]


def speaking(language: str | None) -> Any:
    """Activate a language for a while; the project's own for None."""
    return translation.override(language or main_language())


def _pattern_shapes(pattern: Any) -> list[shapes.Shape]:
    if isinstance(pattern, LocalePrefixPattern):
        return [(str(pattern.language_prefix),)]
    regex = pattern.regex
    return shapes.shapes_of(regex.pattern, regex.flags)


def _is_resolver(pattern: Any) -> bool:
    return hasattr(pattern, "url_patterns")


def _join(route: str, part: str) -> str:
    return route + part[1:] if route and part.startswith("^") else route + part


def iter_leaves(urlconf: str | None = None) -> Iterator[Leaf]:
    """List the leaves of the resolver, in its order.

    Leaves below ``i18n_patterns`` come once in the project's language, then
    once in each of its other languages.

    Args:
        urlconf: A module of URL patterns; ``ROOT_URLCONF`` for None.

    Raises:
        Exception: Whatever importing the project's URL patterns raises.
    """
    root = get_resolver(urlconf)
    first, *others = languages()
    with speaking(first):
        yield from _walk(root.url_patterns, Leaf((), (), ""), first)
    for language in others:
        with speaking(language):
            for leaf in _walk(root.url_patterns, Leaf((), (), ""), language):
                if leaf.language is not None:
                    yield leaf


def languages() -> list[str]:
    """The site's language first, then the others that it answers in."""
    first = main_language()
    is_usual = settings.LANGUAGES == global_settings.LANGUAGES
    if is_usual or not settings.USE_I18N or not _chooses_language():
        return [first]
    known = [code for code, _ in settings.LANGUAGES]
    others = [code for code in known if code not in (first, settings.LANGUAGE_CODE)]
    return [first, *filter(_is_spoken, others)][:MAX_LANGUAGES]


def main_language() -> str:
    """The language of whoever asks for none, as URLs write it.

    ``LANGUAGE_CODE`` may be a variant, like ``en-us``, of a language of the site.
    """
    code: str = settings.LANGUAGE_CODE
    if not settings.USE_I18N or not _chooses_language() or _leaves_prefix_out():
        return code
    try:
        return translation.get_supported_language_variant(code)
    except LookupError:
        return code


def _is_spoken(code: str) -> bool:
    """Whether Django or the project has the words of a language, so that it is used."""
    try:
        return translation.get_supported_language_variant(code, strict=True) == code
    except LookupError:
        return False


def _chooses_language() -> bool:
    """Whether a middleware activates the language of a URL."""
    names = [name.lower() for name in settings.MIDDLEWARE]
    return any("locale" in name or "lang" in name or "i18n" in name for name in names)


def _leaves_prefix_out() -> bool:
    """Whether the URLs of ``LANGUAGE_CODE`` itself do not name it."""
    return any(
        isinstance(item.pattern, LocalePrefixPattern)
        and not item.pattern.prefix_default_language
        for item in get_resolver().url_patterns
    )


def _walk(patterns: Any, above: Leaf, language: str) -> Iterator[Leaf]:
    for item in patterns:
        is_localised = isinstance(item.pattern, LocalePrefixPattern)
        namespace = getattr(item, "namespace", None)
        defaults = getattr(item, "default_kwargs", None) or getattr(
            item, "default_args", None
        )
        here = Leaf(
            chain=(*above.chain, item),
            namespaces=above.namespaces + ((namespace,) if namespace else ()),
            pattern=_join(above.pattern, str(item.pattern)),
            language=language if is_localised else above.language,
            defaults={**above.defaults, **(defaults or {})},
        )
        if _is_resolver(item):
            yield from _walk(item.url_patterns, here, language)
        elif callable(getattr(item, "callback", None)):
            yield here


class PathFinder:
    """Tell which leaf a URL leads to. Remembers its answers; one thread only."""

    def __init__(self, leaves: list[Leaf], urlconf: str | None = None) -> None:
        self.root = get_resolver(urlconf)
        self.leaves = {leaf_key(leaf.chain, leaf.language): leaf for leaf in leaves}
        self.known: dict[str, Match | None] = {}

    def find(self, url: str) -> Match | None:
        """Resolve a URL without its query string; None when nothing matches."""
        path = url.split("?")[0]
        if path not in self.known:
            self.known[path] = self._find(path)
        return self.known[path]

    def _find(self, path: str) -> Match | None:
        named = _chooses_language() and translation.get_language_from_path(path)
        language = named or main_language()
        with speaking(language):
            try:
                return self._descend(self.root, path, (), {}, None)
            except Exception:  # a converter or a pattern class of the project
                return None

    def _descend(
        self,
        resolver: Any,
        path: str,
        chain: tuple[Any, ...],
        values: dict[str, str],
        language: str | None,
    ) -> Match | None:
        matched = resolver.pattern.match(path)
        if not matched:
            return None
        rest = matched[0]
        if isinstance(resolver.pattern, LocalePrefixPattern):
            language = translation.get_language()
        values = {**values, **_captured(resolver.pattern, path, len(values))}
        for item in resolver.url_patterns:
            if _is_resolver(item):
                found = self._descend(item, rest, (*chain, item), values, language)
                if found:
                    return found
            elif item.pattern.match(rest):
                texts = {**values, **_captured(item.pattern, rest, len(values))}
                leaf = self.leaves.get(leaf_key((*chain, item), language))
                return Match(leaf, texts) if leaf else None
        return None


def leaf_key(chain: tuple[Any, ...], language: str | None) -> tuple[Any, ...]:
    """What tells a leaf from all others of the process."""
    return (*map(id, chain), language)


def _captured(pattern: Any, path: str, count: int) -> dict[str, str]:
    regex = getattr(pattern, "regex", None)
    matched = regex.search(path) if regex is not None else None
    if matched is None or not matched.re.groups:
        return {}
    groups = matched.groupdict().items()
    named = {name: text for name, text in groups if text is not None}
    if named:
        return named
    return {
        str(count + index): text
        for index, text in enumerate(matched.groups())
        if text is not None
    }
