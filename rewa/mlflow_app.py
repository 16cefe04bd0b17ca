"""The MLflow server's web application, with its UI opened on a sweep's comparison.

MLflow opens an experiment on a table of runs, and has no setting for anything else. Its server takes other
applications by name (``mlflow server --app-name rewa``, an entry point of ``mlflow.app``): this one is its
own, with a small script added to the page. The script asks the server which experiments have the view
:data:`rewa.mlflow_view.METHODS_VIEW`, and where the address says no more than "the UI" or "this experiment"
it goes on to that view. MLflow's chat panel, which would take a third of the charts' width on the first
visit, stays closed until it is asked for. Everything else, all requests of clients among it, passes through
unchanged.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from rewa.mlflow_view import METHODS_VIEW, view_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

APP_NAME = "rewa"
"""Name of the entry point."""

PLACE = b"</head>"

SCRIPT = """<script>
(async () => {
  const panel = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1";  // a chat that opens itself over the charts
  try { localStorage.getItem(panel) || localStorage.setItem(panel, "true"); } catch (error) {}
  const view = (id) => "VIEW".replace("EXPERIMENT", id);
  const bare = (hash) => (/^#\\/experiments\\/(\\d+)(\\/runs)?\\/?$/.exec(hash) || [])[1];
  const asked = location.hash;
  let views = [];
  try {
    const answer = await fetch("ajax-api/2.0/mlflow/experiments/search", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({max_results: 1000, order_by: ["last_update_time DESC"]}),
    });
    const has = (experiment) => (experiment.tags || []).some((tag) => tag.key === "TAG");
    views = ((await answer.json()).experiments || []).filter(has).map((found) => found.experiment_id);
  } catch (error) {
    return;
  }
  const id = asked === "" ? views[0] : bare(asked);
  if (location.hash === asked && views.includes(id)) location.replace(view(id));
  document.addEventListener("click", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest && event.target.closest("a[href]");
    const id = link && bare(link.getAttribute("href"));
    if (!views.includes(id)) return;
    event.preventDefault();
    event.stopPropagation();
    location.hash = view(id);
  }, true);
})();
</script>"""


def opening_script() -> str:
    """Return the script, as it stands in the page."""
    view = view_url("EXPERIMENT").removeprefix("/")
    return SCRIPT.replace("VIEW", view).replace("TAG", f"mlflow.sharedViewState.{METHODS_VIEW}")


class OpeningApp:
    """An ASGI application that adds the script to the UI's page and hands everything on.

    Args:
        app: MLflow's own; loaded when it is first called where none is given.
    """

    def __init__(self, app: Any = None) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._app is None:
            from mlflow.server.fastapi_app import app

            self._app = app
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == "/":
            send = _Page(send).send
        await self._app(scope, receive, send)


class _Page:
    """Sends an answer with the script in it, if it is a page; any other as it is.

    Args:
        send: Takes the answer's messages.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        """Take a message of the answer."""
        if message["type"] == "http.response.start" and _is_plain_page(message):
            self._start = message
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)
        else:
            await self._send(message)

    async def _finish(self, start: Message) -> None:
        body = self._body.replace(PLACE, opening_script().encode() + PLACE, 1)
        dropped = (b"content-length", b"etag", b"last-modified")  # of the page without the script
        kept = [(name, value) for name, value in start["headers"] if name.lower() not in dropped]
        headers = [*kept, (b"content-length", str(len(body)).encode())]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _is_plain_page(start: Message) -> bool:
    """Return whether an answer is a whole page, not compressed."""
    headers = {name.lower(): value for name, value in start["headers"]}
    is_html = headers.get(b"content-type", b"").startswith(b"text/html")
    return start["status"] == 200 and is_html and b"content-encoding" not in headers


def app_options() -> list[str]:
    """Return the options that make ``mlflow server`` use this application; none where it is not installed."""
    found = metadata.entry_points(group="mlflow.app", name=APP_NAME)
    return ["--app-name", APP_NAME] if found else []


app = OpeningApp()
