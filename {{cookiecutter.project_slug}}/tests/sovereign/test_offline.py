"""A page that was made offline loads nothing from outside, and is otherwise the page that it was."""

import pytest

from sovereign.offline import CONTENT_SECURITY_POLICY, external_loads, make_offline

PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>A &amp; B</title>
<link rel="stylesheet" href="https://cdn.example/bootstrap.css"/>
<link rel="stylesheet" href="style.css">
<script src="//cdn.example/vega.js">ignored()</script>
<style>@import url("https://fonts.example/x.css");
body { background: url(https://img.example/x.png); color: red }</style>
</head><body style="background: url('https://img.example/y.png')">
<!-- kept --><p>Text &#8364; with a <a href="https://docs.example/">link</a>.</p>
<img alt="beacon" src="https://s3.us-east-2.amazonaws.com/logo.png?d=1"><img alt="own" src="data:image/png;base64,AA">
<img srcset="a.png 1x, https://img.example/b.png 2x" src="a.png">
<svg><image href="https://img.example/z.svg"/><use xlink:href="#a"/></svg>
<iframe src="https://www.googletagmanager.com/ns.html"><p>inner</p></iframe>
<script>draw("<b>1</b>" && 2);</script>
</body></html>"""


def test_every_external_load_is_found_and_none_is_left():
    assert len(external_loads(PAGE)) == 9
    offline = make_offline(PAGE)
    assert external_loads(offline) == []
    for gone in ("cdn.example", "img.example", "fonts.example", "amazonaws", "googletagmanager", "ignored", "inner"):
        assert gone not in offline


def test_the_rest_of_the_page_stays():
    offline = make_offline(PAGE)
    for kept in (
        "<!DOCTYPE html>",
        "A &amp; B",
        "&#8364;",
        "<!-- kept -->",
        'href="style.css"',
        '<a href="https://docs.example/">link</a>',
        'src="data:image/png;base64,AA"',
        'draw("<b>1</b>" && 2);',
        "color: red",
        '<use xlink:href="#a"/>',
    ):
        assert kept in offline


@pytest.mark.parametrize("page", [PAGE, "<p>fragment</p>", ""])
def test_the_page_forbids_whatever_a_script_may_try_later(page):
    assert make_offline(page).count(CONTENT_SECURITY_POLICY) == 1


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://x.example/a.js"></script>',
        "<IMG SRC=//x.example/a.png>",
        "<base href='https://x.example/'>",
        '<meta http-equiv="refresh" content="0; url=https://x.example">',
        '<object data="https://x.example/a"></object>',
        '<video poster="https://x.example/a.png"></video>',
        '<form action="https://x.example/"><input></form>',
        '<a ping="https://x.example/" href="#">x</a>',
        '<table background="https://x.example/a.png"></table>',
        '<div style="background:url(//x.example/a.png)">x</div>',
    ],
)
def test_each_way_to_load_from_outside_is_cut(tag):
    assert external_loads(tag)
    assert "x.example" not in make_offline(tag)


@pytest.mark.browser
def test_chromium_asks_for_nothing_outside(tmp_path):
    from playwright.sync_api import sync_playwright

    later = "<script>fetch('https://late.example/'); new Image().src = 'https://late.example/i.png';</script></body>"
    loud, quiet = tmp_path / "loud.html", tmp_path / "quiet.html"
    loud.write_text(PAGE.replace("</body>", later))
    quiet.write_text(make_offline(loud.read_text()))
    asked: dict[str, list[str]] = {}
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for page_file in (loud, quiet):
            context = browser.new_context(offline=True)
            page = context.new_page()
            seen = asked.setdefault(page_file.name, [])
            page.on("requestfailed", lambda request, seen=seen: seen.append(f"{request.failure} {request.url}"))
            page.goto(page_file.as_uri())
            page.wait_for_timeout(300)
        browser.close()
    sent = {name: [row for row in rows if not row.startswith("csp ")] for name, rows in asked.items()}
    assert any("https://late.example/" in row for row in sent["loud.html"])
    assert [row for row in sent["quiet.html"] if "http" in row] == []
