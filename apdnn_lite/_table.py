"""A table that a cell can return."""

import html

from ._checks import describe

UPRIGHT = "writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap"


class Bold(str):
    """A cell that a :class:`Table` sets in bold type; as text it stands between asterisks."""


class Table:
    """A table that a notebook shows as such, and anything else as text.

    header: the names of the columns. An empty name, as in the corner above the names of the
        rows, becomes a plain cell: a heading without text would tell a screen reader nothing.
    rows: for each row as many cells, shown by ``str``; None is an empty cell. The first cell of
        a row names it. A row that is a string is a heading for the rows below it.
    upright: whether the names of the columns stand upright, for many narrow columns.

    Raises ValueError if a row does not have one cell for each column.
    """

    def __init__(self, header, rows, upright=False):
        self.upright = upright
        self.header = [str(name) for name in header]
        self.rows = [row if isinstance(row, str) else self._cells(row) for row in rows]

    def _cells(self, row):
        expected = f"expected {len(self.header)} cells in each row, as many as column names"
        if not hasattr(row, "__iter__"):
            raise ValueError(f"{expected}, got {describe(row)}")
        cells = ["" if cell is None else cell if isinstance(cell, Bold) else str(cell)
                 for cell in row]
        if len(cells) != len(self.header):
            raise ValueError(f"{expected}, got {len(cells)}: {cells}")
        return cells

    def __repr__(self):
        rows = [row if isinstance(row, str) else
                [f"*{cell}*" if isinstance(cell, Bold) else cell for cell in row]
                for row in (self.header, *self.rows)]
        cells = [row for row in rows if not isinstance(row, str)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

        def line(row):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            return "  ".join(padded).rstrip()

        return "\n".join(row if isinstance(row, str) else line(row) for row in rows)

    def _repr_html_(self):
        def heading(text, scope, style=""):
            name = html.escape(text)
            if style:
                name = f'<span style="{style}">{name}</span>'
            return f'<th scope="{scope}">{name}</th>' if text else "<td></td>"

        def data(cell):
            text = html.escape(cell)
            return f"<td>{f'<strong>{text}</strong>' if isinstance(cell, Bold) else text}</td>"

        def line(row):
            if isinstance(row, str):
                return (f'<tr><th colspan="{len(self.header)}" scope="rowgroup">'
                        f"{html.escape(row)}</th></tr>")
            first, *others = row
            cells = "".join(map(data, others))
            return f"<tr>{heading(first, 'row')}{cells}</tr>"

        first, *names = self.header
        style = UPRIGHT if self.upright else ""
        head = heading(first, "col") + "".join(heading(name, "col", style) for name in names)
        body = "".join(map(line, self.rows))
        kind = "table upright" if self.upright else "table"
        return (f'<table class="{kind}"><thead><tr>{head}</tr></thead>'
                f"<tbody>{body}</tbody></table>")
