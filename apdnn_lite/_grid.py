"""What a grid of images must be made of, checked before anything is drawn."""

import torch

from ._checks import describe


def check_grid(rows, titles, captions, perturbation_rows):
    """The number of columns; raises ValueError unless ``figures.images`` can draw these."""
    for name, row in rows.items():
        if not isinstance(row, torch.Tensor) or row.dim() != 4 or row.shape[1] not in (1, 3):
            raise ValueError(f"row {name!r} must be a tensor (N, C, H, W) with one channel or "
                             f"three, got {describe(row)}")
    counts = {name: len(row) for name, row in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError("expected rows with the same number of images, one or more; got "
                         f"{counts or 'no rows'}")
    columns = counts.popitem()[1]
    named = {f"captions of {name!r}": texts for name, texts in captions.items()}
    for name, texts in {"titles": titles, **named}.items():
        if texts is not None and len(texts) != columns:
            raise ValueError(f"{name}: expected {columns} texts, one for each column, "
                             f"got {len(texts)}")
    unknown = [name for name in (*captions, *perturbation_rows) if name not in rows]
    if unknown:
        raise ValueError(f"captions and perturbation_rows name {unknown}; "
                         f"the rows are {list(rows)}")
    return columns
