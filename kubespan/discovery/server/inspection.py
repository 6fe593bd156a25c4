"""A page that shows what the server holds of one cluster, for whoever knows its id.

Text in, HTML out. Everything that somebody sent is escaped or in hexadecimal digits; what is sealed
stays sealed. Discovery service, as observed, for what it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from kubespan.discovery.record import AffiliateRecord

HEADERS: Final = {
    "Cache-Control": "no-store",
    # The address of the page has the cluster's id in it, which is half a secret.
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
}

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>kubespan discovery</title>
<style>
body {{ font-family: sans-serif; margin: 2em }}
td {{ font-family: monospace; overflow-wrap: anywhere; vertical-align: top }}
</style>
<h1>What discovery holds of a cluster</h1>
<form action="inspect"><label>Cluster id <input name="clusterID" size="50" value="{cluster_id}">
</label> <button>Show</button></form>
{body}
</html>
"""


def form() -> str:
    """Return the page that asks for a cluster."""
    return _PAGE.format(cluster_id="", body="")


def complaint(cluster_id: str, message: str) -> str:
    """Return the page that says why there is nothing to show."""
    return _PAGE.format(cluster_id=escape(cluster_id), body=f"<p>{escape(message)}</p>")


def inspection(cluster_id: str, records: Sequence[AffiliateRecord]) -> str:
    """Return the page that shows all affiliates, by their ids."""
    rows = "\n".join(map(_row, sorted(records, key=lambda record: record.id)))
    body = (
        f"<p>{len(records)} affiliates</p>\n"
        "<table>\n<tr><th>affiliate<th>data, sealed<th>endpoints, sealed</tr>\n"
        f"{rows}\n</table>"
    )
    return _PAGE.format(cluster_id=escape(cluster_id), body=body)


def _row(record: AffiliateRecord) -> str:
    endpoints = "<br>".join(endpoint.hex() for endpoint in record.endpoints)
    return f"<tr><td>{escape(record.id)}<td>{record.data.hex()}<td>{endpoints}</tr>"
