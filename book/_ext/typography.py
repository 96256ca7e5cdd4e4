"""What a typesetter would put right in the built pages, and no author should have to think of.

- In a DataFrame, a column of numbers is set flush right with its heading, and a column of words
  flush left. Pandas sets every heading right, and the theme every cell left.
- Outputs come as a program writes them: an apostrophe is curled, a hyphen before a number becomes a
  minus sign, and "λ = 0.1", "owner 2" or "86–88" is not broken between two lines.
- A short series, "0.2, 0.1, 0.5" or "92.5 / 0.5", is marked: on a phone it stays on one line.
- A heading such as "E_p" gets its letter below the line.
- In a table of :class:`~apdnn_lite.figures.Table`, a cell that holds a sentence may wrap.
- A formula keeps the parenthesis before it, and the marks that follow it, on its own line.
- The link of a solution's title does not begin with a space, which would be underlined.
- A page with a table or a formula that can be wider than a phone gets the script that says so.
"""

import re

TABLE = re.compile(
    r'(?:<style scoped>.*?</style>\s*)?(<table [^>]*class="dataframe.*?</table>)', re.S
)
ROW = re.compile(r"<tr[^>]*>(.*?)</tr>", re.S)
CELL = re.compile(r"<(t[hd])([^>]*)>(.*?)</\1>", re.S)
# "12", "−0.5", "1.2e-05", "94.0%", "3 of 3", "42.0%, 48.0%", "85 (84–86)", "5.2 ± 2.3", "86–88 ●",
# "90 → 87"
NUMBER = re.compile(r"[+\-−±<>≤≥~]?\s?\d(?:[\d\s.,:;%/()–−±+●×→-]|of|to|e[+-]?|dB)*")
SERIES = re.compile(r"[+\-−]?[\d.%]+(?:(?:,| /) [+\-−]?[\d.%]+)+")
SHORT = 24  # characters of a series at most
LONG = re.compile(r"<td>(?=[^<]{41})")
INDEX = re.compile(r"\b([Eq])_([a-z])\b")
FORMULA = re.compile(
    r'([(“‘]?)(<span class="math notranslate nohighlight">\\\((?:(?!\\\)).)*\\\)</span>)'
    r"([.,;:!?)”’]*)",
    re.S,
)
SOLUTION = re.compile(r'(<p class="admonition-title">Solution to)(<a [^>]*>)\s+')
WIDE = ('class="dataframe', 'class="table', 'class="math notranslate nohighlight" id', "<mjx-")


def text_of(cell):
    return re.sub(r"<[^>]*>", "", cell).replace("&nbsp;", " ").strip()


def are_numbers(texts):
    """Whether at least half of these are numbers; a dash or nothing says that there is none."""
    given = [text for text in texts if text not in ("", "–", "—")]
    numbers = [text for text in given if NUMBER.fullmatch(text)]
    return bool(given) and 2 * len(numbers) >= len(given)


def mend_text(text):
    """The text of a cell, between tags: quotes, signs, and spaces that do not break."""
    text = re.sub(r"(?<=\w)'(?=\w|\s|$)", "’", text)
    text = re.sub(r"(?<![\w−-])-(?=\d)", "−", text)
    text = re.sub(r" ([=±]) (?=\S)", "\u00a0\\1\u00a0", text)
    text = re.sub(r"(?<=\d) (of|to) (?=\d)", "\u00a0\\1\u00a0", text)
    text = re.sub(r"(?<=\d) → (?=\d)", "\u00a0→\u00a0", text)
    text = re.sub(r"(?<=\w)-(?=\d)", "-\u2060", text).replace(" ●", "\u00a0●")
    text = re.sub(r"(?<=\d)–(?=\d)", "\u2060–\u2060", text)
    return re.sub(r"(?<=[^\s,;]) (?=\d)", "\u00a0", text)


def mend_table(table):
    """One DataFrame, with its columns of numbers marked and its cells typeset."""
    rows = [CELL.findall(row) for row in ROW.findall(table)]
    bodies = [[text_of(content) for _, _, content in row] for row in rows]
    plain = "span=" not in table and len({len(row) for row in bodies}) == 1
    width = len(bodies[0]) if plain else 0
    numbers = {place for place in range(width) if are_numbers([row[place] for row in bodies[1:]])}

    def mend_row(match):
        place = -1

        def mend_cell(cell):
            nonlocal place
            place += 1
            tag, attributes, content = cell.groups()
            right = place in numbers if plain else tag == "td" and are_numbers([text_of(content)])
            if right:
                series = len(content) <= SHORT and SERIES.fullmatch(content)
                attributes += f' class="number{" series" if series else ""}"'
            parts = re.split(r"(<[^>]*>)", content)
            parts[::2] = map(mend_text, parts[::2])
            if tag == "th":
                parts[::2] = (INDEX.sub(r"<i>\1</i><sub>\2</sub>", part) for part in parts[::2])
            return f"<{tag}{attributes}>{''.join(parts)}</{tag}>"

        return "<tr>" + CELL.sub(mend_cell, match[1]) + "</tr>"

    return ROW.sub(mend_row, table)


def keep_together(match):
    before, formula, after = match.groups()
    return f'<span class="together">{match[0]}</span>' if before or after else formula


def mend(body):
    """The body of a page, typeset."""
    body = TABLE.sub(lambda match: mend_table(match[1]), body)
    body = LONG.sub('<td class="long">', body)
    body = FORMULA.sub(keep_together, body)
    body = SOLUTION.sub(r"\1 \2", body)
    # "ε = 0.1" in running text
    return re.sub(r"([α-ωΑ-Ω]) = (?=[\d−])", "\\1\u00a0=\u00a0", body)


def mend_page(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = mend(context["body"])
        if any(sign in context["body"] for sign in WIDE):
            app.add_js_file("wide.js")


def setup(app):
    app.connect("html-page-context", mend_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
