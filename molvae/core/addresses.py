"""Addresses of databases: their password is never written and never printed."""

from __future__ import annotations

import re

_IN_ADDRESS = re.compile(r"(\w://[^\s:/@?]*):[^\s'\"]*@")  # up to the last @: a password may hold one, or a slash
_ONE, _QUERY_OF_ONE = re.compile(r"(\w://[^:/@?]*):.*@"), re.compile(r"([?&]\w*password=)[^&]*", re.IGNORECASE)
_IN_QUERY = re.compile(r"([?&]\w*password=)[^&\s'\"]*", re.IGNORECASE)


def masked(address: str) -> str:
    """One address, or one argument that holds one, with its password left out, whatever characters that has.

    >>> masked("postgresql://ann:it's s3cret@host/molvae?sslpassword=a'b")
    'postgresql://ann@host/molvae?sslpassword='
    """
    return _QUERY_OF_ONE.sub(r"\1", _ONE.sub(r"\1@", address))


def without_password(text: str) -> str:
    """The text with the password of every address in it left out; of one with spaces or quotes, see `masked`.

    >>> without_password("molvae worker --storage postgresql://ann:s3cret@host/molvae")
    'molvae worker --storage postgresql://ann@host/molvae'
    >>> without_password("postgresql://ann:s/3@cret@host/molvae?sslpassword=s3cret&sslmode=require")
    'postgresql://ann@host/molvae?sslpassword=&sslmode=require'
    """
    return _IN_QUERY.sub(r"\1", _IN_ADDRESS.sub(r"\1@", text))
