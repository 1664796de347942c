"""Make an HTML page load nothing from outside: cut external resources out, and forbid the rest by policy in the page.

Some tools put trackers, logos and scripts of foreign hosts into the pages they write, without a switch (Great
Expectations' Data Docs, BentoML's start page). Links that a person clicks stay.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'"
)
"""For pages as files and as the header of pages that a tool serves."""

_LOADING = {"src", "srcset", "poster", "data", "background", "action", "formaction", "manifest", "xlink:href", "ping"}
_EXTERNAL = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_CSS = re.compile(
    r"@import\s+(?:url\()?\s*[\"']?(?:https?:)?//[^;]*;?|url\(\s*[\"']?(?:https?:)?//[^)]*\)", re.IGNORECASE
)
_PAIRED = {"script", "iframe", "object", "video", "audio", "picture", "svg"}
_VOID = {"img", "link", "embed", "source", "track", "input", "base", "meta", "br", "hr", "area", "col", "wbr", "param"}


def make_offline(html: str) -> str:
    """``html`` without external scripts, styles, images, frames and imports, and with a Content-Security-Policy."""
    cutter = _Cutter()
    cutter.feed(html)
    cutter.close()
    page = "".join(cutter.kept)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
    with_policy, done = re.subn(r"(<head\b[^>]*>)", lambda head: head.group(1) + policy, page, count=1, flags=re.I)
    return with_policy if done else policy + page


def external_loads(html: str) -> list[str]:
    """What a browser would fetch from outside when it opens ``html``, in order."""
    cutter = _Cutter()
    cutter.feed(html)
    cutter.close()
    return cutter.cut


class _Cutter(HTMLParser):
    """Copies the page as it is written, except the tags and style rules that load from outside."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.kept: list[str] = []
        self.cut: list[str] = []
        self._inside = ""
        self._depth = 0
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside:
            self._depth += tag == self._inside
            return
        loads = _loads(tag, attrs)
        self.cut += loads
        if loads and tag in _PAIRED:
            self._inside, self._depth = tag, 1
        elif not loads or tag not in _VOID:
            self._keep_tag(tag, attrs, loads)
        self._style = tag == "style"

    def _keep_tag(self, tag: str, attrs: list[tuple[str, str | None]], loads: list[str]) -> None:
        text = self.get_starttag_text() or ""
        for name, value in attrs:
            if value and name != "href" and (value in loads or _CSS.search(value)):
                text = re.sub(rf"\s{re.escape(name)}\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>]+)", "", text, flags=re.I)
                self.cut += [found.group() for found in _CSS.finditer(value)] if name == "style" else []
        self.kept.append(text)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = _loads(tag, attrs)
        self.cut += [] if self._inside else loads
        if not self._inside and not loads:
            self._keep_tag(tag, attrs, loads)

    def handle_endtag(self, tag: str) -> None:
        if not self._inside:
            self.kept.append(f"</{tag}>")
        elif tag == self._inside:
            self._depth -= 1
            self._inside = "" if self._depth == 0 else self._inside
        self._style = False

    def handle_data(self, data: str) -> None:
        if self._style:
            self.cut += [found.group() for found in _CSS.finditer(data)]
            data = _CSS.sub("", data)
        self._keep(data)

    def handle_entityref(self, name: str) -> None:
        self._keep(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._keep(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._keep(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._keep(f"<!{decl}>")

    def _keep(self, text: str) -> None:
        if not self._inside:
            self.kept.append(text)


def _loads(tag: str, attrs: list[tuple[str, str | None]]) -> list[str]:
    """The external addresses that this tag makes a browser fetch without a click."""
    found = [value for name, value in attrs if value and name in _LOADING and _has_external(name, value)]
    given = {name: value or "" for name, value in attrs}
    if tag in ("link", "base", "use", "image") and _EXTERNAL.match(given.get("href", "")):
        found.append(given["href"])
    if tag == "meta" and given.get("http-equiv", "").lower() == "refresh" and "//" in given.get("content", ""):
        found.append(given["content"])
    return found


def _has_external(name: str, value: str) -> bool:
    parts = value.split(",") if name == "srcset" else [value]
    return any(_EXTERNAL.match(part) for part in parts)
