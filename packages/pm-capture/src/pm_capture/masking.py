"""Text of settings as it may be printed or stored: without what a URL may hold of secrets.

A run bundle is handed on to others, and so are terminal logs; a proxy password or a key in a query must
be in neither. Masked are the name and password before `@`, and the whole query.
"""

MASK = "***"


def masked(value: object) -> object:
    """Return a value without its secrets; only texts that hold a URL can have any."""
    if not isinstance(value, str) or "://" not in value:
        return value
    return masked_url(value)


def masked_url(url: str) -> str:
    """Return a URL without user information and without the content of its query."""
    scheme, _, rest = url.partition("://")
    rest, question, _ = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        authority = f"{MASK}@{authority.rsplit('@', 1)[1]}"
    return f"{scheme}://{authority}{slash}{path}{question}{MASK if question else ''}"
