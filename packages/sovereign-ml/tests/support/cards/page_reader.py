"""Read an HTML page as a test does: its tags, its addresses and its visible words."""

from html.parser import HTMLParser


class Skeleton(HTMLParser):
    """Collects tags with attribute names, and the visible words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.addresses += [
            value or "" for name, value in attrs if name in {"src", "href", "data", "action"}
        ]

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] != "style":
            self.words.append(data)


def skeleton(page):
    parsed = Skeleton()
    parsed.feed(page)
    return parsed


def words(page):
    return " ".join(" ".join(skeleton(page).words).split())
