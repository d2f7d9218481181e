"""Passwords in addresses are masked wherever they would be written or printed."""

import re

MASK = "***"
LOGIN = re.compile(r"(\b[a-zA-Z][\w+.-]*://[^\s/:@'\"]*):[^\s/'\"]*@")
PARAMETER = re.compile(r"([?&](?:\w*password|passwd|token)=)[^&\s'\"]+", re.IGNORECASE)


def mask(text: str) -> str:
    """The text with *** for the password of each address in it."""
    return PARAMETER.sub(rf"\1{MASK}", LOGIN.sub(rf"\1:{MASK}@", text))
