"""Settings that check themselves: a frozen dataclass in which each setting is one line."""

import difflib
from dataclasses import dataclass, field, fields
from functools import partial

from ._checks import one_of, real_number, whole_number, yes_or_no


def setting(default, what, check=None):
    """A field of a :func:`checked` class: its default, what it is, and a function that checks it.

    check: takes the setting's name and its value, returns the value to keep, or raises ValueError.
    """
    return field(default=default, metadata={"what": what, "check": check})


def checked(cls):
    """A frozen dataclass whose fields are checked when it is made and listed in its docstring."""
    def check_all(self):
        for each in fields(self):
            check = each.metadata.get("check")
            if check is not None:
                object.__setattr__(self, each.name, check(each.name, getattr(self, each.name)))

    own_doc = cls.__doc__
    cls.__post_init__ = check_all
    cls = dataclass(frozen=True)(cls)
    lines = [f"    {each.name} = {each.default!r}: {each.metadata['what']}" for each in fields(cls)]
    cls.__doc__ = "\n".join([own_doc.rstrip(), "", *lines, ""])
    return cls


def at_most(most, name, value):
    """``value``; raises ValueError if it is larger than ``most``."""
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return value


def made_of(cls, words):
    """``cls(**words)``; raises TypeError for a word that it does not know."""
    known = [each.name for each in fields(cls)]
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
            raise TypeError(f"unknown setting {word!r}: {hint}")
    return cls(**words)


class must:
    """Checks for :func:`setting`: each takes a name and a value and returns the value to keep."""

    be_whole = staticmethod(whole_number)  # 1 or more
    be_natural = staticmethod(partial(whole_number, least=0))
    be_positive = staticmethod(partial(real_number, above=True))
    not_be_negative = staticmethod(real_number)
    be_bool = staticmethod(yes_or_no)

    @staticmethod
    def be_none_or(check):
        """None, or what another check lets pass."""
        def check_or_none(name, value):
            return None if value is None else check(name, value)
        return check_or_none

    @staticmethod
    def be_one_of(*known):
        """One of these words."""
        return partial(one_of, choices=known)

    @staticmethod
    def be_a_function(name, value):
        """Something that can be called."""
        if not callable(value):
            raise ValueError(f"{name} must be a function, got {value!r}")
        return value

    @staticmethod
    def be_a_seed(name, value):
        """A whole number from 0 up that torch and NumPy take as a seed."""
        return at_most(2**63 - 1, name, whole_number(name, value, least=0))

    @staticmethod
    def be_a_seed_of_torch(name, value):
        """A whole number that torch takes as a seed; it may be negative."""
        return at_most(2**64 - 1, name, whole_number(name, value, least=-2**63))
