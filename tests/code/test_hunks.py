"""Hunks: a diff is read by its own lengths, and shown with the numbers of the file."""

from __future__ import annotations

from forge_workers.code.hunks import PIECE, hunks, pieces


def test_no_line_of_a_file_passes_for_a_header() -> None:
    """Lines that look like headers belong to the hunk whose length covers them."""
    diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@ def f():\n one\n-@@ -9,9 +9,9 @@\n+--- a/y\n+@@ -1 +1 @@\n"
    diff += "@@ -9 +10 @@\n-a\n+b\n"
    first, second = hunks(diff)
    assert [(row.mark, row.line, row.text) for row in first] == [
        (" ", 1, ""), ("-", None, "@@ -9,9 +9,9 @@"), ("+", 2, ""), ("+", 3, "")
    ]  # fmt: skip
    assert [(row.mark, row.line) for row in second] == [("-", None), ("+", 10)]


def test_a_cut_diff_keeps_the_lines_it_has() -> None:
    """A hunk that ends early is not lost."""
    assert [row.line for row in hunks("@@ -0,0 +1,9 @@\n+a\n+b")[0]] == [1, 2]


def test_each_line_of_the_file_is_shown_once_and_in_order() -> None:
    """The context of neighbouring hunks neither repeats nor skips a line."""
    content = [f"line {n}" for n in range(1, 41)]
    diff = "@@ -10,1 +10,1 @@\n-x\n+line 10\n@@ -15,1 +15,1 @@\n-y\n+line 15\n@@ -38,1 +38,1 @@\n-z\n+line 38\n"
    shown = pieces(diff, content)
    numbers = [int(row[:6]) for piece in shown for row in piece.text.split("\n") if row[:6].strip()]
    assert numbers == [*range(3, 23), *range(31, 41)]
    assert frozenset(numbers) == frozenset().union(*(piece.lines for piece in shown))
    assert shown[0].text.split("\n")[7:9] == ["       - x", "    10 + line 10"]


def test_a_long_hunk_comes_in_pieces() -> None:
    """A new file of many lines is cut, so that its first part fits where the whole does not."""
    content = [f"line {n}" for n in range(300)]
    diff = "@@ -0,0 +1,300 @@\n" + "\n".join("+" + line for line in content)
    assert [len(piece.lines) for piece in pieces(diff, content)] == [PIECE, PIECE, 60]


def test_only_removed_lines_are_shown_among_what_stood_around_them() -> None:
    """A hunk without a line of the new file still has its place."""
    shown = pieces("@@ -2,1 +1,0 @@\n-gone\n", ["first", "third"])
    assert "- gone" in shown[0].text
