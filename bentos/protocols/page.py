"""The page at `/`: Swagger UI on this model's OpenAPI document, and nothing from elsewhere.

Script and style are the files that BentoML serves below `static_content`. Its own page
would load a tag manager from another host into every visitor's browser.
"""

from __future__ import annotations

from html import escape

# Nothing but this server may be loaded, asked or framed. Swagger UI sets styles in place.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="./static_content/swagger-ui.css">
<link rel="icon" href="data:,">
<style>.swagger-ui .topbar {{ display: none }}</style>
</head>
<body>
<div id="swagger-ui"></div>
<noscript>Without JavaScript: <a href="./docs.json">the OpenAPI document</a>.</noscript>
<script src="./static_content/swagger-ui-bundle.js"></script>
<script src="./static_content/swagger-ui-standalone-preset.js"></script>
<script src="./static_content/swagger-initializer.js"></script>
</body>
</html>
"""


def render(title: str) -> bytes:
    """Make the page, in UTF-8."""
    return _PAGE.format(title=escape(title)).encode()
