"""Statements of a text end with `;`, unless that stands in a text, a name or a comment."""

import pytest

from sinks.pieces import pieces


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("SELECT 1;", ["SELECT 1"], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT ';'; SELECT 2", ["SELECT ';'"], " SELECT 2"),
        (r"SELECT 'a\';' ;", [r"SELECT 'a\';' "], ""),
        ("SELECT 'it''s;';", ["SELECT 'it''s;'"], ""),
        ('SELECT ";", `;`;', ['SELECT ";", `;`'], ""),
        ("SELECT 1 -- one;\n;", ["SELECT 1 -- one;\n"], ""),
        ("SELECT /* ; */ 1;", ["SELECT /* ; */ 1"], ""),
        ("SELECT $x$ ; $x$;", ["SELECT $x$ ; $x$"], ""),
        ("SELECT 'open; ", [], "SELECT 'open; "),
        ("SELECT /* open; ", [], "SELECT /* open; "),
        (";;\n-- nothing\n;", [], ""),
        ("", [], ""),
    ],
)
def test_a_text_is_cut_where_a_statement_ends(text: str, found: list[str], rest: str) -> None:
    assert pieces(text) == (found, rest)


def test_lines_keep_their_number() -> None:
    found, rest = pieces("SELECT 1;\n\nSELECT\n2;\nSELECT 3")
    assert found == ["SELECT 1", "\n\nSELECT\n2"]
    assert rest == "\n\n\n\nSELECT 3"
