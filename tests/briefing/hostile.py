"""Text that attackers write, and nights in which every text is theirs."""

from __future__ import annotations

from hypothesis import strategies as st

from forge_workers.briefing.model import Briefing
from forge_workers.night import Step
from forge_workers.report import Effect, Gap, Outcome, Severity, Usage
from tests.briefing.parts import briefing, check, commit, commit_log, file, finding, health, pull, step, threat

#: One of each kind; every one of them must come out as text.
STRINGS = (
    "<!channel> <!here> <!everyone>",
    "<@U0123456>",
    "<#C0123456|general>",
    "<http://evil.example/?q=secret|click>",
    "https://evil.example/?leak=AKIA",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "[x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "`code` *bold* _it_ ~no~ | cell |\n# heading\n- item",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x1b[2J",
    "\u202egnp.exe\u202c \u2066x\u2069 \u200b\ufeff",
    "{{ 7*7 }} {% raw %} ${x} $(id) `id`",
    "&lt;!channel&gt; &amp;amp;",
    "[bold red]markup[/] [link=http://evil.example]x[/link]",
    ":rotating_light: :smile:",
    "\x00 nul \x85 \u2028 line",
    "<!--", "-->", "]]>", "\\", "",
)  # fmt: skip
#: A text as long as the longest commit message that must be survived.
LONG = "<!channel> " * 95_000
ANY = st.one_of(
    st.sampled_from(STRINGS),
    st.text(max_size=80),
    st.text("<>&!@#|`*_~[]()\\\"'\n\x1b\u202e:ab ", max_size=60),
)


def night(text: str) -> tuple[Step, ...]:
    """Return a night in which ``text`` stands wherever somebody else's text can stand."""
    quote = text[:500]
    bad = finding(text, Severity.HIGH, text, detail=text, source=text, repository=text, commit=text or "x", path=text,
                  quote=quote, url=text)  # fmt: skip
    pulls = {state: [{**pull(1, text, 3.0, text, text), "repository": text, "url": text}] for state in
             ("waiting", "opened", "merged")}  # fmt: skip
    return (
        step("gpu_readiness", text, Outcome.SKIPPED, text, f"no model {text}"),
        health(check(text, text, "fail", detail=text, unit=text, threshold=text)),
        threat("YELLOW", (text, text, 2), explanation=text, usage=Usage(model=text, calls=1),
               effects=(Effect(name=text, target=text, verified=False, detail=text),)),
        commit_log([commit(text, text, text, 9.0, [file(text, 1, 1, text)])], (text,),
                   gaps=(Gap(what=text, why=text),)),
        step("security_review", text, findings=(bad,), numbers={text or "x": 1.0}),
        step("code_review", text, Outcome.DEGRADED, f"no model {text}", findings=(bad,),
             data={"reviewed": [], "not_reviewed": [{"reason": text}]}),
        step("pr_digest", text, data=pulls),
        Step(asset="evolution_report", missing=text),
    )  # fmt: skip


def told(text: str) -> Briefing:
    """Return the briefing of such a night."""
    return briefing(night(text))
