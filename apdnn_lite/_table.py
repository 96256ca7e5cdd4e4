"""A table that a cell can return."""

import html

from ._checks import describe


class Table:
    """A table that a notebook shows as such, and anything else as text.

    header: the names of the columns. An empty name, as in the corner above the names of the
        rows, becomes a plain cell: a heading without text would tell a screen reader nothing.
    rows: for each row as many cells, shown by ``str``; None is an empty cell. The first cell of
        a row names it. A row that is a string is a heading for the rows below it.

    Raises ValueError if a row does not have one cell for each column.
    """

    def __init__(self, header, rows):
        self.header = [str(name) for name in header]
        self.rows = [row if isinstance(row, str) else self._cells(row) for row in rows]

    def _cells(self, row):
        expected = f"expected {len(self.header)} cells in each row, as many as column names"
        if not hasattr(row, "__iter__"):
            raise ValueError(f"{expected}, got {describe(row)}")
        cells = ["" if cell is None else str(cell) for cell in row]
        if len(cells) != len(self.header):
            raise ValueError(f"{expected}, got {len(cells)}: {cells}")
        return cells

    def __repr__(self):
        cells = [row for row in self.rows if not isinstance(row, str)]
        widths = [max(map(len, column)) for column in zip(self.header, *cells, strict=True)]

        def line(row):
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            return "  ".join(padded).rstrip()

        return "\n".join(row if isinstance(row, str) else line(row)
                         for row in (self.header, *self.rows))

    def _repr_html_(self):
        def heading(text, scope):
            return f'<th scope="{scope}">{html.escape(text)}</th>' if text else "<td></td>"

        def line(row):
            if isinstance(row, str):
                return (f'<tr><th colspan="{len(self.header)}" scope="rowgroup">'
                        f"{html.escape(row)}</th></tr>")
            first, *others = row
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
            return f"<tr>{heading(first, 'row')}{cells}</tr>"

        head = "".join(heading(name, "col") for name in self.header)
        body = "".join(map(line, self.rows))
        return (f'<table class="table"><thead><tr>{head}</tr></thead>'
                f"<tbody>{body}</tbody></table>")
