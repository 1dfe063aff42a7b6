"""The page to read the local mailbox: a list, and one mail without any of its scripts.

Everything in a mail is hostile: templates escape, the HTML part runs in a sandboxed frame under a policy that
loads images and styles and nothing else, and names of files are checked, not trusted.
"""

from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from local import mailbox, phone

PAGE = 50
_PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src http: https: data:; style-src 'unsafe-inline'"
)
_LINKS_OUT = b'<!doctype html><base target="_blank">'  # a link opens beside the mailbox, not inside its frame
_TEXT_LIMIT = 1_000_000


def page(where: Path) -> Starlette:
    """The application that shows the mails of folder `where`."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["clock"] = _clock
    style = Path(__file__).with_name("templates").joinpath("mailbox.css").read_text(encoding="utf-8")

    def listing(request: Request) -> Response:
        paths = mailbox.mails(where.parent)[::-1]
        asked = request.query_params.get("page", "1")
        number = max(1, int(asked)) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
        shown = [mailbox.line(path) for path in paths[(number - 1) * PAGE : number * PAGE]]
        more = len(paths) > number * PAGE
        return _page(
            templates.get_template("list.html").render(mails=shown, count=len(paths), number=number, more=more)
        )

    def one(request: Request) -> Response:
        path = _path(request, where)
        mail = mailbox.parse(path)
        text, html = _part(mail, "plain"), _part(mail, "html")
        return _page(
            templates.get_template("mail.html").render(
                mail=mailbox.line(path),
                text=text,
                has_html=html is not None,
                headers=[(key, str(value)) for key, value in mail.raw_items()],
                attachments=[part.get_filename() or "without a name" for part in mail.iter_attachments()]
                if mail.is_multipart()
                else [],
            )
        )

    def html(request: Request) -> Response:
        content = _part(mailbox.parse(_path(request, where)), "html")
        if content is None:
            raise HTTPException(404, "This mail has no HTML part.")
        shown = _LINKS_OUT + content.encode("utf-8", "replace")
        return HTMLResponse(shown, headers={"Content-Security-Policy": _MAIL_POLICY, **_QUIET})

    def source(request: Request) -> Response:
        path = _path(request, where)
        disposition = {"Content-Disposition": f'attachment; filename="{path.name}"', **_QUIET}
        return Response(path.read_bytes(), media_type="message/rfc822", headers=disposition)

    def css(_: Request) -> Response:
        return Response(style, media_type="text/css", headers=_QUIET)

    return Starlette(
        routes=[
            Route("/", listing),
            Route("/mailbox.css", css),
            *phone.routes(where),
            Route("/{name}", one),
            Route("/{name}/html", html),
            Route("/{name}/source", source),
        ],
        # a web page elsewhere must not read mails through a name that points here (DNS rebinding)
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


_QUIET = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


def _page(content: str) -> Response:
    # bytes of a mail that are no UTF-8 are lone surrogates here
    return HTMLResponse(content.encode("utf-8", "replace"), headers={"Content-Security-Policy": _PAGE_POLICY, **_QUIET})


def _path(request: Request, where: Path) -> Path:
    """The mail of that name; a name is only ever compared with those that are there."""
    name = request.path_params["name"]
    for path in mailbox.mails(where.parent):
        if path.name == name:
            return path
    raise HTTPException(404, "There is no such mail.")


def _part(mail: EmailMessage, kind: str) -> str | None:
    """The text or HTML part, bounded; a part that can't be decoded is shown with replacement characters."""
    try:
        part = mail.get_body((kind,))
    except (AttributeError, KeyError, ValueError):  # damaged structures of parts
        return None
    if part is None:
        return None
    content = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    raw = content if isinstance(content, bytes) else b""
    try:
        text = raw.decode(charset, "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    return text[:_TEXT_LIMIT]


def _clock(moment: datetime) -> str:
    """Local time of the reader's machine, which is this one."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
