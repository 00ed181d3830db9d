"""A drawing that says what it is: simulated, and by whom."""

from functools import lru_cache
from xml.sax.saxutils import escape


@lru_cache(maxsize=16)
def draw(provider: str, width: int, height: int, variation: int = 0) -> bytes:
    """An SVG."""
    hue = 30 + variation * 55
    text = 'x="50%" fill="white" text-anchor="middle"'
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">
<rect width="100%" height="100%" fill="hsl({hue}, 40%, 35%)"/>
<circle cx="{width * 0.72:.0f}" cy="{height * 0.22:.0f}" r="{height * 0.1:.0f}" fill="#f0dcaa"/>
<text y="52%" font-size="{height // 8}" {text}>simulated</text>
<text y="68%" font-size="{height // 12}" {text}>{escape(provider)}</text>
</svg>
""".encode()
