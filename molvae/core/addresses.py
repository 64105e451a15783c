"""Addresses of databases: their password is never written and never printed."""

from __future__ import annotations

import re


def masked(address: str) -> str:
    """One address, or one argument that holds one, with its password left out, whatever characters that has.

    >>> masked("postgresql://ann:it's s3cret@host/molvae?sslpassword=a'b")
    'postgresql://ann@host/molvae?sslpassword='
    """
    return _without(address, blank=r"\n", quotes="")


def without_password(text: str) -> str:
    """The text with the password of every address in it left out; of one with spaces or quotes, see `masked`.

    >>> without_password("molvae worker --storage postgresql://ann:s3cret@host/molvae")
    'molvae worker --storage postgresql://ann@host/molvae'
    >>> without_password("postgresql://ann:s/3@cret@host/molvae?sslpassword=s3cret&sslmode=require")
    'postgresql://ann@host/molvae?sslpassword=&sslmode=require'
    """
    return _without(text, blank=r"\s", quotes="'\"")


def _without(text: str, blank: str, quotes: str) -> str:
    """The text without the passwords in it, which end at what is `blank` and at `quotes`."""
    end = blank + quotes
    text = re.sub(rf"(\w://[^{blank}:/@?]*):[^{end}]*@", r"\1@", text)  # up to the last @: it may hold one, or a slash
    return re.sub(rf"([?&]\w*password=)[^&{end}]*", r"\1", text, flags=re.IGNORECASE)
