"""Templates as a shop's staff may write them: a part of Jinja2 whose cost is known before it runs. Pure.

Messages are made on the event loop of `reminders`, where nothing can interrupt a loop of a thousand million rounds. So
a template has none: only the lists of a mail can be walked through, nothing can be called, and no value can be made
longer than those that are given. `steps` counts the most that a template can do; a long one is refused when it is set.
What is here of `MailTemplate` is about mails; text messages and pushes are in `cartwake.short_templates`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NoReturn

from jinja2 import Environment, StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateRuntimeError, UndefinedError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from cartwake.errors import ConfigurationError
from cartwake.inlining import inlined
from cartwake.rules import MailTemplate

#: Gmail cuts a mail at 102 KB.
MOST_HTML: Final = 100_000
MOST_TEXT: Final = 50_000
MOST_SUBJECT: Final = 1_000
#: Rows of a mail, at most, of the lists that can be walked through.
LISTS: Final = {"items": 8, "products": 4}
MOST_STEPS: Final = 5_000
MOST_DEPTH: Final = 40
_MOST_LITERAL: Final = 20
_MOST_NUMBER: Final = 10**9

FILTERS: Final = (
    "capitalize", "count", "d", "default", "e", "escape", "first", "last", "length", "lower", "trim", "truncate",
    "upper",
)  # fmt: skip
TESTS: Final = ("defined", "divisibleby", "even", "odd", "undefined")

_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.Filter, nodes.Test, nodes.If, nodes.For, nodes.Assign, nodes.CondExpr, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
)  # fmt: skip
_WORDS: Final = {
    "Call": "calling a function", "Concat": "`~` (write the values one after the other)", "Pow": "`**`",
    "Macro": "a macro", "CallBlock": "a call block", "FilterBlock": "a filter block", "AssignBlock": "a set block",
    "NSRef": "a namespace", "With": "`with`", "Scope": "`autoescape`",
}  # fmt: skip

#: What goes wrong when a template meets values it was not written for.
FAULTS: Final = (
    TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError,
)  # fmt: skip


class TooLong(TemplateRuntimeError):
    """What a template wrote is longer than a message may be."""


class Missing(StrictUndefined):
    """A value that is known to be sometimes unknown: `{% if name %}` is false, `{{ name }}` holds the message."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # the one thing that may be asked of it
        return False


@lru_cache(maxsize=64)
def missing(name: str) -> Missing:
    """The value of `name` where it is not known."""
    return Missing(hint=f"{name} is not known", name=name, exc=UndefinedError)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Facts are dictionaries, and a dictionary has its keys and nothing else; numbers are small."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if any(type(x) not in (int, float) or abs(x) > _MOST_NUMBER for x in (left, right)):
            raise TemplateRuntimeError(f"`{operator}` is for numbers up to {_MOST_NUMBER:,}")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            found = obj.get(attribute)
            return self.undefined(obj=obj, name=attribute) if found is None else found
        return super().getattr(obj, attribute)


def environment(*, html: bool, trim: bool = True) -> Environment:
    """Jinja2 for messages: sandboxed, strict, and escaping what goes into HTML; with `trim` a tag leaves no line."""
    env = _Sandbox(
        autoescape=html, undefined=StrictUndefined, finalize=_writable, trim_blocks=trim, lstrip_blocks=trim,
        cache_size=0,
    )  # fmt: skip
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in FILTERS}
    env.tests = {name: env.tests[name] for name in TESTS}
    return env


def _writable(value: Any) -> Any:
    if type(value) is str or type(value) is Markup:
        return value
    if isinstance(value, str | int | float | Undefined) and not isinstance(value, bool):
        return value
    raise TemplateRuntimeError("what stands between {{ and }} is a list or an object, not a text or a number")


_HTML: Final = environment(html=True)
_PLAIN: Final = environment(html=False)
#: Where empty lines are left out anyway, a tag at the end of a line must not join it to the next.
SHORT: Final = environment(html=False, trim=False)


# -- what a template may be --------------------------------------------------------------------------------------
def compiled(source: str, *, html: bool) -> Template:
    """The template of a mail, if it is one that may run; raises ConfigurationError that names the line.

    Styles are put inline here, once, not for each mail.
    """
    env = _HTML if html else _PLAIN
    as_written = checked(env, source)
    try:
        return env.from_string(inlined(source)) if html else as_written
    except TemplateSyntaxError as exc:  # a value in a place of the HTML where it can't be kept
        raise ConfigurationError(f"the HTML can't be read as it is meant: {exc}") from exc


def checked(env: Environment, source: str, known: frozenset[str] | None = None) -> Template:
    """The template as it is written, if it is one that may run; raises ConfigurationError that names the line.

    `known` are the names there are, if they are to be checked.
    """
    try:
        tree = env.parse(source)
        done = steps(tree)
    except TemplateSyntaxError as exc:
        raise ConfigurationError(f"line {exc.lineno}: {exc.message}") from exc
    except RecursionError as exc:
        raise ConfigurationError("it is nested too deeply") from exc
    if done > MOST_STEPS:
        raise ConfigurationError(f"it may take {done:,} steps, more than {MOST_STEPS:,}: loops are nested too deeply")
    if known is not None:
        _check_names(tree, known)
    return env.from_string(source)


def steps(tree: nodes.Node) -> int:
    """The most steps that a template can take; raises TemplateSyntaxError for what no template may use."""
    return _steps(tree, 0)


def _steps(node: nodes.Node, depth: int) -> int:
    if type(node) not in _ALLOWED:
        name = type(node).__name__
        _refuse(_WORDS.get(name, f"`{name.lower()}`") + " is not available in templates", node)
    if depth > MOST_DEPTH:
        _refuse(f"it is nested more than {MOST_DEPTH} deep", node)
    match node:
        case nodes.Filter() | nodes.Test():
            there = FILTERS if isinstance(node, nodes.Filter) else TESTS
            if node.name not in there or node.node is None or node.dyn_args or node.dyn_kwargs:
                _refuse(f"`{node.name}` is not available in templates; there are {', '.join(there)}", node)
        case nodes.Getattr(attr=str(name)) | nodes.Getitem(arg=nodes.Const(value=str(name))) | nodes.Name(name=name):
            if name.startswith("_"):
                _refuse(f"`{name}` is not available in templates", node)
        case nodes.List() | nodes.Dict() | nodes.Tuple(ctx="load") if not _is_constant(node):
            _refuse("a list may hold nothing but texts and numbers", node)
        case nodes.Assign():
            _check_target(node.target)
        case nodes.For():
            _check_target(node.target)
            if node.recursive:
                _refuse("`recursive` is not available in templates", node)
            inside = sum(_steps(child, depth + 1) for child in (*node.body, *([node.test] if node.test else [])))
            rest = sum(_steps(child, depth + 1) for child in (node.iter, *node.else_))
            return 1 + _rounds(node.iter) * (1 + inside) + rest
        case nodes.Const(value=str(text)):
            return 1 + len(text) // 100
    return 1 + sum(_steps(child, depth + 1) for child in node.iter_child_nodes())


def _is_constant(node: nodes.Node) -> bool:
    plain = (nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair)
    return all(isinstance(x, plain) and _is_constant(x) for x in node.iter_child_nodes())


def _rounds(over: nodes.Node) -> int:
    match over:
        case nodes.Name(name=name) | nodes.Getitem(node=nodes.Name(name=name), arg=nodes.Slice()) if name in LISTS:
            return LISTS[name]
        case nodes.List(items=things) | nodes.Tuple(items=things) if len(things) <= _MOST_LITERAL:
            return len(things)
    return _refuse(f"a loop may go over {' or '.join(LISTS)}, or over a short list that is written out", over)


def _check_target(target: nodes.Node) -> None:
    for name in target.find_all(nodes.Name) if not isinstance(target, nodes.Name) else (target,):
        if name.name in LISTS:
            _refuse(f"`{name.name}` is what the mail has, and can't be set", name)


def _check_names(tree: nodes.Template, known: frozenset[str]) -> None:
    own = {"loop"} | {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    for name in tree.find_all(nodes.Name):
        if name.ctx == "load" and name.name not in known | own:
            raise ConfigurationError(
                f"line {name.lineno}: `{name.name}` is not known; there are {', '.join(sorted(known))}"
            )


def _refuse(words: str, node: nodes.Node) -> NoReturn:
    lines = (inner.lineno for inner in (node, *node.find_all(nodes.Node)) if inner.lineno is not None)
    raise TemplateSyntaxError(words, next(lines, 1))


# -- writing -----------------------------------------------------------------------------------------------------
def write(template: Template, values: Mapping[str, Any], most: int) -> str:
    """What the template says of `values`; raises TooLong, UndefinedError for a missing value, or one of FAULTS."""
    parts: list[str] = []
    size = 0
    for part in template.root_render_func(template.new_context(values)):  # type: ignore[arg-type]  # any mapping
        size += len(part)
        if size > most:
            raise TooLong(f"it is longer than {most:,} characters")
        parts.append(part)
    return "".join(parts)


def line_of(template: Template, exc: BaseException) -> int | None:
    """The line of the template that raised `exc`."""
    found, frame = None, exc.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == "<template>":
            found = template.get_corresponding_lineno(frame.tb_lineno)
        frame = frame.tb_next
    return found


@dataclass(frozen=True, slots=True)
class Own:
    """A shop's own parts of a template, ready to run; None where it has none."""

    subject: Template | None
    html: Template | None
    text: Template | None


@lru_cache(maxsize=1024)
def own(template: MailTemplate) -> Own | ConfigurationError:
    """The parts of a template, ready to run, or why they can't be. Made once for the same content."""
    try:
        return Own(
            compiled(template.subject, html=False) if template.subject else None,
            compiled(template.html, html=True) if template.html else None,
            compiled(template.text, html=False) if template.text else None,
        )
    except ConfigurationError as exc:
        return exc


def tried(env: Environment, source: str, values: Mapping[str, Any], most: int) -> str:
    """What a template says of sample values; raises ConfigurationError, naming the line, unless it may run and does.

    The names of `values` are all that it may use.
    """
    template = checked(env, source, frozenset(values))
    try:
        return write(template, values, most)
    except FAULTS as exc:
        line = line_of(template, exc)
        raise ConfigurationError(f"{'' if line is None else f'line {line}: '}{exc}") from exc


def check(template: MailTemplate) -> None:
    """Raise ConfigurationError, naming part and line, unless the template can make a mail of the sample."""
    for part, source, most in (
        ("subject", template.subject, MOST_SUBJECT),
        ("html", template.html, MOST_HTML),
        ("text", template.text, MOST_TEXT),
    ):  # fmt: skip
        if not source:
            continue
        try:
            tried(_HTML if part == "html" else _PLAIN, source, sample(html=part == "html"), most)
            ready = compiled(source, html=part == "html")
            try:
                written = write(ready, sample(html=part == "html"), most)
            except FAULTS as exc:
                raise ConfigurationError(f"with its styles inline {exc}") from exc
            if part != "subject" and SAMPLE["unsubscribe_url"] not in written:
                raise ConfigurationError("{{ unsubscribe_url }} is not in it: everybody must find the way out")
        except ConfigurationError as exc:
            raise ConfigurationError(f"{part}: {exc}") from exc


# -- the sample --------------------------------------------------------------------------------------------------
def sample(*, html: bool) -> dict[str, Any]:
    """Values as a mail has them, all known."""
    return {**SAMPLE, "text": Markup("Own words<br>of the shop")} if html else SAMPLE


_ITEM: Final[dict[str, Any]] = {
    "name": "Blue shirt", "alt": "Blue shirt", "quantity": 2, "count": "2", "price": "€19.99", "amount": "€39.98",
    "image": "https://shop.example.com/a.jpg", "url": "https://shop.example.com/a",
}  # fmt: skip
#: Every name that a template may use, with values as they look.
SAMPLE: Final[dict[str, Any]] = {
    "template": "cart", "language": "en", "direction": "ltr", "step": 1, "stage": "payment", "to": "ana@example.com",
    "shop": {"title": "Our shop", "url": "https://shop.example.com", "postal_address": "12 Harbour Street"},
    "name": "Ana", "text": "Own words\nof the shop", "items": [_ITEM] * LISTS["items"], "more": 2, "units": 18,
    "total": "€359.82", "left_on": "November 23, 2026",
    "gift": {"code": "WELCOME-7K2P", "text": "10% off your order", "until": "November 30, 2026, 10:15 AM"},
    "products": [
        {key: _ITEM[key] for key in ("name", "alt", "price", "image", "url")} for _ in range(LISTS["products"])
    ],
    "recovery_url": "https://t.shop.example.com/r/" + "x" * 300,
    "unsubscribe_url": "https://t.shop.example.com/u/" + "x" * 27,
    "words": {
        "subject": "Still in your cart: Blue shirt", "preview": "Your cart is as you left it.",
        "headline": "Still thinking it over?", "hello": "Hello Ana,", "lead": "You left these with us.",
        "button": "Return to your cart", "more": "and 2 more items", "total": "Total", "code": "Your code",
        "until": "Valid until November 30, 2026.", "products": "Often bought together with these",
        "help": "Did something not work? Just reply.", "note": "Prices may have changed.",
        "reason": "You agreed to reminders.", "unsubscribe": "Unsubscribe or choose what you receive",
    },
}  # fmt: skip
